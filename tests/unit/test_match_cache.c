#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "broker/memory.h"
#include "broker/router/match_cache.h"

static struct match_cache cache;

static int setup(void **state)
{
    (void)state;
    match_cache_init(&cache, 64 * 1024);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    match_cache_fini(&cache);
    memory_set_fail_hook(NULL, NULL);
    return memory_used() == 0 ? 0 : -1;
}

static struct match *put(const char *topic, uint32_t count)
{
    static struct subscription subs[64];
    struct subscription *found[64];
    for (uint32_t i = 0; i < count; i++)
        found[i] = &subs[i];
    return match_cache_put(&cache, span_str(topic), found, count, 5, NULL);
}

static bool has(const char *topic)
{
    return match_cache_find(&cache, span_str(topic)) != NULL;
}

static const char *numbered(int i)
{
    static char topic[32];
    snprintf(topic, sizeof topic, "topic/%d", i);
    return topic;
}

static void a_match_is_found_again_with_all_that_was_put(void **state)
{
    (void)state;
    struct match *match = put("a", 3);
    assert_ptr_equal(match_cache_find(&cache, span_str("a")), match);
    assert_int_equal(match->count, 3);
    assert_int_equal(match->shards, 5);
    assert_ptr_not_equal(match->subs[0], match->subs[2]);
    assert_false(has("b"));
    assert_int_equal(cache.hits, 1);
    assert_int_equal(cache.misses, 1);
}

static void nobody_is_remembered_too(void **state)
{
    (void)state;
    put("a", 0);
    assert_true(has("a"));
    assert_int_equal(match_cache_find(&cache, span_str("a"))->count, 0);
}

static void forgetting_one_topic_leaves_the_others(void **state)
{
    (void)state;
    put("a", 1);
    put("b", 1);
    match_cache_forget(&cache, span_str("a"));
    match_cache_forget(&cache, span_str("never put"));
    assert_false(has("a"));
    assert_true(has("b"));
}

static void forgetting_all_leaves_nothing_but_room(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        put(numbered(i), 1);
    match_cache_forget_all(&cache);
    for (int i = 0; i < 100; i++)
        assert_false(has(numbered(i)));
    assert_int_equal(cache.bytes, 0);
    put("a", 1);
    assert_true(has("a"));
}

static void the_byte_bound_holds_and_what_is_used_stays(void **state)
{
    (void)state;
    put("hot", 8);
    for (int i = 0; i < 20000; i++) {
        put(numbered(i), (uint32_t)(i % 8));
        assert_true(cache.bytes <= 64 * 1024);
        if (i % 50 == 0)
            assert_true(has("hot"));
    }
    assert_true(has("hot"));
    assert_true(has(numbered(19999)));
    assert_false(has(numbered(0)));
    assert_true(cache.count > 300);
}

static void what_was_forgotten_goes_before_what_is_valid(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        put(numbered(i), 8);
        has(numbered(i));
    }
    match_cache_forget_all(&cache);
    for (int i = 1000; cache.bytes < 60 * 1024; i++)
        put(numbered(i), 0);
    for (int i = 0; i < 10; i++)
        put(numbered(10000 + i), 60);
    assert_true(cache.bytes <= 64 * 1024);
    assert_true(has(numbered(1000)));
    assert_false(has(numbered(50)));
}

static void a_match_larger_than_the_bound_is_kept_alone(void **state)
{
    (void)state;
    match_cache_fini(&cache);
    match_cache_init(&cache, 300);
    put("small", 1);
    put("large", 64);
    assert_true(has("large"));
    assert_false(has("small"));
    put("small", 1);
    assert_false(has("large"));
}

static bool fail_all(void *context, size_t bytes)
{
    (void)context, (void)bytes;
    return true;
}

static void without_memory_nothing_is_remembered_and_nothing_broken(void **state)
{
    (void)state;
    put("a", 1);
    memory_set_fail_hook(fail_all, NULL);
    assert_null(put("b", 1));
    memory_set_fail_hook(NULL, NULL);
    assert_true(has("a"));
    assert_false(has("b"));
}

#define cache_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cache_test(a_match_is_found_again_with_all_that_was_put),
        cache_test(nobody_is_remembered_too),
        cache_test(forgetting_one_topic_leaves_the_others),
        cache_test(forgetting_all_leaves_nothing_but_room),
        cache_test(the_byte_bound_holds_and_what_is_used_stays),
        cache_test(what_was_forgotten_goes_before_what_is_valid),
        cache_test(a_match_larger_than_the_bound_is_kept_alone),
        cache_test(without_memory_nothing_is_remembered_and_nothing_broken),
    };
    return cmocka_run_group_tests_name("match_cache", tests, NULL, NULL);
}
