/*
 * sluiced: the broker as a program.
 */
#include <stdio.h>

#include "broker/arguments.h"
#include "broker/broker.h"

extern char **environ;

static int flushed(FILE *out)
{
    return fflush(out) == 0 ? BROKER_CLEAN : BROKER_FAILED;
}

static int with_settings(enum arguments_action action, struct settings *settings,
                         const struct settings_sources *sources)
{
    struct config_error error = {0};
    if (settings_load(settings, sources, &error)) {
        fprintf(stderr, "sluiced: %s\n", error.text);
        return BROKER_BAD_CONFIG;
    }
    if (action == ARGUMENTS_CHECK_CONFIG)
        return BROKER_CLEAN;
    if (action == ARGUMENTS_PRINT_CONFIG) {
        config_print(&settings->config, stdout);
        return flushed(stdout);
    }
    if (!log_init(&settings->log))
        return BROKER_BAD_CONFIG;
    int code = broker_run(settings, sources);
    log_report_held_back(true);
    return code;
}

int main(int argc, char **argv)
{
    static struct arguments arguments;
    enum arguments_action action = arguments_parse(&arguments, argc, argv, environ);
    if (action == ARGUMENTS_BAD)
        return BROKER_BAD_CONFIG;
    if (action == ARGUMENTS_DONE)
        return flushed(stdout);
    if (action == ARGUMENTS_PRINT_REFERENCE) {
        settings_print_reference(stdout);
        return flushed(stdout);
    }
    struct settings *settings = settings_new();
    int code = with_settings(action, settings, &arguments.sources);
    settings_free(settings);
    return code;
}
