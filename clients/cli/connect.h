/*
 * The connection of a command: made from the common options, its troubles told in plain words on stderr, and ended
 * by SIGINT or SIGTERM (a second one kills). One at a time.
 */
#ifndef SLUICE_CLI_CONNECT_H
#define SLUICE_CLI_CONNECT_H

#include <sluice.h>

#include "clients/cli/cli.h"

/* NULL after having explained why. close with connect_close(). `common` is borrowed until then. */
struct sluice *connect_open(const struct cli_common *common);
void connect_close(struct sluice *client);
/* Whether SIGINT or SIGTERM has come; every blocking call then returned SLUICE_INTERRUPTED. */
bool connect_interrupted(void);
/* Calls `live(arg)` whenever the retained values of one filter have all been received. */
void connect_on_live(void (*live)(void *arg), void *arg);
/* Explains the last failure of `what` ("cannot publish to a/b") and returns the exit code for it. */
int connect_explain(struct sluice *client, const char *what, const char *object);
/* Serves the connection until `fd` can be read: SLUICE_OK, or SLUICE_INTERRUPTED or SLUICE_CLOSED first. */
enum sluice_status connect_wait_readable(struct sluice *client, int fd);

#endif
