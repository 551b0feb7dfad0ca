#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/delivery/batch.h"
#include "broker/delivery/wire_log.h"

enum { CAP = 100 };

static struct chunk_pool pool;
static struct wire_log wire;
static struct batch batch;

static int setup(void **state)
{
    (void)state;
    chunk_pool_init(&pool, 0, 1);
    wire_log_init(&wire, &pool);
    batch_init(&batch, CAP);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    batch_fini(&batch);
    wire_log_fini(&wire);
    chunk_pool_fini(&pool);
    return 0;
}

static struct run append(const char *text)
{
    struct run run = {.len = (uint32_t)strlen(text), .count = 1};
    memcpy(wire_log_reserve(&wire, run.len, &run.chunk, &run.off), text, run.len);
    wire_log_commit(&wire, run.len);
    return run;
}

/* Whether filling from the runs found the bytes there already. A byte changed by hand tells. */
static bool reuses(const struct run *runs, size_t count)
{
    batch_data(&batch)[0] ^= 0x80;
    assert_true(batch_fill(&batch, &pool, runs, count));
    bool reused = batch_data(&batch)[0] != run_bytes(&runs[0])[0];
    batch_data(&batch)[0] = run_bytes(&runs[0])[0];
    return reused;
}

static void runs_are_gathered_in_their_order(void **state)
{
    (void)state;
    struct run one = append("one"), two = append("two");
    assert_true(batch_fill(&batch, &pool, (struct run[]){two, one}, 2));
    assert_int_equal(batch.len, 6);
    assert_memory_equal(batch_data(&batch), "twoone", 6);
}

static void the_same_runs_again_cost_nothing(void **state)
{
    (void)state;
    struct run runs[] = {append("one"), append("two"), append("three")};
    assert_true(batch_fill(&batch, &pool, runs, 2));
    assert_true(reuses(runs, 2));
    assert_false(reuses(runs, 3));
    assert_false(reuses(runs, 2));
    assert_false(reuses(runs + 1, 2));
}

static void a_longer_or_shorter_run_at_the_same_place_is_another(void **state)
{
    (void)state;
    struct run run = append("abcdef"), shorter = run;
    shorter.len = 3;
    assert_true(batch_fill(&batch, &pool, &run, 1));
    assert_false(reuses(&shorter, 1));
    assert_int_equal(batch.len, 3);
}

/* The name of a place means other bytes once its chunk was let go and used again. */
static void after_a_chunk_was_let_go_nothing_is_reused(void **state)
{
    (void)state;
    struct run run = append("old");
    assert_true(batch_fill(&batch, &pool, &run, 1));
    wire_log_fini(&wire);
    struct run again = append("new");
    assert_ptr_equal(again.chunk, run.chunk);
    assert_int_equal(again.off, run.off);
    assert_true(batch_fill(&batch, &pool, &again, 1));
    assert_memory_equal(batch_data(&batch), "new", 3);
}

static void more_runs_than_are_remembered_are_gathered_all_the_same(void **state)
{
    (void)state;
    struct run runs[90];
    for (int i = 0; i < 90; i++)
        runs[i] = append((char[]){(char)('0' + i % 10), '\0'});
    for (int round = 0; round < 2; round++) {
        assert_true(batch_fill(&batch, &pool, runs, 90));
        assert_int_equal(batch.len, 90);
        assert_int_equal(batch_data(&batch)[89], '9');
    }
    assert_false(reuses(runs, 90));
}

static void a_long_frame_makes_room_for_itself(void **state)
{
    (void)state;
    static char text[10 * CAP];
    memset(text, 'x', sizeof text - 1);
    struct run run = append(text);
    assert_true(batch_fill(&batch, &pool, &run, 1));
    assert_int_equal(batch.len, sizeof text - 1);
    assert_int_equal(batch_data(&batch)[sizeof text - 2], 'x');
    assert_int_equal(batch.most, CAP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(runs_are_gathered_in_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_runs_again_cost_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_longer_or_shorter_run_at_the_same_place_is_another, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(after_a_chunk_was_let_go_nothing_is_reused, setup, teardown),
        cmocka_unit_test_setup_teardown(more_runs_than_are_remembered_are_gathered_all_the_same, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_long_frame_makes_room_for_itself, setup, teardown),
    };
    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
