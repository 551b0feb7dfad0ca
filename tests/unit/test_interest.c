#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/memory.h"
#include "broker/router/interest.h"

static struct interest_table *table;
static char said[512];       /* "+1 a" announced to shard 1, "-1 a" withdrawn, "ready" */
static uint64_t cookies[INTEREST_UNCONFIRMED_MAX]; /* announcements, in order */
static unsigned cookie_count, confirmed_count;
static void (*when_ready)(struct interest_wait *wait);

static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t len = strlen(said);
    vsnprintf(said + len, sizeof said - len, format, arguments);
    va_end(arguments);
}

static void announce(void *context, unsigned shard, struct span filter, uint64_t cookie)
{
    (void)context;
    say("+%u %.*s;", shard, (int)filter.len, (const char *)filter.data);
    cookies[cookie_count++] = cookie;
}

static void withdraw(void *context, unsigned shard, struct span filter)
{
    (void)context;
    say("-%u %.*s;", shard, (int)filter.len, (const char *)filter.data);
}

static void ready(void *context, struct interest_wait *wait)
{
    (void)context;
    say("ready;");
    if (when_ready)
        when_ready(wait);
}

static void crowded(void *context, bool is)
{
    (void)context;
    say(is ? "crowded;" : "room;");
}

static const struct interest_ops ops = {
    .announce = announce, .withdraw = withdraw, .ready = ready, .crowded = crowded};

static int setup(void **state)
{
    (void)state;
    said[0] = '\0';
    cookie_count = confirmed_count = 0;
    when_ready = NULL;
    table = interest_table_new(1, 3, &ops, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    interest_table_free(table);
    memory_set_fail_hook(NULL, NULL);
    return memory_used() == 0 ? 0 : -1;
}

static bool add(const char *filter, struct interest_wait *wait)
{
    bool must_wait;
    *wait = (struct interest_wait){0};
    assert_int_equal(interest_add(table, span_str(filter), wait, &must_wait), ERR_NONE);
    return must_wait;
}

static void confirm(unsigned count)
{
    while (count-- > 0)
        interest_confirmed(table, cookies[confirmed_count++]);
}

static void one_shard_alone_tells_nobody(void **state)
{
    (void)state;
    struct interest_wait wait;
    struct interest_table *three = table;
    table = interest_table_new(0, 1, &ops, NULL);
    assert_false(add("a", &wait));
    interest_remove(table, span_str("a"));
    assert_string_equal(said, "");
    interest_table_free(table);
    table = three;
}

static void the_first_subscriber_is_announced_and_waits_for_all_shards(void **state)
{
    (void)state;
    struct interest_wait wait;
    assert_true(add("a", &wait));
    assert_string_equal(said, "+0 a;+2 a;");
    confirm(1);
    assert_string_equal(said, "+0 a;+2 a;");
    confirm(1);
    assert_string_equal(said, "+0 a;+2 a;ready;");
    assert_null(wait.interest);
}

static void the_next_subscriber_of_a_known_filter_waits_for_nobody(void **state)
{
    (void)state;
    struct interest_wait first, second, third;
    add("a", &first);
    assert_true(add("a", &second));
    confirm(2);
    assert_false(add("a", &third));
    assert_string_equal(said, "+0 a;+2 a;ready;ready;");
}

static void says_when_too_many_are_unconfirmed_and_when_half_of_them_are_known(void **state)
{
    (void)state;
    struct interest_wait wait;
    while (cookie_count < INTEREST_UNCONFIRMED_MAX) {
        assert_null(strstr(said, "crowded"));
        said[0] = '\0';
        add("a", &wait);
        interest_leave(&wait);
        interest_remove(table, span_str("a"));
    }
    assert_string_equal(said, "+0 a;+2 a;crowded;-0 a;-2 a;");
    said[0] = '\0';
    confirm(INTEREST_UNCONFIRMED_MAX / 2 - 1);
    assert_string_equal(said, "");
    confirm(1);
    assert_string_equal(said, "room;");
    confirm(INTEREST_UNCONFIRMED_MAX / 2);
    assert_string_equal(said, "room;");
}

static void only_the_last_subscriber_withdraws(void **state)
{
    (void)state;
    struct interest_wait first, second;
    add("a", &first);
    add("a", &second);
    confirm(2);
    said[0] = '\0';
    interest_remove(table, span_str("a"));
    assert_string_equal(said, "");
    interest_remove(table, span_str("a"));
    assert_string_equal(said, "-0 a;-2 a;");
    interest_remove(table, span_str("a"));
    assert_string_equal(said, "-0 a;-2 a;");
}

static void who_left_is_not_told(void **state)
{
    (void)state;
    struct interest_wait waits[3];
    for (int i = 0; i < 3; i++)
        add("a", &waits[i]);
    interest_leave(&waits[1]);
    interest_leave(&waits[1]);
    confirm(2);
    assert_string_equal(said, "+0 a;+2 a;ready;ready;");
}

/* SUB, UNSUB, SUB before anything is confirmed: the second answer must not follow the first announcement. */
static void who_comes_back_waits_for_its_own_announcement(void **state)
{
    (void)state;
    struct interest_wait first, second;
    add("a", &first);
    interest_leave(&first);
    interest_remove(table, span_str("a"));
    assert_true(add("a", &second));
    assert_string_equal(said, "+0 a;+2 a;-0 a;-2 a;+0 a;+2 a;");
    confirm(3);
    assert_non_null(second.interest);
    confirm(1);
    assert_null(second.interest);
}

static void a_filter_withdrawn_before_it_was_confirmed_leaves_nothing(void **state)
{
    (void)state;
    struct interest_wait wait;
    add("a", &wait);
    interest_leave(&wait);
    interest_remove(table, span_str("a"));
    confirm(2);
    assert_int_equal(memory_used(), 0);
}

static void remove_a(struct interest_wait *wait)
{
    (void)wait;
    interest_remove(table, span_str("a"));
}

static void being_told_is_a_good_time_to_leave(void **state)
{
    (void)state;
    struct interest_wait first, second;
    add("a", &first);
    add("a", &second);
    when_ready = remove_a;
    confirm(2);
    assert_string_equal(said, "+0 a;+2 a;ready;ready;-0 a;-2 a;");
    assert_int_equal(memory_used(), 0);
}

static struct interest_wait again;

static void remove_and_add_a(struct interest_wait *wait)
{
    (void)wait;
    when_ready = NULL;
    interest_remove(table, span_str("a"));
    assert_true(add("a", &again));
}

static void who_comes_back_while_being_told_waits_once_more(void **state)
{
    (void)state;
    struct interest_wait first;
    add("a", &first);
    when_ready = remove_and_add_a;
    confirm(2);
    assert_string_equal(said, "+0 a;+2 a;ready;-0 a;-2 a;+0 a;+2 a;");
    assert_non_null(again.interest);
    confirm(2);
    assert_null(again.interest);
}

static bool fail_all(void *context, size_t bytes)
{
    (void)context, (void)bytes;
    return true;
}

static void without_memory_nothing_is_announced(void **state)
{
    (void)state;
    struct interest_wait wait = {0};
    bool must_wait;
    memory_set_fail_hook(fail_all, NULL);
    assert_int_equal(interest_add(table, span_str("a"), &wait, &must_wait), ERR_NO_MEMORY);
    assert_false(must_wait);
    assert_string_equal(said, "");
}

#define interest_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        interest_test(one_shard_alone_tells_nobody),
        interest_test(the_first_subscriber_is_announced_and_waits_for_all_shards),
        interest_test(the_next_subscriber_of_a_known_filter_waits_for_nobody),
        interest_test(says_when_too_many_are_unconfirmed_and_when_half_of_them_are_known),
        interest_test(only_the_last_subscriber_withdraws),
        interest_test(who_left_is_not_told),
        interest_test(who_comes_back_waits_for_its_own_announcement),
        interest_test(a_filter_withdrawn_before_it_was_confirmed_leaves_nothing),
        interest_test(being_told_is_a_good_time_to_leave),
        interest_test(who_comes_back_while_being_told_waits_once_more),
        interest_test(without_memory_nothing_is_announced),
    };
    return cmocka_run_group_tests_name("interest", tests, NULL, NULL);
}
