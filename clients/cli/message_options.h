/*
 * The options that say what travels with a payload, shared by pub and request.
 */
#ifndef SLUICE_CLI_MESSAGE_OPTIONS_H
#define SLUICE_CLI_MESSAGE_OPTIONS_H

#include <sluice.h>

#include "clients/cli/cli.h"

struct message_options {
    struct cli_list headers; /* "name=value" */
    double ttl_s;            /* 0: none */
    bool retain;
    const char *key, *content_type, *reply;
};

/* Rows for a table of struct `type`, which has a struct message_options as its member `member`. */
#define MESSAGE_OPTION_ROWS(type, member)                                                                    \
    {'H', "header", "NAME=VALUE", CLI_LIST, offsetof(type, member.headers), "add a header; may be repeated", \
     NULL},                                                                                                  \
        {'\0',                                                                                               \
         "ttl",                                                                                              \
         "SECONDS",                                                                                          \
         CLI_SECONDS,                                                                                        \
         offsetof(type, member.ttl_s),                                                                       \
         "drop it when it was not delivered by then",                                                        \
         NULL},                                                                                              \
        {'k', "key", "TEXT", CLI_STRING, offsetof(type, member.key), "key for conflation", NULL},            \
    {                                                                                                        \
        '\0', "content-type", "TYPE", CLI_STRING, offsetof(type, member.content_type),                       \
            "content type, text/plain for example", NULL                                                     \
    }

/* Fills all of *publish but topic and payload; headers (CLI_LIST_MAX of them) is where the header list is built.
 * False for a header without '=', after having explained it; *exit_code is set. */
bool message_options_apply(const struct message_options *options, const struct cli_spec *spec,
                           struct sluice_header headers[CLI_LIST_MAX], struct sluice_publish *publish,
                           int *exit_code);

#endif
