/*
 * Options as rows of tables. Each module owns a struct of its settings and the table that describes them;
 * only `config` sees all tables. A row feeds the YAML file, --set, the environment, --print-config and
 * docs/configuration.md. Settings are read-only after start except rows marked reloadable.
 */
#ifndef SLUICE_BROKER_OPTION_H
#define SLUICE_BROKER_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

enum option_type {
    OPTION_BOOL,  /* bool */
    OPTION_UINT,  /* uint64_t; a plain number */
    OPTION_BYTES, /* uint64_t; accepts 4096, 64KiB, 4MiB, 1GiB (also K, M, G as powers of 1024) */
    OPTION_DURATION, /* uint64_t in milliseconds; accepts 250ms, 10s, 5m, 1h; a bare number is refused but for 0 */
    OPTION_STRING, /* char[OPTION_STRING_MAX] */
    OPTION_ENUM,   /* int: index into `choices` */
    OPTION_LIST    /* struct option_list of strings; as one text: separated by commas */
};

enum { OPTION_STRING_MAX = 256, OPTION_LIST_MAX = 32 };

struct option_list {
    size_t count;
    char item[OPTION_LIST_MAX][OPTION_STRING_MAX];
};

struct option {
    const char *name; /* dotted, as in "limits.max_payload" */
    enum option_type type;
    size_t offset;      /* of the field in the module's struct */
    uint64_t min, max;  /* for UINT, BYTES and DURATION, in the field's unit; inclusive */
    const char *preset; /* the default, as it would be written in the file; "" for an empty string or list */
    const char *const *choices; /* for ENUM: NULL-terminated */
    bool reloadable;            /* SIGHUP applies it; otherwise it takes a restart */
    const char *doc;            /* one line, ends with a full stop */
};

struct option_table {
    const char *module; /* "limits": heading in the docs */
    const char *doc;    /* one line about the module's settings */
    const struct option *rows;
    size_t count;
    size_t size; /* of the module's struct */
};

/* A row whose field is named as its key: "limits.max_payload" lies in .max_payload. */
#define OPTION_ROW(module_, struct_, field_, ...)                                                            \
    {                                                                                                        \
        .name = module_ "." #field_, .offset = offsetof(struct_, field_), __VA_ARGS__                        \
    }

/* What is wrong, in one line for the operator: where ("sluice.yaml:12", "--set", "SLUICE_X"), what, and the
 * nearest known key where a key is unknown. */
struct config_error {
    char text[512];
    unsigned line; /* set by a rule hook only: of the field at fault; 0: of the entry as a whole */
};

/* A scalar of one entry of the top-level sequence `topics`; see broker/config.h. It lives here so that the owner of
 * the topic rules, below `config`, can take it. */
struct config_rule_field {
    const char *key, *value;
    unsigned line;
};

/* A value of these types as the operator writes it: "1MiB" and "1536KiB", "1h" and "1500ms"; 0 is "0". */
enum { OPTION_NUMBER_TEXT = 32 };
const char *option_bytes_text(uint64_t bytes, char text[OPTION_NUMBER_TEXT]);
const char *option_duration_text(uint64_t ms, char text[OPTION_NUMBER_TEXT]);

/* Text of an operator or a file in quotes for an error: clipped, and never more than one line. */
enum { OPTION_QUOTE_TEXT = 72 };
const char *option_quote(const char *text, char out[OPTION_QUOTE_TEXT]);

/* Sets the row's field of `settings` from text, as it stands in the environment or behind --set. ERR_NONE, or
 * ERR_CONFIG with the fault in error->text, without place and key ("must be a size such as 64KiB, not \"64KX\"");
 * the field is then untouched. A list replaces what was there; its items are separated by commas. */
MUST_CHECK enum err option_parse(const struct option *row, void *settings, const char *text,
                                 struct config_error *error);
/* Appends one item to the row's list; commas in it are part of the item. */
MUST_CHECK enum err option_list_add(const struct option *row, void *settings, const char *item,
                                    struct config_error *error);
/* Parses one value outside of any table, with the same faults; the bounds are inclusive. */
MUST_CHECK enum err option_parse_number(enum option_type type, uint64_t min, uint64_t max, const char *text,
                                        uint64_t *out, struct config_error *error);
MUST_CHECK enum err option_parse_bool(const char *text, bool *out, struct config_error *error);
/* The field's value as option_parse() takes it, NUL-terminated; a list's items joined by ", ". Returns false when it
 * does not fit: OPTION_TEXT_MAX always does. */
enum { OPTION_TEXT_MAX = OPTION_LIST_MAX * (OPTION_STRING_MAX + 2) };
bool option_format(const struct option *row, const void *settings, char *out, size_t size);

/* The known name closest to a mistyped one by edit distance, or NULL when none is close. Fold over the names:
 * start with {.typed = "limits.max_paylod"}, offer each, read .best. Offering says whether this is the best so far. */
struct option_nearest {
    const char *typed;
    const char *best; /* borrows */
    size_t distance;  /* of best; meaningless while best is NULL */
};
bool option_nearest_offer(struct option_nearest *nearest, const char *name);

#endif
