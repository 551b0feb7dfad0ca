#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clients/cli/bench_ledger.h"

static struct ledger ledger;

static struct span topic_of(uint32_t stream)
{
    static const char *const topics[] = {"a", "b", "c"};
    return span_str(topics[stream]);
}

/* One publisher with one stream, which all receivers want. */
static void start_simple(uint32_t receivers, uint64_t window)
{
    ledger_init(&ledger, 1, 1, receivers);
    ledger_add_stream(&ledger, 0, topic_of(0));
    for (uint32_t r = 0; r < receivers; r++)
        ledger_want(&ledger, r, 0);
    ledger_start(&ledger, window);
}

static int end(void **state)
{
    (void)state;
    ledger_fini(&ledger);
    return 0;
}

static void send(uint64_t count)
{
    uint32_t stream;
    while (count-- > 0)
        ledger_send(&ledger, 0, &stream);
}

static void receive(uint32_t receiver, uint64_t number)
{
    ledger_receive(&ledger, receiver, 0, topic_of(0), number, 1000);
}

static void what_comes_once_and_in_order_is_good(void **state)
{
    (void)state;
    start_simple(2, 0);
    send(3);
    for (uint64_t number = 0; number < 3; number++) {
        receive(0, number);
        assert_false(ledger_complete(&ledger));
        receive(1, number);
    }
    assert_true(ledger_complete(&ledger));
    assert_int_equal(ledger_received(&ledger), 6);
    struct verdict verdict = ledger_judge(&ledger);
    assert_true(verdict.good);
    assert_int_equal(verdict.expected, 6);
    assert_int_equal(verdict.received, 6);
}

static void a_loss_without_a_report_is_missing(void **state)
{
    (void)state;
    start_simple(1, 0);
    send(4);
    receive(0, 0);
    receive(0, 2);
    receive(0, 3);
    assert_false(ledger_complete(&ledger));
    struct verdict verdict = ledger_judge(&ledger);
    assert_false(verdict.good);
    assert_int_equal(verdict.missing, 1);
    assert_int_equal(verdict.reordered + verdict.duplicated, 0);
}

static void a_loss_at_the_end_is_missing_too(void **state)
{
    (void)state;
    start_simple(1, 0);
    send(2);
    receive(0, 0);
    assert_false(ledger_complete(&ledger));
    assert_int_equal(ledger_judge(&ledger).missing, 1);
}

static void a_reported_loss_is_good_and_counted(void **state)
{
    (void)state;
    start_simple(1, 0);
    send(5);
    receive(0, 0);
    ledger_report(&ledger, 0, 3);
    receive(0, 4);
    assert_true(ledger_complete(&ledger));
    struct verdict verdict = ledger_judge(&ledger);
    assert_true(verdict.good);
    assert_int_equal(verdict.reported, 3);
    assert_int_equal(verdict.missing, 0);
}

static void a_report_of_what_came_is_overstated(void **state)
{
    (void)state;
    start_simple(1, 0);
    send(2);
    receive(0, 0);
    receive(0, 1);
    ledger_report(&ledger, 0, 1);
    struct verdict verdict = ledger_judge(&ledger);
    assert_false(verdict.good);
    assert_int_equal(verdict.overstated, 1);
}

static void a_second_copy_is_noticed_at_once_and_later(void **state)
{
    (void)state;
    start_simple(1, 0);
    send(200);
    receive(0, 0);
    receive(0, 0);
    for (uint64_t number = 1; number < 200; number++)
        receive(0, number);
    receive(0, 199 - LEDGER_MEMORY);
    receive(0, 3);
    struct verdict verdict = ledger_judge(&ledger);
    assert_false(verdict.good);
    assert_int_equal(verdict.duplicated, 3);
    assert_int_equal(verdict.received, 200);
    assert_int_equal(verdict.reordered + verdict.missing, 0);
}

static void two_that_changed_places_are_out_of_order_but_not_lost(void **state)
{
    (void)state;
    start_simple(1, 0);
    send(3);
    receive(0, 0);
    receive(0, 2);
    receive(0, 1);
    assert_true(ledger_complete(&ledger));
    struct verdict verdict = ledger_judge(&ledger);
    assert_false(verdict.good);
    assert_int_equal(verdict.reordered, 1);
    assert_int_equal(verdict.missing + verdict.duplicated, 0);
    receive(0, 1);
    assert_int_equal(ledger_judge(&ledger).duplicated, 1);
}

static void what_was_never_sent_or_not_asked_for_is_foreign(void **state)
{
    (void)state;
    ledger_init(&ledger, 1, 2, 1);
    ledger_add_stream(&ledger, 0, topic_of(0));
    ledger_add_stream(&ledger, 0, topic_of(1));
    ledger_want(&ledger, 0, 0);
    ledger_start(&ledger, 0);
    send(2);
    ledger_receive(&ledger, 0, 1, topic_of(1), 1, 0); /* not subscribed */
    ledger_receive(&ledger, 0, 0, topic_of(1), 0, 0); /* under the other's topic */
    ledger_receive(&ledger, 0, 0, topic_of(0), 1, 0); /* the other stream's number */
    ledger_receive(&ledger, 0, 0, topic_of(0), 2, 0); /* not sent yet */
    ledger_receive(&ledger, 0, 7, topic_of(0), 0, 0); /* no such stream */
    ledger_receive_damaged(&ledger, 0);
    struct verdict verdict = ledger_judge(&ledger);
    assert_int_equal(verdict.foreign, 6);
    assert_int_equal(verdict.received, 0);
    assert_false(verdict.good);
}

static void the_next_one_before_it_was_sent_is_foreign(void **state)
{
    (void)state;
    start_simple(1, 0);
    receive(0, 0);
    struct verdict verdict = ledger_judge(&ledger);
    assert_int_equal(verdict.foreign, 1);
    assert_int_equal(verdict.received, 0);
}

static void a_message_is_on_its_way_until_the_last_receiver_has_it(void **state)
{
    (void)state;
    start_simple(2, 3);
    send(3);
    assert_int_equal(ledger_on_the_way(&ledger, 0), 3);
    receive(0, 0);
    receive(0, 1);
    assert_int_equal(ledger_on_the_way(&ledger, 0), 3);
    receive(1, 0);
    assert_int_equal(ledger_on_the_way(&ledger, 0), 2);
    send(1);
    receive(1, 1);
    assert_int_equal(ledger_on_the_way(&ledger, 0), 2);
}

static void what_was_passed_over_does_not_hold_the_window(void **state)
{
    (void)state;
    start_simple(1, 4);
    send(4);
    receive(0, 3);
    assert_int_equal(ledger_on_the_way(&ledger, 0), 0);
    receive(0, 1); /* late: gives no second room */
    send(4);
    assert_int_equal(ledger_on_the_way(&ledger, 0), 4);
}

static void messages_go_round_the_streams_and_each_keeps_its_order(void **state)
{
    (void)state;
    ledger_init(&ledger, 1, 3, 1);
    for (uint32_t s = 0; s < 3; s++) {
        ledger_add_stream(&ledger, 0, topic_of(s));
        ledger_want(&ledger, 0, s);
    }
    ledger_start(&ledger, 8);
    for (uint64_t number = 0; number < 7; number++) {
        uint32_t stream;
        assert_int_equal(ledger_send(&ledger, 0, &stream), number);
        assert_int_equal(stream, number % 3);
    }
    static const uint64_t arrival[] = {2, 0, 3, 5, 6, 1, 4}; /* 0 3 6, 1 4, 2 5 */
    for (int i = 0; i < 7; i++)
        ledger_receive(&ledger, 0, (uint32_t)(arrival[i] % 3), topic_of((uint32_t)(arrival[i] % 3)),
                       arrival[i], 0);
    assert_true(ledger_complete(&ledger));
    assert_int_equal(ledger_on_the_way(&ledger, 0), 0);
    struct verdict verdict = ledger_judge(&ledger);
    assert_true(verdict.good);
    assert_int_equal(verdict.expected, 7);
}

static void only_what_was_due_enters_the_latency(void **state)
{
    (void)state;
    static struct histogram histogram;
    start_simple(1, 0);
    ledger.latency = &histogram;
    send(2);
    receive(0, 0);
    receive(0, 0);
    assert_int_equal(histogram.count, 1);
    assert_int_equal(histogram.max, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_comes_once_and_in_order_is_good, end),
        cmocka_unit_test_teardown(a_loss_without_a_report_is_missing, end),
        cmocka_unit_test_teardown(a_loss_at_the_end_is_missing_too, end),
        cmocka_unit_test_teardown(a_reported_loss_is_good_and_counted, end),
        cmocka_unit_test_teardown(a_report_of_what_came_is_overstated, end),
        cmocka_unit_test_teardown(a_second_copy_is_noticed_at_once_and_later, end),
        cmocka_unit_test_teardown(two_that_changed_places_are_out_of_order_but_not_lost, end),
        cmocka_unit_test_teardown(what_was_never_sent_or_not_asked_for_is_foreign, end),
        cmocka_unit_test_teardown(the_next_one_before_it_was_sent_is_foreign, end),
        cmocka_unit_test_teardown(a_message_is_on_its_way_until_the_last_receiver_has_it, end),
        cmocka_unit_test_teardown(what_was_passed_over_does_not_hold_the_window, end),
        cmocka_unit_test_teardown(messages_go_round_the_streams_and_each_keeps_its_order, end),
        cmocka_unit_test_teardown(only_what_was_due_enters_the_latency, end),
    };
    return cmocka_run_group_tests_name("bench_ledger", tests, NULL, NULL);
}
