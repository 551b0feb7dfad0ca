/*
 * sluice: the broker's command line. Picks the command; everything else is the command's.
 */
#include <signal.h>
#include <sluice.h>
#include <stdio.h>
#include <string.h>

#include "clients/cli/commands.h"
#include "clients/cli/output.h"

const struct command commands[] = {
    {"pub", "publish messages", cmd_pub, &pub_spec},
    {"sub", "print the messages of topics", cmd_sub, &sub_spec},
    {"request", "publish a request and print the reply", cmd_request, &request_spec},
    {"reply", "answer requests", cmd_reply, &reply_spec},
    {"bench", "load a broker and check every delivery", cmd_bench, &bench_spec},
    {"completion", "print a completion script for bash, zsh or fish", cmd_completion, &completion_spec},
};
const size_t command_count = sizeof commands / sizeof commands[0];

static int help(FILE *out)
{
    fprintf(out, "Usage: sluice COMMAND [OPTION]... [ARGUMENT]...\n\n"
                 "The command line of Sluice, a real-time publish/subscribe broker.\n\nCommands:\n");
    for (size_t i = 0; i < command_count; i++)
        fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].summary);
    fprintf(out,
            "\nsluice COMMAND --help explains a command and shows examples.\n\n"
            "Environment: SLUICE_URL (" SLUICE_DEFAULT_URL "), SLUICE_USER, SLUICE_PASSWORD, SLUICE_TOKEN,\n"
            "NO_COLOR. Exit codes: 0 success, 1 failure, 2 wrong usage, 27 time ran out.\n");
    return out == stdout ? output_finish() : CLI_USAGE;
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < command_count; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* `sluice help pub` is `sluice pub --help`. */
static int help_on(const char *name)
{
    const struct command *command = find(name);
    if (!command) {
        output_error("there is no command \"%s\"", name);
        return help(stderr);
    }
    char flag[] = "--help";
    char *argv[] = {(char *)name, flag, NULL};
    return command->run(2, argv);
}

static bool is_one_of(const char *text, const char *a, const char *b)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0;
}

int main(int argc, char **argv)
{
    output_init();
    signal(SIGPIPE, SIG_IGN); /* a reader that has gone is an error of write(), and an ordinary end */
    if (argc < 2)
        return help(stderr);
    if (is_one_of(argv[1], "--version", "-V")) {
        printf("sluice %s\n", sluice_version());
        return output_finish();
    }
    if (is_one_of(argv[1], "--help", "-h"))
        return help(stdout);
    if (strcmp(argv[1], "help") == 0)
        return argc > 2 ? help_on(argv[2]) : help(stdout);
    const struct command *command = find(argv[1]);
    if (command)
        return command->run(argc - 1, argv + 1);
    output_error("there is no command \"%s\"", argv[1]);
    return help(stderr);
}
