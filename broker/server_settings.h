/*
 * Where the broker listens and on how many threads it runs. Filled by config before the shards start, read-only
 * afterwards; any thread.
 */
#ifndef SLUICE_BROKER_SERVER_SETTINGS_H
#define SLUICE_BROKER_SERVER_SETTINGS_H

#include "broker/option.h"

enum { SERVER_SHARDS_MAX = 64 };

struct server_settings {
    struct option_list listen; /* URLs; the listener judges them */
    uint64_t shards;           /* 0: one per core */
};

extern const struct option_table server_options;

#endif
