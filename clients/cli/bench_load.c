/*
 * The scenarios that publish. Closed loop: each publisher keeps at most a window of messages that somebody has not
 * received yet. Open loop: messages are due at a fixed rate, whatever the server does, and their latency counts from
 * the moment when they were due (no coordinated omission).
 *
 *   connect all ─► warm up ─► measure ─► stop publishing, wait for what is on its way ─► judge
 *
 * With --messages, measuring lasts until that many were published and have arrived; nothing is on its way when it
 * begins. With --duration it begins and ends in full flow.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "clients/cli/bench_frame.h"
#include "clients/cli/bench_plan.h"
#include "clients/cli/bench_process.h"

enum {
    BATCH_BYTES = 64 * 1024, /* per send; a larger message goes alone */
    FOREVER_S = 1000000000,
    PATIENCE_S = 10,         /* without any delivery; then the rest is lost */
    LINGER_MS = 50,          /* for what comes although nothing is due */
    PACE_NS_MIN = 50 * 1000, /* messages of a higher rate are sent several at a time */
    PROGRESS_NS = 250 * 1000 * 1000
};

/* What was used and done up to a moment. */
struct mark {
    uint64_t now_ns, published, delivered;
    double server_cpu_ns, own_cpu_ns;
};

struct load {
    const struct bench_scenario *scenario;
    const struct bench_options *options;
    struct net net;
    struct plan plan;
    struct ledger *ledger; /* the plan's */
    struct conn *conns;    /* owns: publishers, then receivers, then stalled ones */
    uint32_t conn_count;
    uint8_t *batch; /* owns: NET_HEADROOM, then frames */
    bool open_loop;
    uint64_t quota;       /* messages that may still be published; UINT64_MAX: any number */
    uint64_t due_from_ns; /* open loop: when message 0 was due */
    uint64_t due_next;    /* and the next one that is to be sent */
    uint64_t shown_ns;    /* last progress line */
    struct mark begin, end;
};

static double seconds_between(const struct mark *a, const struct mark *b)
{
    return (double)(b->now_ns - a->now_ns) / 1e9;
}

/* ---- publishing ----------------------------------------------------------------------------------------- */

static size_t put_message(struct load *load, uint8_t *at, uint32_t publisher, uint64_t sent_ns)
{
    struct stamp stamp = {.run = load->net.run, .sent_ns = sent_ns};
    stamp.number = ledger_send(load->ledger, publisher, &stamp.stream);
    struct span frame = plan_frame(&load->plan, stamp.stream);
    size_t payload = load->options->size;
    memcpy(at, frame.data, frame.len);
    stamp_put(at + frame.len - payload, payload, &stamp);
    return frame.len;
}

static void spend(struct load *load)
{
    if (load->quota != UINT64_MAX)
        load->quota--;
}

/* Sends as many as the socket takes. */
static void publish(struct load *load, uint32_t publisher, uint64_t count, uint64_t sent_ns)
{
    struct conn *conn = &load->conns[publisher];
    uint8_t *start = load->batch + NET_HEADROOM;
    while (count > 0 && !conn_backed_up(conn)) {
        size_t len = 0;
        for (; count > 0 && len < BATCH_BYTES; count--, spend(load))
            len += put_message(load, start + len, publisher, sent_ns);
        conn_send(conn, start, len);
    }
}

static void publish_what_the_window_allows(struct load *load)
{
    uint64_t now = load->net.now_ns;
    for (uint32_t p = 0; p < load->ledger->publisher_count; p++) {
        uint64_t room = load->options->window - ledger_on_the_way(load->ledger, p);
        if (room > 0 && load->quota > 0)
            publish(load, p, room < load->quota ? room : load->quota, now);
    }
}

/* Each with the moment when it was due. They go to the publishers in turn; what the socket refuses is kept. */
static void publish_what_is_due(struct load *load)
{
    double interval = 1e9 / load->options->rate;
    uint64_t now = net_clock_ns();
    while (load->quota > 0) {
        uint64_t due = load->due_from_ns + (uint64_t)((double)load->due_next * interval);
        if (due > now || load->net.failure[0])
            return;
        uint32_t publisher = (uint32_t)(load->due_next++ % load->ledger->publisher_count);
        size_t len = put_message(load, load->batch + NET_HEADROOM, publisher, due);
        spend(load);
        conn_send(&load->conns[publisher], load->batch + NET_HEADROOM, len);
    }
}

/* ---- phases --------------------------------------------------------------------------------------------- */

static struct mark mark_now(const struct load *load)
{
    struct mark mark = {.now_ns = net_clock_ns(),
                        .delivered = ledger_received(load->ledger),
                        .server_cpu_ns = process_cpu_ns(load->options->pid),
                        .own_cpu_ns = process_own_cpu_ns()};
    for (uint32_t p = 0; p < load->ledger->publisher_count; p++)
        mark.published += load->ledger->publishers[p].sent;
    return mark;
}

static void show_progress(struct load *load, const struct mark *since, const char *what, double seconds)
{
    if (load->net.now_ns - load->shown_ns < PROGRESS_NS)
        return;
    load->shown_ns = load->net.now_ns;
    struct mark now = {.now_ns = load->net.now_ns, .delivered = ledger_received(load->ledger)};
    double done = seconds_between(since, &now);
    double per_second = (double)(now.delivered - since->delivered) / done;
    double messages = (double)load->options->messages;
    if (load->quota == UINT64_MAX)
        report_progress(load->options, what, done, seconds, "s", per_second);
    else
        report_progress(load->options, what, messages - (double)load->quota, messages, "messages",
                        per_second);
}

/* Whether anything was delivered within the last PATIENCE_S. */
struct watchdog {
    uint64_t delivered, since_ns;
};

static bool watchdog_content(struct watchdog *dog, const struct load *load)
{
    if (load->net.now_ns - dog->since_ns < 1000000000u)
        return true;
    uint64_t delivered = ledger_received(load->ledger);
    if (delivered == dog->delivered)
        return load->net.now_ns - dog->since_ns < (uint64_t)PATIENCE_S * 1000000000u;
    *dog = (struct watchdog){delivered, load->net.now_ns};
    return true;
}

/* Publishes until the time is over, or the quota is spent. */
static bool load_for(struct load *load, const char *what, double seconds)
{
    struct mark start = mark_now(load);
    struct watchdog dog = {start.delivered, start.now_ns};
    uint64_t until = start.now_ns + (uint64_t)(seconds * 1e9);
    load->net.now_ns = start.now_ns;
    while (load->net.now_ns < until && load->quota > 0) {
        if (load->open_loop)
            publish_what_is_due(load);
        else
            publish_what_the_window_allows(load);
        if (!net_turn(&load->net, 100))
            return false;
        show_progress(load, &start, what, seconds);
        if (!watchdog_content(&dog, load)) {
            net_fail(&load->net, "nothing was delivered for %d s", PATIENCE_S);
            return false;
        }
    }
    return true;
}

/* Waits for what is on its way, but not for ever: what does not come is lost. */
static bool settle(struct load *load)
{
    struct watchdog dog = {ledger_received(load->ledger), load->net.now_ns};
    while (!ledger_complete(load->ledger) && watchdog_content(&dog, load))
        if (!net_turn(&load->net, 100))
            return false;
    return true;
}

/* And for what nobody was to get. */
static bool linger(struct load *load)
{
    uint64_t until = load->net.now_ns + (uint64_t)LINGER_MS * 1000000;
    while (load->net.now_ns < until)
        if (!net_turn(&load->net, LINGER_MS))
            return false;
    return true;
}

static bool measure(struct load *load)
{
    const char *name = load->scenario->name;
    if (!load->options->messages)
        return load_for(load, name, load->options->duration);
    load->quota = load->options->messages;
    return load_for(load, name, FOREVER_S) && settle(load);
}

static bool warm_up(struct load *load)
{
    if (!load_for(load, "warm-up", load->options->warmup) || (load->options->messages && !settle(load)))
        return false;
    if (load->options->messages) {
        load->due_from_ns = net_clock_ns();
        load->due_next = 0;
    }
    return true;
}

static bool run_phases(struct load *load, struct bench_result *result)
{
    load->quota = UINT64_MAX;
    load->due_from_ns = net_clock_ns();
    if (load->open_loop)
        net_pace(&load->net, (uint64_t)fmax(1e9 / load->options->rate, PACE_NS_MIN));
    if (!warm_up(load))
        return false;
    load->ledger->latency = load->open_loop ? &result->latency : NULL;
    load->begin = mark_now(load);
    bool good = measure(load);
    load->end = mark_now(load);
    load->ledger->latency = NULL;
    net_pace(&load->net, 0);
    return good && settle(load) && linger(load);
}

/* ---- connections ---------------------------------------------------------------------------------------- */

static void open_one(struct load *load, uint32_t receiver, struct wire_buf *greeting, uint32_t answers,
                     bool stalled)
{
    struct conn *conn = &load->conns[load->conn_count++];
    conn->receiver = receiver;
    conn_open(conn, &load->net, greeting, answers, stalled);
    /* Not many at a time, so that no listen queue overflows. */
    net_await_ready(&load->net, load->conn_count > 64 ? load->conn_count - 64 : 0);
}

/* A subscriber like the first receiver, but one that never reads. */
static void open_stalled(struct load *load)
{
    struct wire_buf greeting;
    uint32_t answers = plan_greet_receiver(&load->plan, 0, &greeting);
    struct conn *conn = &load->conns[load->conn_count];
    open_one(load, UINT32_MAX, &greeting, answers, true);
    if (net_await_ready(&load->net, load->conn_count))
        conn_stall(conn);
}

static bool open_all(struct load *load)
{
    struct ledger *ledger = load->ledger;
    struct wire_buf greeting;
    for (uint32_t i = 0; i < ledger->publisher_count && !load->net.failure[0]; i++) {
        uint32_t answers = plan_greet_publisher(&load->plan, i, &greeting);
        open_one(load, UINT32_MAX, &greeting, answers, false);
    }
    for (uint32_t i = 0; i < ledger->receiver_count && !load->net.failure[0]; i++) {
        uint32_t answers = plan_greet_receiver(&load->plan, i, &greeting);
        open_one(load, i, &greeting, answers, false);
    }
    for (uint32_t i = 0; i < load->options->stalled && !load->net.failure[0]; i++)
        open_stalled(load);
    return !load->net.failure[0] && net_await_ready(&load->net, load->conn_count);
}

/* ---- the whole ------------------------------------------------------------------------------------------ */

static void prepare(struct load *load)
{
    const struct bench_options *options = load->options;
    plan_init(&load->plan, load->scenario->shape, options, load->net.target.transport == NET_RELAY,
              load->net.run);
    load->ledger = load->net.ledger = &load->plan.ledger;
    load->open_loop = options->rate > 0;
    load->net.exact = load->open_loop;
    ledger_start(load->ledger, load->open_loop ? 0 : options->window);
    size_t conns = (size_t)load->ledger->publisher_count + load->ledger->receiver_count + options->stalled;
    load->conns = calloc(conns, sizeof *load->conns);
    load->batch = malloc(NET_HEADROOM + BATCH_BYTES + plan_frame(&load->plan, 0).len);
    if (!load->conns || !load->batch)
        net_fail(&load->net, "out of memory");
}

static void clean_up(struct load *load)
{
    for (uint32_t i = 0; i < load->conn_count; i++)
        conn_close(&load->conns[i]);
    plan_fini(&load->plan);
    free(load->conns);
    free(load->batch);
}

static void fill_in(struct load *load, struct bench_result *result)
{
    result->seconds = seconds_between(&load->begin, &load->end);
    result->published = load->end.published - load->begin.published;
    result->delivered = load->end.delivered - load->begin.delivered;
    result->own_cpu_ns = load->end.own_cpu_ns - load->begin.own_cpu_ns;
    bool known = load->begin.server_cpu_ns >= 0 && load->end.server_cpu_ns >= 0;
    result->server_cpu_ns = known ? load->end.server_cpu_ns - load->begin.server_cpu_ns : -1;
    result->verdict = ledger_judge(load->ledger);
    result->checked = true;
}

bool load_run(const struct bench_scenario *scenario, const struct bench_options *options,
              const struct net_target *target, struct bench_result *result)
{
    static struct load load;
    load = (struct load){.scenario = scenario, .options = options};
    if (net_init(&load.net, target, NULL)) {
        prepare(&load);
        if (open_all(&load) && run_phases(&load, result))
            fill_in(&load, result);
        clean_up(&load);
    }
    snprintf(result->failure, sizeof result->failure, "%s", load.net.failure);
    net_fini(&load.net);
    report_progress_end();
    return !result->failure[0];
}
