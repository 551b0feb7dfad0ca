#include "broker/config.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "broker/config_lookup.h"
#include "broker/log.h"

/* ---- all tables as one list ------------------------------------------------------------------------------ */

bool config_next(const struct config *config, struct config_walk *walk)
{
    while (walk->binding < config->count) {
        const struct config_binding *binding = &config->bindings[walk->binding];
        if (walk->row < binding->table->count) {
            walk->key =
                (struct config_key){&binding->table->rows[walk->row++], binding->settings, walk->index++};
            return true;
        }
        walk->binding++;
        walk->row = 0;
    }
    return false;
}

bool config_find(const struct config *config, const char *name, struct config_key *out)
{
    for (struct config_walk walk = {0}; config_next(config, &walk);) {
        if (strcmp(walk.key.row->name, name) == 0) {
            *out = walk.key;
            return true;
        }
    }
    return false;
}

bool config_has_section(const struct config *config, const char *name)
{
    size_t len = strlen(name);
    for (struct config_walk walk = {0}; config_next(config, &walk);) {
        if (strncmp(walk.key.row->name, name, len) == 0 && walk.key.row->name[len] == '.')
            return true;
    }
    return false;
}

const char *config_nearest(const struct config *config, const char *name)
{
    struct option_nearest nearest = {.typed = name};
    for (struct config_walk walk = {0}; config_next(config, &walk);)
        option_nearest_offer(&nearest, walk.key.row->name);
    for (size_t i = 0; i < config->count; i++)
        option_nearest_offer(&nearest, config->bindings[i].table->module);
    if (config->rule)
        option_nearest_offer(&nearest, "topics");
    return nearest.best;
}

void config_env_name(const char *name, char out[CONFIG_NAME_MAX])
{
    int len = snprintf(out, CONFIG_NAME_MAX, "SLUICE_%s", name);
    assert(len < CONFIG_NAME_MAX);
    for (char *p = out; *p; p++)
        *p = *p == '.' ? '_' : (char)toupper((unsigned char)*p);
}

/* ---- what is wrong --------------------------------------------------------------------------------------- */

enum err config_fail(struct config_error *error, const char *where, const char *format, ...)
{
    size_t len = (size_t)snprintf(error->text, sizeof error->text, "%s: ", where);
    if (len < sizeof error->text) {
        va_list args;
        va_start(args, format);
        vsnprintf(error->text + len, sizeof error->text - len, format, args);
        va_end(args);
    }
    return ERR_CONFIG;
}

enum err config_fail_unknown(const struct config *config, struct config_error *error, const char *where,
                             const char *name)
{
    char quoted[OPTION_QUOTE_TEXT];
    const char *nearest = config_nearest(config, name);
    option_quote(name, quoted);
    if (nearest)
        return config_fail(error, where, "%s is not a known key; did you mean \"%s\"?", quoted, nearest);
    return config_fail(error, where, "%s is not a known key", quoted);
}

enum err config_assign(const struct config_key *key, const char *text, const char *where,
                       struct config_error *error)
{
    struct config_error fault;
    if (option_parse(key->row, key->settings, text, &fault) == ERR_NONE)
        return ERR_NONE;
    return config_fail(error, where, "%s %s", key->row->name, fault.text);
}

/* ---- sources --------------------------------------------------------------------------------------------- */

void config_defaults(const struct config *config)
{
    for (size_t i = 0; i < config->count; i++)
        memset(config->bindings[i].settings, 0, config->bindings[i].table->size);
    for (struct config_walk walk = {0}; config_next(config, &walk);) {
        struct config_error error;
        enum err err = option_parse(walk.key.row, walk.key.settings, walk.key.row->preset, &error);
        assert(err == ERR_NONE);
        (void)err;
    }
}

enum err config_set(const struct config *config, const char *assignment, struct config_error *error)
{
    static const char where[] = "--set";
    char name[CONFIG_NAME_MAX], quoted[OPTION_QUOTE_TEXT];
    size_t len = strcspn(assignment, "=");
    if (assignment[len] == '\0' || len == 0)
        return config_fail(error, where, "needs KEY=VALUE, not %s", option_quote(assignment, quoted));
    snprintf(name, sizeof name, "%.*s", len < sizeof name ? (int)len : (int)sizeof name, assignment);
    if (config->rule && strcmp(name, "topics") == 0)
        return config_fail(error, where, "topics can be set in a file only");
    struct config_key key;
    if (len >= sizeof name || !config_find(config, name, &key))
        return config_fail_unknown(config, error, where, name);
    return config_assign(&key, assignment + len + 1, where, error);
}

static bool find_by_env_name(const struct config *config, const char *name, struct config_key *out)
{
    for (struct config_walk walk = {0}; config_next(config, &walk);) {
        char known[CONFIG_NAME_MAX];
        config_env_name(walk.key.row->name, known);
        if (strcmp(known, name) == 0) {
            *out = walk.key;
            return true;
        }
    }
    return false;
}

/* Names that are not meant for us: what the command line client reads, and what container orchestrators derive from a
 * service called "sluice" (SLUICE_PORT, SLUICE_SERVICE_HOST, SLUICE_PORT_7400_TCP_ADDR). */
static bool is_foreign(const char *name)
{
    static const char *const client[] = {"SLUICE_URL", "SLUICE_USER", "SLUICE_PASSWORD", "SLUICE_TOKEN"};
    for (size_t i = 0; i < sizeof client / sizeof client[0]; i++) {
        if (strcmp(name, client[i]) == 0)
            return true;
    }
    size_t len = strlen(name);
    return strstr(name, "_SERVICE_") || strstr(name, "_PORT_") ||
           (len >= 5 && strcmp(name + len - 5, "_PORT") == 0);
}

static void warn_unknown(const struct config *config, const char *name)
{
    static const size_t prefix = sizeof "SLUICE_" - 1; /* the same in all: it must not count as likeness */
    struct option_nearest nearest = {.typed = name + prefix};
    char known[CONFIG_NAME_MAX], best[CONFIG_NAME_MAX] = "";
    for (struct config_walk walk = {0}; config_next(config, &walk);) {
        config_env_name(walk.key.row->name, known);
        if (option_nearest_offer(&nearest, known + prefix))
            memcpy(best, known, sizeof best);
    }
    if (best[0] != '\0')
        log_event(LOG_WARN, "unknown environment variable", LOG_S("name", name), LOG_S("nearest", best));
    else
        log_event(LOG_WARN, "unknown environment variable", LOG_S("name", name));
}

static enum err load_variable(const struct config *config, const char *variable, struct config_error *error)
{
    char name[CONFIG_NAME_MAX];
    size_t len = strcspn(variable, "=");
    if (strncmp(variable, "SLUICE_", sizeof "SLUICE_" - 1) != 0 || variable[len] == '\0')
        return ERR_NONE;
    snprintf(name, sizeof name, "%.*s", len < sizeof name ? (int)len : (int)sizeof name, variable);
    struct config_key key;
    if (len < sizeof name && find_by_env_name(config, name, &key))
        return config_assign(&key, variable + len + 1, name, error);
    if (!is_foreign(name))
        warn_unknown(config, name);
    return ERR_NONE;
}

enum err config_load_env(const struct config *config, char **environ, struct config_error *error)
{
    for (; *environ; environ++) {
        enum err err = load_variable(config, *environ, error);
        if (err)
            return err;
    }
    return ERR_NONE;
}

/* ---- reload ---------------------------------------------------------------------------------------------- */

static bool same_value(const struct config_key *a, const struct config_key *b)
{
    static char a_text[OPTION_TEXT_MAX], b_text[OPTION_TEXT_MAX]; /* main thread only */
    bool a_fits = option_format(a->row, a->settings, a_text, sizeof a_text);
    bool b_fits = option_format(b->row, b->settings, b_text, sizeof b_text);
    assert(a_fits && b_fits);
    return strcmp(a_text, b_text) == 0;
}

static size_t field_size(enum option_type type)
{
    static const size_t sizes[] = {[OPTION_BOOL] = sizeof(bool),
                                   [OPTION_UINT] = sizeof(uint64_t),
                                   [OPTION_BYTES] = sizeof(uint64_t),
                                   [OPTION_DURATION] = sizeof(uint64_t),
                                   [OPTION_STRING] = OPTION_STRING_MAX,
                                   [OPTION_ENUM] = sizeof(int),
                                   [OPTION_LIST] = sizeof(struct option_list)};
    return sizes[type];
}

size_t config_adopt(const struct config *running, const struct config *loaded)
{
    struct config_walk new = {0};
    size_t waiting = 0;
    for (struct config_walk old = {0}; config_next(running, &old) && config_next(loaded, &new);) {
        const struct option *row = old.key.row;
        assert(row == new.key.row);
        if (same_value(&old.key, &new.key))
            continue;
        if (row->reloadable) {
            memcpy((char *)old.key.settings + row->offset, (char *)new.key.settings + row->offset,
                   field_size(row->type));
            continue;
        }
        waiting++;
        log_event(LOG_WARN, "changed setting takes a restart", LOG_S("key", row->name));
    }
    return waiting;
}
