#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/option.h"

struct sample {
    bool flag;
    uint64_t number, size, time;
    char text[OPTION_STRING_MAX];
    int choice;
    struct option_list list;
};

static const char *const choices[] = {"red", "green", NULL};

#define ROW(field, ...) OPTION_ROW("sample", struct sample, field, __VA_ARGS__)

static const struct option flag = ROW(flag, .type = OPTION_BOOL);
static const struct option number = ROW(number, .type = OPTION_UINT, .min = 1, .max = 65535);
static const struct option size = ROW(size, .type = OPTION_BYTES, .min = 0, .max = UINT64_MAX - 1);
static const struct option span = ROW(time, .type = OPTION_DURATION, .min = 0, .max = 3600000);
static const struct option text = ROW(text, .type = OPTION_STRING);
static const struct option choice = ROW(choice, .type = OPTION_ENUM, .choices = choices);
static const struct option list = ROW(list, .type = OPTION_LIST);

static struct sample sample;

static void accepts(const struct option *row, const char *written, const char *printed)
{
    struct config_error error = {.line = 0};
    char out[OPTION_TEXT_MAX];
    enum err err = option_parse(row, &sample, written, &error);
    if (err)
        print_error("%s: %s\n", written, error.text);
    assert_int_equal(err, ERR_NONE);
    assert_true(option_format(row, &sample, out, sizeof out));
    assert_string_equal(out, printed);
}

static void refuses(const struct option *row, const char *written, const char *why)
{
    struct config_error error = {.line = 0};
    struct sample before = sample;
    assert_int_equal(option_parse(row, &sample, written, &error), ERR_CONFIG);
    assert_string_equal(error.text, why);
    assert_memory_equal(&before, &sample, sizeof sample);
}

static void a_size_is_written_in_the_largest_unit_that_divides_it(void **state)
{
    (void)state;
    accepts(&size, "0", "0");
    accepts(&size, "4096", "4KiB");
    accepts(&size, "64KiB", "64KiB");
    accepts(&size, "64K", "64KiB");
    accepts(&size, "1024M", "1GiB");
    accepts(&size, "1G", "1GiB");
    accepts(&size, "1537", "1537");
    accepts(&size, "2048GiB", "2048GiB");
}

static void a_size_with_an_unknown_unit_or_without_digits_is_refused(void **state)
{
    (void)state;
    refuses(&size, "64KX", "must be a size such as 4096, 64KiB or 1MiB, not \"64KX\"");
    refuses(&size, "64 KiB", "must be a size such as 4096, 64KiB or 1MiB, not \"64 KiB\"");
    refuses(&size, "-1", "must be a size such as 4096, 64KiB or 1MiB, not \"-1\"");
    refuses(&size, "KiB", "must be a size such as 4096, 64KiB or 1MiB, not \"KiB\"");
    refuses(&size, "", "must be a size such as 4096, 64KiB or 1MiB, not \"\"");
}

static void a_number_beyond_64_bits_does_not_wrap_around(void **state)
{
    (void)state;
    refuses(&number, "18446744073709551617", "must be from 1 to 65535, not \"18446744073709551617\"");
    refuses(&number, "99999999999999999999999999999999999999999",
            "must be from 1 to 65535, not \"99999999999999999999999999999999999999999\"");
    refuses(&size, "17179869184GiB", "must be from 0 to 18446744073709551614, not \"17179869184GiB\"");
}

static void a_number_keeps_to_its_bounds_which_are_inclusive(void **state)
{
    (void)state;
    accepts(&number, "1", "1");
    accepts(&number, "65535", "65535");
    refuses(&number, "0", "must be from 1 to 65535, not \"0\"");
    refuses(&number, "65536", "must be from 1 to 65535, not \"65536\"");
    refuses(&number, "1K", "must be a whole number, not \"1K\"");
}

static void a_duration_needs_a_unit_unless_it_is_zero(void **state)
{
    (void)state;
    accepts(&span, "250ms", "250ms");
    accepts(&span, "1500ms", "1500ms");
    accepts(&span, "10s", "10s");
    accepts(&span, "60s", "1m");
    accepts(&span, "5m", "5m");
    accepts(&span, "1h", "1h");
    accepts(&span, "0", "0");
    refuses(&span, "10", "must be a duration such as 250ms, 10s, 5m or 1h, not \"10\"");
    refuses(&span, "61m", "must be from 0 to 1h, not \"61m\"");
}

static void a_boolean_is_true_or_false_and_nothing_else(void **state)
{
    (void)state;
    accepts(&flag, "true", "true");
    accepts(&flag, "false", "false");
    refuses(&flag, "yes", "must be true or false, not \"yes\"");
}

static void a_choice_names_all_choices_when_it_is_none(void **state)
{
    (void)state;
    accepts(&choice, "green", "green");
    assert_int_equal(sample.choice, 1);
    refuses(&choice, "blue", "must be one of red, green, not \"blue\"");
}

static void a_text_is_one_bounded_line_of_utf8(void **state)
{
    (void)state;
    char longest[OPTION_STRING_MAX + 1];
    memset(longest, 'x', sizeof longest);
    longest[OPTION_STRING_MAX] = '\0';
    refuses(&text, longest, "must not be longer than 255 bytes");
    longest[OPTION_STRING_MAX - 1] = '\0';
    accepts(&text, longest, longest);
    accepts(&text, "", "");
    accepts(&text, "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f");
    refuses(&text, "two\nlines", "must be UTF-8 without control characters");
    refuses(&text, "\xff", "must be UTF-8 without control characters");
}

static void a_list_is_split_at_commas_and_replaces_the_old_one(void **state)
{
    (void)state;
    accepts(&list, "a,b", "a, b");
    accepts(&list, " tcp://[::1]:1 ,  b c ", "tcp://[::1]:1, b c");
    assert_int_equal(sample.list.count, 2);
    assert_string_equal(sample.list.item[1], "b c");
    refuses(&list, "a,,b", "must not have an empty item");
    accepts(&list, "", "");
    assert_int_equal(sample.list.count, 0);
}

static void a_list_is_bounded_and_an_added_item_may_hold_commas(void **state)
{
    (void)state;
    struct config_error error;
    accepts(&list, "", "");
    for (int i = 0; i < OPTION_LIST_MAX; i++)
        assert_int_equal(option_list_add(&list, &sample, "a,b", &error), ERR_NONE);
    assert_int_equal(option_list_add(&list, &sample, "c", &error), ERR_CONFIG);
    assert_string_equal(error.text, "must not have more than 32 items");
    assert_string_equal(sample.list.item[31], "a,b");
}

static void the_longest_list_fits_the_buffer_that_is_promised_to_fit(void **state)
{
    (void)state;
    char item[OPTION_STRING_MAX], out[OPTION_TEXT_MAX];
    struct config_error error;
    memset(item, 'x', sizeof item - 1);
    item[sizeof item - 1] = '\0';
    accepts(&list, "", "");
    for (int i = 0; i < OPTION_LIST_MAX; i++)
        assert_int_equal(option_list_add(&list, &sample, item, &error), ERR_NONE);
    assert_true(option_format(&list, &sample, out, sizeof out));
    assert_int_equal(strlen(out), OPTION_LIST_MAX * (OPTION_STRING_MAX + 1) - 2);
    assert_false(option_format(&list, &sample, out, 100));
}

static void quoted_text_is_one_clipped_line(void **state)
{
    (void)state;
    char out[OPTION_QUOTE_TEXT];
    assert_string_equal(option_quote("a\nb\x1b[m", out), "\"a?b?[m\"");
    /* 65 letters and a two-byte character across the edge: it goes as a whole. */
    const char *line = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xc3\xbcyyy";
    assert_string_equal(option_quote(line, out),
                        "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"...");
}

static const char *nearest(const char *typed)
{
    static const char *const known[] = {"limits.max_payload", "limits.max_frame", "log.level", "log.file"};
    struct option_nearest nearest = {.typed = typed};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        option_nearest_offer(&nearest, known[i]);
    return nearest.best;
}

static void the_nearest_name_is_a_few_edits_away_or_the_same_without_its_module(void **state)
{
    (void)state;
    assert_string_equal(nearest("limits.max_paylod"), "limits.max_payload");
    assert_string_equal(nearest("limit.max_frame"), "limits.max_frame");
    assert_string_equal(nearest("log.levle"), "log.level");
    assert_string_equal(nearest("max_payload"), "limits.max_payload");
    assert_null(nearest("cluster.peers"));
    assert_null(nearest(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_size_is_written_in_the_largest_unit_that_divides_it),
        cmocka_unit_test(a_size_with_an_unknown_unit_or_without_digits_is_refused),
        cmocka_unit_test(a_number_beyond_64_bits_does_not_wrap_around),
        cmocka_unit_test(a_number_keeps_to_its_bounds_which_are_inclusive),
        cmocka_unit_test(a_duration_needs_a_unit_unless_it_is_zero),
        cmocka_unit_test(a_boolean_is_true_or_false_and_nothing_else),
        cmocka_unit_test(a_choice_names_all_choices_when_it_is_none),
        cmocka_unit_test(a_text_is_one_bounded_line_of_utf8),
        cmocka_unit_test(a_list_is_split_at_commas_and_replaces_the_old_one),
        cmocka_unit_test(a_list_is_bounded_and_an_added_item_may_hold_commas),
        cmocka_unit_test(the_longest_list_fits_the_buffer_that_is_promised_to_fit),
        cmocka_unit_test(quoted_text_is_one_clipped_line),
        cmocka_unit_test(the_nearest_name_is_a_few_edits_away_or_the_same_without_its_module),
    };
    return cmocka_run_group_tests_name("option", tests, NULL, NULL);
}
