/* What a connection costs that only waits: many with one subscription each, and the server's memory before and after. */
#include <stdio.h>
#include <stdlib.h>

#include "clients/cli/bench_plan.h"
#include "clients/cli/bench_process.h"

enum {
    OPENING_MAX = 64,   /* connections that are not ready yet, so that no listen queue overflows */
    PER_SOURCE = 20000, /* connections from one address: there are 28,000 ports */
    SETTLE_MS = 300     /* for what the server does once a connection came or went */
};

struct idle {
    const struct bench_options *options;
    struct net net;
    struct conn *conns; /* owns */
    uint32_t count;
};

static void settle(struct net *net)
{
    uint64_t until = net_clock_ns() + (uint64_t)SETTLE_MS * 1000000;
    while (net->now_ns < until && net_turn(net, SETTLE_MS))
        ;
}

static void open_next(struct idle *idle)
{
    char filter[PLAN_NAME_BYTES];
    struct wire_buf greeting;
    struct conn *conn = &idle->conns[idle->count];
    snprintf(filter, sizeof filter, "bench/%08x/%06u", idle->net.run, idle->count);
    uint32_t answers =
        plan_greet_single(idle->options, idle->net.target.transport == NET_RELAY, filter, &greeting);
    conn->receiver = UINT32_MAX;
    idle->net.source = 1 + idle->count / PER_SOURCE;
    conn_open(conn, &idle->net, &greeting, answers, false);
    idle->count++;
}

/* What the server allocates for its very first client is not the price of a connection. */
static bool touch(struct idle *idle)
{
    open_next(idle);
    bool good = net_await_ready(&idle->net, 1);
    conn_close(&idle->conns[0]);
    idle->count = 0;
    settle(&idle->net);
    return good;
}

static bool open_all(struct idle *idle)
{
    while (idle->count < idle->options->conns && !idle->net.failure[0]) {
        open_next(idle);
        net_await_ready(&idle->net, idle->count > OPENING_MAX ? idle->count - OPENING_MAX : 0);
        if (idle->count % 64 == 0)
            report_progress(idle->options, "idle", idle->count, (double)idle->options->conns, "connections",
                            0);
    }
    bool good = !idle->net.failure[0] && net_await_ready(&idle->net, idle->count);
    settle(&idle->net);
    return good;
}

bool idle_run(const struct bench_scenario *scenario, const struct bench_options *options,
              const struct net_target *target, struct bench_result *result)
{
    struct idle idle = {.options = options};
    (void)scenario;
    idle.conns = calloc(options->conns, sizeof *idle.conns);
    if (net_init(&idle.net, target, NULL) && idle.conns && touch(&idle)) {
        uint64_t start = net_clock_ns();
        result->rss_before = process_rss(options->pid);
        if (open_all(&idle))
            result->connections = idle.net.ready;
        result->rss_after = process_rss(options->pid);
        result->seconds = (double)(net_clock_ns() - start) / 1e9;
    }
    if (!idle.conns)
        net_fail(&idle.net, "out of memory");
    for (uint32_t i = 0; i < idle.count; i++)
        conn_close(&idle.conns[i]);
    snprintf(result->failure, sizeof result->failure, "%s", idle.net.failure);
    net_fini(&idle.net);
    free(idle.conns);
    report_progress_end();
    return !result->failure[0];
}
