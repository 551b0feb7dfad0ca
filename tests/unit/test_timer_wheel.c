#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/timer_wheel.h"

enum { HOUR_MS = 3600 * 1000, LOG_MAX = 64, CROWD = 500 };

static struct timer_wheel wheel;

/* What fired, in order. */
static struct {
    const struct timer *timer[LOG_MAX];
    size_t count;
} fired;

static void note(struct timer *timer)
{
    assert_false(timer_armed(timer));
    if (fired.count < LOG_MAX)
        fired.timer[fired.count] = timer;
    fired.count++;
}

static int begin(void **state)
{
    (void)state;
    timer_wheel_init(&wheel, 1000);
    memset(&fired, 0, sizeof fired);
    return 0;
}

static void a_timer_fires_at_its_time_and_not_before(void **state)
{
    (void)state;
    struct timer timer = {.fire = note};
    timer_start(&wheel, &timer, 1070);
    timer_wheel_advance(&wheel, 1069);
    assert_int_equal(fired.count, 0);
    assert_true(timer_armed(&timer));
    timer_wheel_advance(&wheel, 1070);
    assert_int_equal(fired.count, 1);
    assert_false(timer_armed(&timer));
    assert_true(timer_wheel_next(&wheel) == UINT64_MAX);
}

static void a_stopped_timer_does_not_fire_and_stopping_twice_is_nothing(void **state)
{
    (void)state;
    struct timer timer = {.fire = note}, other = {.fire = note};
    timer_stop(&wheel, &timer);
    timer_start(&wheel, &timer, 1010);
    timer_start(&wheel, &other, 1010);
    timer_stop(&wheel, &timer);
    timer_stop(&wheel, &timer);
    assert_true(timer_wheel_next(&wheel) == 1010);
    timer_stop(&wheel, &other);
    assert_true(timer_wheel_next(&wheel) == UINT64_MAX);
    timer_wheel_advance(&wheel, 2000);
    assert_int_equal(fired.count, 0);
}

static void starting_an_armed_timer_moves_it(void **state)
{
    (void)state;
    struct timer timer = {.fire = note};
    timer_start(&wheel, &timer, 1010);
    timer_start(&wheel, &timer, 1020);
    timer_wheel_advance(&wheel, 1019);
    assert_int_equal(fired.count, 0);
    timer_wheel_advance(&wheel, 1020);
    assert_int_equal(fired.count, 1);
}

static void what_is_due_already_fires_at_the_next_advance_even_within_the_millisecond(void **state)
{
    (void)state;
    struct timer past = {.fire = note}, now = {.fire = note};
    timer_start(&wheel, &now, 1000);
    timer_start(&wheel, &past, 3);
    assert_true(timer_wheel_next(&wheel) == 1000);
    timer_wheel_advance(&wheel, 1000);
    assert_int_equal(fired.count, 2);
    assert_ptr_equal(fired.timer[0], &now);
}

static void a_jump_fires_in_order_of_time_and_then_of_starting(void **state)
{
    (void)state;
    struct timer a = {.fire = note}, b = {.fire = note}, c = {.fire = note}, d = {.fire = note};
    timer_start(&wheel, &a, 1000 + HOUR_MS);
    timer_start(&wheel, &b, 1063);
    timer_start(&wheel, &c, 1000 + HOUR_MS);
    timer_start(&wheel, &d, 999 + HOUR_MS);
    timer_wheel_advance(&wheel, 1000 + 2 * HOUR_MS);
    assert_int_equal(fired.count, 4);
    assert_ptr_equal(fired.timer[0], &b);
    assert_ptr_equal(fired.timer[1], &d);
    assert_ptr_equal(fired.timer[2], &a);
    assert_ptr_equal(fired.timer[3], &c);
}

static void timers_started_far_and_near_for_one_time_keep_their_order(void **state)
{
    (void)state;
    struct timer far = {.fire = note}, near = {.fire = note};
    timer_start(&wheel, &far, 90000);
    timer_wheel_advance(&wheel, 89999);
    timer_start(&wheel, &near, 90000);
    timer_wheel_advance(&wheel, 90000);
    assert_ptr_equal(fired.timer[0], &far);
    assert_ptr_equal(fired.timer[1], &near);
}

static void no_time_is_too_far(void **state)
{
    (void)state;
    struct timer last = {.fire = note}, year = {.fire = note};
    uint64_t in_a_year = UINT64_C(365) * 24 * HOUR_MS;
    timer_start(&wheel, &last, UINT64_MAX);
    timer_start(&wheel, &year, in_a_year);
    timer_wheel_advance(&wheel, in_a_year - 1);
    assert_int_equal(fired.count, 0);
    timer_wheel_advance(&wheel, in_a_year);
    assert_int_equal(fired.count, 1);
    timer_wheel_advance(&wheel, UINT64_MAX - 1);
    assert_int_equal(fired.count, 1);
    timer_wheel_advance(&wheel, UINT64_MAX);
    assert_int_equal(fired.count, 2);
}

static void time_does_not_run_backwards(void **state)
{
    (void)state;
    struct timer timer = {.fire = note};
    timer_wheel_advance(&wheel, 5000);
    timer_start(&wheel, &timer, 5010);
    timer_wheel_advance(&wheel, 10);
    assert_int_equal(fired.count, 0);
    assert_true(wheel.now_ms == 5000);
    timer_wheel_advance(&wheel, 5010);
    assert_int_equal(fired.count, 1);
}

static void an_idle_hour_takes_a_few_steps(void **state)
{
    (void)state;
    struct timer timer = {.fire = note};
    timer_start(&wheel, &timer, 1000 + HOUR_MS);
    unsigned steps = 0;
    for (uint64_t next; (next = timer_wheel_next(&wheel)) != UINT64_MAX; steps++)
        timer_wheel_advance(&wheel, next);
    assert_int_equal(fired.count, 1);
    assert_in_range(steps, 1, 4);
    assert_true(wheel.now_ms == 1000 + HOUR_MS);
}

/* ---- callbacks ------------------------------------------------------------------------------------------ */

static void start_again_at_once(struct timer *timer)
{
    note(timer);
    timer_start(&wheel, timer, wheel.now_ms);
}

static void a_callback_that_starts_its_timer_for_now_waits_for_the_next_advance(void **state)
{
    (void)state;
    struct timer timer = {.fire = start_again_at_once};
    timer_start(&wheel, &timer, 1010);
    timer_wheel_advance(&wheel, 1010);
    assert_int_equal(fired.count, 1);
    assert_true(timer_wheel_next(&wheel) == 1010);
    timer_wheel_advance(&wheel, 1010);
    assert_int_equal(fired.count, 2);
    timer_stop(&wheel, &timer);
}

static struct timer *victim;

static void stop_the_victim(struct timer *timer)
{
    note(timer);
    timer_stop(&wheel, victim);
}

static void a_callback_stops_a_timer_that_is_due_in_the_same_millisecond(void **state)
{
    (void)state;
    struct timer first = {.fire = stop_the_victim}, second = {.fire = note}, third = {.fire = note};
    victim = &second;
    timer_start(&wheel, &first, 1010);
    timer_start(&wheel, &second, 1010);
    timer_start(&wheel, &third, 1010);
    timer_wheel_advance(&wheel, 1010);
    assert_int_equal(fired.count, 2);
    assert_ptr_equal(fired.timer[1], &third);
}

static void put_off_the_victim(struct timer *timer)
{
    note(timer);
    timer_start(&wheel, victim, 1500);
}

static void a_callback_puts_off_a_timer_that_is_due_in_the_same_jump(void **state)
{
    (void)state;
    struct timer first = {.fire = put_off_the_victim}, second = {.fire = note}, third = {.fire = note};
    victim = &second;
    timer_start(&wheel, &first, 1010);
    timer_start(&wheel, &second, 1010);
    timer_start(&wheel, &third, 1300);
    timer_wheel_advance(&wheel, 1400);
    assert_int_equal(fired.count, 2);
    assert_ptr_equal(fired.timer[1], &third);
    timer_wheel_advance(&wheel, 1500);
    assert_int_equal(fired.count, 3);
}

static void free_it(struct timer *timer)
{
    note(timer);
    free(timer);
}

static void a_callback_may_free_its_timer(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct timer *timer = calloc(1, sizeof *timer);
        assert_non_null(timer);
        timer->fire = free_it;
        timer_start(&wheel, timer, 1100);
    }
    timer_wheel_advance(&wheel, 1100);
    assert_int_equal(fired.count, 3);
}

/* ---- against a list ------------------------------------------------------------------------------------- */

static struct {
    struct timer timer[CROWD];
    uint64_t order[CROWD]; /* of starting */
    uint64_t starts, last_due, last_order, count;
} crowd;

static uint64_t seed;

static uint64_t draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static void fires_in_order(struct timer *timer)
{
    uint64_t order = crowd.order[timer - crowd.timer];
    assert_true(timer->due_ms <= wheel.now_ms);
    assert_true(timer->due_ms > crowd.last_due ||
                (timer->due_ms == crowd.last_due && order > crowd.last_order));
    crowd.last_due = timer->due_ms;
    crowd.last_order = order;
    crowd.count++;
}

static uint64_t earliest(void)
{
    uint64_t due = UINT64_MAX;
    for (unsigned i = 0; i < CROWD; i++)
        if (timer_armed(&crowd.timer[i]) && crowd.timer[i].due_ms < due)
            due = crowd.timer[i].due_ms;
    return due;
}

static void change_some(void)
{
    for (unsigned i = 0; i < 40; i++) {
        unsigned pick = (unsigned)(draw() % CROWD);
        crowd.timer[pick].fire = fires_in_order;
        if (draw() % 4 == 0) {
            timer_stop(&wheel, &crowd.timer[pick]);
            continue;
        }
        crowd.order[pick] = ++crowd.starts;
        timer_start(&wheel, &crowd.timer[pick], wheel.now_ms + 1 + draw() % (UINT64_C(1) << draw() % 30));
    }
}

static void thousands_of_random_timers_fire_in_order_and_next_is_never_late(void **state)
{
    (void)state;
    seed = 20240607;
    memset(&crowd, 0, sizeof crowd);
    for (unsigned round = 0; round < 4000; round++) {
        change_some();
        uint64_t due = earliest(), next = timer_wheel_next(&wheel);
        assert_true(next <= due && next > wheel.now_ms);
        assert_true((next == UINT64_MAX) == (due == UINT64_MAX));
        crowd.last_due = wheel.now_ms;
        crowd.last_order = UINT64_MAX;
        uint64_t jump = draw() % (UINT64_C(1) << draw() % 26);
        timer_wheel_advance(&wheel, draw() % 2 ? next : wheel.now_ms + jump);
        assert_true(earliest() > wheel.now_ms);
    }
    assert_true(crowd.count > 10000);
}

#define CASE(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_timer_fires_at_its_time_and_not_before),
        CASE(a_stopped_timer_does_not_fire_and_stopping_twice_is_nothing),
        CASE(starting_an_armed_timer_moves_it),
        CASE(what_is_due_already_fires_at_the_next_advance_even_within_the_millisecond),
        CASE(a_jump_fires_in_order_of_time_and_then_of_starting),
        CASE(timers_started_far_and_near_for_one_time_keep_their_order),
        CASE(no_time_is_too_far),
        CASE(time_does_not_run_backwards),
        CASE(an_idle_hour_takes_a_few_steps),
        CASE(a_callback_that_starts_its_timer_for_now_waits_for_the_next_advance),
        CASE(a_callback_stops_a_timer_that_is_due_in_the_same_millisecond),
        CASE(a_callback_puts_off_a_timer_that_is_due_in_the_same_jump),
        CASE(a_callback_may_free_its_timer),
        CASE(thousands_of_random_timers_fire_in_order_and_next_is_never_late),
    };
    return cmocka_run_group_tests_name("timer_wheel", tests, NULL, NULL);
}
