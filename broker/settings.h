/*
 * All settings of one broker: the structs of all modules, and the configuration that fills them. Main thread; read-only
 * for everybody else once the shards run.
 */
#ifndef SLUICE_BROKER_SETTINGS_H
#define SLUICE_BROKER_SETTINGS_H

#include "broker/auth/auth_settings.h"
#include "broker/config.h"
#include "broker/delivery/delivery_settings.h"
#include "broker/frontend/http_settings.h"
#include "broker/limits.h"
#include "broker/log.h"
#include "broker/router/topic_rules.h"
#include "broker/server_settings.h"
#include "broker/session/session_settings.h"
#include "broker/settings_sources.h"

enum { SETTINGS_TABLES = 7 };

struct settings {
    struct server_settings server;
    struct limits_settings limits;
    struct delivery_settings delivery;
    struct session_settings session;
    struct http_settings http;
    struct auth_settings auth;
    struct log_settings log;
    struct topic_rules rules;
    struct config_binding bindings[SETTINGS_TABLES];
    struct config config; /* binds the above */
};

/* On the heap, since it is large: defaults only. Never NULL. */
struct settings *settings_new(void);
void settings_free(struct settings *settings);
/* Loads and judges. ERR_CONFIG with one line in *error; the settings are void then. */
MUST_CHECK enum err settings_load(struct settings *settings, const struct settings_sources *sources,
                                  struct config_error *error);
/* docs/configuration.md as a whole. */
void settings_print_reference(FILE *out);

#endif
