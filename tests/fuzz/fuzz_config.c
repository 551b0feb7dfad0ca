/*
 * The YAML loader on arbitrary bytes. What it accepts must print to a file that loads to the same settings; what it refuses
 * must be explained in one line that starts with the file's name.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/auth/auth_settings.h"
#include "broker/config.h"
#include "broker/delivery/delivery_settings.h"
#include "broker/frontend/http_settings.h"
#include "broker/limits.h"
#include "broker/log.h"
#include "broker/router/topic_rules.h"
#include "broker/server_settings.h"
#include "broker/session/session_settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct settings {
    struct server_settings server;
    struct limits_settings limits;
    struct delivery_settings delivery;
    struct session_settings session;
    struct http_settings http;
    struct auth_settings auth;
    struct log_settings log;
    struct topic_rules rules;
    struct config_binding bindings[7];
    struct config config;
};

static void bind(struct settings *s)
{
    const struct config_binding bindings[] = {
        {&server_options, &s->server},   {&limits_options, &s->limits}, {&delivery_options, &s->delivery},
        {&session_options, &s->session}, {&http_options, &s->http},     {&auth_options, &s->auth},
        {&log_options, &s->log},
    };
    memcpy(s->bindings, bindings, sizeof bindings);
    topic_rules_init(&s->rules);
    s->config = (struct config){s->bindings, 7, topic_rules_add, &s->rules, topic_rules_print};
    config_defaults(&s->config);
}

static char *print(const struct settings *s, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);
    config_print(&s->config, out);
    fclose(out);
    return text;
}

static void check_round_trip(const struct settings *s)
{
    static struct settings again;
    struct config_error error;
    size_t len, len_again;
    char *text = print(s, &len);
    bind(&again);
    enum err err = config_load_text(&again.config, "printed", text, len, &error);
    if (err)
        fprintf(stderr, "%s\n%s", error.text, text);
    assert(err == ERR_NONE);
    char *text_again = print(&again, &len_again);
    assert(len == len_again && memcmp(text, text_again, len) == 0);
    topic_rules_fini(&again.rules);
    free(text);
    free(text_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct settings settings;
    struct config_error error;
    bind(&settings);
    if (config_load_text(&settings.config, "fuzz", (const char *)data, len, &error) == ERR_NONE)
        check_round_trip(&settings);
    else
        assert(strncmp(error.text, "fuzz", 4) == 0 && !strchr(error.text, '\n'));
    topic_rules_fini(&settings.rules);
    return 0;
}
