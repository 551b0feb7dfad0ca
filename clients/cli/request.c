#include <string.h>
#include <unistd.h>

#include "clients/cli/commands.h"
#include "clients/cli/connect.h"
#include "clients/cli/format.h"
#include "clients/cli/input.h"
#include "clients/cli/message_options.h"
#include "clients/cli/output.h"

struct request {
    struct cli_common common; /* first */
    struct message_options message;
    double wait_s;
    const char *template;
    bool json, no_newline;
    struct format format;
    struct sluice_publish publish;
    struct sluice_header headers[CLI_LIST_MAX];
};

static const struct cli_option options[] = {
    {'W', "wait", "SECONDS", CLI_SECONDS, offsetof(struct request, wait_s),
     "how long to wait (5), then exit code 27", NULL},
    {'F', "format", "TEMPLATE", CLI_STRING, offsetof(struct request, template),
     "how to print the reply, see sluice sub --help", NULL},
    {'N', "no-newline", NULL, CLI_FLAG, offsetof(struct request, no_newline), "add no newline", NULL},
    {'j', "json", NULL, CLI_FLAG, offsetof(struct request, json), "print the reply as JSON", NULL},
    MESSAGE_OPTION_ROWS(struct request, message),
};

const struct cli_spec request_spec = {
    .name = "request",
    .synopsis = "TOPIC [PAYLOAD|-]",
    .summary = "Publish a request and print the first reply.",
    .more = "Exit code 1 when nobody is subscribed to TOPIC, 27 when no reply came in time.\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .connects = true,
    .examples = "  sluice request math/add '2 3'\n"
                "  sluice request -W 0.5 health/db ping\n"
                "  sluice request --json users/get - < query.json\n",
};

static int run(struct sluice *client, struct request *request, const char *topic)
{
    struct sluice_message reply;
    uint64_t wait_ms = (uint64_t)(request->wait_s * 1000);
    enum sluice_status status = sluice_request(client, &request->publish, wait_ms, &reply);
    if (status == SLUICE_OK)
        format_print(stdout, &request->format, &reply);
    if (status == SLUICE_INTERRUPTED)
        return CLI_FAILURE;
    return status == SLUICE_OK ? output_finish() : connect_explain(client, "no reply from", topic);
}

static bool check_arguments(struct request *request, int argc, int *exit_code)
{
    const char *bad;
    request->format.template = request->template ? request->template : request->json ? "%j" : "%p";
    request->format.no_newline = request->no_newline;
    if (argc < 1 || argc > 2)
        *exit_code = cli_usage_error(&request_spec, argc < 1 ? "which topic?" : "too many arguments");
    else if (!format_check(request->format.template, &bad))
        *exit_code = cli_usage_error(&request_spec, "--format: there is no \"%.2s\"", bad);
    else
        return true;
    return false;
}

int cmd_request(int argc, char **argv)
{
    struct request request = {.wait_s = 5};
    struct input input;
    int exit_code;
    if (!cli_parse(&request_spec, &argc, &argv, &request, &exit_code) ||
        !check_arguments(&request, argc, &exit_code) ||
        !message_options_apply(&request.message, &request_spec, request.headers, &request.publish,
                               &exit_code))
        return exit_code;
    input_init(&input, STDIN_FILENO);
    request.publish.topic = sluice_str(argv[0]);
    request.publish.payload = sluice_str(argc > 1 ? argv[1] : "");
    if (argc > 1 && strcmp(argv[1], "-") == 0 && !input_all(&input, &request.publish.payload))
        return CLI_FAILURE;
    struct sluice *client = connect_open(&request.common);
    exit_code = client ? run(client, &request, argv[0]) : CLI_FAILURE;
    if (client)
        connect_close(client);
    input_fini(&input);
    return exit_code;
}
