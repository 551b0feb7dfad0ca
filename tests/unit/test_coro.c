#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/coro.h"

struct traveller {
    struct coro coro;
    bool open;
    bool turn_back;
    unsigned looks; /* how often the condition was tried */
    unsigned rooms, steps;
};

static bool is_open(struct traveller *traveller)
{
    traveller->looks++;
    return traveller->open;
}

static void walk(struct traveller *traveller)
{
    CORO_BEGIN(&traveller->coro);
    while (traveller->rooms < 3) {
        CORO_AWAIT(&traveller->coro, is_open(traveller));
        traveller->open = false;
        traveller->rooms++;
        if (traveller->turn_back)
            CORO_RETURN(&traveller->coro);
    }
    for (traveller->steps = 1; traveller->steps < 3; traveller->steps++)
        CORO_YIELD(&traveller->coro);
    CORO_END(&traveller->coro);
}

static void a_wait_is_two_bytes(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct coro), 2);
}

static void a_condition_is_tried_at_once_and_at_each_call_until_it_holds(void **state)
{
    (void)state;
    struct traveller traveller = {.open = true};
    walk(&traveller);
    assert_int_equal(traveller.rooms, 1);
    assert_int_equal(traveller.looks, 2);
    walk(&traveller);
    assert_int_equal(traveller.rooms, 1);
    assert_int_equal(traveller.looks, 3);
    traveller.open = true;
    walk(&traveller);
    assert_int_equal(traveller.rooms, 2);
    assert_false(coro_done(&traveller.coro));
}

static void a_yield_waits_for_one_call(void **state)
{
    (void)state;
    struct traveller traveller = {.rooms = 3};
    walk(&traveller);
    assert_int_equal(traveller.steps, 1);
    walk(&traveller);
    assert_int_equal(traveller.steps, 2);
    assert_false(coro_done(&traveller.coro));
    walk(&traveller);
    assert_true(coro_done(&traveller.coro));
}

static void one_that_has_ended_does_nothing(void **state)
{
    (void)state;
    struct traveller traveller = {.open = true, .turn_back = true};
    walk(&traveller);
    assert_true(coro_done(&traveller.coro));
    struct traveller before = traveller;
    traveller.open = before.open = true;
    walk(&traveller);
    assert_int_equal(traveller.rooms, before.rooms);
    assert_int_equal(traveller.looks, before.looks);
}

static void many_wait_in_one_function_each_at_its_own_place(void **state)
{
    (void)state;
    struct traveller at_the_door = {0}, on_the_stairs = {.rooms = 3};
    walk(&at_the_door);
    walk(&on_the_stairs);
    assert_int_equal(at_the_door.steps, 0);
    assert_int_equal(on_the_stairs.looks, 0);
    assert_int_not_equal(at_the_door.coro.point, on_the_stairs.coro.point);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_is_two_bytes),
        cmocka_unit_test(a_condition_is_tried_at_once_and_at_each_call_until_it_holds),
        cmocka_unit_test(a_yield_waits_for_one_call),
        cmocka_unit_test(one_that_has_ended_does_nothing),
        cmocka_unit_test(many_wait_in_one_function_each_at_its_own_place),
    };
    return cmocka_run_group_tests_name("coro", tests, NULL, NULL);
}
