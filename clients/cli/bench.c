#include "clients/cli/bench.h"

#include <stdio.h>

#include "clients/cli/bench_frame.h"
#include "clients/cli/bench_plan.h"
#include "clients/cli/commands.h"
#include "clients/cli/output.h"

enum {
    RELAY_MIXED_MAX = PLAN_RELAY_FRAME_MAX - 128,
    PAYLOAD_MAX = 16 * 1024 * 1024,
    FLOWS_MAX = 16 * 1024 * 1024,
    CLIENTS_MAX = 1000000
};

#define DEFAULT_URL "tcp://127.0.0.1:7400"

#define OPTION(name, arg, type, field, help)                                                                 \
    {                                                                                                        \
        '\0', name, arg, type, offsetof(struct bench_options, field), help, NULL                             \
    }

static const struct cli_option options[] = {
    OPTION("subs", "COUNT", CLI_COUNT, subs, "subscribers"),
    OPTION("pubs", "COUNT", CLI_COUNT, pubs, "publishers"),
    OPTION("pairs", "COUNT", CLI_COUNT, pairs, "publishers with a topic and a subscriber each (pairs)"),
    OPTION("conns", "COUNT", CLI_COUNT, conns, "connections (idle: in all; churn: at a time)"),
    OPTION("subscriptions", "COUNT", CLI_COUNT, subscriptions, "over all subscribers (subs; 10000)"),
    {'\0', "filters", "KIND", CLI_STRING, offsetof(struct bench_options, filters),
     "exact or wildcard: subscriptions of one kind (subs; half of each)", "exact wildcard"},
    OPTION("size", "BYTES", CLI_COUNT, size, "size of a payload, at least 32 (128)"),
    OPTION("window", "COUNT", CLI_COUNT, window, "messages per publisher that somebody may still miss"),
    OPTION("rate", "PER_SECOND", CLI_NUMBER, rate,
           "publish this fast in all, and measure latency; no window"),
    OPTION("stalled", "COUNT", CLI_COUNT, stalled, "further subscribers that never read"),
    OPTION("duration", "SECONDS", CLI_SECONDS, duration, "how long to measure (5)"),
    OPTION("messages", "COUNT", CLI_COUNT, messages, "measure until so many were published and have arrived"),
    OPTION("warmup", "SECONDS", CLI_SECONDS, warmup, "how long before that (1)"),
    OPTION("pid", "PID", CLI_COUNT, pid, "the server's process: its CPU time and memory are shown too"),
    OPTION("json", NULL, CLI_FLAG, json, "one JSON object instead of text"),
};

const struct cli_spec bench_spec = {
    .name = "bench",
    .synopsis = "SCENARIO",
    .summary = "Load a broker and check every delivery.",
    .more =
        "Scenarios:\n"
        "  fanout     1 publisher, 100 subscribers of its topic, window 512\n"
        "  pairs      50 publishers on 50 topics with one subscriber each, window 512\n"
        "  fanin      50 publishers on 50 topics, one subscriber by wildcard, window 512\n"
        "  many       50 publishers and 100 subscribers on one topic, window 8\n"
        "  subs       10,000 subscriptions, exact and wildcard, over 100 subscribers; each message\n"
        "             is for four of them, window 512\n"
        "  latency    5,000 messages/s to 10 subscribers, measured from when each was due\n"
        "  idle       memory of 10,000 connections with one subscription each (needs --pid)\n"
        "  churn      connect, subscribe, leave, 16 at a time\n\n"
        "URLs are tcp://HOST[:PORT], ws://HOST[:PORT] and relay://HOST:PORT, the bare relay of the source\n"
        "tree. The exit code is 1 when any message was lost without a GAP, came twice, out of order or "
        "damaged.\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .connects = true,
    .examples = "  sluice bench fanout\n"
                "  sluice bench fanout --server ws://127.0.0.1:7480 --subs 1000 --pid $(pidof sluiced)\n"
                "  sluice bench latency --rate 20000 --stalled 1 --json\n"
                "  sluice bench idle --conns 10000 --pid $(pidof sluiced)\n",
};

static const struct bench_scenario scenarios[] = {
    {.name = "fanout", .run = load_run, .shape = SHAPE_ALL, .pubs = 1, .subs = 100, .window = 512},
    {.name = "pairs", .run = load_run, .shape = SHAPE_PAIRS, .pairs = 50, .window = 512},
    {.name = "fanin", .run = load_run, .shape = SHAPE_FANIN, .pubs = 50, .subs = 1, .window = 512},
    {.name = "many", .run = load_run, .shape = SHAPE_ALL, .pubs = 50, .subs = 100, .window = 8},
    {.name = "subs",
     .run = load_run,
     .shape = SHAPE_SUBS,
     .pubs = 1,
     .subs = 100,
     .subscriptions = 10000,
     .window = 512},
    {.name = "latency", .run = load_run, .shape = SHAPE_ALL, .pubs = 1, .subs = 10, .rate = 5000},
    {.name = "idle", .run = idle_run, .conns = 10000},
    {.name = "churn", .run = churn_run, .conns = 16},
};

static const struct bench_scenario *find(const char *name)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    return NULL;
}

static void fill_in(uint64_t *value, uint64_t default_value)
{
    if (*value == 0)
        *value = default_value;
}

static void fill_in_defaults(struct bench_options *given, const struct bench_scenario *scenario)
{
    fill_in(&given->subs, scenario->subs);
    fill_in(&given->pubs, scenario->pubs);
    fill_in(&given->pairs, scenario->pairs);
    fill_in(&given->conns, scenario->conns);
    fill_in(&given->subscriptions, scenario->subscriptions);
    fill_in(&given->window, scenario->window);
    if (given->rate == 0)
        given->rate = scenario->rate;
    if (!given->common.url)
        given->common.url = DEFAULT_URL;
}

/* NULL, or what is wrong with the numbers. */
static const char *check_numbers(const struct bench_options *given, const struct bench_scenario *scenario,
                                 bool relay)
{
    uint64_t streams = scenario->shape == SHAPE_PAIRS  ? given->pairs
                       : scenario->shape == SHAPE_SUBS ? given->subscriptions / 4
                                                       : given->pubs;
    uint64_t receivers = scenario->shape == SHAPE_PAIRS ? given->pairs : given->subs;
    if (given->size < STAMP_PAYLOAD_MIN || given->size > PAYLOAD_MAX)
        return "--size must be from 32 to 16777216";
    if (streams > CLIENTS_MAX || receivers > CLIENTS_MAX || given->conns > CLIENTS_MAX ||
        given->stalled > CLIENTS_MAX || given->window > CLIENTS_MAX)
        return "a count is above a million";
    if (streams * receivers > FLOWS_MAX)
        return "publishers times subscribers must stay below 16 million";
    if (scenario->run == idle_run && given->pid == 0)
        return "idle needs the server's --pid";
    if (given->filters && strcmp(given->filters, "exact") != 0 && strcmp(given->filters, "wildcard") != 0)
        return "--filters must be exact or wildcard";
    if (relay && given->pubs > 1 && given->size > RELAY_MIXED_MAX)
        return "the relay mixes the messages of several publishers up to a --size of 32640";
    if (scenario->shape != SHAPE_SUBS)
        return NULL;
    if (relay)
        return "the relay knows no filters";
    return given->subs < 4 || given->subscriptions < 4 || given->pubs > 1
               ? "subs needs 4 subscribers and subscriptions or more, and one publisher"
               : NULL;
}

bool bench_good(const struct bench_result *result)
{
    return !result->failure[0] && (!result->checked || result->verdict.good);
}

static int run(const struct bench_scenario *scenario, struct bench_options *given)
{
    static struct bench_result result;
    struct net_target target;
    char why[200];
    fill_in_defaults(given, scenario);
    if (!net_parse_target(given->common.url, &target, why, sizeof why))
        return cli_usage_error(&bench_spec, "%s", why);
    const char *wrong = check_numbers(given, scenario, target.transport == NET_RELAY);
    if (wrong)
        return cli_usage_error(&bench_spec, "%s", wrong);
    result = (struct bench_result){
        .scenario = scenario, .options = given, .server = given->common.url, .server_cpu_ns = -1};
    scenario->run(scenario, given, &target, &result);
    if (given->json)
        report_json(&result);
    else
        report_text(&result);
    int exit_code = output_finish();
    return bench_good(&result) ? exit_code : CLI_FAILURE;
}

int cmd_bench(int argc, char **argv)
{
    struct bench_options given = {.size = 128, .duration = 5, .warmup = 1};
    int exit_code;
    if (!cli_parse(&bench_spec, &argc, &argv, &given, &exit_code))
        return exit_code;
    if (argc != 1)
        return cli_usage_error(&bench_spec, argc < 1 ? "which scenario?" : "one scenario at a time");
    const struct bench_scenario *scenario = find(argv[0]);
    if (!scenario)
        return cli_usage_error(&bench_spec, "there is no scenario \"%s\"", argv[0]);
    return run(scenario, &given);
}
