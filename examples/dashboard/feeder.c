/*
 * feeder: publishes this machine's processor, memory, load, disk and network figures ten times a second.
 *
 *   metrics/HOST/cpu/total  41.5        percent, averaged over the last second; cpu/0, cpu/1, ... per core
 *   metrics/HOST/memory/used 1843208192 bytes
 *   metrics/HOST/load/1     0.42        load/5, load/15
 *   metrics/HOST/disk/read  524288      bytes per second; disk/written
 *   metrics/HOST/net/eth0/rx 18230      bytes per second; net/eth0/tx, ...
 *   metrics/HOST/info       {"cores":4,"memory_total":...}   once a second, and retained: a new page knows it at once
 *
 * Every payload is a JSON value. While the broker is away nothing is queued: a dashboard wants the present.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <sluice_uv.h>

#include "examples/dashboard/sampler.h"

enum { INTERVAL_MS = 100, INFO_EVERY = 10, INFO_RETAIN_MS = 10000, HOST_MAX = 64, EXIT_USAGE = 2 };

struct feeder {
    uv_loop_t loop;
    uv_timer_t timer;
    uv_signal_t on_term, on_int;
    struct sampler *sampler;  /* owns */
    struct sluice_uv *client; /* owns; NULL once it is closed */
    uint64_t ticks;
    bool told_down; /* said that the broker is away, and not yet that it is back */
    bool failed;
    char host[HOST_MAX];
};

/* ---- publishing ----------------------------------------------------------------------------------------- */

/* Retained for so many milliseconds; 0: not at all. SLUICE_AGAIN is fine here: the next figure replaces this one in a tenth of a second. */
static void publish(struct feeder *feeder, const char *series, const char *payload, uint64_t retain_ms)
{
    char topic[256];
    snprintf(topic, sizeof topic, "metrics/%s/%s", feeder->host, series);
    struct sluice_publish message = {.topic = sluice_str(topic),
                                     .payload = sluice_str(payload),
                                     .retain = retain_ms > 0,
                                     .ttl_ms = retain_ms};
    (void)sluice_uv_publish(feeder->client, &message, NULL, NULL);
}

static void publish_figure(void *context, const char *series, double value, int decimals)
{
    struct feeder *feeder = context;
    char payload[64];
    if (sluice_uv_is_open(feeder->client)) {
        snprintf(payload, sizeof payload, "%.*f", decimals, value);
        publish(feeder, series, payload, 0);
    }
}

static void publish_info(struct feeder *feeder)
{
    char payload[128];
    snprintf(payload, sizeof payload, "{\"cores\":%u,\"memory_total\":%" PRIu64 ",\"interval_ms\":%d}",
             sampler_cores(feeder->sampler), sampler_memory_total_bytes(feeder->sampler), INTERVAL_MS);
    publish(feeder, "info", payload, INFO_RETAIN_MS);
}

/* Samples are taken even while nobody takes them, so that the first rates after an outage are right. */
static void on_tick(uv_timer_t *timer)
{
    struct feeder *feeder = timer->data;
    sampler_take(feeder->sampler, uv_now(&feeder->loop), publish_figure, feeder);
    if (feeder->ticks++ % INFO_EVERY == 0 && sluice_uv_is_open(feeder->client)) {
        publish_info(feeder);
    }
}

/* ---- start and stop ------------------------------------------------------------------------------------- */

static void stop(struct feeder *feeder)
{
    if (feeder->client == NULL) {
        return;
    }
    sluice_uv_close(feeder->client, NULL, NULL);
    feeder->client = NULL;
    uv_close((uv_handle_t *)&feeder->timer, NULL);
    uv_close((uv_handle_t *)&feeder->on_term, NULL);
    uv_close((uv_handle_t *)&feeder->on_int, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    stop(handle->data);
}

static void on_connected(void *user, const struct sluice_welcome *welcome)
{
    struct feeder *feeder = user;
    (void)welcome;
    feeder->told_down = false;
    printf("publishing metrics/%s/# every %d ms\n", feeder->host, INTERVAL_MS);
    fflush(stdout);
}

/* One line per outage, not per attempt. */
static void on_down(void *user, const struct sluice_down *down)
{
    struct feeder *feeder = user;
    if (feeder->client == NULL) {
        return;
    }
    if (down->final || !feeder->told_down) {
        fprintf(stderr, "feeder: %s%s\n", down->error.text,
                down->final ? "" : "; trying again until it answers");
        feeder->told_down = true;
    }
    if (down->final) {
        feeder->failed = true;
        stop(feeder);
    }
}

static void on_error(void *user, const struct sluice_error *error)
{
    (void)user;
    fprintf(stderr, "feeder: the broker refuses: %s (%s)\n", error->text, error->code);
}

static void start_timers(struct feeder *feeder)
{
    uv_timer_init(&feeder->loop, &feeder->timer);
    uv_signal_init(&feeder->loop, &feeder->on_term);
    uv_signal_init(&feeder->loop, &feeder->on_int);
    feeder->timer.data = feeder->on_term.data = feeder->on_int.data = feeder;
    uv_timer_start(&feeder->timer, on_tick, 0, INTERVAL_MS);
    uv_signal_start(&feeder->on_term, on_signal, SIGTERM);
    uv_signal_start(&feeder->on_int, on_signal, SIGINT);
}

static bool run(struct feeder *feeder, const char *url)
{
    const struct sluice_options options = {.client_name = "example-feeder"};
    const struct sluice_callbacks callbacks = {
        .user = feeder, .on_connected = on_connected, .on_down = on_down, .on_error = on_error};
    struct sluice_error error;
    feeder->client = sluice_uv_new(&feeder->loop, url, &options, &callbacks, &error);
    if (feeder->client == NULL) {
        fprintf(stderr, "feeder: %s\n", error.text);
        return false;
    }
    start_timers(feeder);
    uv_run(&feeder->loop, UV_RUN_DEFAULT);
    return !feeder->failed;
}

/* The host's name becomes one topic level. */
static void name_host(struct feeder *feeder, const char *given)
{
    if (given != NULL) {
        snprintf(feeder->host, sizeof feeder->host, "%s", given);
    } else if (gethostname(feeder->host, sizeof feeder->host - 1) != 0 || feeder->host[0] == '\0') {
        snprintf(feeder->host, sizeof feeder->host, "localhost");
    }
    for (char *c = feeder->host; *c != '\0'; c++) {
        if (strchr("/+#", *c) != NULL || (unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f) {
            *c = '_';
        }
    }
}

static const char usage[] = "usage: feeder [URL] [HOST]\n"
                            "Publishes this machine's figures below metrics/HOST/ until it is stopped.\n"
                            "  URL   of the broker, default " SLUICE_DEFAULT_URL "\n"
                            "  HOST  the name to publish under, default this machine's\n";

int main(int argc, char **argv)
{
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return EXIT_SUCCESS;
    }
    if (argc > 3 || (argc > 1 && argv[1][0] == '-') || (argc > 2 && argv[2][0] == '\0')) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    struct feeder feeder = {0};
    name_host(&feeder, argc > 2 ? argv[2] : NULL);
    feeder.sampler = sampler_new("/proc");
    if (feeder.sampler == NULL) {
        fprintf(stderr, "feeder: /proc cannot be read: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    uv_loop_init(&feeder.loop);
    bool ok = run(&feeder, argc > 1 ? argv[1] : NULL);
    int busy = uv_loop_close(&feeder.loop);
    sampler_free(feeder.sampler);
    return ok && busy == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
