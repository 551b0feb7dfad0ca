/* How a result is shown: a progress line while it runs, then a few lines of text or one JSON object. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "clients/cli/bench.h"
#include "clients/cli/output.h"

static const double percents[] = {50, 90, 99, 99.9};
static const char *const percent_keys[] = {"p50", "p90", "p99", "p99_9"};
enum { PERCENTS = sizeof percents / sizeof percents[0] };

/* The generator was the bottleneck: what it says of rates and latency is about itself. */
static const double saturated_percent = 95;

static double own_percent(const struct bench_result *result)
{
    return result->seconds > 0 ? result->own_cpu_ns / result->seconds / 1e7 : 0;
}

static uint64_t events(const struct bench_result *result)
{
    return result->cycles ? result->cycles : result->delivered;
}

/* ---- progress ------------------------------------------------------------------------------------------- */

static bool progress_shown;

void report_progress(const struct bench_options *options, const char *what, double done, double of,
                     const char *unit, double per_second)
{
    if (options->common.quiet || !isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r\033[K%s: %.0f of %.0f %s", what, done, of, unit);
    if (per_second > 0)
        fprintf(stderr, ", %.0f/s", per_second);
    progress_shown = true;
}

void report_progress_end(void)
{
    if (progress_shown)
        fprintf(stderr, "\r\033[K");
    progress_shown = false;
}

/* ---- text ----------------------------------------------------------------------------------------------- */

static void row(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void row(const char *label, const char *format, ...)
{
    va_list args;
    printf("  %-12s", label);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

static void show_setting(const struct bench_result *result)
{
    const struct bench_options *options = result->options;
    printf("%s on %s", result->scenario->name, result->server);
    if (result->scenario->run == load_run) {
        if (result->scenario->shape == SHAPE_PAIRS)
            printf(": %" PRIu64 " pairs", options->pairs);
        else
            printf(": %" PRIu64 " to %" PRIu64, options->pubs, options->subs);
        printf(", %" PRIu64 " B, ", options->size);
        if (options->rate > 0)
            printf("%.0f messages/s", options->rate);
        else
            printf("window %" PRIu64, options->window);
        if (options->stalled > 0)
            printf(", %" PRIu64 " stalled", options->stalled);
    } else {
        printf(": %" PRIu64 " connections", options->conns);
    }
    printf(", %.1f s\n", result->seconds);
}

static void show_rates(const struct bench_result *result)
{
    if (result->cycles)
        row("visits", "%.0f/s", (double)result->cycles / result->seconds);
    if (!result->checked)
        return;
    row("published", "%.0f/s", (double)result->published / result->seconds);
    row("delivered", "%.0f/s, %.1f MB/s of payload", (double)result->delivered / result->seconds,
        (double)result->delivered * (double)result->options->size / result->seconds / 1e6);
}

static void show_cpu(const struct bench_result *result)
{
    if (result->server_cpu_ns >= 0 && events(result) > 0)
        row("server CPU", "%.1f ns per %s, %.0f %% of a core", result->server_cpu_ns / (double)events(result),
            result->cycles ? "visit" : "delivery", result->server_cpu_ns / result->seconds / 1e7);
    if (events(result) > 0)
        row("own CPU", "%.0f %% of a core%s", own_percent(result),
            own_percent(result) > saturated_percent
                ? ": SATURATED, rates and latency are those of this program"
                : "");
}

static void show_memory(const struct bench_result *result)
{
    if (!result->connections)
        return;
    row("connections", "%" PRIu64 " with one subscription each", result->connections);
    if (result->rss_before && result->rss_after)
        row("server RSS", "%.1f MB before, %.1f MB after: %.0f B per connection",
            (double)result->rss_before / 1e6, (double)result->rss_after / 1e6,
            ((double)result->rss_after - (double)result->rss_before) / (double)result->connections);
    else
        row("server RSS", "not known: give the server's --pid");
}

static void show_latency(const struct bench_result *result)
{
    if (result->latency.count == 0)
        return;
    printf("  %-12s", "latency");
    for (int i = 0; i < PERCENTS; i++)
        printf("p%g %.0f us, ", percents[i],
               (double)histogram_percentile(&result->latency, percents[i]) / 1e3);
    printf("max %.0f us\n", (double)result->latency.max / 1e3);
}

static void show_verdict(const struct bench_result *result)
{
    const struct verdict *v = &result->verdict;
    if (!result->checked)
        return;
    if (v->good && v->reported == 0) {
        row("checked", "%" PRIu64 " deliveries, all there, once and in order", v->received);
        return;
    }
    row(v->good ? "checked" : "WRONG", "%" PRIu64 " of %" PRIu64 " deliveries came", v->received,
        v->expected);
    row("",
        "%" PRIu64 " lost and reported (GAP), %" PRIu64 " lost without a word, %" PRIu64
        " reported but there",
        v->reported, v->missing, v->overstated);
    row("", "%" PRIu64 " twice, %" PRIu64 " out of order, %" PRIu64 " damaged or not asked for",
        v->duplicated, v->reordered, v->foreign);
}

void report_text(const struct bench_result *result)
{
    if (result->failure[0]) {
        output_error("%s on %s: %s", result->scenario->name, result->server, result->failure);
        return;
    }
    show_setting(result);
    show_rates(result);
    show_cpu(result);
    show_memory(result);
    show_latency(result);
    show_verdict(result);
}

/* ---- JSON ----------------------------------------------------------------------------------------------- */

static void key(const char *name)
{
    printf(", \"%s\": ", name);
}

static void json_count(const char *name, uint64_t value)
{
    key(name);
    printf("%" PRIu64, value);
}

static void json_number(const char *name, double value)
{
    key(name);
    printf("%.3f", value);
}

static void json_bool(const char *name, bool value)
{
    key(name);
    printf("%s", value ? "true" : "false");
}

static void json_text(const char *name, const char *value)
{
    key(name);
    output_json_string(stdout, value, strlen(value));
}

static void json_setting(const struct bench_result *result)
{
    const struct bench_options *options = result->options;
    printf("{\"scenario\": \"%s\"", result->scenario->name);
    json_text("server", result->server);
    json_number("seconds", result->seconds);
    if (result->scenario->run != load_run) {
        json_count("conns", options->conns);
        return;
    }
    json_count("payload", options->size);
    json_count("publishers", result->scenario->shape == SHAPE_PAIRS ? options->pairs : options->pubs);
    json_count("subscribers", result->scenario->shape == SHAPE_PAIRS ? options->pairs : options->subs);
    json_count("stalled", options->stalled);
    if (options->rate > 0)
        json_number("rate", options->rate);
    else
        json_count("window", options->window);
}

static void json_measured(const struct bench_result *result)
{
    if (result->checked) {
        json_count("published", result->published);
        json_count("delivered", result->delivered);
        json_number("deliveries_per_s", (double)result->delivered / result->seconds);
    }
    if (result->cycles) {
        json_count("visits", result->cycles);
        json_number("visits_per_s", (double)result->cycles / result->seconds);
    }
    if (events(result) > 0) {
        json_number("own_cpu_percent", own_percent(result));
        json_bool("saturated", own_percent(result) > saturated_percent);
    }
    if (result->server_cpu_ns >= 0 && events(result) > 0) {
        json_number("cpu_ns", result->server_cpu_ns / (double)events(result));
        json_number("cpu_percent", result->server_cpu_ns / result->seconds / 1e7);
    }
    if (result->connections) {
        json_count("connections", result->connections);
        json_count("rss_before", result->rss_before);
        json_count("rss_after", result->rss_after);
        json_number("rss_per_connection",
                    ((double)result->rss_after - (double)result->rss_before) / (double)result->connections);
    }
}

static void json_latency(const struct bench_result *result)
{
    if (result->latency.count == 0)
        return;
    key("latency_us");
    printf("{\"count\": %" PRIu64, result->latency.count);
    for (int i = 0; i < PERCENTS; i++)
        json_number(percent_keys[i], (double)histogram_percentile(&result->latency, percents[i]) / 1e3);
    json_number("max", (double)result->latency.max / 1e3);
    printf("}");
}

static void json_verdict(const struct bench_result *result)
{
    const struct verdict *v = &result->verdict;
    if (!result->checked)
        return;
    key("check");
    printf("{\"good\": %s", v->good ? "true" : "false");
    json_count("expected", v->expected);
    json_count("received", v->received);
    json_count("reported_lost", v->reported);
    json_count("missing", v->missing);
    json_count("overstated", v->overstated);
    json_count("duplicated", v->duplicated);
    json_count("reordered", v->reordered);
    json_count("foreign", v->foreign);
    printf("}");
}

void report_json(const struct bench_result *result)
{
    json_setting(result);
    json_bool("good", bench_good(result));
    if (result->failure[0])
        json_text("failure", result->failure);
    json_measured(result);
    json_latency(result);
    json_verdict(result);
    printf("}\n");
}
