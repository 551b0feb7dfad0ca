/* The blocking client against a small broker on a real socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sluice.h>

#include "tests/unit/fake_broker.h"

enum { PATIENCE_MS = 10000 };

static struct fake_broker broker;

static int start(void **state)
{
    (void)state;
    return fake_broker_start(&broker, "127.0.0.1") ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    fake_broker_stop(&broker);
    return 0;
}

static struct sluice *connected(const struct sluice_options *options)
{
    struct sluice_error error;
    struct sluice *client = sluice_connect(broker.url, options, &error);
    if (!client)
        fail_msg("%s", error.text);
    return client;
}

static void expect_message(struct sluice *client, const char *topic, const char *payload)
{
    struct sluice_message message;
    assert_int_equal(sluice_next(client, PATIENCE_MS, &message), SLUICE_OK);
    assert_true(sluice_bytes_equal(message.topic, sluice_str(topic)));
    assert_true(sluice_bytes_equal(message.payload, sluice_str(payload)));
}

static enum sluice_status publish(struct sluice *client, const char *topic, const char *payload)
{
    return sluice_publish(client, topic, payload, strlen(payload));
}

/* ---- connecting ----------------------------------------------------------------------------------------- */

static void what_is_published_is_received(void **state)
{
    (void)state;
    struct sluice *client = connected(NULL);
    uint64_t id = 0;
    struct sluice_granted granted = {0};
    assert_int_equal(sluice_subscribe(client, "room/+", NULL, &id, &granted), SLUICE_OK);
    assert_int_equal(granted.policy, SLUICE_POLICY_DROP_OLDEST);
    assert_int_equal(granted.queue, 1024);
    assert_int_equal(publish(client, "room/1", "hello"), SLUICE_OK);
    assert_int_equal(publish(client, "room/2", "again"), SLUICE_OK);
    expect_message(client, "room/1", "hello");
    expect_message(client, "room/2", "again");
    struct sluice_message message;
    assert_int_equal(sluice_next(client, 0, &message), SLUICE_TIMEOUT);
    assert_int_equal(sluice_next(client, 20, &message), SLUICE_TIMEOUT);
    assert_int_equal(sluice_unsubscribe(client, id), SLUICE_OK);
    assert_int_equal(sluice_unsubscribe(client, id), SLUICE_BAD_ARGUMENT);
    assert_int_equal(publish(client, "room/1", "unheard"), SLUICE_OK);
    assert_int_equal(sluice_next(client, 0, &message), SLUICE_TIMEOUT);
    sluice_close(client);
}

static void nobody_listening_is_told_at_once_with_the_reason(void **state)
{
    (void)state;
    struct fake_broker gone;
    assert_true(fake_broker_start(&gone, "127.0.0.1"));
    fake_broker_stop(&gone);
    struct sluice_error error;
    assert_null(sluice_connect(gone.url, NULL, &error));
    assert_int_equal(error.status, SLUICE_IO);
    assert_string_equal(error.text, "connection refused");
    assert_null(sluice_connect(gone.url, NULL, NULL));
}

static void urls_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "localhost:7400",
                                      "ws://localhost",
                                      "tcp://",
                                      "tcp://:7400",
                                      "tcp://::1:7400",
                                      "tcp://[::1",
                                      "tcp://a:0",
                                      "tcp://a:99999",
                                      "tcp://a:12x",
                                      "tcp://a:7400/path",
                                      "tcp://u@a:1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct sluice_error error = {0};
        assert_null(sluice_connect(bad[i], NULL, &error));
        assert_int_equal(error.status, SLUICE_BAD_ARGUMENT);
        assert_non_null(strstr(error.text, "is not a broker URL"));
    }
}

static void host_names_and_ipv6_addresses_work(void **state)
{
    (void)state;
    char url[64];
    snprintf(url, sizeof url, "tcp://localhost:%s/", broker.port);
    struct sluice *client = sluice_connect(url, NULL, NULL);
    assert_non_null(client);
    sluice_close(client);
    struct fake_broker six;
    if (!fake_broker_start(&six, "::1"))
        return;
    client = sluice_connect(six.url, NULL, NULL);
    assert_non_null(client);
    assert_int_equal(publish(client, "a", "x"), SLUICE_OK);
    sluice_close(client);
    fake_broker_stop(&six);
}

/* ---- calls ---------------------------------------------------------------------------------------------- */

static void a_refusal_carries_the_word_of_the_broker(void **state)
{
    (void)state;
    struct sluice *client = connected(NULL);
    assert_int_equal(publish(client, "ctl/refuse", ""), SLUICE_REFUSED);
    assert_string_equal(sluice_last_error(client)->code, "denied");
    assert_string_equal(sluice_last_error(client)->text, "as scripted");
    assert_int_equal(sluice_subscribe(client, "ctl/refuse", NULL, NULL, NULL), SLUICE_REFUSED);
    assert_int_equal(publish(client, "bad/#", ""), SLUICE_BAD_ARGUMENT);
    assert_int_equal(publish(client, "fine", ""), SLUICE_OK);
    sluice_close(client);
}

static void an_answer_that_does_not_come_is_a_timeout(void **state)
{
    (void)state;
    struct sluice *client = connected(&(struct sluice_options){.timeout_ms = 30});
    assert_int_equal(publish(client, "ctl/silent", ""), SLUICE_TIMEOUT);
    assert_int_equal(publish(client, "fine", ""), SLUICE_OK);
    sluice_close(client);
}

static void a_thousand_messages_in_a_row_are_all_answered(void **state)
{
    (void)state;
    struct sluice *client = connected(NULL);
    assert_int_equal(sluice_subscribe(client, "#", NULL, NULL, NULL), SLUICE_OK);
    char number[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(number, sizeof number, "%d", i);
        struct sluice_publish p = {.topic = sluice_str("n"), .payload = sluice_str(number)};
        assert_int_equal(sluice_send(client, &p), SLUICE_OK);
    }
    assert_int_equal(sluice_flush(client, PATIENCE_MS), SLUICE_OK);
    for (int i = 0; i < 1000; i++) {
        snprintf(number, sizeof number, "%d", i);
        expect_message(client, "n", number);
    }
    struct sluice_publish refused = {.topic = sluice_str("ctl/refuse")};
    assert_int_equal(sluice_send(client, &refused), SLUICE_OK);
    assert_int_equal(sluice_flush(client, PATIENCE_MS), SLUICE_REFUSED);
    assert_int_equal(sluice_flush(client, PATIENCE_MS), SLUICE_OK);
    sluice_close(client);
}

static void a_request_gets_its_reply_or_a_reason(void **state)
{
    (void)state;
    struct sluice *client = connected(NULL);
    struct sluice_message reply;
    struct sluice_publish p = {.topic = sluice_str("svc"), .payload = sluice_str("ping")};
    assert_int_equal(sluice_request(client, &p, PATIENCE_MS, &reply), SLUICE_OK);
    assert_true(sluice_bytes_equal(reply.payload, sluice_str("ping")));
    p.topic = sluice_str("ctl/none");
    assert_int_equal(sluice_request(client, &p, PATIENCE_MS, &reply), SLUICE_NO_RESPONDERS);
    p.topic = sluice_str("ctl/silent");
    assert_int_equal(sluice_request(client, &p, 20, &reply), SLUICE_TIMEOUT);
    sluice_close(client);
}

/* ---- losing the connection ------------------------------------------------------------------------------ */

static void count_down(void *user, const struct sluice_down *down)
{
    (void)down;
    ++*(int *)user;
}

static void a_lost_connection_comes_back_with_its_subscriptions(void **state)
{
    (void)state;
    int downs = 0;
    struct sluice *client = connected(&(struct sluice_options){.reconnect_min_ms = 1});
    sluice_set_callbacks(client, &(struct sluice_callbacks){.user = &downs, .on_down = count_down});
    assert_int_equal(sluice_subscribe(client, "a", NULL, NULL, NULL), SLUICE_OK);
    assert_int_equal(publish(client, "ctl/close", ""), SLUICE_UNKNOWN_OUTCOME);
    assert_int_equal(publish(client, "a", "back"), SLUICE_OK);
    expect_message(client, "a", "back");
    assert_int_equal(downs, 1);
    assert_int_equal(broker.connections_seen, 2);
    sluice_close(client);
}

static void without_reconnect_a_lost_connection_closes(void **state)
{
    (void)state;
    struct sluice_message message;
    struct sluice *client = connected(&(struct sluice_options){.no_reconnect = true});
    assert_int_equal(publish(client, "ctl/close", ""), SLUICE_UNKNOWN_OUTCOME);
    assert_int_equal(sluice_next(client, PATIENCE_MS, &message), SLUICE_CLOSED);
    assert_string_equal(sluice_last_error(client)->text, "the broker closed the connection");
    assert_int_equal(publish(client, "a", ""), SLUICE_CLOSED);
    sluice_close(client);
}

/* ---- waiting -------------------------------------------------------------------------------------------- */

static void *interrupt_client(void *client)
{
    sluice_interrupt(client);
    return NULL;
}

static void another_thread_may_interrupt(void **state)
{
    (void)state;
    pthread_t thread;
    struct sluice_message message;
    struct sluice *client = connected(NULL);
    pthread_create(&thread, NULL, interrupt_client, client);
    assert_int_equal(sluice_next(client, UINT64_MAX, &message), SLUICE_INTERRUPTED);
    pthread_join(thread, NULL);
    assert_int_equal(sluice_next(client, 0, &message), SLUICE_TIMEOUT);
    sluice_interrupt(client);
    assert_int_equal(publish(client, "ctl/silent", ""), SLUICE_INTERRUPTED);
    assert_int_equal(publish(client, "a", ""), SLUICE_OK);
    sluice_close(client);
}

static void add_gap(void *user, const struct sluice_gap *gap)
{
    assert_true(sluice_bytes_equal(gap->reason, sluice_str("client_queue")));
    *(uint64_t *)user += gap->count;
}

static void a_reader_that_never_asks_loses_the_oldest_and_is_told(void **state)
{
    (void)state;
    uint64_t lost = 0;
    struct sluice *client = connected(&(struct sluice_options){.receive_queue_bytes_max = 2000});
    sluice_set_callbacks(client, &(struct sluice_callbacks){.user = &lost, .on_gap = add_gap});
    assert_int_equal(sluice_subscribe(client, "#", NULL, NULL, NULL), SLUICE_OK);
    for (int i = 0; i < 50; i++)
        assert_int_equal(publish(client, "a", i < 49 ? "x" : "last"), SLUICE_OK);
    struct sluice_message message;
    bool saw_last = false;
    uint64_t received = 0;
    while (sluice_next(client, 0, &message) == SLUICE_OK) {
        received++;
        saw_last = sluice_bytes_equal(message.payload, sluice_str("last"));
    }
    assert_true(saw_last);
    assert_true(lost > 0);
    assert_int_equal(received + lost, 50);
    sluice_close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_published_is_received, start, stop),
        cmocka_unit_test(nobody_listening_is_told_at_once_with_the_reason),
        cmocka_unit_test(urls_that_cannot_be_are_refused),
        cmocka_unit_test_setup_teardown(host_names_and_ipv6_addresses_work, start, stop),
        cmocka_unit_test_setup_teardown(a_refusal_carries_the_word_of_the_broker, start, stop),
        cmocka_unit_test_setup_teardown(an_answer_that_does_not_come_is_a_timeout, start, stop),
        cmocka_unit_test_setup_teardown(a_thousand_messages_in_a_row_are_all_answered, start, stop),
        cmocka_unit_test_setup_teardown(a_request_gets_its_reply_or_a_reason, start, stop),
        cmocka_unit_test_setup_teardown(a_lost_connection_comes_back_with_its_subscriptions, start, stop),
        cmocka_unit_test_setup_teardown(without_reconnect_a_lost_connection_closes, start, stop),
        cmocka_unit_test_setup_teardown(another_thread_may_interrupt, start, stop),
        cmocka_unit_test_setup_teardown(a_reader_that_never_asks_loses_the_oldest_and_is_told, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
