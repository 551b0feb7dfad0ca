/*
 * The commands of `sluice`. Each takes argv with its own name in front and returns an enum cli_exit.
 */
#ifndef SLUICE_CLI_COMMANDS_H
#define SLUICE_CLI_COMMANDS_H

#include "clients/cli/cli.h"

int cmd_pub(int argc, char **argv);
int cmd_sub(int argc, char **argv);
int cmd_request(int argc, char **argv);
int cmd_reply(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_completion(int argc, char **argv);

extern const struct cli_spec pub_spec, sub_spec, request_spec, reply_spec, bench_spec, completion_spec;

struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
    const struct cli_spec *spec;
};
extern const struct command commands[];
extern const size_t command_count;

#endif
