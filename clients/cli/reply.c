#include <stdlib.h>
#include <string.h>

#include "clients/cli/commands.h"
#include "clients/cli/connect.h"
#include "clients/cli/exec.h"
#include "clients/cli/output.h"

enum { FLUSH_MS = 5000 };

struct reply {
    struct cli_common common; /* first */
    const char *command;
    bool echo;
    uint64_t count;   /* 0: no end */
    const char *text; /* NULL with the others */
    uint64_t answered;
};

static const struct cli_option options[] = {
    {'e', "exec", "COMMAND", CLI_STRING, offsetof(struct reply, command),
     "answer with what this shell command prints", NULL},
    {'\0', "echo", NULL, CLI_FLAG, offsetof(struct reply, echo), "answer with the request's own payload",
     NULL},
    {'C', "count", "COUNT", CLI_COUNT, offsetof(struct reply, count), "end after COUNT answers", NULL},
};

const struct cli_spec reply_spec = {
    .name = "reply",
    .synopsis = "FILTER (--exec COMMAND | --echo | TEXT)",
    .summary = "Answer requests, one at a time.",
    .more = "COMMAND gets the payload on its standard input and the topic in SLUICE_TOPIC.\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .connects = true,
    .examples = "  sluice reply math/add --exec 'read a b; echo $((a + b))'\n"
                "  sluice reply 'health/+' ok\n"
                "  sluice reply test/echo --echo\n",
};

static bool answer(struct sluice *client, struct reply *reply, const struct sluice_message *request,
                   struct sluice_bytes payload)
{
    struct sluice_publish publish = sluice_reply_to(request, payload);
    if (sluice_send(client, &publish) != SLUICE_OK)
        return false;
    reply->answered++;
    return true;
}

static bool answer_by_command(struct sluice *client, struct reply *reply,
                              const struct sluice_message *request)
{
    struct exec_result result;
    if (!exec_run(client, reply->command, request, &result))
        return true;
    if (result.exit_status != 0)
        output_warning("the command for %.*s ended with %d", (int)request->topic.len,
                       (const char *)request->topic.data, result.exit_status);
    if (result.cut)
        output_warning("the answer to %.*s is cut at %d MiB", (int)request->topic.len,
                       (const char *)request->topic.data, EXEC_OUTPUT_BYTES_MAX >> 20);
    bool sent =
        connect_interrupted() ||
        answer(client, reply, request, sluice_bytes_of(result.output ? result.output : "", result.len));
    free(result.output);
    return sent;
}

/* False when the answer could not be handed over. */
static bool handle(struct sluice *client, struct reply *reply, const struct sluice_message *request)
{
    if (!request->reply.data) {
        if (reply->common.verbose)
            output_notice("%.*s: a message that asks for no reply", (int)request->topic.len,
                          (const char *)request->topic.data);
        return true;
    }
    if (reply->common.verbose)
        output_notice("request on %.*s", (int)request->topic.len, (const char *)request->topic.data);
    if (reply->command)
        return answer_by_command(client, reply, request);
    return answer(client, reply, request, reply->echo ? request->payload : sluice_str(reply->text));
}

static int serve(struct sluice *client, struct reply *reply, const char *filter)
{
    struct sluice_message request;
    while (reply->count == 0 || reply->answered < reply->count) {
        enum sluice_status status = sluice_next(client, UINT64_MAX, &request);
        if (status == SLUICE_INTERRUPTED)
            return CLI_OK;
        if (status != SLUICE_OK)
            return connect_explain(client, "no more requests for", filter);
        if (!handle(client, reply, &request))
            return connect_explain(client, "cannot answer on", filter);
        if (connect_interrupted())
            return CLI_OK;
    }
    return sluice_flush(client, FLUSH_MS) == SLUICE_OK ? CLI_OK
                                                       : connect_explain(client, "cannot answer on", filter);
}

static bool check_arguments(struct reply *reply, int argc, char **argv, int *exit_code)
{
    reply->text = argc > 1 ? argv[1] : NULL;
    int ways = (reply->command != NULL) + reply->echo + (reply->text != NULL);
    if (argc < 1)
        *exit_code = cli_usage_error(&reply_spec, "which topics?");
    else if (argc > 2)
        *exit_code = cli_usage_error(&reply_spec, "too many arguments");
    else if (ways != 1)
        *exit_code = cli_usage_error(&reply_spec, "say one of --exec COMMAND, --echo and TEXT");
    else
        return true;
    return false;
}

int cmd_reply(int argc, char **argv)
{
    struct reply reply = {0};
    int exit_code;
    if (!cli_parse(&reply_spec, &argc, &argv, &reply, &exit_code) ||
        !check_arguments(&reply, argc, argv, &exit_code))
        return exit_code;
    struct sluice *client = connect_open(&reply.common);
    if (!client)
        return CLI_FAILURE;
    if (sluice_subscribe(client, argv[0], NULL, NULL, NULL) != SLUICE_OK) {
        exit_code = connect_explain(client, "cannot subscribe to", argv[0]);
    } else {
        if (!reply.common.quiet)
            output_notice("answering requests on %s", argv[0]);
        exit_code = serve(client, &reply, argv[0]);
    }
    connect_close(client);
    return exit_code;
}
