#include "tests/unit/delivery_fixture.h"

static void every_dirty_outbox_is_flushed_once_at_the_end_of_the_turn(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 5; i++) {
        push(i, 1);
        push_to(&f.second, "t/2", i, 1);
    }
    assert_int_equal(f.fake.writes + f.other_fake.writes, 0);
    end_turn();
    assert_int_equal(f.fake.writes, 1);
    assert_int_equal(f.other_fake.writes, 1);
    end_turn();
    assert_int_equal(f.fake.writes, 1);
    assert_null(f.delivery.dirty);
}

static void a_turn_that_routes_much_flushes_in_its_middle(void **state)
{
    (void)state;
    push(0, 1);
    delivery_routed(&f.delivery, DELIVERY_UNFLUSHED_MAX / 2);
    assert_int_equal(f.fake.writes, 0);
    delivery_routed(&f.delivery, DELIVERY_UNFLUSHED_MAX / 2 + 1);
    assert_int_equal(f.fake.writes, 1);
    push(1, 1);
    delivery_routed(&f.delivery, DELIVERY_UNFLUSHED_MAX / 2);
    assert_int_equal(f.fake.writes, 1);
}

static void the_condemned_are_named_once_and_a_lost_one_stays_lost(void **state)
{
    (void)state;
    delivery_condemn(&f.delivery, &f.outbox, OUTBOX_TOO_SLOW);
    delivery_condemn(&f.delivery, &f.outbox, OUTBOX_FATTEST);
    delivery_condemn(&f.delivery, &f.other, OUTBOX_LOST);
    delivery_condemn(&f.delivery, &f.other, OUTBOX_TOO_SLOW);
    assert_ptr_equal(delivery_next_condemned(&f.delivery), &f.other);
    assert_ptr_equal(delivery_next_condemned(&f.delivery), &f.outbox);
    assert_null(delivery_next_condemned(&f.delivery));
    assert_int_equal(f.outbox.verdict, OUTBOX_TOO_SLOW);
    assert_int_equal(f.other.verdict, OUTBOX_LOST);
    delivery_condemn(&f.delivery, &f.outbox, OUTBOX_LOST);
    assert_ptr_equal(delivery_next_condemned(&f.delivery), &f.outbox);
}

static void an_outbox_that_goes_is_forgotten_wherever_it_stood(void **state)
{
    (void)state;
    push(0, 1);
    push_to(&f.second, "t/1", 0, 1);
    delivery_condemn(&f.delivery, &f.outbox, OUTBOX_TOO_SLOW);
    delivery_condemn(&f.delivery, &f.other, OUTBOX_TOO_SLOW);
    outbox_fini(&f.outbox);
    outbox_init(&f.outbox, &f.delivery, &f.fake.transport, &encoder_native);
    assert_ptr_equal(delivery_next_condemned(&f.delivery), &f.other);
    assert_null(delivery_next_condemned(&f.delivery));
    end_turn();
    assert_int_equal(f.fake.writes, 0);
    assert_int_equal(f.other_fake.writes, 1);
}

/* ---- memory ---------------------------------------------------------------------------------------------- */

/* Two connections that take nothing; the second one holds more. */
static void stall_both(void)
{
    f.fake.room = f.other_fake.room = 0;
    push(0, 1);
    push_to(&f.second, "t/1", 0, 8);
    end_turn();
}

static void over_the_memory_bound_the_fattest_is_given_up_one_at_a_time(void **state)
{
    (void)state;
    stall_both();
    assert_null(delivery_next_condemned(&f.delivery));
    memory_set_limit(1);
    end_turn();
    assert_ptr_equal(delivery_next_condemned(&f.delivery), &f.other);
    assert_int_equal(f.other.verdict, OUTBOX_FATTEST);
    assert_null(delivery_next_condemned(&f.delivery));
    end_turn();
    assert_ptr_equal(delivery_next_condemned(&f.delivery), &f.outbox);
    memory_set_limit(UINT64_MAX);
}

static void a_shard_whose_fattest_is_not_the_fattest_of_all_gives_up_nobody(void **state)
{
    (void)state;
    _Atomic uint64_t fattest[2] = {0, 1 << 20};
    stall_both();
    f.delivery.fattest = fattest;
    f.delivery.pool.shards = 2;
    memory_set_limit(1);
    end_turn();
    assert_null(delivery_next_condemned(&f.delivery));
    assert_int_equal(fattest[0], outbox_bytes(&f.other));
    fattest[1] = 0;
    end_turn();
    assert_ptr_equal(delivery_next_condemned(&f.delivery), &f.other);
    memory_set_limit(UINT64_MAX);
    end_turn();
    assert_int_equal(fattest[0], 0);
    f.delivery.pool.shards = 1;
}

/* One message in each chunk: a laggard that holds them all would pin a chunk for each. */
static void push_one_per_chunk(bool foreign)
{
    struct run run = make_run("t/1", 0, 1, NULL, 0);
    if (foreign)
        delivery_arrived(&f.delivery, &run);
    outbox_push(&f.outbox, &f.sub, &run);
    delivery_routed(&f.delivery, run.len);
    chunk_unref(&f.delivery.pool, run.chunk);
    wire_log_fini(&f.delivery.log);
}

static void a_sparse_stream_of_another_shard_pins_no_more_than_the_window(void **state)
{
    (void)state;
    f.sub.queue = 1000;
    f.settings.log_window = 4 * CHUNK_BYTES;
    f.fake.room = 0;
    for (int i = 0; i < 100; i++) {
        push_one_per_chunk(true);
        end_turn();
        assert_true(memory_used() < (5 + CHUNK_POOL_MAX) * (CHUNK_BYTES + 4096) + 100000);
    }
    open_up(&f.fake, &f.outbox, SIZE_MAX);
    assert_int_equal(f.delivery.stats.delivered, 100);
}

static void answers_to_others_age_what_a_laggard_holds(void **state)
{
    (void)state;
    f.settings.log_window = CHUNK_BYTES;
    f.fake.room = 0;
    push(0, 1);
    end_turn();
    uint64_t before = memory_used();
    for (int i = 0; i < 300000; i++) {
        push_ok(&f.other, 1);
        if (i % 1000 == 0)
            end_turn();
        f.other_fake.len = 0;
    }
    end_turn();
    assert_true(f.delivery.stats.evacuated > 0);
    assert_true(memory_used() < before + 2 * CHUNK_BYTES + 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        delivery_test(every_dirty_outbox_is_flushed_once_at_the_end_of_the_turn),
        delivery_test(a_turn_that_routes_much_flushes_in_its_middle),
        delivery_test(the_condemned_are_named_once_and_a_lost_one_stays_lost),
        delivery_test(an_outbox_that_goes_is_forgotten_wherever_it_stood),
        delivery_test(over_the_memory_bound_the_fattest_is_given_up_one_at_a_time),
        delivery_test(a_shard_whose_fattest_is_not_the_fattest_of_all_gives_up_nobody),
        delivery_test(a_sparse_stream_of_another_shard_pins_no_more_than_the_window),
        delivery_test(answers_to_others_age_what_a_laggard_holds),
    };
    return cmocka_run_group_tests_name("delivery", tests, NULL, NULL);
}
