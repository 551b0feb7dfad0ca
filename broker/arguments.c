#include "broker/arguments.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FLAG_LISTEN = 256,
    FLAG_DATA_DIR,
    FLAG_SHARDS,
    FLAG_SET,
    FLAG_CHECK,
    FLAG_PRINT,
    FLAG_REFERENCE,
    FLAG_VERSION
};

static const char help[] =
    "usage: sluiced [OPTION]...\n"
    "\n"
    "The Sluice broker: publish and subscribe over sluice.v1, on raw TCP and WebSocket. Without options it "
    "listens on\n"
    "tcp://127.0.0.1:7400 and ws://127.0.0.1:7480, asks nobody who they are and writes nothing to disk.\n"
    "\n"
    "  -c FILE               configuration (YAML); see docs/configuration.md\n"
    "      --listen URL      listen here instead: tcp://HOST:PORT or ws://HOST:PORT; may be repeated; port 0 "
    "takes\n"
    "                        a free one\n"
    "      --shards N        threads that serve clients (default: one per core)\n"
    "      --set KEY=VALUE   set one option, as in --set limits.max_payload=64KiB; may be repeated\n"
    "      --data-dir DIR    for stored messages; this version stores nothing and refuses it\n"
    "      --check-config    judge the configuration and stop\n"
    "      --print-config    print what is in force as a configuration file and stop\n"
    "      --print-reference print docs/configuration.md and stop\n"
    "  -v, -q                log more (debug), log less (warnings only)\n"
    "      --version         print the version and stop\n"
    "  -h, --help            print this and stop\n"
    "\n"
    "When it serves it prints a line `listening URL` for each listener and then `ready`. Logs go to stderr.\n"
    "Signals: TERM or INT drain and stop, a second one stops at once; HUP reads the configuration again; "
    "USR1 opens\n"
    "log.file again; USR2 writes the state to the log. Exit codes: 0 stopped cleanly, 1 failed, 2 bad usage "
    "or\n"
    "configuration.\n";

static const char *add_set(struct settings_sources *sources, const char *assignment)
{
    if (sources->set_count == SETTINGS_SETS_MAX)
        return "too many --set";
    sources->sets[sources->set_count++] = assignment;
    return NULL;
}

static const char *add_listen(struct arguments *out, const char *url)
{
    static const char key[] = "server.listen=";
    size_t used = strlen(out->listen);
    int len = snprintf(out->listen + used, sizeof out->listen - used, "%s%s", used ? "," : key, url);
    if (len < 0 || (size_t)len >= sizeof out->listen - used)
        return "too many --listen";
    return used ? NULL : add_set(&out->sources, out->listen);
}

static const char *set_shards(struct arguments *out, const char *count)
{
    bool first = out->shards[0] == '\0';
    int len = snprintf(out->shards, sizeof out->shards, "server.shards=%s", count);
    if (len < 0 || (size_t)len >= sizeof out->shards)
        return "--shards wants a number";
    return first ? add_set(&out->sources, out->shards) : NULL;
}

static enum arguments_action bad(const char *text)
{
    fprintf(stderr, "sluiced: %s (--help says how)\n", text);
    return ARGUMENTS_BAD;
}

static enum arguments_action print(const char *text)
{
    fputs(text, stdout);
    return ARGUMENTS_DONE;
}

/* One flag; ARGUMENTS_RUN when it only set something. */
static enum arguments_action take(struct arguments *out, int flag)
{
    const char *wrong = NULL;
    switch (flag) {
    case 'c':
        out->sources.file = optarg;
        break;
    case FLAG_LISTEN:
        wrong = add_listen(out, optarg);
        break;
    case FLAG_SHARDS:
        wrong = set_shards(out, optarg);
        break;
    case FLAG_SET:
        wrong = add_set(&out->sources, optarg);
        break;
    case 'v':
        wrong = add_set(&out->sources, "log.level=debug");
        break;
    case 'q':
        wrong = add_set(&out->sources, "log.level=warn");
        break;
    case FLAG_DATA_DIR:
        wrong = "--data-dir: this version stores nothing";
        break;
    case FLAG_CHECK:
        return ARGUMENTS_CHECK_CONFIG;
    case FLAG_PRINT:
        return ARGUMENTS_PRINT_CONFIG;
    case FLAG_REFERENCE:
        return ARGUMENTS_PRINT_REFERENCE;
    case FLAG_VERSION:
        return print("sluiced " SLUICE_VERSION "\n");
    case 'h':
        return print(help);
    default:
        return ARGUMENTS_BAD; /* getopt has said why */
    }
    return wrong ? bad(wrong) : ARGUMENTS_RUN;
}

enum arguments_action arguments_parse(struct arguments *out, int argc, char **argv, char **environ)
{
    static const struct option flags[] = {
        {"listen", required_argument, NULL, FLAG_LISTEN},
        {"shards", required_argument, NULL, FLAG_SHARDS},
        {"set", required_argument, NULL, FLAG_SET},
        {"data-dir", required_argument, NULL, FLAG_DATA_DIR},
        {"check-config", no_argument, NULL, FLAG_CHECK},
        {"print-config", no_argument, NULL, FLAG_PRINT},
        {"print-reference", no_argument, NULL, FLAG_REFERENCE},
        {"version", no_argument, NULL, FLAG_VERSION},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    *out = (struct arguments){.sources.environ = environ};
    enum arguments_action action = ARGUMENTS_RUN;
    int flag;
    while ((flag = getopt_long(argc, argv, "c:vqh", flags, NULL)) != -1) {
        enum arguments_action taken = take(out, flag);
        if (taken == ARGUMENTS_DONE || taken == ARGUMENTS_BAD)
            return taken;
        if (taken != ARGUMENTS_RUN)
            action = taken;
    }
    if (optind < argc)
        return bad("it takes no arguments but options");
    return action;
}
