/*
 * What the sources of configuration (file, environment, --set) share: finding a key among all tables, and saying
 * what is wrong. Private to broker/config*.c; main thread.
 */
#ifndef SLUICE_BROKER_CONFIG_LOOKUP_H
#define SLUICE_BROKER_CONFIG_LOOKUP_H

#include "broker/config.h"

/* A row of a bound table and its place among all rows of all tables. */
struct config_key {
    const struct option *row;
    void *settings; /* borrows */
    size_t index;
};

enum { CONFIG_NAME_MAX = 128 }; /* of a key or its environment variable, NUL included */

/* Steps through all rows in order; start with {0}. False at the end. */
struct config_walk {
    size_t binding, row, index;
    struct config_key key;
};
bool config_next(const struct config *config, struct config_walk *walk);

bool config_find(const struct config *config, const char *name, struct config_key *out);
/* Whether some key lies below the name: "limits" of "limits.max_payload". */
bool config_has_section(const struct config *config, const char *name);
/* The known key that a mistyped one may have meant, or NULL. */
const char *config_nearest(const struct config *config, const char *name);

/* "limits.max_payload" becomes "SLUICE_LIMITS_MAX_PAYLOAD". */
void config_env_name(const char *name, char out[CONFIG_NAME_MAX]);

/* Fills the error as "WHERE: TEXT" and returns ERR_CONFIG. */
__attribute__((format(printf, 3, 4))) enum err config_fail(struct config_error *error, const char *where,
                                                           const char *format, ...);
enum err config_fail_unknown(const struct config *config, struct config_error *error, const char *where,
                             const char *name);
/* Parses a value and names place and key in what goes wrong. */
enum err config_assign(const struct config_key *key, const char *text, const char *where,
                       struct config_error *error);

#endif
