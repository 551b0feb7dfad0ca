#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/router/topic_rules.h"
#include "proto/topic.h"

static struct topic_rules rules;

static int start(void **state)
{
    (void)state;
    topic_rules_init(&rules);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    topic_rules_fini(&rules);
    return 0;
}

/* Adds a rule of a filter and one more key, which may be NULL. */
static enum err add(const char *filter, const char *key, const char *value, struct config_error *error)
{
    struct config_rule_field fields[] = {{"filter", filter, 10}, {key, value, 11}};
    return topic_rules_add(&rules, fields, key ? 2 : 1, error);
}

static void takes(const char *filter, const char *key, const char *value)
{
    struct config_error error = {.line = 0};
    if (add(filter, key, value, &error))
        fail_msg("%s", error.text);
}

static void refuses(const char *filter, const char *key, const char *value, unsigned line, const char *why)
{
    struct config_error error = {.line = 99};
    size_t before = rules.count;
    assert_int_equal(add(filter, key, value, &error), ERR_CONFIG);
    assert_string_equal(error.text, why);
    assert_int_equal(error.line, line);
    assert_int_equal(rules.count, before);
}

static const char *found(const struct topic_rule *rule)
{
    return rule ? rule->filter : "none";
}

static const char *of_topic(const char *topic)
{
    return found(topic_rules_find(&rules, span_str(topic)));
}

static const char *of_filter(const char *filter)
{
    return found(topic_rules_find_filter(&rules, span_str(filter)));
}

static void the_first_rule_that_matches_a_topic_wins(void **state)
{
    (void)state;
    takes("a/b", NULL, NULL);
    takes("a/+", NULL, NULL);
    takes("c/#", NULL, NULL);
    assert_string_equal(of_topic("a/b"), "a/b");
    assert_string_equal(of_topic("a/c"), "a/+");
    assert_string_equal(of_topic("c"), "c/#");
    assert_string_equal(of_topic("c/d/e"), "c/#");
    assert_string_equal(of_topic("a"), "none");
}

static void a_rule_may_forbid_retained_values(void **state)
{
    (void)state;
    takes("a", "retained", "false");
    takes("b", "retained", "true");
    takes("c", NULL, NULL);
    assert_true(rules.rules[0].unretained);
    assert_false(rules.rules[1].unretained || rules.rules[2].unretained);
    refuses("d", "retained", "maybe", 11, "retained must be true or false, not \"maybe\"");
}

static void a_rule_holds_for_a_filter_only_when_it_covers_all_of_it(void **state)
{
    (void)state;
    takes("jobs/#", "block", "true");
    assert_string_equal(of_filter("jobs/1"), "jobs/#");
    assert_string_equal(of_filter("jobs/+/x"), "jobs/#");
    assert_string_equal(of_filter("jobs/#"), "jobs/#");
    assert_string_equal(of_filter("jobs"), "jobs/#");
    assert_string_equal(of_filter("#"), "none");
    assert_string_equal(of_filter("+/1"), "none");
}

static void of_a_shared_filter_the_part_behind_the_group_counts(void **state)
{
    (void)state;
    takes("jobs/#", NULL, NULL);
    assert_string_equal(of_filter("$share/workers/jobs/+"), "jobs/#");
    assert_string_equal(of_filter("$share/jobs/other"), "none");
    assert_string_equal(of_filter("$share/workers//jobs"), "none");
}

static void a_bad_field_is_refused_at_its_line(void **state)
{
    (void)state;
    refuses("a", "quue", "1", 11, "\"quue\" is not a known key; did you mean \"queue\"?");
    refuses("a", "retention", "1", 11,
            "\"retention\" is not a known key; known are filter, policy, block, max_payload, queue and "
            "retained");
    refuses("a/#/b", NULL, NULL, 10, "\"a/#/b\" is not a valid filter");
    refuses("", NULL, NULL, 10, "\"\" is not a valid filter");
    refuses("$share/g/a", NULL, NULL, 10,
            "a rule's filter must not be shared; the rule for \"jobs/#\" also holds for "
            "\"$share/workers/jobs/#\"");
    refuses("a", "policy", "drop", 11,
            "policy must be one of drop_oldest, drop_newest, conflate, disconnect, block, not \"drop\"");
    refuses("a", "block", "yes", 11, "block must be true or false, not \"yes\"");
    refuses("a", "max_payload", "0", 11, "max_payload must be from 1 to 256MiB, not \"0\"");
    refuses("a", "queue", "1000001", 11, "queue must be from 1 to 1000000, not \"1000001\"");
}

static void a_rule_that_makes_no_sense_is_refused_as_a_whole(void **state)
{
    (void)state;
    struct config_error error = {.line = 99};
    struct config_rule_field field = {"queue", "1", 10};
    assert_int_equal(topic_rules_add(&rules, &field, 1, &error), ERR_CONFIG);
    assert_string_equal(error.text, "a rule needs a filter");
    assert_int_equal(error.line, 0);
    refuses("a", "policy", "block", 0, "policy block needs \"block: true\" in the same rule");
    takes("feed/#", NULL, NULL);
    refuses("feed/+/x", NULL, NULL, 0,
            "the rule for \"feed/+/x\" is never reached: \"feed/#\" further up covers all of it");
}

static void there_is_a_most_of_rules(void **state)
{
    (void)state;
    char filter[32];
    for (int i = 0; i < TOPIC_RULES_MAX; i++) {
        snprintf(filter, sizeof filter, "a/%d", i);
        takes(filter, NULL, NULL);
    }
    refuses("b", NULL, NULL, 0, "there must not be more than 256 rules");
}

static void a_rule_cannot_allow_a_payload_that_no_frame_can_carry(void **state)
{
    (void)state;
    char text[256];
    takes("a", "max_payload", "1023");
    takes("b", "max_payload", "1KiB");
    assert_int_equal(topic_rules_validate(&rules, 1025, text, sizeof text), ERR_NONE);
    assert_int_equal(topic_rules_validate(&rules, 1024, text, sizeof text), ERR_CONFIG);
    assert_string_equal(
        text, "topics: max_payload of the rule for \"b\" (1KiB) must be below limits.max_frame (1KiB)");
}

/* ---- covering -------------------------------------------------------------------------------------------- */

enum { LEVELS = 4, FILTERS_MAX = 2048 };

/* All texts of at most `levels` levels over some words; `#` only as the last one. */
static size_t texts(char (*out)[32], const char *const *words, size_t levels)
{
    size_t count = 0, from = 0;
    for (size_t i = 0; words[i]; i++)
        strcpy(out[count++], words[i]);
    for (size_t depth = 1; depth < levels; depth++) {
        size_t to = count;
        for (size_t n = from; n < to; n++) {
            if (strchr(out[n], '#'))
                continue;
            for (size_t i = 0; words[i]; i++) {
                assert_true(count < FILTERS_MAX);
                snprintf(out[count++], 32, "%.20s/%s", out[n], words[i]);
            }
        }
        from = to;
    }
    return count;
}

/* The definition, tried out on every topic of some words, one of which ("x") is in no filter. */
static bool covers_by_trial(const char *outer, const char *inner, char (*topics)[32], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct span topic = span_str(topics[i]);
        if (topic.len > 0 && filter_matches(span_str(inner), topic) &&
            !filter_matches(span_str(outer), topic))
            return false;
    }
    return true;
}

static void covering_is_exact_for_all_small_filters(void **state)
{
    (void)state;
    static const char *const filter_words[] = {"a", "", "$s", "+", "#", NULL};
    static const char *const topic_words[] = {"a", "", "$s", "x", NULL};
    static char filters[FILTERS_MAX][32], topics[FILTERS_MAX][32];
    size_t filter_count = texts(filters, filter_words, LEVELS - 1), covered = 0;
    size_t topic_count = texts(topics, topic_words, LEVELS);
    for (size_t o = 0; o < filter_count; o++) {
        for (size_t i = 0; i < filter_count; i++) {
            if (filters[o][0] == '\0' || filters[i][0] == '\0')
                continue; /* the empty text is no filter */
            bool expected = covers_by_trial(filters[o], filters[i], topics, topic_count);
            covered += expected;
            if (filter_covers(span_str(filters[o]), span_str(filters[i])) != expected)
                fail_msg("\"%s\" covers \"%s\": expected %d", filters[o], filters[i], expected);
        }
    }
    assert_true(covered > filter_count); /* more than each itself */
}

static void a_wildcard_leaves_topics_of_the_broker_alone(void **state)
{
    (void)state;
    assert_false(filter_covers(span_str("#"), span_str("$SYS/a")));
    assert_false(filter_covers(span_str("+/a"), span_str("$SYS/a")));
    assert_true(filter_covers(span_str("#"), span_str("+/a")));
    assert_true(filter_covers(span_str("$SYS/#"), span_str("$SYS/a")));
    assert_true(filter_covers(span_str("+/#"), span_str("#")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_rule_that_matches_a_topic_wins),
        TEST(a_rule_may_forbid_retained_values),
        TEST(a_rule_holds_for_a_filter_only_when_it_covers_all_of_it),
        TEST(of_a_shared_filter_the_part_behind_the_group_counts),
        TEST(a_bad_field_is_refused_at_its_line),
        TEST(a_rule_that_makes_no_sense_is_refused_as_a_whole),
        TEST(there_is_a_most_of_rules),
        TEST(a_rule_cannot_allow_a_payload_that_no_frame_can_carry),
        TEST(covering_is_exact_for_all_small_filters),
        TEST(a_wildcard_leaves_topics_of_the_broker_alone),
    };
    return cmocka_run_group_tests_name("topic_rules", tests, NULL, NULL);
}
