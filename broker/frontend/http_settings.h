/*
 * The HTTP side of ws:// listeners: which files, whose browsers, how patient. Filled by config before the shards
 * start, read-only afterwards; any thread.
 */
#ifndef SLUICE_BROKER_HTTP_SETTINGS_H
#define SLUICE_BROKER_HTTP_SETTINGS_H

#include "broker/option.h"

struct http_settings {
    char root[OPTION_STRING_MAX];       /* "": no files are served */
    struct option_list allowed_origins; /* "https://app.example:8443"; "*" is any */
    struct option_list allowed_hosts;   /* "app.example", without port */
    uint64_t handshake_timeout;         /* ms */
    uint64_t ping_interval;             /* ms; 0: none */
};

extern const struct option_table http_options;

#endif
