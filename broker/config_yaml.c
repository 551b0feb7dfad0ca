/*
 * The YAML side of config: a file is read event by event, never as a tree, so that what it costs is bounded by its size.
 * Only what a configuration needs is understood: mappings, sequences and scalars; anchors, aliases, tags and further
 * documents are refused. Nesting is bounded by the keys: a section that no known key lies in is not entered.
 */
#include "broker/config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "broker/config_lookup.h"
#include "broker/memory.h"

enum {
    RULE_FIELDS_MAX = 16, /* keys of one entry of `topics` */
    SEEN_MAX = 64         /* sections of one file */
};

struct loader {
    const struct config *config;
    const char *name, *text; /* borrows */
    size_t len;              /* of text */
    struct config_error *error;
    yaml_parser_t parser;
    yaml_event_t event; /* the last one read; owns its text */
    bool has_event;
    bool *set;            /* one per row: the file has set it; owns */
    char *seen[SEEN_MAX]; /* sections that the file has opened; owns */
    size_t seen_count;
    bool seen_topics;
};

/* ---- events ---------------------------------------------------------------------------------------------- */

static unsigned event_line(const struct loader *loader)
{
    return (unsigned)loader->event.start_mark.line + 1;
}

/* "sluice.yaml:12" */
struct place {
    char text[256];
};

static struct place place_of(const struct loader *loader, unsigned line)
{
    struct place place;
    snprintf(place.text, sizeof place.text, "%.240s:%u", loader->name, line);
    return place;
}

#define FAIL_AT(loader_, line_, ...)                                                                         \
    config_fail((loader_)->error, place_of((loader_), (line_)).text, __VA_ARGS__)
#define FAIL(loader_, ...) FAIL_AT((loader_), event_line(loader_), __VA_ARGS__)

static void drop_event(struct loader *loader)
{
    if (loader->has_event)
        yaml_event_delete(&loader->event);
    loader->has_event = false;
}

/* The line of a byte that cannot be read; the parser, which reads ahead, only knows its offset. */
static unsigned line_at(const struct loader *loader, size_t offset)
{
    unsigned line = 1;
    for (size_t i = 0; i < offset && i < loader->len; i++)
        line += loader->text[i] == '\n';
    return line;
}

static enum err fail_syntax(struct loader *loader)
{
    const yaml_parser_t *parser = &loader->parser;
    unsigned line = parser->error == YAML_READER_ERROR ? line_at(loader, parser->problem_offset)
                                                       : (unsigned)parser->problem_mark.line + 1;
    return FAIL_AT(loader, line, "not valid YAML: %s", parser->problem ? parser->problem : "out of memory");
}

/* What a configuration has no use for, and what makes a small file unfold into a large one. */
static enum err check_plain(struct loader *loader, const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor)
        return FAIL(loader, "anchors are not supported");
    if (tag)
        return FAIL(loader, "tags are not supported");
    return ERR_NONE;
}

/* Reads the next event into loader->event. */
static enum err next(struct loader *loader)
{
    drop_event(loader);
    if (!yaml_parser_parse(&loader->parser, &loader->event))
        return fail_syntax(loader);
    loader->has_event = true;
    const yaml_event_t *event = &loader->event;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return FAIL(loader, "aliases are not supported");
    case YAML_SCALAR_EVENT:
        if (strlen((const char *)event->data.scalar.value) != event->data.scalar.length)
            return FAIL(loader, "a value must not contain a zero byte");
        return check_plain(loader, event->data.scalar.anchor, event->data.scalar.tag);
    case YAML_SEQUENCE_START_EVENT:
        return check_plain(loader, event->data.sequence_start.anchor, event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return check_plain(loader, event->data.mapping_start.anchor, event->data.mapping_start.tag);
    default:
        return ERR_NONE;
    }
}

static const char *scalar(const struct loader *loader)
{
    assert(loader->event.type == YAML_SCALAR_EVENT);
    return (const char *)loader->event.data.scalar.value;
}

/* `key:` with nothing behind it, or an explicit null. */
static bool is_null(const struct loader *loader)
{
    const char *text = scalar(loader);
    return loader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (*text == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

/* ---- settings -------------------------------------------------------------------------------------------- */

/* The items of a sequence, up to its end, replace the row's list. */
static enum err load_list(struct loader *loader, const struct config_key *key)
{
    struct option_list *list = (struct option_list *)(void *)((char *)key->settings + key->row->offset);
    list->count = 0;
    for (;;) {
        enum err err = next(loader);
        if (err)
            return err;
        if (loader->event.type == YAML_SEQUENCE_END_EVENT)
            return ERR_NONE;
        if (loader->event.type != YAML_SCALAR_EVENT)
            return FAIL(loader, "%s must be a list of plain values", key->row->name);
        struct config_error fault;
        if (option_list_add(key->row, key->settings, scalar(loader), &fault))
            return FAIL(loader, "%s %s", key->row->name, fault.text);
    }
}

/* The value of a known key; loader->event is its first event. */
static enum err load_value(struct loader *loader, const struct config_key *key)
{
    if (loader->set[key->index])
        return FAIL(loader, "%s is set twice", key->row->name);
    loader->set[key->index] = true;
    if (loader->event.type == YAML_SEQUENCE_START_EVENT && key->row->type == OPTION_LIST)
        return load_list(loader, key);
    if (loader->event.type != YAML_SCALAR_EVENT)
        return FAIL(loader, "%s must be a single value", key->row->name);
    if (is_null(loader))
        return FAIL(loader, "%s has no value; write \"\" for an empty one", key->row->name);
    return config_assign(key, scalar(loader), place_of(loader, event_line(loader)).text, loader->error);
}

/* Notes that the file opened a section, which it may do once. */
static enum err open_section(struct loader *loader, const char *path)
{
    for (size_t i = 0; i < loader->seen_count; i++) {
        if (strcmp(loader->seen[i], path) == 0)
            return FAIL(loader, "section %s is there twice", path);
    }
    if (loader->seen_count == SEEN_MAX)
        return FAIL(loader, "too many sections");
    char *copy = memory_must(strlen(path) + 1);
    strcpy(copy, path);
    loader->seen[loader->seen_count++] = copy;
    return ERR_NONE;
}

static enum err load_topics(struct loader *loader);
static enum err load_mapping(struct loader *loader, const char *prefix);

/* The value behind `path`, whatever it is; `line` is the key's. */
static enum err load_entry(struct loader *loader, const char *path, unsigned line)
{
    struct config_key key;
    bool known = config_find(loader->config, path, &key);
    bool topics = !known && loader->config->rule && strcmp(path, "topics") == 0;
    if (!known && !topics && !config_has_section(loader->config, path))
        return config_fail_unknown(loader->config, loader->error, place_of(loader, line).text, path);
    enum err err = next(loader);
    if (err)
        return err;
    if (known)
        return load_value(loader, &key);
    if (topics)
        return load_topics(loader);
    err = open_section(loader, path);
    if (err)
        return err;
    if (loader->event.type == YAML_SCALAR_EVENT && is_null(loader))
        return ERR_NONE;
    if (loader->event.type != YAML_MAPPING_START_EVENT)
        return FAIL(loader, "%s is a section: its keys go below it", path);
    return load_mapping(loader, path);
}

/* The pairs of a mapping, up to its end. Keys may be dotted. */
static enum err load_mapping(struct loader *loader, const char *prefix)
{
    for (;;) {
        enum err err = next(loader);
        if (err)
            return err;
        if (loader->event.type == YAML_MAPPING_END_EVENT)
            return ERR_NONE;
        if (loader->event.type != YAML_SCALAR_EVENT)
            return FAIL(loader, "a key must be a plain word");
        char path[CONFIG_NAME_MAX];
        unsigned line = event_line(loader);
        snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "." : "", scalar(loader));
        err = load_entry(loader, path, line);
        if (err)
            return err;
    }
}

/* ---- topic rules ----------------------------------------------------------------------------------------- */

/* The keys and values of one rule while it is read. */
struct rule {
    struct config_rule_field fields[RULE_FIELDS_MAX]; /* own their texts */
    size_t count;
};

static char *copy_text(const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        abort();
    return copy;
}

static void rule_fini(struct rule *rule)
{
    for (size_t i = 0; i < rule->count; i++) {
        free((char *)rule->fields[i].key);
        free((char *)rule->fields[i].value);
    }
}

/* Adds the key that loader->event holds, still without its value. */
static enum err rule_add_key(struct loader *loader, struct rule *rule)
{
    if (loader->event.type != YAML_SCALAR_EVENT)
        return FAIL(loader, "a key must be a plain word");
    char quoted[OPTION_QUOTE_TEXT];
    for (size_t i = 0; i < rule->count; i++) {
        if (strcmp(rule->fields[i].key, scalar(loader)) == 0)
            return FAIL(loader, "topics: %s is set twice", option_quote(scalar(loader), quoted));
    }
    if (rule->count == RULE_FIELDS_MAX)
        return FAIL(loader, "topics: too many keys");
    rule->fields[rule->count++] =
        (struct config_rule_field){copy_text(scalar(loader)), NULL, event_line(loader)};
    return ERR_NONE;
}

static enum err rule_add_value(struct loader *loader, struct rule *rule)
{
    struct config_rule_field *field = &rule->fields[rule->count - 1];
    char quoted[OPTION_QUOTE_TEXT];
    enum err err = next(loader);
    if (err)
        return err;
    if (loader->event.type != YAML_SCALAR_EVENT || is_null(loader))
        return FAIL(loader, "topics: %s must have a single value", option_quote(field->key, quoted));
    field->value = copy_text(scalar(loader));
    return ERR_NONE;
}

/* Reads the pairs of one entry; loader->event is the start of its mapping. */
static enum err rule_read(struct loader *loader, struct rule *rule)
{
    for (;;) {
        enum err err = next(loader);
        if (!err && loader->event.type == YAML_MAPPING_END_EVENT)
            return ERR_NONE;
        if (!err)
            err = rule_add_key(loader, rule);
        if (!err)
            err = rule_add_value(loader, rule);
        if (err)
            return err;
    }
}

static enum err load_rule(struct loader *loader)
{
    if (loader->event.type != YAML_MAPPING_START_EVENT)
        return FAIL(loader, "topics: a rule is a mapping such as {filter: \"feed/#\", policy: conflate}");
    unsigned line = event_line(loader);
    struct rule rule = {.count = 0};
    enum err err = rule_read(loader, &rule);
    if (!err) {
        struct config_error fault = {.line = 0};
        err = loader->config->rule(loader->config->rule_context, rule.fields, rule.count, &fault);
        if (err)
            err = FAIL_AT(loader, fault.line ? fault.line : line, "topics: %s", fault.text);
    }
    rule_fini(&rule);
    return err;
}

static enum err load_topics(struct loader *loader)
{
    if (loader->seen_topics)
        return FAIL(loader, "topics is set twice");
    loader->seen_topics = true;
    if (loader->event.type == YAML_SCALAR_EVENT && is_null(loader))
        return ERR_NONE;
    if (loader->event.type != YAML_SEQUENCE_START_EVENT)
        return FAIL(loader, "topics must be a list of rules");
    for (;;) {
        enum err err = next(loader);
        if (!err && loader->event.type == YAML_SEQUENCE_END_EVENT)
            return ERR_NONE;
        if (!err)
            err = load_rule(loader);
        if (err)
            return err;
    }
}

/* ---- documents ------------------------------------------------------------------------------------------- */

static enum err load_document(struct loader *loader)
{
    enum err err = next(loader);
    if (err)
        return err;
    if (loader->event.type == YAML_SCALAR_EVENT && is_null(loader))
        return ERR_NONE;
    if (loader->event.type != YAML_MAPPING_START_EVENT)
        return FAIL(loader, "must be a mapping of keys to values");
    return load_mapping(loader, "");
}

static enum err load_stream(struct loader *loader)
{
    for (bool first = true;;) {
        enum err err = next(loader);
        if (err)
            return err;
        switch (loader->event.type) {
        case YAML_STREAM_END_EVENT:
            return ERR_NONE;
        case YAML_DOCUMENT_START_EVENT:
            if (!first)
                return FAIL(loader, "must be one document");
            first = false;
            err = load_document(loader);
            if (err)
                return err;
            break;
        default: /* start of the stream, end of the document */
            break;
        }
    }
}

static size_t count_rows(const struct config *config)
{
    struct config_walk walk = {0};
    while (config_next(config, &walk))
        ;
    return walk.index;
}

enum err config_load_text(const struct config *config, const char *name, const char *text, size_t len,
                          struct config_error *error)
{
    if (len > CONFIG_FILE_MAX)
        return config_fail(error, name, "larger than 1MiB: not a configuration");
    struct loader loader = {.config = config, .name = name, .text = text, .len = len, .error = error};
    if (!yaml_parser_initialize(&loader.parser))
        return config_fail(error, name, "out of memory");
    yaml_parser_set_input_string(&loader.parser, (const unsigned char *)text, len);
    yaml_parser_set_encoding(&loader.parser, YAML_UTF8_ENCODING);
    loader.set = memory_must(count_rows(config) + 1);
    enum err err = load_stream(&loader);
    drop_event(&loader);
    yaml_parser_delete(&loader.parser);
    for (size_t i = 0; i < loader.seen_count; i++)
        free(loader.seen[i]);
    free(loader.set);
    return err;
}

enum err config_load_file(const struct config *config, const char *path, struct config_error *error)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return config_fail(error, path, "cannot be opened: %s", strerror(errno));
    char *text = malloc(CONFIG_FILE_MAX + 1); /* one more tells a file at the bound from one beyond it */
    size_t len = text ? fread(text, 1, CONFIG_FILE_MAX + 1, file) : 0;
    enum err err = !text || ferror(file) ? config_fail(error, path, "cannot be read: %s", strerror(errno))
                                         : config_load_text(config, path, text, len, error);
    free(text);
    fclose(file);
    return err;
}
