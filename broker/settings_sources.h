/*
 * Where the settings of a run come from besides their defaults. Filled from the command line; main thread.
 */
#ifndef SLUICE_BROKER_SETTINGS_SOURCES_H
#define SLUICE_BROKER_SETTINGS_SOURCES_H

#include <stddef.h>

enum { SETTINGS_SETS_MAX = 256 };

/* In rising precedence; all borrowed. */
struct settings_sources {
    const char *file; /* NULL: none */
    char **environ;
    const char *sets[SETTINGS_SETS_MAX]; /* "limits.max_payload=64KiB" */
    size_t set_count;
};

#endif
