#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/delivery/run.h"
#include "broker/delivery/wire_log.h"
#include "broker/memory.h"

static struct chunk_pool pool;
static struct wire_log wire;

static int setup(void **state)
{
    (void)state;
    chunk_pool_init(&pool, 0, 1);
    wire_log_init(&wire, &pool);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wire_log_fini(&wire);
    chunk_pool_fini(&pool);
    memory_set_fail_hook(NULL, NULL);
    return memory_used() == 0 ? 0 : -1;
}

/* Appends bytes of one value and names them, without a reference. */
static struct run append(uint32_t len, int value)
{
    struct run run = {.len = len, .count = 1};
    uint8_t *to = wire_log_reserve(&wire, len, &run.chunk, &run.off);
    assert_non_null(to);
    memset(to, value, len);
    wire_log_commit(&wire, len);
    return run;
}

static void what_is_appended_in_a_row_lies_in_a_row(void **state)
{
    (void)state;
    struct run a = append(10, 'a'), b = append(20, 'b');
    assert_true(run_adjoins(&a, &b));
    assert_false(run_adjoins(&b, &a));
    assert_memory_equal(run_bytes(&a), "aaaaaaaaaabbbb", 14);
    assert_int_equal(wire.appended, 30);
}

static void what_was_reserved_but_not_committed_is_reserved_again(void **state)
{
    (void)state;
    struct chunk *chunk;
    uint32_t off;
    uint8_t *first = wire_log_reserve(&wire, 1000, &chunk, &off);
    wire_log_commit(&wire, 10);
    uint8_t *second = wire_log_reserve(&wire, 1000, &chunk, &off);
    assert_ptr_equal(second, first + 10);
    assert_int_equal(off, 10);
    assert_int_equal(wire_log_room(&wire), CHUNK_BYTES - 10);
}

static void a_frame_that_does_not_fit_starts_a_chunk_and_the_one_before_stays_for_who_holds_it(void **state)
{
    (void)state;
    struct run a = append(CHUNK_BYTES - 5, 'a');
    chunk_ref(&pool, a.chunk);
    struct run b = append(6, 'b');
    assert_ptr_not_equal(a.chunk, b.chunk);
    assert_int_equal(b.off, 0);
    assert_int_equal(run_bytes(&a)[CHUNK_BYTES - 6], 'a');
    chunk_unref(&pool, a.chunk);
    assert_int_equal(pool.count, 1);
}

static void a_frame_longer_than_a_chunk_gets_one_of_its_size(void **state)
{
    (void)state;
    struct run a = append(3 * CHUNK_BYTES, 'a');
    assert_int_equal(a.chunk->cap, 3 * CHUNK_BYTES);
    struct run b = append(1, 'b');
    assert_ptr_not_equal(a.chunk, b.chunk);
    assert_int_equal(b.chunk->cap, CHUNK_BYTES);
}

static bool fail_all(void *context, size_t bytes)
{
    (void)context, (void)bytes;
    return true;
}

static void without_memory_for_a_chunk_the_log_stays_as_it_was(void **state)
{
    (void)state;
    append(CHUNK_BYTES - 5, 'a');
    struct chunk *chunk, *tail = wire.tail;
    uint32_t off;
    memory_set_fail_hook(fail_all, NULL);
    assert_null(wire_log_reserve(&wire, 6, &chunk, &off));
    assert_ptr_equal(wire.tail, tail);
    assert_non_null(wire_log_reserve(&wire, 5, &chunk, &off));
    assert_int_equal(off, CHUNK_BYTES - 5);
}

static void the_log_holds_only_its_last_chunk(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++)
        append(10000, i);
    assert_true(memory_used() <= 3 * (CHUNK_BYTES + 4096));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_appended_in_a_row_lies_in_a_row, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_reserved_but_not_committed_is_reserved_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_frame_that_does_not_fit_starts_a_chunk_and_the_one_before_stays_for_who_holds_it, setup,
            teardown),
        cmocka_unit_test_setup_teardown(a_frame_longer_than_a_chunk_gets_one_of_its_size, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_for_a_chunk_the_log_stays_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(the_log_holds_only_its_last_chunk, setup, teardown),
    };
    return cmocka_run_group_tests_name("wire_log", tests, NULL, NULL);
}
