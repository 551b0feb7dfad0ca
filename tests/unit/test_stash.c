#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/memory.h"
#include "broker/session/stash.h"

static bool refuse(void *context, size_t bytes)
{
    (void)context, (void)bytes;
    return true;
}

static enum err append(struct stash **stash, struct inbound_budget *budget, size_t len, size_t want)
{
    static uint8_t bytes[4096];
    return stash_append(stash, budget, span_of(bytes, len), want);
}

static void it_keeps_what_has_not_been_worked_off_in_order(void **state)
{
    (void)state;
    struct inbound_budget budget = {.total = 10000, .each = 10000};
    struct stash *stash = NULL;
    assert_int_equal(stash_append(&stash, &budget, span_str("abcdef"), 0), ERR_NONE);
    stash->at += 2;
    assert_int_equal(stash_append(&stash, &budget, span_str("ghi"), 0), ERR_NONE);
    assert_true(span_eq(stash_rest(stash), span_str("cdefghi")));
    stash_drop(&stash, &budget);
    assert_null(stash);
    assert_int_equal(budget.used, 0);
}

static void a_promised_length_costs_nothing_until_the_bytes_come(void **state)
{
    (void)state;
    struct inbound_budget budget = {.total = 1 << 20, .each = 1 << 20};
    struct stash *stash = NULL;
    assert_int_equal(append(&stash, &budget, 10, 1 << 20), ERR_NONE);
    assert_true(budget.used < 1024);
    assert_int_equal(append(&stash, &budget, 2000, 2010), ERR_NONE);
    assert_int_equal(stash->cap, 2010);
    stash_drop(&stash, &budget);
}

static void one_connection_and_all_together_have_a_bound(void **state)
{
    (void)state;
    struct inbound_budget budget = {.total = 1500, .each = 1000};
    struct stash *first = NULL, *second = NULL;
    assert_int_equal(append(&first, &budget, 900, 900), ERR_NONE);
    assert_int_equal(append(&first, &budget, 200, 0), ERR_LIMIT);
    assert_int_equal(stash_rest(first).len, 900);
    assert_int_equal(append(&second, &budget, 900, 900), ERR_OVERLOADED);
    assert_null(second);
    assert_int_equal(append(&second, &budget, 400, 400), ERR_NONE);
    stash_drop(&first, &budget);
    stash_drop(&second, &budget);
    assert_int_equal(budget.used, 0);
    assert_int_equal(memory_used(), 0);
}

static void without_memory_nothing_is_changed(void **state)
{
    (void)state;
    struct inbound_budget budget = {.total = 10000, .each = 10000};
    struct stash *stash = NULL;
    assert_int_equal(append(&stash, &budget, 100, 100), ERR_NONE);
    uint64_t used = budget.used;
    memory_set_fail_hook(refuse, NULL);
    assert_int_equal(append(&stash, &budget, 1000, 0), ERR_NO_MEMORY);
    memory_set_fail_hook(NULL, NULL);
    assert_int_equal(stash_rest(stash).len, 100);
    assert_int_equal(budget.used, used);
    stash_drop(&stash, &budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_keeps_what_has_not_been_worked_off_in_order),
        cmocka_unit_test(a_promised_length_costs_nothing_until_the_bytes_come),
        cmocka_unit_test(one_connection_and_all_together_have_a_bound),
        cmocka_unit_test(without_memory_nothing_is_changed),
    };
    return cmocka_run_group_tests_name("stash", tests, NULL, NULL);
}
