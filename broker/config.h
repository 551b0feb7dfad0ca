/*
 * The one place that sees every option table. Fills the modules' structs from, in rising precedence: the tables'
 * defaults, the YAML file, the environment (SLUICE_LIMITS_MAX_PAYLOAD), --set and the other flags. Main thread,
 * before the shards start and at reload.
 */
#ifndef SLUICE_BROKER_CONFIG_H
#define SLUICE_BROKER_CONFIG_H

#include <stdio.h>

#include "broker/option.h"
#include "proto/err.h"

/* A table bound to the struct instance that it fills. */
struct config_binding {
    const struct option_table *table;
    void *settings; /* borrows */
};

/* A list of topic rules is read by the same loader; see broker/router/topic_rules.h. The loader hands each entry
 * of the top-level sequence `topics` to this hook as key/value strings, in file order; the hook says what is wrong
 * in error->text (without position, the loader adds it). NULL hook: `topics` is an unknown key. */
typedef enum err config_rule_hook(void *context, const struct config_rule_field *fields, size_t count,
                                  struct config_error *error);

struct config {
    const struct config_binding *bindings; /* borrows */
    size_t count;
    config_rule_hook *rule; /* may be NULL */
    void *rule_context;
    void (*print_rules)(void *rule_context, FILE *out); /* prints `topics` for config_print(); may be NULL */
};

/* A file beyond this is refused: it is something else, given by mistake. */
enum { CONFIG_FILE_MAX = 1 << 20 };

/* Sets every bound struct to its table's defaults. A default that does not parse is a bug and asserts. */
void config_defaults(const struct config *config);
/* All of these: ERR_NONE, or ERR_CONFIG with *error filled and the settings partly changed (reload into copies). */
MUST_CHECK enum err config_load_text(const struct config *config, const char *name, const char *text,
                                     size_t len, struct config_error *error);
MUST_CHECK enum err config_load_file(const struct config *config, const char *path,
                                     struct config_error *error);
/* "limits.max_payload=64KiB" */
MUST_CHECK enum err config_set(const struct config *config, const char *assignment,
                               struct config_error *error);
/* Applies SLUICE_* of the environment. A bad value of a known name is an error; an unknown SLUICE_* name is a
 * warning through log_event (orchestrators inject *_PORT and *_SERVICE_*: those are skipped in silence). */
MUST_CHECK enum err config_load_env(const struct config *config, char **environ, struct config_error *error);

/* Takes over into the running settings what a reloaded configuration says, for reloadable rows; a changed row that
 * takes a restart is a warning through log_event. Both bind the same tables in the same order. Returns the number of
 * changed rows that wait for a restart. */
size_t config_adopt(const struct config *running, const struct config *loaded);

/* The whole configuration as a commented YAML file that loads to the same settings. */
void config_print(const struct config *config, FILE *out);
/* docs/configuration.md, from the tables alone. */
void config_print_reference(const struct config *config, FILE *out);

#endif
