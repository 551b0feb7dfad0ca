/*
 * The command line: each command describes itself in one struct cli_spec, and parsing, --help and shell
 * completion all read that. Options land in the command's own struct, which begins with a struct cli_common.
 */
#ifndef SLUICE_CLI_H
#define SLUICE_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cli_exit { CLI_OK = 0, CLI_FAILURE = 1, CLI_USAGE = 2, CLI_TIMEOUT = 27 };

enum { CLI_LIST_MAX = 64 };

/* What every command that connects understands. */
struct cli_common {
    const char *url, *user, *password,
        *token; /* borrowed from the arguments or the environment; NULL: absent */
    bool no_reconnect, verbose, quiet;
};

struct cli_list {
    const char *items[CLI_LIST_MAX]; /* borrowed from the arguments */
    size_t count;
};

enum cli_type {
    CLI_FLAG,    /* bool */
    CLI_STRING,  /* const char * */
    CLI_COUNT,   /* uint64_t, at least 1 */
    CLI_NUMBER,  /* double, above 0 */
    CLI_SECONDS, /* double, at least 0 */
    CLI_LIST     /* struct cli_list, the option may be repeated */
};

struct cli_option {
    char letter;      /* '\0': long form only */
    const char *name; /* long form, without dashes */
    const char *arg;  /* what --help calls the value; NULL for CLI_FLAG */
    enum cli_type type;
    size_t offset; /* of the value in the command's struct */
    const char *help;
    const char *choices; /* values that completion offers, separated by spaces; NULL: none */
};

struct cli_spec {
    const char *name;     /* "pub" */
    const char *synopsis; /* "TOPIC [PAYLOAD|-]" */
    const char *summary;  /* one line */
    const char *more;     /* paragraphs under it, or NULL */
    const struct cli_option *options;
    size_t option_count;
    bool connects; /* understands the options of struct cli_common */
    const char *examples;
};

/* Parses argv (argv[0] is the command's name) into `into`, and shortens it to the positional arguments: they are
 * in (*argv)[0..*argc). False when the program is to end with *exit_code: --help was shown or usage was wrong. */
bool cli_parse(const struct cli_spec *spec, int *argc, char ***argv, void *into, int *exit_code);
/* Explains a usage mistake on stderr and returns CLI_USAGE. */
int cli_usage_error(const struct cli_spec *spec, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void cli_print_help(const struct cli_spec *spec);

extern const struct cli_option cli_common_options[];
extern const size_t cli_common_option_count;
/* The i-th option of a command, its own first, then the common ones, then --help; NULL behind the last. */
const struct cli_option *cli_option_at(const struct cli_spec *spec, size_t i);

#endif
