#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proto/topic.h"

static enum err topic(const char *text)
{
    return topic_check(span_str(text), TOPIC_BYTES_MAX);
}

static enum err filter(const char *text)
{
    return filter_check(span_str(text), TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX);
}

static bool matches(const char *f, const char *t)
{
    return filter_matches(span_str(f), span_str(t));
}

static void a_topic_is_any_printable_utf8_without_wildcards(void **state)
{
    (void)state;
    const char *const good[] = {
        "a", "a/b", "/a", "a//b", "/", "$SYS/x", "a b", "\xc3\xa9", "\xf0\x9f\x92\xa7/x"};
    const char *const bad[] = {"",
                               "a/+",
                               "#",
                               "a#",
                               "tab\there",
                               "a\x7f",
                               "\xff",
                               "\xc0\x80",
                               "\xed\xa0\x80",
                               "\xf4\x90\x80\x80",
                               "cut\xe2\x82",
                               "seven..\x01"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(topic(good[i]), ERR_NONE);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(topic(bad[i]), ERR_BAD_TOPIC);
}

static void a_byte_that_is_not_text_is_found_wherever_it_lies(void **state)
{
    (void)state;
    static const uint8_t bad[] = {0x00, 0x1f, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
    uint8_t text[40];
    for (size_t len = 1; len <= sizeof text; len++) {
        memset(text, 'x', len);
        assert_true(topic_text_valid(span_of(text, len)));
        for (size_t at = 0; at < len; at++) {
            for (size_t i = 0; i < sizeof bad; i++) {
                text[at] = bad[i];
                assert_false(topic_text_valid(span_of(text, len)));
            }
            text[at] = 'x';
        }
    }
}

static void a_topic_may_be_as_long_as_the_limit_and_no_longer(void **state)
{
    (void)state;
    char text[12] = "abcdefghijk";
    assert_int_equal(topic_check(span_of(text, 10), 10), ERR_NONE);
    assert_int_equal(topic_check(span_of(text, 11), 10), ERR_TOO_LARGE);
    assert_int_equal(filter_check(span_of(text, 10), 10, 9), ERR_NONE);
    assert_int_equal(filter_check(span_of(text, 11), 10, 9), ERR_TOO_LARGE);
}

static void a_wildcard_stands_for_a_whole_level(void **state)
{
    (void)state;
    const char *const good[] = {"#",  "+",  "a/#",          "+/+",        "a/+/b",
                                "/#", "+/", "$share/g/a/#", "$share/g//", "$sharing"};
    const char *const bad[] = {"",     "a/#/b",    "a+",        "#a",         "+a/b",        "a/b#",     "##",
                               "\x01", "$share/g", "$share//a", "$share/+/a", "$share/g#/a", "$share/g/"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(filter(good[i]), ERR_NONE);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (filter(bad[i]) != ERR_BAD_FILTER)
            fail_msg("\"%s\" was taken", bad[i]);
    }
}

static void a_filter_has_no_more_levels_than_the_limit(void **state)
{
    (void)state;
    assert_int_equal(filter_check(span_str("a/b/c"), 100, 3), ERR_NONE);
    assert_int_equal(filter_check(span_str("a/b/c/d"), 100, 3), ERR_LIMIT);
    assert_int_equal(topic_levels(span_str("a")), 1);
    assert_int_equal(topic_levels(span_str("/a/")), 3);
}

static void matching_follows_section_4_7_of_mqtt(void **state)
{
    (void)state;
    static const struct {
        const char *filter, *topic;
        bool matches;
    } cases[] = {
        {"a", "a", true},         {"a", "b", false},          {"a", "a/", false},
        {"a/", "a/", true},       {"a/+", "a/b", true},       {"a/+", "a", false},
        {"a/+", "a/", true},      {"a/+", "a/b/c", false},    {"+", "a", true},
        {"+", "/a", false},       {"+/+", "/a", true},        {"/+", "/a", true},
        {"#", "a/b/c", true},     {"a/#", "a", true},         {"a/#", "a/b/c", true},
        {"a/#", "ab", false},     {"a/#", "b", false},        {"+/#", "a", true},
        {"a/+/c", "a/b/c", true}, {"a/+/c", "a//c", true},    {"#", "$SYS/x", false},
        {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true}, {"$SYS/+", "$SYS/x", true},
        {"a/#", "a/$b", true},    {"abc", "abcd", false},     {"abcd", "abc", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (matches(cases[i].filter, cases[i].topic) != cases[i].matches)
            fail_msg("%s and %s", cases[i].filter, cases[i].topic);
    }
}

static void shared_and_wildcard_filters_are_told_apart(void **state)
{
    (void)state;
    assert_true(filter_is_shared(span_str("$share/g/a")));
    assert_false(filter_is_shared(span_str("$shared/g/a")));
    assert_true(filter_is_wildcard(span_str("a/+")));
    assert_true(filter_is_wildcard(span_str("#")));
    assert_false(filter_is_wildcard(span_str("a/b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_topic_is_any_printable_utf8_without_wildcards),
        cmocka_unit_test(a_byte_that_is_not_text_is_found_wherever_it_lies),
        cmocka_unit_test(a_topic_may_be_as_long_as_the_limit_and_no_longer),
        cmocka_unit_test(a_wildcard_stands_for_a_whole_level),
        cmocka_unit_test(a_filter_has_no_more_levels_than_the_limit),
        cmocka_unit_test(matching_follows_section_4_7_of_mqtt),
        cmocka_unit_test(shared_and_wildcard_filters_are_told_apart),
    };
    return cmocka_run_group_tests_name("topic", tests, NULL, NULL);
}
