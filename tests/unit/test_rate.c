#include "tests/unit/delivery_fixture.h"

static void wait_until(uint64_t now_ms)
{
    while (f.now_ms < now_ms) {
        f.now_ms++;
        f.unix_ms++;
        timer_wheel_advance(&f.wheel, f.now_ms);
        end_turn();
    }
}

static void limit(double max_hz)
{
    f.sub.policy = NATIVE_POLICY_CONFLATE;
    assert_int_equal(rate_start(&f.sub, max_hz), ERR_NONE);
}

static void the_first_value_goes_at_once_and_the_last_when_its_time_comes(void **state)
{
    (void)state;
    limit(10);
    push(1, 3);
    end_turn();
    assert_string_equal(frames_of(&f.fake), "t/1 1\n");
    wait_until(1099);
    assert_string_equal(frames_of(&f.fake), "t/1 1\n");
    wait_until(1105);
    assert_string_equal(frames_of(&f.fake), "t/1 1\ngap 1 max_hz\nt/1 3\n");
}

static void each_topic_has_a_rate_of_its_own(void **state)
{
    (void)state;
    limit(1);
    push_to(&f.sub, "t/1", 1, 1);
    push_to(&f.sub, "t/2", 2, 1);
    push_to(&f.sub, "t/1", 3, 1);
    end_turn();
    assert_string_equal(frames_of(&f.fake), "t/1 1\nt/2 2\n");
    wait_until(2100);
    assert_string_equal(frames_of(&f.fake), "t/1 1\nt/2 2\nt/1 3\n");
}

static void values_slower_than_the_rate_all_pass(void **state)
{
    (void)state;
    limit(100);
    for (uint32_t i = 0; i < 5; i++) {
        push(i, 1);
        wait_until(f.now_ms + 20);
    }
    assert_string_equal(frames_of(&f.fake), "t/1 0\nt/1 1\nt/1 2\nt/1 3\nt/1 4\n");
}

static void over_a_second_it_is_the_rate_and_all_else_is_reported(void **state)
{
    (void)state;
    limit(20);
    for (uint32_t i = 0; i < 1000; i++) {
        push(i, 1);
        wait_until(f.now_ms + 1);
    }
    wait_until(f.now_ms + 200);
    unsigned delivered = 0, lost = 0, n;
    for (const char *line = frames_of(&f.fake); *line; line = strchr(line, '\n') + 1) {
        if (sscanf(line, "gap %u", &n) == 1)
            lost += n;
        else
            delivered++;
    }
    assert_in_range(delivered, 19, 23);
    assert_int_equal(delivered + lost, 1000);
    assert_non_null(strstr(frames_of(&f.fake), "t/1 999\n"));
}

static void more_keys_than_the_queue_lose_the_oldest_held_value(void **state)
{
    (void)state;
    f.sub.queue = 2;
    limit(1);
    push_to(&f.sub, "t/1", 1, 2);
    push_to(&f.sub, "t/2", 3, 2);
    push_to(&f.sub, "t/3", 5, 2);
    wait_until(3200);
    unsigned delivered = 0, lost = 0, n;
    for (const char *line = frames_of(&f.fake); *line; line = strchr(line, '\n') + 1) {
        if (sscanf(line, "gap %u", &n) == 1)
            lost += n;
        else
            delivered++;
    }
    assert_int_equal(delivered + lost, 6);
    assert_non_null(strstr(frames_of(&f.fake), "t/3 6\n"));
}

static void an_ended_subscription_hands_over_what_it_held(void **state)
{
    (void)state;
    limit(1);
    push(1, 3);
    end_turn();
    outbox_end_subscription(&f.sub);
    end_turn();
    assert_string_equal(frames_of(&f.fake), "t/1 1\ngap 1 max_hz\nt/1 3\n");
    assert_null(f.sub.rate);
}

static void held_values_keep_to_the_byte_bound_and_to_the_rate(void **state)
{
    (void)state;
    char topic[8];
    f.settings.queue_bytes = 20000;
    f.sub.queue = 1000;
    limit(1);
    for (int round = 0; round < 10; round++)
        for (int i = 0; i < 50; i++) {
            snprintf(topic, sizeof topic, "t/%d", i);
            push_long(&f.sub, topic, 1000);
            assert_true(f.outbox.held_bytes <= 20000);
            assert_true(memory_used() < 5 * CHUNK_BYTES);
        }
    end_turn();
    assert_int_equal(f.delivery.stats.delivered, 50);
    push_long(&f.sub, "t/1", 30000);
    wait_until(2100);
    const uint64_t *gaps = f.delivery.stats.gaps;
    assert_int_equal(f.delivery.stats.delivered + gaps[NATIVE_GAP_RATE] + gaps[NATIVE_GAP_DROPPED_OLDEST],
                     501);
    assert_true(f.delivery.stats.delivered > 55);
    wait_until(3200);
    assert_int_equal(f.outbox.held_bytes, 0);
}

static void at_the_byte_bound_the_value_that_waits_longest_goes_first(void **state)
{
    (void)state;
    limit(1);
    push_to(&f.sub, "t/1", 1, 1);
    push_to(&f.sub, "t/2", 1, 1);
    push_to(&f.sub, "t/3", 1, 1);
    push_to(&f.sub, "t/2", 2, 1);
    push_to(&f.sub, "t/1", 2, 1);
    push_to(&f.sub, "t/1", 3, 1);
    f.settings.queue_bytes = f.outbox.held_bytes + 1020;
    push_long(&f.sub, "t/3", 1000);
    wait_until(2100);
    assert_non_null(strstr(frames_of(&f.fake), "t/1 1\nt/2 1\nt/3 1\ngap 1 dropped_oldest\ngap 1 max_hz\nt/1 3\nt/3 "));
    assert_int_equal(f.delivery.stats.delivered, 5);
}

static void a_held_value_past_its_time_is_reported_not_sent(void **state)
{
    (void)state;
    limit(10);
    push_keyed(NULL, 1, 50);
    push_keyed(NULL, 2, 50);
    push_keyed(NULL, 3, 50);
    wait_until(1110);
    assert_string_equal(frames_of(&f.fake), "t/1 1\ngap 1 max_hz\ngap 1 expired\n");
    push_keyed(NULL, 4, 50);
    push_keyed(NULL, 5, 50);
    f.unix_ms += 60;
    outbox_end_subscription(&f.sub);
    end_turn();
    assert_non_null(strstr(frames_of(&f.fake), "t/1 4\ngap 1 expired\n"));
}

static void what_is_held_when_the_connection_is_given_up_is_told(void **state)
{
    (void)state;
    limit(10);
    push(1, 3);
    delivery_condemn(&f.delivery, &f.outbox, OUTBOX_FATTEST);
    push(4, 1);
    outbox_end_subscription(&f.sub);
    end_turn();
    assert_string_equal(frames_of(&f.fake), "t/1 1\ngap 1 dropped_oldest\ngap 2 max_hz\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        delivery_test(the_first_value_goes_at_once_and_the_last_when_its_time_comes),
        delivery_test(each_topic_has_a_rate_of_its_own),
        delivery_test(values_slower_than_the_rate_all_pass),
        delivery_test(over_a_second_it_is_the_rate_and_all_else_is_reported),
        delivery_test(more_keys_than_the_queue_lose_the_oldest_held_value),
        delivery_test(an_ended_subscription_hands_over_what_it_held),
        delivery_test(held_values_keep_to_the_byte_bound_and_to_the_rate),
        delivery_test(at_the_byte_bound_the_value_that_waits_longest_goes_first),
        delivery_test(a_held_value_past_its_time_is_reported_not_sent),
        delivery_test(what_is_held_when_the_connection_is_given_up_is_told),
    };
    return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
