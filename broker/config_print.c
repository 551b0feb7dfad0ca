/*
 * The other direction of config: settings as a YAML file, and the tables as the reference of docs/configuration.md.
 */
#include "broker/config.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "broker/config_lookup.h"
#include "broker/yaml_text.h"

enum { COMMENT_COLUMNS = 100 };

/* ---- what both say about a row --------------------------------------------------------------------------- */

static const char *type_text(enum option_type type)
{
    static const char *const texts[] = {
        [OPTION_BOOL] = "true or false", [OPTION_UINT] = "number", [OPTION_BYTES] = "size",
        [OPTION_DURATION] = "duration",  [OPTION_STRING] = "text", [OPTION_ENUM] = "choice",
        [OPTION_LIST] = "list"};
    return texts[type];
}

/* "4KiB to 1MiB", "a, b, c", or nothing where every value will do. */
static void range_text(const struct option *row, char *out, size_t size)
{
    char low[OPTION_NUMBER_TEXT], high[OPTION_NUMBER_TEXT];
    size_t len = 0;
    out[0] = '\0';
    switch (row->type) {
    case OPTION_UINT:
        snprintf(out, size, "%" PRIu64 " to %" PRIu64, row->min, row->max);
        break;
    case OPTION_BYTES:
        snprintf(out, size, "%s to %s", option_bytes_text(row->min, low), option_bytes_text(row->max, high));
        break;
    case OPTION_DURATION:
        snprintf(out, size, "%s to %s", option_duration_text(row->min, low),
                 option_duration_text(row->max, high));
        break;
    case OPTION_ENUM:
        for (size_t i = 0; row->choices[i] && len < size; i++)
            len += (size_t)snprintf(out + len, size - len, "%s%s", i > 0 ? ", " : "", row->choices[i]);
        break;
    case OPTION_BOOL:
    case OPTION_STRING:
    case OPTION_LIST:
        break;
    }
}

static const char *default_text(const struct option *row)
{
    return row->preset[0] != '\0' ? row->preset : "empty";
}

/* ---- YAML ------------------------------------------------------------------------------------------------ */

/* Writes text as a comment, broken between words. */
static void print_comment(FILE *out, const char *indent, const char *text)
{
    size_t column = 0;
    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        bool fits = column > 0 && column + 1 + word <= COMMENT_COLUMNS;
        if (!fits && column > 0)
            fputc('\n', out);
        if (!fits)
            column = (size_t)fprintf(out, "%s#", indent);
        column += (size_t)fprintf(out, " %.*s", (int)word, text);
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void print_value(FILE *out, const struct option *row, const void *settings)
{
    const void *field = (const char *)settings + row->offset;
    if (row->type == OPTION_LIST) {
        const struct option_list *list = field;
        for (size_t i = 0; i < list->count; i++) {
            fputs(i > 0 ? ", " : "[", out);
            yaml_text_print(out, list->item[i]);
        }
        fputs(list->count > 0 ? "]" : "[]", out);
        return;
    }
    char text[OPTION_STRING_MAX];
    bool fits = option_format(row, settings, text, sizeof text);
    assert(fits);
    if (row->type == OPTION_STRING)
        yaml_text_print(out, text);
    else
        fputs(text, out);
}

static void print_row(FILE *out, const struct option_table *table, const struct option *row,
                      const void *settings)
{
    char range[256], note[512];
    const char *label = row->type == OPTION_ENUM ? " One of " : " Range: ";
    range_text(row, range, sizeof range);
    snprintf(note, sizeof note, "Default: %s.%s%s%s%s", default_text(row), range[0] ? label : "", range,
             range[0] ? "." : "", row->reloadable ? " SIGHUP applies it." : "");
    fputc('\n', out);
    print_comment(out, "  ", row->doc);
    print_comment(out, "  ", note);
    fprintf(out, "  %s: ", row->name + strlen(table->module) + 1);
    print_value(out, row, settings);
    fputc('\n', out);
}

void config_print(const struct config *config, FILE *out)
{
    for (size_t i = 0; i < config->count; i++) {
        const struct option_table *table = config->bindings[i].table;
        fputs(i > 0 ? "\n" : "", out);
        print_comment(out, "", table->doc);
        fprintf(out, "%s:\n", table->module);
        for (size_t n = 0; n < table->count; n++)
            print_row(out, table, &table->rows[n], config->bindings[i].settings);
    }
    if (config->print_rules)
        config->print_rules(config->rule_context, out);
}

/* ---- Markdown -------------------------------------------------------------------------------------------- */

/* Text of a table's cell: a bar would end it. */
static void print_cell(FILE *out, const char *text)
{
    for (; *text; text++)
        fprintf(out, *text == '|' ? "\\%c" : "%c", *text);
}

static void print_reference_row(FILE *out, const struct option *row)
{
    char range[256], env[CONFIG_NAME_MAX];
    range_text(row, range, sizeof range);
    config_env_name(row->name, env);
    fprintf(out, "| `%s` | %s | ", row->name, type_text(row->type));
    if (row->preset[0] != '\0')
        fprintf(out, "`%s` | ", row->preset);
    else
        fputs("empty | ", out);
    print_cell(out, range);
    fprintf(out, " | %s | `%s` | ", row->reloadable ? "yes" : "no", env);
    print_cell(out, row->doc);
    fputs(" |\n", out);
}

void config_print_reference(const struct config *config, FILE *out)
{
    for (size_t i = 0; i < config->count; i++) {
        const struct option_table *table = config->bindings[i].table;
        fprintf(out, "%s## %s\n\n%s\n\n", i > 0 ? "\n" : "", table->module, table->doc);
        fputs("| key | type | default | range | reload | environment | |\n"
              "| --- | --- | --- | --- | --- | --- | --- |\n",
              out);
        for (size_t n = 0; n < table->count; n++)
            print_reference_row(out, &table->rows[n]);
    }
}
