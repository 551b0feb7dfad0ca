/*
 * How patient a session is. Filled by config before the shards start, read-only afterwards; any thread.
 */
#ifndef SLUICE_BROKER_SESSION_SETTINGS_H
#define SLUICE_BROKER_SESSION_SETTINGS_H

#include "broker/option.h"

/* All in milliseconds. */
struct session_settings {
    uint64_t hello_timeout;
    uint64_t keepalive;     /* of a client that names none; 0: none */
    uint64_t keepalive_max; /* what a client may ask for at most */
    uint64_t idle_timeout;  /* 0: never */
    uint64_t drain_window;
    uint64_t close_timeout;
};

extern const struct option_table session_options;

/* Whether the rows fit each other. ERR_NONE, or ERR_CONFIG with one line in `text`. */
MUST_CHECK enum err session_settings_validate(const struct session_settings *settings, char *text,
                                              size_t size);

#endif
