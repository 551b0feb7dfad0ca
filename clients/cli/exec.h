/*
 * Runs a shell command on a payload: payload on its standard input, its standard output is the result. The
 * connection stays served meanwhile. One command at a time.
 */
#ifndef SLUICE_CLI_EXEC_H
#define SLUICE_CLI_EXEC_H

#include <sluice.h>

enum { EXEC_OUTPUT_BYTES_MAX = 16 << 20 };

struct exec_result {
    char *output; /* owns; free() it */
    size_t len;
    int exit_status; /* of the command; 128 + n when signal n ended it */
    bool cut;        /* there was more than EXEC_OUTPUT_BYTES_MAX; the rest is lost */
};

/* SLUICE_TOPIC is set in the command's environment. False, explained, when it could not be started; nothing to
 * free then. */
bool exec_run(struct sluice *client, const char *command, const struct sluice_message *message,
              struct exec_result *result);

#endif
