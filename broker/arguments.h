/*
 * The command line of sluiced. Main thread, at start.
 */
#ifndef SLUICE_BROKER_ARGUMENTS_H
#define SLUICE_BROKER_ARGUMENTS_H

#include "broker/settings_sources.h"

enum arguments_action {
    ARGUMENTS_RUN,
    ARGUMENTS_CHECK_CONFIG,
    ARGUMENTS_PRINT_CONFIG,
    ARGUMENTS_PRINT_REFERENCE,
    ARGUMENTS_DONE, /* --help, --version: printed */
    ARGUMENTS_BAD   /* explained on stderr */
};

struct arguments {
    struct settings_sources sources;
    char listen[4096]; /* "server.listen=URL,URL": what --listen gave; sources refers to it */
    char shards[64];   /* "server.shards=N" */
};

enum arguments_action arguments_parse(struct arguments *out, int argc, char **argv, char **environ);

#endif
