#include "clients/cli/cli.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/cli/output.h"

enum { OPTIONS_MAX = 40, OPTION_VALUE_BASE = 1000 };

const struct cli_option cli_common_options[] = {
    {'s', "server", "URL", CLI_STRING, offsetof(struct cli_common, url),
     "the broker (SLUICE_URL; tcp://127.0.0.1:7400)", NULL},
    {'\0', "user", "NAME", CLI_STRING, offsetof(struct cli_common, user), "user name (SLUICE_USER)", NULL},
    {'\0', "password", "TEXT", CLI_STRING, offsetof(struct cli_common, password),
     "password; others can see arguments, SLUICE_PASSWORD they cannot", NULL},
    {'\0', "token", "TEXT", CLI_STRING, offsetof(struct cli_common, token), "token (SLUICE_TOKEN)", NULL},
    {'\0', "no-reconnect", NULL, CLI_FLAG, offsetof(struct cli_common, no_reconnect),
     "end when the connection is lost", NULL},
    {'v', "verbose", NULL, CLI_FLAG, offsetof(struct cli_common, verbose), "say more", NULL},
    {'q', "quiet", NULL, CLI_FLAG, offsetof(struct cli_common, quiet), "say only what failed", NULL},
};
const size_t cli_common_option_count = sizeof cli_common_options / sizeof cli_common_options[0];

static const struct cli_option help_option = {'h', "help", NULL, CLI_FLAG, 0, "show this", NULL};

const struct cli_option *cli_option_at(const struct cli_spec *spec, size_t i)
{
    size_t common = spec->connects ? cli_common_option_count : 0;
    if (i < spec->option_count)
        return &spec->options[i];
    if (i < spec->option_count + common)
        return &cli_common_options[i - spec->option_count];
    return i == spec->option_count + common ? &help_option : NULL;
}

/* ---- help ----------------------------------------------------------------------------------------------- */

static void print_option(const struct cli_option *option)
{
    char left[48];
    char dash[4] = "  ";
    if (option->letter)
        snprintf(dash, sizeof dash, "-%c", option->letter);
    snprintf(left, sizeof left, "%s%s --%s%s%s", dash, option->letter ? "," : " ", option->name,
             option->arg ? " " : "", option->arg ? option->arg : "");
    printf("  %-28s %s\n", left, option->help);
}

void cli_print_help(const struct cli_spec *spec)
{
    printf("Usage: sluice %s [OPTION]... %s\n\n%s\n", spec->name, spec->synopsis, spec->summary);
    if (spec->more)
        printf("\n%s", spec->more);
    printf("\nOptions:\n");
    const struct cli_option *option;
    for (size_t i = 0; (option = cli_option_at(spec, i)); i++)
        print_option(option);
    printf("\nExamples:\n%s", spec->examples);
}

int cli_usage_error(const struct cli_spec *spec, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    output_error("%s", text);
    fprintf(stderr, "Usage: sluice %s [OPTION]... %s\nMore with: sluice %s --help\n", spec->name,
            spec->synopsis, spec->name);
    return CLI_USAGE;
}

/* ---- values --------------------------------------------------------------------------------------------- */

static bool parse_count(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || *end || value == 0 || strchr(text, '-'))
        return false;
    *out = value;
    return true;
}

static bool parse_number(const char *text, double least, double *out)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < least || value > 1e12)
        return false;
    *out = value;
    return true;
}

static bool append(struct cli_list *list, const char *text)
{
    if (list->count == CLI_LIST_MAX)
        return false;
    list->items[list->count++] = text;
    return true;
}

static bool set_value(const struct cli_option *option, const char *text, void *into)
{
    void *slot = (char *)into + option->offset;
    switch (option->type) {
    case CLI_FLAG:
        *(bool *)slot = true;
        return true;
    case CLI_STRING:
        *(const char **)slot = text;
        return true;
    case CLI_COUNT:
        return parse_count(text, slot);
    case CLI_NUMBER:
        return parse_number(text, 1e-6, slot);
    case CLI_SECONDS:
        return parse_number(text, 0, slot);
    case CLI_LIST:
        return append(slot, text);
    }
    return false;
}

/* ---- parsing -------------------------------------------------------------------------------------------- */

struct getopt_tables {
    struct option longs[OPTIONS_MAX + 1];
    char shorts[2 * OPTIONS_MAX + 2];
};

static void fill_tables(const struct cli_spec *spec, struct getopt_tables *tables)
{
    char *s = tables->shorts;
    *s++ = ':'; /* so that a missing value is told from an unknown option */
    const struct cli_option *option;
    for (size_t i = 0; (option = cli_option_at(spec, i)); i++) {
        assert(i < OPTIONS_MAX);
        tables->longs[i] = (struct option){option->name, option->arg ? required_argument : no_argument, NULL,
                                           OPTION_VALUE_BASE + (int)i};
        if (option->letter)
            *s++ = option->letter;
        if (option->letter && option->arg)
            *s++ = ':';
    }
}

static const struct cli_option *chosen(const struct cli_spec *spec, int value)
{
    if (value >= OPTION_VALUE_BASE)
        return cli_option_at(spec, (size_t)(value - OPTION_VALUE_BASE));
    const struct cli_option *option;
    for (size_t i = 0; (option = cli_option_at(spec, i)); i++)
        if (option->letter && option->letter == value)
            return option;
    return NULL;
}

static void from_environment(struct cli_common *common)
{
    common->url = getenv("SLUICE_URL");
    common->user = getenv("SLUICE_USER");
    common->password = getenv("SLUICE_PASSWORD");
    common->token = getenv("SLUICE_TOKEN");
}

static int bad_option(const struct cli_spec *spec, int value, char **argv)
{
    /* getopt leaves the culprit in optopt when it is a letter, else just before optind. */
    const char *shown = argv[optind - 1];
    if (value == ':')
        return cli_usage_error(spec, "option %s needs a value", shown);
    if (optopt > 0 && optopt < 256)
        return cli_usage_error(spec, "there is no option -%c", optopt);
    return cli_usage_error(spec, "there is no option %s", shown);
}

bool cli_parse(const struct cli_spec *spec, int *argc, char ***argv, void *into, int *exit_code)
{
    struct getopt_tables tables = {0};
    fill_tables(spec, &tables);
    if (spec->connects)
        from_environment(into);
    opterr = 0;
    optind = 0;
    int value;
    while ((value = getopt_long(*argc, *argv, tables.shorts, tables.longs, NULL)) != -1) {
        const struct cli_option *option = value == '?' || value == ':' ? NULL : chosen(spec, value);
        if (!option) {
            *exit_code = bad_option(spec, value, *argv);
            return false;
        }
        if (option == &help_option) {
            cli_print_help(spec);
            *exit_code = output_finish();
            return false;
        }
        if (!set_value(option, optarg, into)) {
            *exit_code =
                cli_usage_error(spec, "--%s: \"%s\" is not a valid %s", option->name, optarg, option->arg);
            return false;
        }
    }
    *argc -= optind;
    *argv += optind;
    return true;
}
