#include "broker/option.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/topic.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest last; the first spelling of a factor is the one we write. */
static const struct unit byte_units[] = {
    {"", 1},           {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30},
    {"K", 1ull << 10}, {"M", 1ull << 20},   {"G", 1ull << 30}};
static const struct unit time_units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

enum { UNITS_WRITTEN = 4 }; /* of either table */

__attribute__((format(printf, 2, 3))) static enum err fail(struct config_error *error, const char *format,
                                                           ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return ERR_CONFIG;
}

const char *option_quote(const char *text, char out[OPTION_QUOTE_TEXT])
{
    enum { KEPT = OPTION_QUOTE_TEXT - 6 }; /* two quotes, three dots, NUL */
    size_t len = strlen(text), kept = len < KEPT ? len : KEPT;
    while (kept < len && kept > 0 && ((unsigned char)text[kept] & 0xc0) == 0x80)
        kept--; /* not through the middle of a character */
    out[0] = '"';
    for (size_t i = 0; i < kept; i++)
        out[1 + i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
    strcpy(out + 1 + kept, kept < len ? "\"..." : "\"");
    return out;
}

/* ---- numbers --------------------------------------------------------------------------------------------- */

/* The value in the largest unit that divides it. */
static const char *number_text(uint64_t value, const struct unit *units, char text[OPTION_NUMBER_TEXT])
{
    size_t unit = UNITS_WRITTEN - 1;
    while (unit > 0 && value % units[unit].factor != 0)
        unit--;
    if (value == 0)
        snprintf(text, OPTION_NUMBER_TEXT, "0");
    else
        snprintf(text, OPTION_NUMBER_TEXT, "%" PRIu64 "%s", value / units[unit].factor, units[unit].name);
    return text;
}

const char *option_bytes_text(uint64_t bytes, char text[OPTION_NUMBER_TEXT])
{
    return number_text(bytes, byte_units, text);
}

const char *option_duration_text(uint64_t ms, char text[OPTION_NUMBER_TEXT])
{
    return number_text(ms, time_units, text);
}

static const char *typed_text(enum option_type type, uint64_t value, char text[OPTION_NUMBER_TEXT])
{
    if (type == OPTION_BYTES)
        return option_bytes_text(value, text);
    if (type == OPTION_DURATION)
        return option_duration_text(value, text);
    snprintf(text, OPTION_NUMBER_TEXT, "%" PRIu64, value);
    return text;
}

/* Reads digits; false without any. A number beyond 64 bits becomes UINT64_MAX, which no range allows. */
static bool read_digits(const char **text, uint64_t *out)
{
    const char *p = *text;
    *out = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(*out, 10u, out) || __builtin_add_overflow(*out, (unsigned)(*p - '0'), out))
            *out = UINT64_MAX / 10 + 1; /* and stays too large with the digits to come */
    }
    bool some = p > *text;
    *text = p;
    return some;
}

static const struct unit *find_unit(enum option_type type, const char *name)
{
    static const struct unit none = {"", 1};
    const struct unit *units = type == OPTION_BYTES ? byte_units : time_units;
    size_t count = type == OPTION_BYTES ? sizeof byte_units / sizeof *byte_units
                                        : sizeof time_units / sizeof *time_units;
    if (type == OPTION_UINT)
        return *name == '\0' ? &none : NULL;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(units[i].name, name) == 0)
            return &units[i];
    }
    return NULL;
}

static enum err fail_number(enum option_type type, const char *text, struct config_error *error)
{
    char quoted[OPTION_QUOTE_TEXT];
    const char *wanted = type == OPTION_BYTES      ? "a size such as 4096, 64KiB or 1MiB"
                         : type == OPTION_DURATION ? "a duration such as 250ms, 10s, 5m or 1h"
                                                   : "a whole number";
    return fail(error, "must be %s, not %s", wanted, option_quote(text, quoted));
}

enum err option_parse_number(enum option_type type, uint64_t min, uint64_t max, const char *text,
                             uint64_t *out, struct config_error *error)
{
    const char *rest = text;
    uint64_t value;
    if (!read_digits(&rest, &value))
        return fail_number(type, text, error);
    const struct unit *unit = find_unit(type, rest);
    if (!unit && !(value == 0 && *rest == '\0'))
        return fail_number(type, text, error);
    if (unit && __builtin_mul_overflow(value, unit->factor, &value))
        value = UINT64_MAX;
    if (value < min || value > max) {
        char quoted[OPTION_QUOTE_TEXT], low[OPTION_NUMBER_TEXT], high[OPTION_NUMBER_TEXT];
        return fail(error, "must be from %s to %s, not %s", typed_text(type, min, low),
                    typed_text(type, max, high), option_quote(text, quoted));
    }
    *out = value;
    return ERR_NONE;
}

/* ---- the other types ------------------------------------------------------------------------------------- */

enum err option_parse_bool(const char *text, bool *out, struct config_error *error)
{
    char quoted[OPTION_QUOTE_TEXT];
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return fail(error, "must be true or false, not %s", option_quote(text, quoted));
    *out = text[0] == 't';
    return ERR_NONE;
}

static enum err parse_enum(const struct option *row, const char *text, int *out, struct config_error *error)
{
    char choices[256] = "", quoted[OPTION_QUOTE_TEXT];
    for (int i = 0; row->choices[i]; i++) {
        if (strcmp(row->choices[i], text) == 0) {
            *out = i;
            return ERR_NONE;
        }
        size_t len = strlen(choices);
        snprintf(choices + len, sizeof choices - len, "%s%s", i > 0 ? ", " : "", row->choices[i]);
    }
    return fail(error, "must be one of %s, not %s", choices, option_quote(text, quoted));
}

/* Copies `len` bytes of text into a field. One line of UTF-8, so that it can be printed and loaded again. */
static enum err take_string(const char *text, size_t len, char out[OPTION_STRING_MAX],
                            struct config_error *error)
{
    if (len >= OPTION_STRING_MAX)
        return fail(error, "must not be longer than %d bytes", OPTION_STRING_MAX - 1);
    if (len > 0 && !topic_text_valid(span_of(text, len)))
        return fail(error, "must be UTF-8 without control characters");
    memcpy(out, text, len);
    out[len] = '\0';
    return ERR_NONE;
}

static enum err append(struct option_list *list, const char *text, size_t len, struct config_error *error)
{
    if (len == 0)
        return fail(error, "must not have an empty item");
    if (list->count == OPTION_LIST_MAX)
        return fail(error, "must not have more than %d items", OPTION_LIST_MAX);
    enum err err = take_string(text, len, list->item[list->count], error);
    list->count += err == ERR_NONE;
    return err;
}

enum err option_list_add(const struct option *row, void *settings, const char *item,
                         struct config_error *error)
{
    assert(row->type == OPTION_LIST);
    return append((struct option_list *)(void *)((char *)settings + row->offset), item, strlen(item), error);
}

static enum err parse_list(const char *text, struct option_list *out, struct config_error *error)
{
    struct option_list list = {.count = 0};
    while (*text != '\0') {
        text += strspn(text, " ");
        size_t len = strcspn(text, ","), kept = len;
        while (kept > 0 && text[kept - 1] == ' ')
            kept--;
        enum err err = append(&list, text, kept, error);
        if (err)
            return err;
        text += len + (text[len] == ',');
    }
    *out = list;
    return ERR_NONE;
}

enum err option_parse(const struct option *row, void *settings, const char *text, struct config_error *error)
{
    void *field = (char *)settings + row->offset;
    switch (row->type) {
    case OPTION_BOOL:
        return option_parse_bool(text, field, error);
    case OPTION_UINT:
    case OPTION_BYTES:
    case OPTION_DURATION:
        return option_parse_number(row->type, row->min, row->max, text, field, error);
    case OPTION_STRING:
        return take_string(text, strlen(text), field, error);
    case OPTION_ENUM:
        return parse_enum(row, text, field, error);
    case OPTION_LIST:
        return parse_list(text, field, error);
    }
    abort();
}

static bool format_list(const struct option_list *list, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < list->count && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i > 0 ? ", " : "", list->item[i]);
    return len < size;
}

bool option_format(const struct option *row, const void *settings, char *out, size_t size)
{
    const void *field = (const char *)settings + row->offset;
    char number[OPTION_NUMBER_TEXT];
    const char *text = number;
    switch (row->type) {
    case OPTION_BOOL:
        text = *(const bool *)field ? "true" : "false";
        break;
    case OPTION_UINT:
    case OPTION_BYTES:
    case OPTION_DURATION:
        text = typed_text(row->type, *(const uint64_t *)field, number);
        break;
    case OPTION_STRING:
        text = field;
        break;
    case OPTION_ENUM:
        text = row->choices[*(const int *)field];
        break;
    case OPTION_LIST:
        return format_list(field, out, size);
    }
    return (size_t)snprintf(out, size, "%s", text) < size;
}

/* ---- nearest name ---------------------------------------------------------------------------------------- */

enum { NAME_MAX_COMPARED = 64 };

/* Levenshtein's distance of the first 64 bytes, one row of the matrix at a time. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_COMPARED + 1];
    size_t b_len = strnlen(b, NAME_MAX_COMPARED);
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= NAME_MAX_COMPARED && a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[b_len];
}

/* "max_payload" means "limits.max_payload". */
static bool is_tail(const char *name, const char *typed)
{
    size_t name_len = strlen(name), typed_len = strlen(typed);
    return name_len > typed_len + 1 && name[name_len - typed_len - 1] == '.' &&
           strcmp(name + name_len - typed_len, typed) == 0;
}

bool option_nearest_offer(struct option_nearest *nearest, const char *name)
{
    size_t close = 1 + strlen(nearest->typed) / 4;
    size_t distance = is_tail(name, nearest->typed) ? 0 : edit_distance(nearest->typed, name);
    if (distance > close || (nearest->best && distance >= nearest->distance))
        return false;
    nearest->best = name;
    nearest->distance = distance;
    return true;
}
