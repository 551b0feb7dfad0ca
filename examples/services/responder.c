/*
 * responder: a small service. Two topics, each answered to the request's reply topic with a JSON object:
 *
 *   services/time     anything               {"utc":"2026-03-01T09:30:00.125Z","unix_ms":1772357400125}
 *   services/primes   a whole number         {"limit":100,"count":25,"largest":97,"took_us":3}
 *
 * What cannot be answered is answered too: {"error":"..."}. Silence would leave the caller waiting.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include <sluice_uv.h>

#include "examples/services/primes.h"

enum { ANSWER_MAX = 256, EXIT_USAGE = 2 };

struct responder {
    uv_loop_t loop;
    uv_signal_t on_term, on_int;
    struct sluice_uv *client; /* owns; NULL once it is closed */
    bool told_down;
    bool failed;
};

/* ---- the two services ----------------------------------------------------------------------------------- */

static void answer_time(char answer[ANSWER_MAX])
{
    struct timespec now;
    struct tm utc;
    char date[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    int64_t ms = now.tv_nsec / 1000000;
    snprintf(answer, ANSWER_MAX, "{\"utc\":\"%s.%03" PRId64 "Z\",\"unix_ms\":%" PRId64 "}", date, ms,
             (int64_t)now.tv_sec * 1000 + ms);
}

/* Only digits: strtoul alone would take "-1", " 7" and "12 apples". */
static bool parse_limit(struct sluice_bytes payload, uint32_t *limit)
{
    char text[16];
    if (payload.len == 0 || payload.len >= sizeof text) {
        return false;
    }
    memcpy(text, payload.data, payload.len);
    text[payload.len] = '\0';
    if (text[strspn(text, "0123456789")] != '\0') {
        return false;
    }
    unsigned long long value = strtoull(text, NULL, 10);
    *limit = (uint32_t)value;
    return value >= PRIMES_LIMIT_MIN && value <= PRIMES_LIMIT_MAX;
}

static void answer_primes(struct sluice_bytes payload, char answer[ANSWER_MAX])
{
    uint32_t limit;
    struct primes primes;
    if (!parse_limit(payload, &limit)) {
        snprintf(answer, ANSWER_MAX, "{\"error\":\"send a whole number from %d to %d\"}", PRIMES_LIMIT_MIN,
                 PRIMES_LIMIT_MAX);
        return;
    }
    uint64_t started_ns = uv_hrtime();
    if (!primes_up_to(limit, &primes)) {
        snprintf(answer, ANSWER_MAX, "{\"error\":\"out of memory\"}");
        return;
    }
    snprintf(answer, ANSWER_MAX, "{\"limit\":%u,\"count\":%u,\"largest\":%u,\"took_us\":%" PRIu64 "}", limit,
             primes.count, primes.largest, (uv_hrtime() - started_ns) / 1000);
}

/* ---- requests ------------------------------------------------------------------------------------------- */

/* A plain publish on the topic asks for no answer and gets none. */
static void reply(struct responder *responder, const struct sluice_message *request, const char *answer)
{
    if (request->reply.data == NULL) {
        return;
    }
    struct sluice_publish message = sluice_reply_to(request, sluice_str(answer));
    message.content_type = sluice_str("application/json");
    message.text = true;
    enum sluice_status status = sluice_uv_publish(responder->client, &message, NULL, NULL);
    if (status != SLUICE_OK) {
        fprintf(stderr, "responder: an answer was not sent: %s\n", sluice_status_text(status));
    }
}

static void on_time(void *user, const struct sluice_message *request)
{
    char answer[ANSWER_MAX];
    answer_time(answer);
    reply(user, request, answer);
}

static void on_primes(void *user, const struct sluice_message *request)
{
    char answer[ANSWER_MAX];
    answer_primes(request->payload, answer);
    reply(user, request, answer);
}

/* ---- start and stop ------------------------------------------------------------------------------------- */

static void stop(struct responder *responder)
{
    if (responder->client == NULL) {
        return;
    }
    sluice_uv_close(responder->client, NULL, NULL);
    responder->client = NULL;
    uv_close((uv_handle_t *)&responder->on_term, NULL);
    uv_close((uv_handle_t *)&responder->on_int, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    stop(handle->data);
}

static void on_subscribed(void *user, uint64_t subscription, const struct sluice_error *result,
                          const struct sluice_granted *granted)
{
    struct responder *responder = user;
    (void)subscription;
    (void)granted;
    if (result->status == SLUICE_REFUSED) {
        fprintf(stderr, "responder: the broker refuses: %s (%s)\n", result->text, result->code);
        responder->failed = true;
        stop(responder);
    }
}

static void on_connected(void *user, const struct sluice_welcome *welcome)
{
    struct responder *responder = user;
    (void)welcome;
    responder->told_down = false;
    puts("answering services/time and services/primes");
    fflush(stdout);
}

/* One line per outage, not per attempt. */
static void on_down(void *user, const struct sluice_down *down)
{
    struct responder *responder = user;
    if (responder->client == NULL) {
        return;
    }
    if (down->final || !responder->told_down) {
        fprintf(stderr, "responder: %s%s\n", down->error.text,
                down->final ? "" : "; trying again until it answers");
        responder->told_down = true;
    }
    if (down->final) {
        responder->failed = true;
        stop(responder);
    }
}

static bool subscribe(struct responder *responder)
{
    return sluice_uv_subscribe(responder->client, "services/time", NULL, on_time, on_subscribed, responder,
                               NULL) == SLUICE_OK &&
           sluice_uv_subscribe(responder->client, "services/primes", NULL, on_primes, on_subscribed,
                               responder, NULL) == SLUICE_OK;
}

static void start_signals(struct responder *responder)
{
    uv_signal_init(&responder->loop, &responder->on_term);
    uv_signal_init(&responder->loop, &responder->on_int);
    responder->on_term.data = responder->on_int.data = responder;
    uv_signal_start(&responder->on_term, on_signal, SIGTERM);
    uv_signal_start(&responder->on_int, on_signal, SIGINT);
}

static bool run(struct responder *responder, const char *url)
{
    const struct sluice_options options = {.client_name = "example-responder"};
    const struct sluice_callbacks callbacks = {
        .user = responder, .on_connected = on_connected, .on_down = on_down};
    struct sluice_error error;
    responder->client = sluice_uv_new(&responder->loop, url, &options, &callbacks, &error);
    if (responder->client == NULL) {
        fprintf(stderr, "responder: %s\n", error.text);
        return false;
    }
    start_signals(responder);
    if (!subscribe(responder)) {
        fputs("responder: out of memory\n", stderr);
        responder->failed = true;
        stop(responder);
    }
    uv_run(&responder->loop, UV_RUN_DEFAULT);
    return !responder->failed;
}

static const char usage[] = "usage: responder [URL]\n"
                            "Answers requests on services/time and services/primes until it is stopped.\n"
                            "  URL  of the broker, default " SLUICE_DEFAULT_URL "\n";

int main(int argc, char **argv)
{
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (argc > 2 || (argc > 1 && argv[1][0] == '-')) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    struct responder responder = {0};
    uv_loop_init(&responder.loop);
    bool ok = run(&responder, argc > 1 ? argv[1] : NULL);
    int busy = uv_loop_close(&responder.loop);
    return ok && busy == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
