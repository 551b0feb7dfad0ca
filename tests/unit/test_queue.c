#include "tests/unit/delivery_fixture.h"

/* A socket that refuses everything until it is opened up, and a first message that found that out. */
static void stall(enum native_policy policy, uint32_t queue)
{
    f.sub.policy = (uint8_t)policy;
    f.sub.queue = queue;
    f.fake.room = 0;
    push(0, 1);
    end_turn();
}

static const char *let_go(void)
{
    open_up(&f.fake, &f.outbox, SIZE_MAX);
    assert_int_equal(f.sub.queued, 0);
    return frames_of(&f.fake);
}

static void drop_oldest_keeps_the_newest_behind_a_gap(void **state)
{
    (void)state;
    stall(NATIVE_POLICY_DROP_OLDEST, 3);
    push(1, 4);
    push(5, 1);
    assert_string_equal(let_go(), "gap 3 dropped_oldest\nt/1 3\nt/1 4\nt/1 5\n");
    assert_int_equal(f.delivery.stats.gaps[NATIVE_GAP_DROPPED_OLDEST], 3);
}

static void drop_newest_keeps_the_oldest_and_the_gap_stands_behind_them(void **state)
{
    (void)state;
    stall(NATIVE_POLICY_DROP_NEWEST, 3);
    push(1, 4);
    push(5, 1);
    assert_string_equal(let_go(), "t/1 0\nt/1 1\nt/1 2\ngap 3 dropped_newest\n");
}

static void a_gap_stands_where_the_lost_messages_stood(void **state)
{
    (void)state;
    stall(NATIVE_POLICY_DROP_NEWEST, 2);
    push(1, 3);
    push_ok(&f.outbox, 1);
    open_up(&f.fake, &f.outbox, SIZE_MAX);
    push(9, 1);
    end_turn();
    assert_string_equal(frames_of(&f.fake), "t/1 0\nt/1 1\ngap 2 dropped_newest\nok 1\nt/1 9\n");
}

static void a_loss_of_more_than_four_billion_is_counted(void **state)
{
    (void)state;
    stall(NATIVE_POLICY_DROP_OLDEST, 2);
    outbox_push_gap(&f.outbox, &f.sub, UINT32_MAX, NATIVE_GAP_RATE);
    outbox_push_gap(&f.outbox, &f.sub, 2, NATIVE_GAP_RATE);
    push(1, 1);
    assert_string_equal(let_go(), "t/1 0\ngap 4294967297 max_hz\nt/1 1\n");
}

static void conflate_keeps_the_newest_of_each_topic_in_the_older_ones_place(void **state)
{
    (void)state;
    stall(NATIVE_POLICY_CONFLATE, 10);
    push_to(&f.sub, "t/2", 1, 1);
    push_to(&f.sub, "t/1", 2, 2);
    push_to(&f.sub, "t/3", 4, 1);
    assert_string_equal(let_go(), "gap 2 conflated\nt/1 3\nt/2 1\nt/3 4\n");
}

static void conflate_goes_by_key_where_there_is_one(void **state)
{
    (void)state;
    f.sub.policy = NATIVE_POLICY_CONFLATE;
    f.fake.room = 0;
    push_keyed("a", 1, 0);
    end_turn();
    push_keyed("b", 2, 0);
    push_keyed("a", 3, 0);
    push_keyed("b", 4, 0);
    assert_string_equal(let_go(), "gap 1 conflated\nt/1 3\ngap 1 conflated\nt/1 4\n");
}

static void the_same_key_on_another_topic_is_another_value(void **state)
{
    (void)state;
    f.sub.policy = NATIVE_POLICY_CONFLATE;
    f.fake.room = 0;
    push_keyed("a", 1, 0);
    end_turn();
    struct run run = make_run("t/2", 2, 1, "a", 0);
    outbox_push(&f.outbox, &f.sub, &run);
    chunk_unref(&f.delivery.pool, run.chunk);
    push(3, 1);
    assert_string_equal(let_go(), "t/1 1\nt/2 2\nt/1 3\n");
}

static void conflate_with_more_keys_than_its_queue_loses_the_oldest(void **state)
{
    (void)state;
    stall(NATIVE_POLICY_CONFLATE, 2);
    push_to(&f.sub, "t/2", 1, 1);
    push_to(&f.sub, "t/3", 2, 1);
    assert_string_equal(let_go(), "gap 1 dropped_oldest\nt/2 1\nt/3 2\n");
}

static void disconnect_gives_the_connection_up_at_its_bound(void **state)
{
    (void)state;
    stall(NATIVE_POLICY_DISCONNECT, 3);
    push(1, 2);
    assert_null(delivery_next_condemned(&f.delivery));
    push(3, 1);
    assert_ptr_equal(delivery_next_condemned(&f.delivery), &f.outbox);
    assert_int_equal(f.outbox.verdict, OUTBOX_TOO_SLOW);
}

static void the_half_sent_message_cannot_be_dropped(void **state)
{
    (void)state;
    f.sub.queue = 2;
    f.fake.room = 9;
    push(0, 1);
    end_turn();
    push(1, 5);
    assert_string_equal(let_go(), "t/1 0\ngap 4 dropped_oldest\nt/1 5\n");
}

static void the_byte_bound_of_the_connection_holds_over_all_its_subscriptions(void **state)
{
    (void)state;
    f.settings.queue_bytes = 2000;
    stall(NATIVE_POLICY_DROP_OLDEST, 100000);
    subscription_init(&f.second, &f.outbox, "u", NATIVE_POLICY_DROP_OLDEST, 100000);
    unsigned sent = 1;
    for (unsigned i = 0; i < 200; i++, sent += 2) {
        push(i, 1);
        push_to(&f.second, "u", i, 1);
        assert_true(outbox_bytes(&f.outbox) <= 2000);
    }
    open_up(&f.fake, &f.outbox, SIZE_MAX);
    unsigned delivered = 0, lost = 0, n;
    for (const char *line = frames_of(&f.fake); *line; line = strchr(line, '\n') + 1) {
        if (sscanf(line, "gap %u", &n) == 1)
            lost += n;
        else
            delivered++;
    }
    assert_int_equal(delivered + lost, sent);
    assert_true(lost > 300);
    assert_int_equal(f.second.queued, 0);
}

static void a_queue_at_its_bound_is_flushed_before_anything_is_dropped(void **state)
{
    (void)state;
    stall(NATIVE_POLICY_DROP_OLDEST, 2);
    end_turn();
    f.fake.room = SIZE_MAX;
    push(1, 5);
    end_turn();
    assert_string_equal(frames_of(&f.fake), "t/1 0\nt/1 1\nt/1 2\nt/1 3\nt/1 4\nt/1 5\n");
}

static void what_expires_while_it_waits_is_reported(void **state)
{
    (void)state;
    f.fake.room = 0;
    push_keyed(NULL, 1, 50);
    end_turn();
    push_keyed(NULL, 2, 500);
    push_keyed(NULL, 3, 50);
    f.unix_ms += 100;
    assert_string_equal(let_go(), "gap 1 expired\nt/1 2\ngap 1 expired\n");
}

static void what_laggards_hold_of_an_old_log_moves_to_memory_of_their_own(void **state)
{
    (void)state;
    f.settings.log_window = CHUNK_BYTES;
    f.settings.queue_bytes = 100000;
    stall(NATIVE_POLICY_DROP_OLDEST, 3);
    push(1, 2);
    uint64_t before = memory_used();
    for (unsigned i = 0; i < 60000; i++) {
        push_to(&f.second, "t/9", i % 10, 10);
        if (i % 100 == 0)
            end_turn();
        f.other_fake.len = 0;
    }
    end_turn();
    assert_true(f.delivery.stats.evacuated > 0);
    assert_true(memory_used() < before + 4 * CHUNK_BYTES);
    assert_string_equal(let_go(), "t/1 0\nt/1 1\nt/1 2\n");
}

/* Replacing a short value by a long one must not get around the bound. */
static void a_longer_value_in_the_place_of_a_shorter_one_keeps_to_the_byte_bound(void **state)
{
    (void)state;
    char topic[8];
    f.settings.queue_bytes = 20000;
    stall(NATIVE_POLICY_CONFLATE, 100);
    for (int size = 10; size <= 10000; size *= 10)
        for (int i = 0; i < 20; i++) {
            snprintf(topic, sizeof topic, "t/%d", i);
            push_long(&f.sub, topic, (size_t)size);
            assert_true(outbox_bytes(&f.outbox) <= 20000);
        }
    open_up(&f.fake, &f.outbox, SIZE_MAX);
    const uint64_t *gaps = f.delivery.stats.gaps;
    assert_int_equal(
        f.delivery.stats.delivered + gaps[NATIVE_GAP_CONFLATED] + gaps[NATIVE_GAP_DROPPED_OLDEST], 81);
}

/* What is left of a long evacuated run may be little: it must not keep all of the copy. */
static void what_was_evacuated_shrinks_with_what_is_left_of_it(void **state)
{
    (void)state;
    f.settings.log_window = 0;
    f.settings.queue_bytes = 10 << 20;
    stall(NATIVE_POLICY_DROP_OLDEST, 60);
    for (int i = 0; i < 59; i++)
        push_long(&f.sub, "t/1", 1000);
    delivery_routed(&f.delivery, CHUNK_BYTES);
    end_turn();
    uint64_t before = memory_used();
    push(1, 57);
    for (int i = 0; i < 4; i++) {
        delivery_routed(&f.delivery, CHUNK_BYTES);
        end_turn();
    }
    assert_true(memory_used() < before - 40000);
    const char *heard = let_go();
    assert_non_null(strstr(heard, "gap 57 dropped_oldest\n"));
}

static void whoever_is_given_up_is_told_what_that_cost(void **state)
{
    (void)state;
    stall(NATIVE_POLICY_DISCONNECT, 3);
    push(1, 3);
    push(4, 2);
    push_keyed("k", 6, 1000);
    assert_int_equal(f.outbox.verdict, OUTBOX_TOO_SLOW);
    outbox_abandon(&f.outbox);
    assert_string_equal(let_go(), "gap 7 dropped_oldest\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        delivery_test(drop_oldest_keeps_the_newest_behind_a_gap),
        delivery_test(drop_newest_keeps_the_oldest_and_the_gap_stands_behind_them),
        delivery_test(a_gap_stands_where_the_lost_messages_stood),
        delivery_test(a_loss_of_more_than_four_billion_is_counted),
        delivery_test(conflate_keeps_the_newest_of_each_topic_in_the_older_ones_place),
        delivery_test(conflate_goes_by_key_where_there_is_one),
        delivery_test(the_same_key_on_another_topic_is_another_value),
        delivery_test(conflate_with_more_keys_than_its_queue_loses_the_oldest),
        delivery_test(disconnect_gives_the_connection_up_at_its_bound),
        delivery_test(the_half_sent_message_cannot_be_dropped),
        delivery_test(the_byte_bound_of_the_connection_holds_over_all_its_subscriptions),
        delivery_test(a_queue_at_its_bound_is_flushed_before_anything_is_dropped),
        delivery_test(what_expires_while_it_waits_is_reported),
        delivery_test(what_laggards_hold_of_an_old_log_moves_to_memory_of_their_own),
        delivery_test(a_longer_value_in_the_place_of_a_shorter_one_keeps_to_the_byte_bound),
        delivery_test(what_was_evacuated_shrinks_with_what_is_left_of_it),
        delivery_test(whoever_is_given_up_is_told_what_that_cost),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
