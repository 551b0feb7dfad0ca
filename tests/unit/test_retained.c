#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/memory.h"
#include "broker/router/retained.h"
#include "proto/native_reply.h"

/* One table, and the shard that it belongs to. */
static struct {
    uint64_t now_ms, unix_ms;
    struct timer_wheel wheel;
    struct chunk_pool pool;
    struct retained_table table;
} f;

static void start(unsigned shards)
{
    memset(&f, 0, sizeof f);
    f.now_ms = 1000;
    f.unix_ms = 1700000000000;
    timer_wheel_init(&f.wheel, f.now_ms);
    chunk_pool_init(&f.pool, 0, shards);
    const struct retained_config config = {.pool = &f.pool,
                                           .wheel = &f.wheel,
                                           .now_ms = &f.now_ms,
                                           .unix_ms = &f.unix_ms,
                                           .shard = 0,
                                           .shards = shards,
                                           .messages_max = 20,
                                           .bytes_max = 100000};
    retained_init(&f.table, &config);
}

static int setup(void **state)
{
    (void)state;
    start(1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    memory_set_fail_hook(NULL, NULL);
    retained_fini(&f.table);
    chunk_pool_fini(&f.pool);
    return memory_used() == 0 ? 0 : -1;
}

static void pass(uint64_t ms)
{
    f.now_ms += ms;
    f.unix_ms += ms;
    timer_wheel_advance(&f.wheel, f.now_ms);
}

static enum err prepare(const char *topic, const char *payload, uint64_t ttl_ms, struct retained **entries,
                        const char **text)
{
    struct native_pub pub = {.topic = span_str(topic),
                             .payload = span_str(payload),
                             .flags = NATIVE_PUB_RETAIN | (ttl_ms ? NATIVE_PUB_TTL : 0u),
                             .ttl_ms = ttl_ms};
    return retained_prepare(&f.table, &pub, entries, text);
}

/* What one shard would do with its own entry; those for others go. */
static void apply_first(struct retained *entries)
{
    struct retained *others = entries->next;
    entries->next = NULL;
    retained_apply(&f.table, entries);
    retained_discard(&f.pool, others, false);
}

static void put(const char *topic, const char *payload, uint64_t ttl_ms)
{
    struct retained *entries;
    const char *text = NULL;
    assert_int_equal(prepare(topic, payload, ttl_ms, &entries, &text), ERR_NONE);
    apply_first(entries);
}

static const char *value_of(const char *topic)
{
    static char text[64];
    struct retained *value = retained_find(&f.table, span_str(topic));
    if (!value)
        return "none";
    struct span pair = span_of(value->chunk->data, value->len), frame;
    uint32_t op, count;
    struct cursor body;
    size_t need;
    struct native_msg msg;
    assert_int_equal(native_next_frame(&pair, 1 << 20, &frame, &need), ERR_NONE);
    assert_int_equal(native_open(frame, &op, &count, &body), ERR_NONE);
    assert_int_equal(native_decode_msg(body, count, &msg), ERR_NONE);
    assert_true(msg.flags & NATIVE_PUB_RETAINED);
    snprintf(text, sizeof text, "%.*s", (int)msg.payload.len, (const char *)msg.payload.data);
    return text;
}

static void the_newest_value_of_a_topic_stays_until_it_is_cleared(void **state)
{
    (void)state;
    put("a", "1", 0);
    put("a", "2", 0);
    put("b", "3", 0);
    assert_string_equal(value_of("a"), "2");
    assert_int_equal(f.table.values, 2);
    put("a", "", 0);
    assert_string_equal(value_of("a"), "none");
    assert_string_equal(value_of("b"), "3");
    assert_int_equal(f.table.values, 1);
    assert_int_equal(f.table.entries, 1);
    put("never", "", 0);
    assert_int_equal(f.table.entries, 1);
}

static void a_value_goes_when_its_time_is_over_and_a_newer_one_has_its_own(void **state)
{
    (void)state;
    put("a", "1", 50);
    put("b", "1", 50);
    put("b", "2", 0);
    pass(49);
    assert_string_equal(value_of("a"), "1");
    pass(2);
    assert_string_equal(value_of("a"), "none");
    assert_string_equal(value_of("b"), "2");
    assert_int_equal(f.table.entries, 1);
}

static const char *walk(const char *filter)
{
    static char text[256];
    struct span after = {0};
    struct retained *entry;
    size_t len = 0;
    text[0] = '\0';
    while ((entry = retained_next(&f.table, span_str(filter), after))) {
        after = entry->topic;
        len += (size_t)snprintf(text + len, sizeof text - len, "%.*s ", (int)after.len,
                                (const char *)after.data);
    }
    return text;
}

static void a_walk_looks_only_where_the_filter_can_match(void **state)
{
    (void)state;
    static const char *const topics[] = {"a", "a!", "a/b", "a/b/c", "a/c", "a0", "b/b", "b"};
    for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++)
        put(topics[i], "x", 0);
    assert_string_equal(walk("a/b"), "a/b ");
    assert_string_equal(walk("a/#"), "a a/b a/b/c a/c ");
    assert_string_equal(walk("a/b/#"), "a/b a/b/c ");
    assert_string_equal(walk("a/+"), "a/b a/b/c a/c ");
    assert_string_equal(walk("#"), "a a! a/b a/b/c a/c a0 b b/b ");
    assert_string_equal(walk("+/b"), "a a! a/b a/b/c a/c a0 b b/b ");
    assert_string_equal(walk("c/#"), "");
    assert_string_equal(walk("c"), "");
}

static void a_walk_goes_on_behind_a_topic_that_has_gone(void **state)
{
    (void)state;
    put("a/1", "x", 0);
    put("a/2", "x", 0);
    put("a/3", "x", 0);
    put("a/2", "", 0);
    struct retained *next = retained_next(&f.table, span_str("a/#"), span_str("a/2"));
    assert_true(span_eq(next->topic, span_str("a/3")));
    assert_null(retained_next(&f.table, span_str("a/#"), span_str("a/3")));
}

static struct retained *from_shard(unsigned shard, uint64_t time, const char *topic, const char *payload)
{
    struct retained *entries;
    const char *text = NULL;
    assert_int_equal(prepare(topic, payload, 0, &entries, &text), ERR_NONE);
    retained_discard(&f.pool, entries->next, false);
    entries->next = NULL;
    entries->stamp = time << 8 | shard;
    return entries;
}

static void of_two_shards_that_publish_at_once_the_same_one_wins_everywhere(void **state)
{
    (void)state;
    for (int swapped = 0; swapped < 2; swapped++) {
        struct retained *low = from_shard(1, 5, "a", "low"), *high = from_shard(2, 5, "a", "high");
        retained_apply(&f.table, swapped ? high : low);
        retained_apply(&f.table, swapped ? low : high);
        assert_string_equal(value_of("a"), "high");
        retained_fini(&f.table);
    }
    put("a", "later", 0); /* whoever has seen a stamp publishes with a higher one */
    assert_string_equal(value_of("a"), "later");
    assert_true(f.table.clock > 5);
}

static void what_was_cleared_does_not_come_back_with_an_older_value(void **state)
{
    (void)state;
    start(2);
    struct retained *old = from_shard(1, 3, "a", "old");
    retained_apply(&f.table, from_shard(1, 4, "a", ""));
    retained_apply(&f.table, old);
    assert_string_equal(value_of("a"), "none");
    assert_int_equal(f.table.entries, 1);
    pass(RETAINED_TOMBSTONE_MS + 1);
    assert_int_equal(f.table.entries, 0);
}

static void tombstones_keep_to_the_bound_of_messages(void **state)
{
    (void)state;
    char topic[8];
    start(2);
    for (int i = 0; i < 100; i++) {
        snprintf(topic, sizeof topic, "t%d", i);
        put(topic, "", 0);
    }
    assert_int_equal(f.table.entries, 20);
}

static void at_a_bound_one_more_is_refused_and_a_replacement_is_not(void **state)
{
    (void)state;
    char topic[8];
    struct retained *entries;
    const char *text = NULL;
    for (int i = 0; i < 20; i++) {
        snprintf(topic, sizeof topic, "t%d", i);
        put(topic, "x", 0);
    }
    assert_int_equal(prepare("more", "x", 0, &entries, &text), ERR_LIMIT);
    assert_string_equal(text, "as many retained values as limits.retained_messages allows");
    put("t5", "new", 0);
    assert_string_equal(value_of("t5"), "new");
    f.table.config.bytes_max = f.table.bytes;
    assert_int_equal(prepare("t5", "longer", 0, &entries, &text), ERR_LIMIT);
    assert_string_equal(
        text, "as many bytes of retained values as limits.retained_bytes or half of limits.memory allows");
    put("t5", "old", 0);
    put("t5", "", 0);
    put("m", "x", 0);
}

static bool fail_from(void *context, size_t bytes)
{
    int *left = context;
    (void)bytes;
    return (*left)-- <= 0;
}

static void without_memory_nothing_has_changed(void **state)
{
    (void)state;
    start(3);
    put("a", "1", 0);
    for (int allocations = 0; allocations < 4; allocations++) {
        struct retained *entries;
        const char *text = NULL;
        int left = allocations;
        memory_set_fail_hook(fail_from, &left);
        assert_int_equal(prepare("a", "2", 0, &entries, &text), ERR_NO_MEMORY);
        memory_set_fail_hook(NULL, NULL);
        assert_string_equal(value_of("a"), "1");
    }
    put("a", "2", 0);
    assert_string_equal(value_of("a"), "2");
}

#define retained_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        retained_test(the_newest_value_of_a_topic_stays_until_it_is_cleared),
        retained_test(a_value_goes_when_its_time_is_over_and_a_newer_one_has_its_own),
        retained_test(a_walk_looks_only_where_the_filter_can_match),
        retained_test(a_walk_goes_on_behind_a_topic_that_has_gone),
        retained_test(of_two_shards_that_publish_at_once_the_same_one_wins_everywhere),
        retained_test(what_was_cleared_does_not_come_back_with_an_older_value),
        retained_test(tombstones_keep_to_the_bound_of_messages),
        retained_test(at_a_bound_one_more_is_refused_and_a_replacement_is_not),
        retained_test(without_memory_nothing_has_changed),
    };
    return cmocka_run_group_tests_name("retained", tests, NULL, NULL);
}
