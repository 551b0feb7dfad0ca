#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clients/cli/commands.h"
#include "clients/cli/connect.h"
#include "clients/cli/input.h"
#include "clients/cli/message_options.h"
#include "clients/cli/output.h"

enum { FLUSH_MS = 10000 };

struct pub {
    struct cli_common common; /* first */
    struct message_options message;
    bool lines;
    uint64_t repeat;
    double rate; /* per second; 0: as fast as it goes */
    struct sluice_publish publish;
    struct sluice_header headers[CLI_LIST_MAX];
    struct timespec started;
    uint64_t sent;
};

static const struct cli_option options[] = {
    {'l', "lines", NULL, CLI_FLAG, offsetof(struct pub, lines), "publish each line of standard input", NULL},
    {'n', "repeat", "COUNT", CLI_COUNT, offsetof(struct pub, repeat), "publish it COUNT times", NULL},
    {'r', "rate", "PER_SECOND", CLI_NUMBER, offsetof(struct pub, rate), "publish no faster than this", NULL},
    {'\0', "retain", NULL, CLI_FLAG, offsetof(struct pub, message.retain),
     "keep it as the topic's value for later subscribers; empty: forget it", NULL},
    MESSAGE_OPTION_ROWS(struct pub, message),
    {'\0', "reply", "TOPIC", CLI_STRING, offsetof(struct pub, message.reply), "where answers should go",
     NULL},
};

const struct cli_spec pub_spec = {
    .name = "pub",
    .synopsis = "TOPIC [PAYLOAD|-]",
    .summary = "Publish messages and wait until the broker has taken them.",
    .more = "PAYLOAD - is all of standard input; without PAYLOAD the message is empty.\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .connects = true,
    .examples = "  sluice pub room/1 'hello'\n"
                "  sluice pub config/site - < site.json\n"
                "  tail -f /var/log/syslog | sluice pub -l logs/syslog\n"
                "  sluice pub -n 1000 --rate 50 load/test x\n"
                "  sluice pub --retain room/1/topic 'Lunch?'       (and without 'Lunch?' to clear it)\n"
                "  sluice pub --header lang=en --ttl 30 --key door-7 alarm/door open\n",
};

/* ---- pace ----------------------------------------------------------------------------------------------- */

static double seconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

/* Waits for the moment of the next message: by count from the start, so that delays do not add up. */
static enum sluice_status keep_pace(struct sluice *client, const struct pub *pub)
{
    if (pub->rate == 0)
        return SLUICE_OK;
    double wait_s = (double)pub->sent / pub->rate - seconds_since(&pub->started);
    return wait_s > 0 ? sluice_run(client, (uint64_t)ceil(wait_s * 1000)) : SLUICE_OK;
}

/* ---- sending -------------------------------------------------------------------------------------------- */

static bool send_one(struct sluice *client, struct pub *pub)
{
    if (connect_interrupted() || keep_pace(client, pub) != SLUICE_OK)
        return false;
    if (sluice_send(client, &pub->publish) != SLUICE_OK)
        return false;
    pub->sent++;
    return true;
}

/* False when it ended early; sluice_last_error() or a message on stderr says why. */
static bool send_lines(struct sluice *client, struct pub *pub, int *exit_code)
{
    struct input input;
    input_init(&input, STDIN_FILENO);
    enum input_result result;
    bool good = true;
    while (good && (result = input_line(&input, client, &pub->publish.payload)) == INPUT_LINE)
        for (uint64_t i = 0; i < pub->repeat && good; i++)
            good = send_one(client, pub);
    input_fini(&input);
    if (good && result == INPUT_FAILED)
        *exit_code = CLI_FAILURE;
    return good && result == INPUT_END;
}

static bool send_payload(struct sluice *client, struct pub *pub)
{
    bool good = true;
    for (uint64_t i = 0; i < pub->repeat && good; i++)
        good = send_one(client, pub);
    return good;
}

static int run(struct sluice *client, struct pub *pub, const char *topic)
{
    int exit_code = CLI_OK;
    clock_gettime(CLOCK_MONOTONIC, &pub->started);
    bool complete = pub->lines ? send_lines(client, pub, &exit_code) : send_payload(client, pub);
    if (!complete && exit_code == CLI_OK && !connect_interrupted())
        exit_code = connect_explain(client, "cannot publish to", topic);
    if (sluice_flush(client, FLUSH_MS) != SLUICE_OK && exit_code == CLI_OK)
        exit_code = connect_explain(client, "cannot publish to", topic);
    if (pub->common.verbose)
        output_notice("%llu message%s published to %s", (unsigned long long)pub->sent,
                      pub->sent == 1 ? "" : "s", topic);
    return exit_code;
}

static bool check_arguments(struct pub *pub, int argc, int *exit_code)
{
    int most = pub->lines ? 1 : 2;
    if (argc >= 1 && argc <= most)
        return true;
    *exit_code = cli_usage_error(&pub_spec, argc < 1     ? "which topic?"
                                            : pub->lines ? "with -l there is no PAYLOAD"
                                                         : "too many arguments");
    return false;
}

int cmd_pub(int argc, char **argv)
{
    struct pub pub = {.repeat = 1};
    struct input input;
    int exit_code;
    if (!cli_parse(&pub_spec, &argc, &argv, &pub, &exit_code) || !check_arguments(&pub, argc, &exit_code) ||
        !message_options_apply(&pub.message, &pub_spec, pub.headers, &pub.publish, &exit_code))
        return exit_code;
    input_init(&input, STDIN_FILENO);
    pub.publish.topic = sluice_str(argv[0]);
    pub.publish.payload = sluice_str(argc > 1 ? argv[1] : "");
    if (argc > 1 && strcmp(argv[1], "-") == 0 && !input_all(&input, &pub.publish.payload))
        return CLI_FAILURE;
    struct sluice *client = connect_open(&pub.common);
    exit_code = client ? run(client, &pub, argv[0]) : CLI_FAILURE;
    if (client)
        connect_close(client);
    input_fini(&input);
    return exit_code;
}
