/* The libuv client against a small broker on a real socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sluice_uv.h>

#include "tests/unit/fake_broker.h"

enum { PATIENCE_MS = 10000 };

/* One loop with one client; a test runs it until what it waits for has happened. */
struct world {
    struct fake_broker broker;
    uv_loop_t loop;
    uv_timer_t patience;
    struct sluice_uv *client;
    int connected, downs, drained, messages, done, replies;
    bool closed, final, mismatch;
    enum sluice_status last_status;
    uint64_t fill_left;
};

static void on_patience_end(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("nothing happened for %d ms", PATIENCE_MS);
}

static void run_until(struct world *w, const int *counter, int value)
{
    uv_timer_start(&w->patience, on_patience_end, PATIENCE_MS, 0);
    while (*counter < value)
        uv_run(&w->loop, UV_RUN_ONCE);
    uv_timer_stop(&w->patience);
}

/* ---- callbacks ------------------------------------------------------------------------------------------ */

static void on_connected(void *user, const struct sluice_welcome *welcome)
{
    struct world *w = user;
    w->connected++;
    assert_int_equal(welcome->connection, w->connected);
}

static void on_down(void *user, const struct sluice_down *down)
{
    struct world *w = user;
    w->downs++;
    w->final = down->final;
    w->last_status = down->error.status;
}

static void on_drained(void *user)
{
    ((struct world *)user)->drained++;
}

static void on_message(void *user, const struct sluice_message *message)
{
    struct world *w = user;
    char number[16];
    snprintf(number, sizeof number, "%d", w->messages++);
    w->mismatch |= !sluice_bytes_equal(message->payload, sluice_str(number));
}

static void on_done(void *user, const struct sluice_error *result)
{
    struct world *w = user;
    w->done++;
    w->last_status = result->status;
}

static void on_reply(void *user, const struct sluice_error *result, const struct sluice_message *reply)
{
    struct world *w = user;
    w->replies++;
    w->last_status = result->status;
    assert_int_equal(reply != NULL, result->status == SLUICE_OK);
}

static void on_closed(void *user)
{
    ((struct world *)user)->closed = true;
}

/* ---- the world ------------------------------------------------------------------------------------------ */

static int start(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    assert(w && fake_broker_start(&w->broker, "127.0.0.1"));
    uv_loop_init(&w->loop);
    uv_timer_init(&w->loop, &w->patience);
    *state = w;
    return 0;
}

static int stop(void **state)
{
    struct world *w = *state;
    if (w->client)
        sluice_uv_close(w->client, on_closed, w);
    uv_close((uv_handle_t *)&w->patience, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    int left = uv_loop_close(&w->loop);
    bool closed = w->closed || !w->client;
    fake_broker_stop(&w->broker);
    free(w);
    return left == 0 && closed ? 0 : -1;
}

static void open_client(struct world *w, const char *url, struct sluice_options options)
{
    struct sluice_callbacks callbacks = {
        .user = w, .on_connected = on_connected, .on_down = on_down, .on_drained = on_drained};
    options.reconnect_min_ms = options.reconnect_min_ms ? options.reconnect_min_ms : 1;
    w->client = sluice_uv_new(&w->loop, url, &options, &callbacks, NULL);
    assert_non_null(w->client);
}

static enum sluice_status publish(struct world *w, const char *topic, const char *payload)
{
    struct sluice_publish p = {.topic = sluice_str(topic), .payload = sluice_str(payload)};
    return sluice_uv_publish(w->client, &p, on_done, w);
}

/* ---- tests ---------------------------------------------------------------------------------------------- */

static void what_is_published_is_received_in_order(void **state)
{
    struct world *w = *state;
    char url[64], number[16];
    snprintf(url, sizeof url, "tcp://localhost:%s", w->broker.port);
    open_client(w, url, (struct sluice_options){0});
    assert_int_equal(sluice_uv_subscribe(w->client, "n/#", NULL, on_message, NULL, w, NULL), SLUICE_OK);
    run_until(w, &w->connected, 1);
    assert_true(sluice_uv_is_open(w->client));
    for (int i = 0; i < 5000; i++) {
        snprintf(number, sizeof number, "%d", i);
        assert_int_equal(publish(w, "n/1", number), SLUICE_OK);
    }
    run_until(w, &w->messages, 5000);
    run_until(w, &w->done, 5000);
    assert_false(w->mismatch);
    assert_int_equal(sluice_uv_buffered_bytes(w->client), 0);
}

static void a_reader_that_stalls_is_felt_and_drained_follows(void **state)
{
    struct world *w = *state;
    open_client(w, w->broker.url, (struct sluice_options){.send_buffer_bytes_max = 100000});
    run_until(w, &w->connected, 1);
    assert_int_equal(publish(w, "ctl/stall", ""), SLUICE_OK);
    char *payload = malloc(50001);
    memset(payload, 'x', 50000);
    payload[50000] = '\0';
    int accepted = 1;
    /* The kernel takes several MiB before it refuses; turn by turn what it takes makes room. */
    for (int turns = 0; turns < 50; uv_run(&w->loop, UV_RUN_NOWAIT)) {
        bool refused = publish(w, "a", payload) == SLUICE_AGAIN;
        accepted += !refused;
        turns = refused ? turns + 1 : 0;
    }
    assert_int_equal(publish(w, "a", payload), SLUICE_AGAIN);
    free(payload);
    int before = w->drained;
    fake_broker_resume(&w->broker);
    run_until(w, &w->drained, before + 1);
    run_until(w, &w->done, accepted);
    assert_int_equal(w->last_status, SLUICE_OK);
}

static void requests_get_replies_reasons_and_deadlines(void **state)
{
    struct world *w = *state;
    open_client(w, w->broker.url, (struct sluice_options){0});
    run_until(w, &w->connected, 1);
    struct sluice_publish p = {.topic = sluice_str("svc")};
    assert_int_equal(sluice_uv_request(w->client, &p, PATIENCE_MS, on_reply, w), SLUICE_OK);
    run_until(w, &w->replies, 1);
    assert_int_equal(w->last_status, SLUICE_OK);
    p.topic = sluice_str("ctl/none");
    assert_int_equal(sluice_uv_request(w->client, &p, PATIENCE_MS, on_reply, w), SLUICE_OK);
    run_until(w, &w->replies, 2);
    assert_int_equal(w->last_status, SLUICE_NO_RESPONDERS);
    p.topic = sluice_str("ctl/silent");
    assert_int_equal(sluice_uv_request(w->client, &p, 20, on_reply, w), SLUICE_OK);
    run_until(w, &w->replies, 3);
    assert_int_equal(w->last_status, SLUICE_TIMEOUT);
}

static void a_lost_connection_comes_back_with_its_subscriptions(void **state)
{
    struct world *w = *state;
    open_client(w, w->broker.url, (struct sluice_options){0});
    assert_int_equal(sluice_uv_subscribe(w->client, "n", NULL, on_message, NULL, w, NULL), SLUICE_OK);
    run_until(w, &w->connected, 1);
    assert_int_equal(publish(w, "ctl/close", ""), SLUICE_OK);
    run_until(w, &w->connected, 2);
    assert_int_equal(w->downs, 1);
    assert_int_equal(publish(w, "n", "0"), SLUICE_OK);
    run_until(w, &w->messages, 1);
    assert_int_equal(w->done, 2);
}

static void attempts_go_on_until_the_broker_is_there(void **state)
{
    struct world *w = *state;
    struct fake_broker gone;
    assert_true(fake_broker_start(&gone, "127.0.0.1"));
    fake_broker_stop(&gone);
    open_client(w, gone.url, (struct sluice_options){0});
    run_until(w, &w->downs, 3);
    assert_int_equal(w->last_status, SLUICE_IO);
    assert_false(w->final);
    assert_int_equal(w->connected, 0);
}

static void without_reconnect_the_first_failure_is_final(void **state)
{
    struct world *w = *state;
    open_client(w, "tcp://no-such-host.invalid", (struct sluice_options){.no_reconnect = true});
    run_until(w, &w->downs, 1);
    assert_true(w->final);
    assert_int_equal(publish(w, "a", "x"), SLUICE_CLOSED);
}

static void closing_is_possible_at_any_time(void **state)
{
    struct world *w = *state;
    /* Before anything, while resolving, while connecting, while being greeted: every number of turns. */
    for (int turns = 0; turns < 6; turns++) {
        w->connected = 0; /* some of them get that far */
        open_client(w, w->broker.url, (struct sluice_options){0});
        for (int i = 0; i < turns; i++)
            uv_run(&w->loop, UV_RUN_NOWAIT);
        w->closed = false;
        sluice_uv_close(w->client, on_closed, w);
        w->client = NULL;
        uv_timer_start(&w->patience, on_patience_end, PATIENCE_MS, 0);
        while (!w->closed)
            uv_run(&w->loop, UV_RUN_ONCE);
        uv_timer_stop(&w->patience);
    }
}

static void close_from_callback(void *user, const struct sluice_welcome *welcome)
{
    struct world *w = user;
    (void)welcome;
    w->connected++;
    (void)publish(w, "last/words", "x");
    sluice_uv_close(w->client, on_closed, w);
    sluice_uv_close(w->client, on_closed, w);
}

static void closing_inside_a_callback_sends_what_was_published(void **state)
{
    struct world *w = *state;
    struct sluice_callbacks callbacks = {.user = w, .on_connected = close_from_callback};
    w->client = sluice_uv_new(&w->loop, w->broker.url, NULL, &callbacks, NULL);
    run_until(w, &w->connected, 1);
    run_until(w, &w->done, 1);
    while (!w->closed)
        uv_run(&w->loop, UV_RUN_ONCE);
    w->client = NULL;
    sem_wait(&w->broker.published);
}

static void refill(void *user)
{
    struct world *w = user;
    w->drained++;
    while (w->fill_left > 0 && publish(w, "a", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") == SLUICE_OK)
        w->fill_left--;
}

static void an_on_drained_that_always_refills_does_not_hold_the_loop(void **state)
{
    struct world *w = *state;
    struct sluice_options options = {.send_buffer_bytes_max = 1000};
    struct sluice_callbacks callbacks = {.user = w, .on_connected = on_connected, .on_drained = refill};
    w->client = sluice_uv_new(&w->loop, w->broker.url, &options, &callbacks, NULL);
    run_until(w, &w->connected, 1);
    w->fill_left = 20000;
    refill(w);
    run_until(w, &w->done, 20000);
    assert_int_equal(w->fill_left, 0);
}

int main(void)
{
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
        IN_WORLD(what_is_published_is_received_in_order),
        IN_WORLD(a_reader_that_stalls_is_felt_and_drained_follows),
        IN_WORLD(requests_get_replies_reasons_and_deadlines),
        IN_WORLD(a_lost_connection_comes_back_with_its_subscriptions),
        IN_WORLD(attempts_go_on_until_the_broker_is_there),
        IN_WORLD(without_reconnect_the_first_failure_is_final),
        IN_WORLD(closing_is_possible_at_any_time),
        IN_WORLD(closing_inside_a_callback_sends_what_was_published),
        IN_WORLD(an_on_drained_that_always_refills_does_not_hold_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
