#include "tests/unit/delivery_fixture.h"

static void a_turn_is_one_write_however_many_runs(void **state)
{
    (void)state;
    push(1, 2);
    push_to(&f.sub, "t/2", 3, 1);
    push_ok(&f.outbox, 9);
    push(4, 1);
    end_turn();
    assert_int_equal(f.fake.writes, 1);
    assert_string_equal(frames_of(&f.fake), "t/1 1\nt/1 2\nt/2 3\nok 9\nt/1 4\n");
    assert_true(outbox_empty(&f.outbox));
    assert_int_equal(f.outbox.control_bytes, 0);
    assert_int_equal(f.delivery.stats.delivered, 4);
}

static void two_outboxes_with_the_same_runs_share_a_batch_and_get_the_same_bytes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct run run = make_run("t/1", i, 1, NULL, 0), skipped = make_run("x", 0, 1, NULL, 0);
        outbox_push(&f.outbox, &f.sub, &run);
        outbox_push(&f.other, &f.second, &run);
        chunk_unref(&f.delivery.pool, run.chunk);
        chunk_unref(&f.delivery.pool, skipped.chunk);
    }
    end_turn();
    assert_string_equal(frames_of(&f.fake), "t/1 0\nt/1 1\nt/1 2\n");
    assert_int_equal(f.fake.len, f.other_fake.len);
    assert_memory_equal(f.fake.bytes, f.other_fake.bytes, f.fake.len);
}

static void a_short_write_goes_on_where_it_stopped_wherever_that_is(void **state)
{
    (void)state;
    push(1, 3);
    push_ok(&f.outbox, 1);
    push(4, 2);
    end_turn();
    size_t whole = f.fake.len;
    char expected[256];
    snprintf(expected, sizeof expected, "%s", frames_of(&f.fake));
    for (size_t cut = 0; cut <= whole; cut++) {
        f.fake.len = 0;
        f.fake.room = cut;
        push(1, 3);
        push_ok(&f.outbox, 1);
        push(4, 2);
        end_turn();
        assert_int_equal(f.fake.len, cut);
        assert_int_equal(f.fake.wants_writable, cut < whole);
        open_up(&f.fake, &f.outbox, SIZE_MAX);
        assert_string_equal(frames_of(&f.fake), expected);
        assert_true(outbox_empty(&f.outbox));
        assert_false(f.fake.wants_writable);
        assert_int_equal(f.outbox.control_bytes, 0);
        assert_int_equal(f.sub.queued, 0);
    }
}

/* The same with a socket that takes one byte at a time. */
static void a_byte_at_a_time_is_enough(void **state)
{
    (void)state;
    f.sub.prefixed = true;
    f.sub.tag = 7;
    f.fake.room = 0;
    push(1, 3);
    end_turn();
    while (!outbox_empty(&f.outbox))
        open_up(&f.fake, &f.outbox, 1);
    assert_string_equal(frames_of(&f.fake), "tag 7\nt/1 1\ntag 7\nt/1 2\ntag 7\nt/1 3\n");
}

static void a_framed_transport_gets_whole_batches_of_bounded_size(void **state)
{
    (void)state;
    f.settings.batch = 100;
    f.fake.transport.ops = &fake_framed_ops;
    for (unsigned i = 0; i < 20; i++)
        push(i, 1);
    end_turn();
    assert_true(f.fake.writes >= f.fake.len / 100);
    assert_true(f.fake.writes < 20);
    f.fake.room = 10; /* not enough for anything: nothing is half written */
    size_t before = f.fake.len;
    push(20, 1);
    end_turn();
    assert_int_equal(f.fake.len, before);
    open_up(&f.fake, &f.outbox, SIZE_MAX);
    assert_non_null(strstr(frames_of(&f.fake), "t/1 20\n"));
}

static void answers_are_never_dropped_and_counted_while_they_wait(void **state)
{
    (void)state;
    f.sub.queue = 1;
    f.fake.room = 0;
    push_ok(&f.outbox, 1);
    push(1, 1);
    end_turn();
    push_ok(&f.outbox, 2);
    push(2, 5);
    push_ok(&f.outbox, 3);
    assert_true(f.outbox.control_bytes > 0);
    open_up(&f.fake, &f.outbox, SIZE_MAX);
    assert_string_equal(frames_of(&f.fake), "ok 1\nok 2\ngap 5 dropped_oldest\nt/1 6\nok 3\n");
    assert_int_equal(f.outbox.control_bytes, 0);
}

static void an_ended_subscription_sends_what_it_has_and_is_then_given_back(void **state)
{
    (void)state;
    f.fake.room = 0;
    push(1, 2);
    end_turn();
    outbox_end_subscription(&f.sub);
    assert_int_equal(f.drained, 0);
    open_up(&f.fake, &f.outbox, SIZE_MAX);
    assert_int_equal(f.drained, 1);
    assert_string_equal(frames_of(&f.fake), "t/1 1\nt/1 2\n");
}

static void abandoning_turns_what_waits_into_a_gap_but_not_what_is_half_sent(void **state)
{
    (void)state;
    f.fake.room = 7;
    push(1, 4);
    end_turn();
    outbox_abandon(&f.outbox);
    push_ok(&f.outbox, 5);
    open_up(&f.fake, &f.outbox, SIZE_MAX);
    assert_string_equal(frames_of(&f.fake), "t/1 1\ngap 3 dropped_oldest\nok 5\n");
}

static bool fail_all(void *context, size_t bytes)
{
    (void)context, (void)bytes;
    return true;
}

static void without_memory_for_a_queue_the_connection_is_given_up_not_the_process(void **state)
{
    (void)state;
    push(1, 1);
    f.fake.room = 0;
    memory_set_fail_hook(fail_all, NULL);
    end_turn();
    memory_set_fail_hook(NULL, NULL);
    assert_ptr_equal(delivery_next_condemned(&f.delivery), &f.outbox);
    assert_int_equal(f.outbox.verdict, OUTBOX_LOST);
    assert_null(delivery_next_condemned(&f.delivery));
}

/* A client that ends many subscriptions in a row gets its answers in one write. */
static void ending_a_subscription_that_sent_nothing_this_turn_writes_nothing(void **state)
{
    (void)state;
    subscription_init(&f.second, &f.outbox, "u", NATIVE_POLICY_DROP_OLDEST, 10);
    push(1, 1);
    outbox_end_subscription(&f.second);
    push_ok(&f.outbox, 1);
    assert_int_equal(f.fake.writes, 0);
    outbox_end_subscription(&f.sub);
    assert_int_equal(f.fake.writes, 1);
    assert_int_equal(f.drained, 2);
    assert_string_equal(frames_of(&f.fake), "t/1 1\nok 1\n");
}

/* The gather buffer grows for a long frame; that must not make the batches after it longer. */
static void after_a_long_frame_the_batches_are_as_short_as_before(void **state)
{
    (void)state;
    f.fake.transport.ops = &fake_framed_ops;
    f.sub.queue = 100000;
    f.settings.batch = 65536;
    f.fake.room = 0;
    push_long(&f.sub, "t/1", 500000);
    end_turn();
    for (int i = 0; i < 40; i++) {
        push_long(&f.sub, "t/1", 10000);
        push_long(&f.second, "t/1", 10); /* so that the runs do not merge */
    }
    f.fake.writes = 0;
    f.fake.write_max = 0;
    open_up(&f.fake, &f.outbox, SIZE_MAX);
    assert_true(f.fake.write_max > 500000);
    assert_in_range(f.fake.writes, 1 + 7, 1 + 14);
}

static void a_lost_connection_discards_without_a_word(void **state)
{
    (void)state;
    push(1, 1);
    f.fake.gone = true;
    end_turn();
    assert_int_equal(f.outbox.verdict, OUTBOX_LOST);
    push(2, 3);
    outbox_push_gap(&f.outbox, &f.sub, 3, NATIVE_GAP_RATE);
    for (uint64_t id = 1; id <= UINT16_MAX + 2; id++) {
        push(5, 1); /* between answers, so that they do not join */
        push_ok(&f.outbox, id);
    }
    assert_true(outbox_empty(&f.outbox));
    end_turn();
    assert_int_equal(f.fake.len, 0);
    assert_int_equal(f.sub.queued, 0);
    assert_int_equal(f.outbox.control_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        delivery_test(a_turn_is_one_write_however_many_runs),
        delivery_test(two_outboxes_with_the_same_runs_share_a_batch_and_get_the_same_bytes),
        delivery_test(a_short_write_goes_on_where_it_stopped_wherever_that_is),
        delivery_test(a_byte_at_a_time_is_enough),
        delivery_test(a_framed_transport_gets_whole_batches_of_bounded_size),
        delivery_test(answers_are_never_dropped_and_counted_while_they_wait),
        delivery_test(an_ended_subscription_sends_what_it_has_and_is_then_given_back),
        delivery_test(abandoning_turns_what_waits_into_a_gap_but_not_what_is_half_sent),
        delivery_test(without_memory_for_a_queue_the_connection_is_given_up_not_the_process),
        delivery_test(ending_a_subscription_that_sent_nothing_this_turn_writes_nothing),
        delivery_test(after_a_long_frame_the_batches_are_as_short_as_before),
        delivery_test(a_lost_connection_discards_without_a_word),
    };
    return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
