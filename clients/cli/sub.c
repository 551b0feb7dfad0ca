#include <string.h>
#include <time.h>

#include "clients/cli/commands.h"
#include "clients/cli/connect.h"
#include "clients/cli/format.h"
#include "clients/cli/output.h"

struct sub {
    struct cli_common common; /* first */
    uint64_t count;           /* 0: no end */
    double wait_s;            /* 0: no end */
    const char *template;
    bool json, no_newline, independent, retained_only;
    const char *policy;
    uint64_t queue;
    double max_hz;
    struct sluice_subscribe_options subscribe;
    struct format format;
    uint64_t until_ms; /* of the monotonic clock */
    uint64_t received;
    struct sluice *client;        /* borrows */
    unsigned snapshots, finished; /* filters whose retained values come, and those of which all have come */
    bool waiting;                 /* inside a blocking call that may be interrupted for that */
};

static const struct cli_option options[] = {
    {'C', "count", "COUNT", CLI_COUNT, offsetof(struct sub, count), "end after COUNT messages", NULL},
    {'W', "wait", "SECONDS", CLI_SECONDS, offsetof(struct sub, wait_s),
     "end after SECONDS, with exit code 27", NULL},
    {'F', "format", "TEMPLATE", CLI_STRING, offsetof(struct sub, template),
     "how to print a message, see above", NULL},
    {'N', "no-newline", NULL, CLI_FLAG, offsetof(struct sub, no_newline), "add no newline to a message",
     NULL},
    {'j', "json", NULL, CLI_FLAG, offsetof(struct sub, json), "print one JSON object per line", NULL},
    {'\0', "policy", "POLICY", CLI_STRING, offsetof(struct sub, policy),
     "what the broker does when this reader is slow", "drop_oldest drop_newest conflate disconnect block"},
    {'\0', "queue", "COUNT", CLI_COUNT, offsetof(struct sub, queue), "messages that may wait for this reader",
     NULL},
    {'\0', "max-hz", "PER_SECOND", CLI_NUMBER, offsetof(struct sub, max_hz),
     "at most so many per topic or key, newest wins", NULL},
    {'\0', "tag", NULL, CLI_FLAG, offsetof(struct sub, independent),
     "an own copy for each FILTER, also where they overlap", NULL},
    {'\0', "retained-only", NULL, CLI_FLAG, offsetof(struct sub, retained_only),
     "print the values retained so far and end", NULL},
};

const struct cli_spec sub_spec = {
    .name = "sub",
    .synopsis = "FILTER...",
    .summary = "Print the messages of the topics that match.",
    .more = "In a FILTER + stands for one level and # for all the rest. Lost messages are told on standard "
            "error.\n"
            "\n"
            "TEMPLATE:  %t topic  %p payload  %x payload in hex  %l payload bytes  %k key  %h headers\n"
            "           %j JSON  %r 1 if retained, else 0\n"
            "           %I time, ISO 8601  %U time, seconds since 1970  %% %  \\n \\t \\r \\0 \\\\\n"
            "-v without a template prints the topic in front of the payload.\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .connects = true,
    .examples = "  sluice sub room/1\n"
                "  sluice sub -v 'room/#' 'alarm/+/fire'\n"
                "  sluice sub -C 1 -W 5 sensors/door           (exit code 27 when nothing came)\n"
                "  sluice sub --format '%I %t %p' 'logs/#'\n"
                "  sluice sub --policy conflate --max-hz 2 'metrics/#'\n"
                "  sluice sub --retained-only -v 'config/#'\n"
                "  sluice sub --json 'orders/#' | jq .payload\n",
};

/* ---- arguments ------------------------------------------------------------------------------------------ */

static bool check_policy(struct sub *sub, int *exit_code)
{
    if (!sub->policy || sluice_policy_parse(sub->policy, &sub->subscribe.policy))
        return true;
    *exit_code = cli_usage_error(&sub_spec,
                                 "--policy: \"%s\" is none of drop_oldest, drop_newest, conflate, "
                                 "disconnect, block",
                                 sub->policy);
    return false;
}

static bool check_format(struct sub *sub, int *exit_code)
{
    const char *fallback = sub->json ? "%j" : sub->common.verbose ? "%t %p" : "%p";
    const char *bad;
    sub->format.template = sub->template ? sub->template : fallback;
    sub->format.no_newline = sub->no_newline;
    if (format_check(sub->format.template, &bad))
        return true;
    *exit_code = cli_usage_error(&sub_spec, "--format: there is no \"%.2s\"", bad);
    return false;
}

static bool check_arguments(struct sub *sub, int argc, int *exit_code)
{
    if (argc < 1) {
        *exit_code = cli_usage_error(&sub_spec, "which topics?");
        return false;
    }
    if (sub->queue > UINT32_MAX) {
        *exit_code = cli_usage_error(&sub_spec, "--queue: that is too many");
        return false;
    }
    sub->subscribe.queue = (uint32_t)sub->queue;
    sub->subscribe.max_hz = sub->max_hz;
    sub->subscribe.independent = sub->independent;
    return check_policy(sub, exit_code) && check_format(sub, exit_code);
}

/* ---- receiving ------------------------------------------------------------------------------------------ */

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t time_left_ms(const struct sub *sub)
{
    if (sub->wait_s == 0)
        return UINT64_MAX;
    uint64_t now = now_ms();
    return sub->until_ms > now ? sub->until_ms - now : 0;
}

static bool all_retained(const struct sub *sub)
{
    return sub->retained_only && sub->finished >= sub->snapshots;
}

static void on_live(void *arg)
{
    struct sub *sub = arg;
    sub->finished++;
    if (sub->waiting && all_retained(sub))
        sluice_interrupt(sub->client);
}

/* Prints what has come without waiting, so that a burst is written in large pieces, then flushes and waits. */
static enum sluice_status next(struct sluice *client, struct sub *sub, struct sluice_message *message)
{
    enum sluice_status status = sluice_next(client, 0, message);
    if (status != SLUICE_TIMEOUT || all_retained(sub))
        return status;
    if (!output_flush())
        return SLUICE_IO;
    sub->waiting = true;
    status = sluice_next(client, time_left_ms(sub), message);
    sub->waiting = false;
    if (status == SLUICE_INTERRUPTED && all_retained(sub) && !connect_interrupted())
        status = sluice_next(client, 0, message);
    return status;
}

static int receive(struct sluice *client, struct sub *sub)
{
    struct sluice_message message;
    enum sluice_status status = SLUICE_OK;
    while (sub->count == 0 || sub->received < sub->count) {
        status = sub->wait_s > 0 && time_left_ms(sub) == 0 ? SLUICE_TIMEOUT : next(client, sub, &message);
        if (status != SLUICE_OK)
            break;
        if (sub->retained_only && !message.retained)
            continue;
        format_print(stdout, &sub->format, &message);
        sub->received++;
        if (ferror(stdout))
            break;
    }
    int written = output_finish();
    if (written != CLI_OK || output_reader_gone())
        return written;
    if (status == SLUICE_TIMEOUT)
        return all_retained(sub) ? CLI_OK : CLI_TIMEOUT;
    if (status == SLUICE_CLOSED)
        return connect_explain(client, "the connection has", "ended");
    return CLI_OK;
}

static int run(struct sluice *client, struct sub *sub, int argc, char **argv)
{
    sub->until_ms = now_ms() + (uint64_t)(sub->wait_s * 1000);
    sub->client = client;
    connect_on_live(on_live, sub);
    for (int i = 0; i < argc; i++) {
        struct sluice_granted granted = {0};
        if (sluice_subscribe(client, argv[i], &sub->subscribe, NULL, &granted) != SLUICE_OK)
            return connect_explain(client, "cannot subscribe to", argv[i]);
        sub->snapshots += granted.retained;
    }
    if (sub->common.verbose)
        output_notice("subscribed");
    return receive(client, sub);
}

int cmd_sub(int argc, char **argv)
{
    struct sub sub = {0};
    int exit_code;
    if (!cli_parse(&sub_spec, &argc, &argv, &sub, &exit_code) || !check_arguments(&sub, argc, &exit_code))
        return exit_code;
    struct sluice *client = connect_open(&sub.common);
    if (!client)
        return CLI_FAILURE;
    exit_code = run(client, &sub, argc, argv);
    connect_close(client);
    return exit_code;
}
