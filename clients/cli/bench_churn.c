/* What a short visit costs: connect, greet, subscribe, leave, again and again, a few at a time. */
#include <stdio.h>
#include <stdlib.h>

#include "clients/cli/bench_plan.h"
#include "clients/cli/bench_process.h"

enum {
    PER_SOURCE = 4096, /* visits from one address before the next takes its turn ... */
    SOURCES = 200      /* ... so that a port is free again when it is needed */
};

struct churn {
    const struct bench_options *options;
    struct net net;
    struct conn *conns; /* owns */
    uint64_t started, finished;
};

static void visit(struct churn *churn, struct conn *conn)
{
    char filter[PLAN_NAME_BYTES];
    struct wire_buf greeting;
    snprintf(filter, sizeof filter, "bench/%08x/%06u", churn->net.run, (uint32_t)(churn->started % 1000000));
    uint32_t answers =
        plan_greet_single(churn->options, churn->net.target.transport == NET_RELAY, filter, &greeting);
    conn->receiver = UINT32_MAX;
    churn->net.source = 2 + (uint32_t)(churn->started / PER_SOURCE % SOURCES);
    churn->started++;
    conn_open(conn, &churn->net, &greeting, answers, false);
}

static void leave(struct conn *conn)
{
    struct churn *churn = conn->net->context;
    conn_close(conn);
    churn->finished++;
}

static bool churn_for(struct churn *churn, const char *what, double seconds)
{
    uint64_t start = net_clock_ns(), finished = churn->finished;
    uint64_t until = start + (uint64_t)(seconds * 1e9), show = start;
    while (churn->net.now_ns < until) {
        for (uint64_t i = 0; i < churn->options->conns; i++)
            if (churn->conns[i].state == CONN_CLOSED && !churn->net.failure[0])
                visit(churn, &churn->conns[i]);
        if (!net_turn(&churn->net, 1000))
            return false;
        if (churn->net.now_ns < show)
            continue;
        show = churn->net.now_ns + 250000000;
        double done = (double)(churn->net.now_ns - start) / 1e9;
        report_progress(churn->options, what, done, seconds, "s",
                        (double)(churn->finished - finished) / done);
    }
    return true;
}

static void measure(struct churn *churn, struct bench_result *result)
{
    uint64_t finished = churn->finished, start = net_clock_ns();
    double server_cpu_ns = process_cpu_ns(churn->options->pid), own_cpu_ns = process_own_cpu_ns();
    if (!churn_for(churn, "churn", churn->options->duration))
        return;
    double server_end = process_cpu_ns(churn->options->pid);
    result->cycles = churn->finished - finished;
    result->seconds = (double)(net_clock_ns() - start) / 1e9;
    result->own_cpu_ns = process_own_cpu_ns() - own_cpu_ns;
    result->server_cpu_ns = server_cpu_ns >= 0 && server_end >= 0 ? server_end - server_cpu_ns : -1;
    if (result->cycles == 0)
        net_fail(&churn->net, "not one visit came to its end");
}

bool churn_run(const struct bench_scenario *scenario, const struct bench_options *options,
               const struct net_target *target, struct bench_result *result)
{
    struct churn churn = {.options = options};
    (void)scenario;
    churn.conns = calloc(options->conns, sizeof *churn.conns);
    if (net_init(&churn.net, target, NULL) && churn.conns) {
        churn.net.on_ready = leave;
        churn.net.context = &churn;
        if (churn_for(&churn, "warm-up", options->warmup))
            measure(&churn, result);
        for (uint64_t i = 0; i < options->conns; i++)
            conn_close(&churn.conns[i]);
    }
    if (!churn.conns)
        net_fail(&churn.net, "out of memory");
    snprintf(result->failure, sizeof result->failure, "%s", churn.net.failure);
    net_fini(&churn.net);
    free(churn.conns);
    report_progress_end();
    return !result->failure[0];
}
