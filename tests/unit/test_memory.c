#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/memory.h"

static void each_byte_is_counted_until_it_is_freed(void **state)
{
    (void)state;
    uint64_t before = memory_used();
    void *block = memory_alloc(100, 0);
    assert_non_null(block);
    assert_true(memory_used() == before + 100);
    memory_free(block, 100);
    assert_true(memory_used() == before);
    memory_free(NULL, 100);
    assert_true(memory_used() == before);
}

static void resizing_counts_the_difference_both_ways_and_keeps_the_bytes(void **state)
{
    (void)state;
    uint64_t before = memory_used();
    char *block = memory_alloc(10, 0);
    assert_non_null(block);
    memcpy(block, "0123456789", 10);
    block = memory_resize(block, 10, 5000);
    assert_non_null(block);
    assert_true(memory_used() == before + 5000);
    assert_memory_equal(block, "0123456789", 10);
    block = memory_resize(block, 5000, 4);
    assert_non_null(block);
    assert_true(memory_used() == before + 4);
    assert_memory_equal(block, "0123", 4);
    memory_free(block, 4);
    assert_true(memory_used() == before);
}

static void resizing_nothing_allocates(void **state)
{
    (void)state;
    uint64_t before = memory_used();
    void *block = memory_resize(NULL, 0, 64);
    assert_non_null(block);
    assert_true(memory_used() == before + 64);
    memory_free(block, 64);
}

static void a_block_lies_where_it_was_asked_to(void **state)
{
    (void)state;
    for (size_t align = 16; align <= 4096; align *= 2) {
        void *block = memory_alloc(100, align);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % align, 0);
        memory_free(block, 100);
    }
}

static void the_limit_is_passed_by_the_first_byte_above_it(void **state)
{
    (void)state;
    uint64_t before = memory_used(), limit = memory_limit();
    memory_set_limit(before + 100);
    void *block = memory_alloc(100, 0);
    assert_false(memory_over());
    void *more = memory_alloc(1, 0);
    assert_non_null(more);
    assert_true(memory_over());
    memory_free(more, 1);
    assert_false(memory_over());
    memory_free(block, 100);
    memory_set_limit(limit);
}

static bool fails_above(void *context, size_t bytes)
{
    return bytes > *(size_t *)context;
}

static void a_failed_allocation_is_not_counted_and_leaves_the_old_block(void **state)
{
    (void)state;
    size_t most = 10;
    uint64_t before = memory_used();
    char *block = memory_alloc(10, 0);
    assert_non_null(block);
    memory_set_fail_hook(fails_above, &most);
    assert_null(memory_alloc(11, 0));
    assert_null(memory_resize(block, 10, 11));
    memcpy(block, "0123456789", 10);
    assert_true(memory_used() == before + 10);
    /* Shrinking cannot be refused. */
    most = 0;
    block = memory_resize(block, 10, 5);
    assert_non_null(block);
    memory_set_fail_hook(NULL, NULL);
    memory_free(block, 5);
    assert_true(memory_used() == before);
}

static void what_must_succeed_is_zeroed_and_not_counted(void **state)
{
    (void)state;
    static const char zeros[300];
    uint64_t before = memory_used();
    char *block = memory_must(sizeof zeros);
    assert_memory_equal(block, zeros, sizeof zeros);
    assert_true(memory_used() == before);
    free(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_byte_is_counted_until_it_is_freed),
        cmocka_unit_test(resizing_counts_the_difference_both_ways_and_keeps_the_bytes),
        cmocka_unit_test(resizing_nothing_allocates),
        cmocka_unit_test(a_block_lies_where_it_was_asked_to),
        cmocka_unit_test(the_limit_is_passed_by_the_first_byte_above_it),
        cmocka_unit_test(a_failed_allocation_is_not_counted_and_leaves_the_old_block),
        cmocka_unit_test(what_must_succeed_is_zeroed_and_not_counted),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
