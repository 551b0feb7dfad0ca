#include "tests/unit/delivery_fixture.h"

static void stall_blocking(uint32_t queue)
{
    f.sub.policy = NATIVE_POLICY_BLOCK;
    f.sub.queue = queue;
    f.fake.room = 0;
    push(0, 1);
    end_turn();
}

static void a_publisher_waits_from_the_bound_on_until_half_of_it_is_free(void **state)
{
    (void)state;
    struct waiter waiter = {0};
    stall_blocking(4);
    assert_false(blocking_full(&f.sub, NULL));
    push(1, 3);
    assert_true(blocking_full(&f.sub, NULL));
    blocking_wait(&f.sub, &waiter);
    size_t frame = 5 + 1 + 1 + 4 + 2 + 1;
    open_up(&f.fake, &f.outbox, frame);
    assert_int_equal(f.resumed, 0);
    open_up(&f.fake, &f.outbox, frame);
    assert_int_equal(f.resumed, 1);
    assert_null(waiter.blocking);
    open_up(&f.fake, &f.outbox, SIZE_MAX);
    assert_string_equal(frames_of(&f.fake), "t/1 0\nt/1 1\nt/1 2\nt/1 3\n");
}

static void nothing_is_dropped_past_the_bound_which_was_in_hand_already(void **state)
{
    (void)state;
    stall_blocking(2);
    push(1, 6);
    open_up(&f.fake, &f.outbox, SIZE_MAX);
    assert_string_equal(frames_of(&f.fake), "t/1 0\nt/1 1\nt/1 2\nt/1 3\nt/1 4\nt/1 5\nt/1 6\n");
}

static void a_client_does_not_wait_for_itself_but_loses_its_oldest(void **state)
{
    (void)state;
    stall_blocking(2);
    f.delivery.publisher = &f.outbox;
    push(1, 3);
    f.delivery.publisher = NULL;
    assert_false(blocking_full(&f.sub, &f.outbox));
    open_up(&f.fake, &f.outbox, SIZE_MAX);
    assert_string_equal(frames_of(&f.fake), "gap 2 dropped_oldest\nt/1 2\nt/1 3\n");
}

static void a_subscriber_stuck_for_the_timeout_is_given_up(void **state)
{
    (void)state;
    struct waiter waiter = {0};
    stall_blocking(1);
    blocking_wait(&f.sub, &waiter);
    f.now_ms += f.settings.block_timeout - 1;
    timer_wheel_advance(&f.wheel, f.now_ms);
    assert_null(delivery_next_condemned(&f.delivery));
    f.now_ms += 1;
    timer_wheel_advance(&f.wheel, f.now_ms);
    assert_ptr_equal(delivery_next_condemned(&f.delivery), &f.outbox);
    assert_int_equal(f.outbox.verdict, OUTBOX_TOO_SLOW);
    blocking_leave(&waiter);
    assert_null(f.sub.blocking);
}

static void progress_puts_the_timeout_off(void **state)
{
    (void)state;
    struct waiter waiter = {0};
    stall_blocking(2);
    push(1, 9);
    blocking_wait(&f.sub, &waiter);
    for (int i = 0; i < 4; i++) {
        f.now_ms += f.settings.block_timeout - 100;
        timer_wheel_advance(&f.wheel, f.now_ms);
        open_up(&f.fake, &f.outbox, 14);
    }
    assert_null(delivery_next_condemned(&f.delivery));
    blocking_leave(&waiter);
}

static void all_publishers_go_on_when_the_subscription_ends(void **state)
{
    (void)state;
    struct waiter waiters[3] = {0};
    stall_blocking(1);
    for (int i = 0; i < 3; i++)
        blocking_wait(&f.sub, &waiters[i]);
    blocking_leave(&waiters[1]);
    outbox_end_subscription(&f.sub);
    assert_int_equal(f.resumed, 2);
    assert_false(blocking_full(&f.sub, NULL));
}

/* What other subscriptions of the connection hold must not keep its publishers waiting for progress that cannot come. */
static void with_nothing_queued_nobody_waits_however_full_the_connection_is(void **state)
{
    (void)state;
    struct waiter waiter = {0};
    stall_blocking(1);
    blocking_wait(&f.sub, &waiter);
    f.settings.queue_bytes = 2000;
    subscription_init(&f.second, &f.outbox, "u", NATIVE_POLICY_DROP_OLDEST, 1000);
    for (int i = 0; i < 30; i++)
        push_to(&f.second, "u", 0, 10);
    assert_true(outbox_bytes(&f.outbox) > 1000);
    open_up(&f.fake, &f.outbox, 5 + 1 + 1 + 4 + 2 + 1);
    assert_true(outbox_bytes(&f.outbox) > 1000);
    assert_int_equal(f.sub.queued, 0);
    assert_int_equal(f.resumed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        delivery_test(a_publisher_waits_from_the_bound_on_until_half_of_it_is_free),
        delivery_test(nothing_is_dropped_past_the_bound_which_was_in_hand_already),
        delivery_test(a_client_does_not_wait_for_itself_but_loses_its_oldest),
        delivery_test(a_subscriber_stuck_for_the_timeout_is_given_up),
        delivery_test(progress_puts_the_timeout_off),
        delivery_test(all_publishers_go_on_when_the_subscription_ends),
        delivery_test(with_nothing_queued_nobody_waits_however_full_the_connection_is),
    };
    return cmocka_run_group_tests_name("blocking", tests, NULL, NULL);
}
