#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/memory.h"
#include "broker/router/topic_tree.h"
#include "proto/topic.h"

enum { CROWD = 600, TEXT_MAX = 64, MANY = 10000 };

struct subscriber {
    struct topic_entry entry; /* first */
    char filter[TEXT_MAX];
    unsigned visits;
};

static struct topic_tree *tree;
static uint64_t used_before;
static size_t bytes_when_empty;

static int begin(void **state)
{
    (void)state;
    used_before = memory_used();
    tree = topic_tree_new();
    if (!tree)
        return -1;
    bytes_when_empty = topic_tree_bytes(tree);
    return 0;
}

static int end(void **state)
{
    (void)state;
    topic_tree_free(tree);
    return memory_used() == used_before ? 0 : -1;
}

static enum err add(struct subscriber *subscriber, const char *filter)
{
    snprintf(subscriber->filter, sizeof subscriber->filter, "%s", filter);
    return topic_tree_add(tree, span_str(filter), &subscriber->entry);
}

static void visit(struct topic_entry *entry, void *context)
{
    ((struct subscriber *)(void *)entry)->visits++;
    (*(unsigned *)context)++;
}

static unsigned match(const char *topic)
{
    unsigned count = 0;
    topic_tree_match(tree, span_str(topic), visit, &count);
    return count;
}

/* ---- what matches --------------------------------------------------------------------------------------- */

static void matches_alone(const char *filter, const char *topic, bool expected)
{
    struct subscriber subscriber = {.visits = 0};
    assert_int_equal(add(&subscriber, filter), ERR_NONE);
    unsigned count = match(topic);
    if (count != expected)
        print_error("%s on %s: %u\n", filter, topic, count);
    assert_int_equal(count, expected);
    topic_tree_remove(tree, &subscriber.entry);
}

static void the_rest_matches_what_is_before_it_as_well(void **state)
{
    (void)state;
    matches_alone("a/#", "a", true);
    matches_alone("a/#", "a/b/c", true);
    matches_alone("a/#", "a/", true);
    matches_alone("a/#", "ab", false);
    matches_alone("+/#", "a", true);
    matches_alone("a/+/#", "a", false);
    matches_alone("#", "a/b", true);
}

static void one_level_is_exactly_one_and_may_be_empty(void **state)
{
    (void)state;
    matches_alone("a/+", "a/b", true);
    matches_alone("a/+", "a/", true);
    matches_alone("a/+", "a", false);
    matches_alone("a/+", "a/b/c", false);
    matches_alone("+", "a", true);
    matches_alone("+", "/a", false);
    matches_alone("+/+", "/a", true);
    matches_alone("/+", "/a", true);
    matches_alone("+/b", "a/b", true);
    matches_alone("+/b", "a/c", false);
    matches_alone("a/+/c", "a//c", true);
}

static void a_leading_wildcard_does_not_match_dollar_topics(void **state)
{
    (void)state;
    matches_alone("#", "$SYS/up", false);
    matches_alone("+/up", "$SYS/up", false);
    matches_alone("+/#", "$SYS", false);
    matches_alone("$SYS/#", "$SYS/up", true);
    matches_alone("$SYS/+", "$SYS/up", true);
    matches_alone("$SYS/#", "$SYS", true);
    matches_alone("$SYS/up", "$SYS/up", true);
    matches_alone("a/+", "a/$b", true);
}

static void a_literal_filter_matches_its_topic_only(void **state)
{
    (void)state;
    matches_alone("a/b", "a/b", true);
    matches_alone("a/b", "a/b/", false);
    matches_alone("a/b", "a", false);
    matches_alone("a", "A", false);
    matches_alone("/", "/", true);
}

/* ---- entries -------------------------------------------------------------------------------------------- */

static void an_entry_knows_its_filter_whatever_memory_that_was_read_from(void **state)
{
    (void)state;
    struct subscriber subscriber = {.visits = 0};
    char text[] = "room/+/typing";
    assert_int_equal(topic_tree_add(tree, span_str(text), &subscriber.entry), ERR_NONE);
    memset(text, 'x', sizeof text - 1);
    assert_true(span_eq(topic_entry_filter(&subscriber.entry), span_str("room/+/typing")));
    topic_tree_remove(tree, &subscriber.entry);
    assert_null(subscriber.entry.node);
}

static void removing_what_is_in_no_tree_is_nothing(void **state)
{
    (void)state;
    struct subscriber subscriber = {.visits = 0};
    topic_tree_remove(tree, &subscriber.entry);
    assert_int_equal(add(&subscriber, "a"), ERR_NONE);
    topic_tree_remove(tree, &subscriber.entry);
    topic_tree_remove(tree, &subscriber.entry);
    assert_int_equal(topic_tree_entries(tree), 0);
}

static void thousands_leave_one_filter_in_any_order_and_the_others_stay(void **state)
{
    (void)state;
    static const char *const filters[] = {"busy/topic", "busy/+"};
    struct subscriber *crowd = calloc(MANY, sizeof *crowd);
    assert_non_null(crowd);
    for (unsigned f = 0; f < 2; f++) {
        for (unsigned i = 0; i < MANY; i++)
            assert_int_equal(add(&crowd[i], filters[f]), ERR_NONE);
        for (unsigned i = 0; i < MANY; i++)
            if (i % 3 != 1)
                topic_tree_remove(tree, &crowd[(i * 7919U) % MANY].entry);
        unsigned left = 0;
        for (unsigned i = 0; i < MANY; i++) {
            crowd[i].visits = 0;
            left += crowd[i].entry.node != NULL;
        }
        assert_int_equal(match("busy/topic"), left);
        assert_int_equal(topic_tree_entries(tree), left);
        for (unsigned i = 0; i < MANY; i++) {
            assert_int_equal(crowd[i].visits, crowd[i].entry.node != NULL);
            topic_tree_remove(tree, &crowd[i].entry);
        }
        assert_int_equal(topic_tree_bytes(tree), bytes_when_empty);
    }
    free(crowd);
}

static void a_filter_that_was_popular_gives_its_memory_back(void **state)
{
    (void)state;
    struct subscriber *crowd = calloc(MANY, sizeof *crowd);
    assert_non_null(crowd);
    assert_int_equal(add(&crowd[0], "a"), ERR_NONE);
    size_t bytes_with_one = topic_tree_bytes(tree);
    for (unsigned i = 1; i < MANY; i++)
        assert_int_equal(add(&crowd[i], "a"), ERR_NONE);
    for (unsigned i = 0; i < MANY - 10; i++)
        topic_tree_remove(tree, &crowd[i].entry);
    assert_in_range(topic_tree_bytes(tree), bytes_with_one, bytes_with_one + 40 * sizeof(void *));
    for (unsigned i = MANY - 10; i < MANY - 1; i++)
        topic_tree_remove(tree, &crowd[i].entry);
    assert_int_equal(topic_tree_bytes(tree), bytes_with_one);
    assert_int_equal(match("a"), 1);
    topic_tree_remove(tree, &crowd[MANY - 1].entry);
    free(crowd);
}

static void entries_still_registered_are_forgotten_and_not_touched(void **state)
{
    (void)state;
    struct topic_tree *other = topic_tree_new();
    struct subscriber *subscriber = calloc(3, sizeof *subscriber);
    assert_true(other && subscriber);
    assert_int_equal(topic_tree_add(other, span_str("a/+/b/#"), &subscriber[0].entry), ERR_NONE);
    assert_int_equal(topic_tree_add(other, span_str("a"), &subscriber[1].entry), ERR_NONE);
    assert_int_equal(topic_tree_add(other, span_str("a"), &subscriber[2].entry), ERR_NONE);
    free(subscriber);
    topic_tree_free(other);
}

/* ---- size ----------------------------------------------------------------------------------------------- */

static void a_topic_with_one_subscriber_costs_less_than_a_hundred_bytes(void **state)
{
    (void)state;
    struct subscriber *crowd = calloc(MANY, sizeof *crowd);
    char topic[TEXT_MAX];
    assert_non_null(crowd);
    size_t text = 0;
    for (unsigned i = 0; i < MANY; i++) {
        text += (size_t)snprintf(topic, sizeof topic, "sensors/%u/temperature", i);
        assert_int_equal(add(&crowd[i], topic), ERR_NONE);
    }
    /* The lower bound: the hash has grown along. */
    assert_in_range(topic_tree_bytes(tree) - text, 40 * MANY, 100 * MANY);
    assert_true(memory_used() - used_before == topic_tree_bytes(tree));
    assert_int_equal(match("sensors/77/temperature"), 1);
    for (unsigned i = 0; i < MANY; i++)
        topic_tree_remove(tree, &crowd[i].entry);
    assert_int_equal(topic_tree_bytes(tree), bytes_when_empty);
    free(crowd);
}

static void five_hundred_levels_are_matched(void **state)
{
    (void)state;
    enum { LEVELS = 512 };
    char plus[2 * LEVELS], topic[2 * LEVELS], deeper[2 * LEVELS + 2];
    for (unsigned i = 0; i < LEVELS; i++) {
        memcpy(plus + 2 * i, "+/", 2);
        memcpy(topic + 2 * i, "t/", 2);
    }
    plus[2 * LEVELS - 1] = topic[2 * LEVELS - 1] = '\0';
    snprintf(deeper, sizeof deeper, "%s/t", topic);
    struct topic_entry any = {0}, rest = {0}, same = {0};
    plus[2 * LEVELS - 2] = '#';
    assert_int_equal(topic_tree_add(tree, span_str(plus), &rest), ERR_NONE);
    plus[2 * LEVELS - 2] = '+';
    assert_int_equal(topic_tree_add(tree, span_str(plus), &any), ERR_NONE);
    assert_int_equal(topic_tree_add(tree, span_str(topic), &same), ERR_NONE);
    topic_tree_remove(tree, &any);
    topic_tree_remove(tree, &rest);
    topic_tree_remove(tree, &same);
    assert_int_equal(topic_tree_bytes(tree), bytes_when_empty);
    matches_alone("t/#", deeper, true);
    matches_alone("+/+/t", deeper, false);

    struct subscriber deep = {.visits = 0};
    assert_int_equal(topic_tree_add(tree, span_str(plus), &deep.entry), ERR_NONE);
    assert_int_equal(match(topic), 1);
    assert_int_equal(match(deeper), 0);
    topic_tree_remove(tree, &deep.entry);
}

/* ---- against the reference matcher ---------------------------------------------------------------------- */

static uint64_t seed;

static unsigned draw(unsigned below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 20) % below);
}

/* Few names and few levels, so that much collides. */
static void draw_text(char *out, bool wildcards)
{
    static const char *const names[] = {"a", "b", "", "ab", "$s", "c", "+", "+"};
    unsigned levels = 1 + draw(5);
    bool rest = wildcards && draw(3) == 0;
    size_t len = 0;
    for (unsigned i = 0; i < levels; i++) {
        const char *name = rest && i + 1 == levels ? "#" : names[draw(wildcards ? 8 : 6)];
        len += (size_t)snprintf(out + len, TEXT_MAX - len, "%s%s", i ? "/" : "", name);
    }
    if (len == 0)
        snprintf(out, TEXT_MAX, "a");
}

static void agrees_with_the_reference(struct subscriber *crowd, const char *topic)
{
    unsigned expected = 0;
    for (unsigned i = 0; i < CROWD; i++)
        crowd[i].visits = 0;
    unsigned count = match(topic);
    for (unsigned i = 0; i < CROWD; i++) {
        bool matches = crowd[i].entry.node && filter_matches(span_str(crowd[i].filter), span_str(topic));
        if (crowd[i].visits != matches)
            print_error("filter %s, topic %s: visited %u times\n", crowd[i].filter, topic, crowd[i].visits);
        assert_int_equal(crowd[i].visits, matches);
        expected += matches;
    }
    assert_int_equal(count, expected);
}

static bool fail_some(void *context, size_t bytes)
{
    (void)context;
    (void)bytes;
    return draw(4) == 0;
}

/* Adds those that are out and takes out those that are in, as often as not. Returns failures. */
static unsigned churn(struct subscriber *crowd, unsigned changes)
{
    unsigned failed = 0;
    char filter[TEXT_MAX];
    for (unsigned n = 0; n < changes; n++) {
        struct subscriber *pick = &crowd[draw(CROWD)];
        size_t before = topic_tree_entries(tree);
        if (pick->entry.node) {
            assert_true(span_eq(topic_entry_filter(&pick->entry), span_str(pick->filter)));
            topic_tree_remove(tree, &pick->entry);
            assert_int_equal(topic_tree_entries(tree), before - 1);
            continue;
        }
        draw_text(filter, draw(3) != 0);
        assert_int_equal(filter_check(span_str(filter), TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX), ERR_NONE);
        enum err err = add(pick, filter);
        assert_int_equal(err, pick->entry.node ? ERR_NONE : ERR_NO_MEMORY);
        assert_int_equal(topic_tree_entries(tree), before + (err ? 0 : 1));
        failed += err != ERR_NONE;
    }
    return failed;
}

static unsigned churn_and_compare(memory_fail_hook *hook)
{
    struct subscriber *crowd = calloc(CROWD, sizeof *crowd);
    char topic[TEXT_MAX];
    assert_non_null(crowd);
    seed = 4711;
    unsigned failed = 0;
    for (unsigned round = 0; round < 400; round++) {
        memory_set_fail_hook(hook, NULL);
        failed += churn(crowd, 50);
        memory_set_fail_hook(NULL, NULL);
        for (unsigned n = 0; n < 10; n++) {
            draw_text(topic, false);
            agrees_with_the_reference(crowd, topic);
        }
        assert_true(memory_used() - used_before == topic_tree_bytes(tree));
    }
    for (unsigned i = 0; i < CROWD; i++)
        topic_tree_remove(tree, &crowd[i].entry);
    assert_int_equal(topic_tree_entries(tree), 0);
    free(crowd);
    return failed;
}

static void random_filters_that_come_and_go_match_as_the_reference_does(void **state)
{
    (void)state;
    assert_int_equal(churn_and_compare(NULL), 0);
    assert_int_equal(topic_tree_bytes(tree), bytes_when_empty);
}

static void out_of_memory_leaves_the_tree_as_it_was(void **state)
{
    (void)state;
    assert_true(churn_and_compare(fail_some) > 100);
    /* Tables may have failed to shrink; nothing else stays. */
    assert_true(topic_tree_bytes(tree) < bytes_when_empty + 2 * CROWD * 8 * 8);
}

static bool fail_from(void *context, size_t bytes)
{
    (void)bytes;
    unsigned *left = context;
    return *left == 0 || (*left)-- == 0;
}

static void each_allocation_of_a_deep_filter_may_fail_and_leaves_nothing(void **state)
{
    (void)state;
    struct subscriber subscriber = {.visits = 0};
    enum err err = ERR_NO_MEMORY;
    unsigned failures = 0;
    for (unsigned after = 0; err; after++) {
        unsigned left = after;
        memory_set_fail_hook(fail_from, &left);
        err = add(&subscriber, "a/+/b/+/c/#");
        memory_set_fail_hook(NULL, NULL);
        if (err) {
            failures++;
            assert_null(subscriber.entry.node);
            assert_int_equal(topic_tree_bytes(tree), bytes_when_empty);
            assert_int_equal(match("a/x/b/x/c"), 0);
        }
    }
    assert_int_equal(failures, 6); /* a node and five branches */
    assert_int_equal(match("a/x/b/x/c"), 1);
    topic_tree_remove(tree, &subscriber.entry);
    assert_int_equal(topic_tree_bytes(tree), bytes_when_empty);
}

static void a_tree_that_cannot_be_made_is_null(void **state)
{
    (void)state;
    for (unsigned after = 0; after < 4; after++) {
        unsigned left = after;
        memory_set_fail_hook(fail_from, &left);
        struct topic_tree *other = topic_tree_new();
        memory_set_fail_hook(NULL, NULL);
        assert_null(other);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_rest_matches_what_is_before_it_as_well),
        CASE(one_level_is_exactly_one_and_may_be_empty),
        CASE(a_leading_wildcard_does_not_match_dollar_topics),
        CASE(a_literal_filter_matches_its_topic_only),
        CASE(an_entry_knows_its_filter_whatever_memory_that_was_read_from),
        CASE(removing_what_is_in_no_tree_is_nothing),
        CASE(thousands_leave_one_filter_in_any_order_and_the_others_stay),
        CASE(a_filter_that_was_popular_gives_its_memory_back),
        CASE(entries_still_registered_are_forgotten_and_not_touched),
        CASE(a_topic_with_one_subscriber_costs_less_than_a_hundred_bytes),
        CASE(five_hundred_levels_are_matched),
        CASE(random_filters_that_come_and_go_match_as_the_reference_does),
        CASE(out_of_memory_leaves_the_tree_as_it_was),
        CASE(each_allocation_of_a_deep_filter_may_fail_and_leaves_nothing),
        CASE(a_tree_that_cannot_be_made_is_null),
    };
    return cmocka_run_group_tests_name("topic_tree", tests, NULL, NULL);
}
