/*
 * Who may come in. Filled by config before the shards start, read-only afterwards; any thread.
 */
#ifndef SLUICE_BROKER_AUTH_SETTINGS_H
#define SLUICE_BROKER_AUTH_SETTINGS_H

#include "broker/option.h"

struct auth_settings {
    bool allow_anonymous;
};

extern const struct option_table auth_options;

#endif
