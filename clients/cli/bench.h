/*
 * `sluice bench`: what its scenarios share. A scenario connects, loads the server for a while, checks everything that
 * was delivered and fills in one struct bench_result. Single-threaded; one scenario per process.
 */
#ifndef SLUICE_BENCH_H
#define SLUICE_BENCH_H

#include "clients/cli/bench_histogram.h"
#include "clients/cli/bench_ledger.h"
#include "clients/cli/bench_net.h"
#include "clients/cli/cli.h"

struct bench_options {
    struct cli_common common; /* first */
    /* 0 where the scenario's own default is meant, until bench.c has filled it in */
    uint64_t size, window, messages, subs, pubs, pairs, conns, subscriptions, stalled, pid;
    double rate, duration, warmup;
    const char *filters; /* "exact", "wildcard" or NULL: both */
    bool json;
};

enum bench_shape { SHAPE_ALL, SHAPE_PAIRS, SHAPE_FANIN, SHAPE_SUBS };

struct bench_result;

struct bench_scenario {
    const char *name;
    bool (*run)(const struct bench_scenario *, const struct bench_options *, const struct net_target *,
                struct bench_result *);
    enum bench_shape shape;
    uint64_t pubs, subs, pairs, window, conns, subscriptions; /* defaults; 0: does not apply */
    double rate; /* messages per second; 0: as the window allows */
};

struct bench_result {
    const struct bench_scenario *scenario;
    const struct bench_options *options;
    const char *server;
    double seconds;                   /* measured */
    uint64_t published, delivered;    /* while measuring */
    double server_cpu_ns, own_cpu_ns; /* while measuring; server_cpu_ns is negative when not known */
    uint64_t rss_before, rss_after;   /* bytes of the server; idle only */
    uint64_t cycles;                  /* churn only */
    uint64_t connections;             /* idle only */
    bool checked;                     /* verdict holds */
    struct verdict verdict;
    struct histogram latency; /* count 0: not measured */
    char failure[256];        /* "" when it ran to its end */
};

/* The scenarios' run functions. False with result->failure set when it could not run to its end. */
bool load_run(const struct bench_scenario *, const struct bench_options *, const struct net_target *,
              struct bench_result *);
bool idle_run(const struct bench_scenario *, const struct bench_options *, const struct net_target *,
              struct bench_result *);
bool churn_run(const struct bench_scenario *, const struct bench_options *, const struct net_target *,
               struct bench_result *);

/* Whether the result is one that may be believed: it ran to its end and all was delivered as it should be. */
bool bench_good(const struct bench_result *result);

/* bench_report.c */
/* "what: done of of unit, per_second/s" on a terminal; per_second 0: not known. */
void report_progress(const struct bench_options *options, const char *what, double done, double of,
                     const char *unit, double per_second);
void report_progress_end(void);
void report_text(const struct bench_result *result);
void report_json(const struct bench_result *result);

#endif
