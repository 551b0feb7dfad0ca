#include "broker/router/topic_rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/yaml_text.h"
#include "proto/topic.h"

static const char *const keys[] = {"filter", "policy", "block", "max_payload", "queue", "retained"};

enum { FILTER_LEVELS_MAX = 256, QUEUE_MAX = 1000000, PAYLOAD_MAX = 256 << 20, FILTER_MAX = 65535 };

void topic_rules_init(struct topic_rules *rules)
{
    *rules = (struct topic_rules){.rules = NULL};
}

void topic_rules_fini(struct topic_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++)
        free(rules->rules[i].filter);
    free(rules->rules);
    topic_rules_init(rules);
}

static struct span rule_filter(const struct topic_rule *rule)
{
    return span_of(rule->filter, rule->filter_len);
}

/* ---- reading --------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static enum err fail(struct config_error *error, unsigned line,
                                                           const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    error->line = line;
    return ERR_CONFIG;
}

/* Puts the key in front of what a parser found wrong with its value. */
static enum err name_fault(const struct config_rule_field *field, enum err err,
                           const struct config_error *fault, struct config_error *error)
{
    return err ? fail(error, field->line, "%s %s", field->key, fault->text) : ERR_NONE;
}

static enum err fail_unknown(const struct config_rule_field *field, struct config_error *error)
{
    char quoted[OPTION_QUOTE_TEXT];
    struct option_nearest nearest = {.typed = field->key};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        option_nearest_offer(&nearest, keys[i]);
    option_quote(field->key, quoted);
    if (nearest.best)
        return fail(error, field->line, "%s is not a known key; did you mean \"%s\"?", quoted, nearest.best);
    return fail(error, field->line,
                "%s is not a known key; known are filter, policy, block, max_payload, queue and "
                "retained",
                quoted);
}

static enum err read_filter(struct topic_rule *rule, const struct config_rule_field *field,
                            struct config_error *error)
{
    struct span filter = span_str(field->value);
    char quoted[OPTION_QUOTE_TEXT];
    if (filter_check(filter, FILTER_MAX, FILTER_LEVELS_MAX) != ERR_NONE)
        return fail(error, field->line, "%s is not a valid filter", option_quote(field->value, quoted));
    if (filter_is_shared(filter))
        return fail(error, field->line,
                    "a rule's filter must not be shared; the rule for \"jobs/#\" also holds for "
                    "\"$share/workers/jobs/#\"");
    rule->filter = malloc(filter.len + 1);
    if (!rule->filter)
        return fail(error, field->line, "out of memory");
    memcpy(rule->filter, field->value, filter.len + 1);
    rule->filter_len = filter.len;
    return ERR_NONE;
}

static enum err read_policy(struct topic_rule *rule, const struct config_rule_field *field,
                            struct config_error *error)
{
    char quoted[OPTION_QUOTE_TEXT];
    if (native_policy_parse(span_str(field->value), &rule->policy))
        return ERR_NONE;
    return fail(error, field->line,
                "policy must be one of drop_oldest, drop_newest, conflate, disconnect, block, not %s",
                option_quote(field->value, quoted));
}

static enum err read_retained(struct topic_rule *rule, const struct config_rule_field *field,
                              struct config_error *fault)
{
    bool retained = true;
    enum err err = option_parse_bool(field->value, &retained, fault);
    rule->unretained = !retained;
    return err;
}

static enum err read_field(struct topic_rule *rule, const struct config_rule_field *field,
                           struct config_error *error)
{
    struct config_error fault;
    enum err err;
    if (strcmp(field->key, "filter") == 0)
        return read_filter(rule, field, error);
    if (strcmp(field->key, "policy") == 0)
        return read_policy(rule, field, error);
    if (strcmp(field->key, "block") == 0)
        err = option_parse_bool(field->value, &rule->block, &fault);
    else if (strcmp(field->key, "max_payload") == 0)
        err = option_parse_number(OPTION_BYTES, 1, PAYLOAD_MAX, field->value, &rule->max_payload, &fault);
    else if (strcmp(field->key, "retained") == 0)
        err = read_retained(rule, field, &fault);
    else if (strcmp(field->key, "queue") == 0)
        err = option_parse_number(OPTION_UINT, 1, QUEUE_MAX, field->value, &rule->queue, &fault);
    else
        return fail_unknown(field, error);
    return name_fault(field, err, &fault, error);
}

/* What is only wrong about the rule as a whole, or where it stands. */
static enum err check_rule(const struct topic_rules *rules, const struct topic_rule *rule,
                           struct config_error *error)
{
    if (!rule->filter)
        return fail(error, 0, "a rule needs a filter");
    if (rule->policy == NATIVE_POLICY_BLOCK && !rule->block)
        return fail(error, 0, "policy block needs \"block: true\" in the same rule");
    if (rules->count == TOPIC_RULES_MAX)
        return fail(error, 0, "there must not be more than %d rules", TOPIC_RULES_MAX);
    const struct topic_rule *above = topic_rules_find_filter(rules, rule_filter(rule));
    char mine[OPTION_QUOTE_TEXT], others[OPTION_QUOTE_TEXT];
    if (above)
        return fail(error, 0, "the rule for %s is never reached: %s further up covers all of it",
                    option_quote(rule->filter, mine), option_quote(above->filter, others));
    return ERR_NONE;
}

static enum err append(struct topic_rules *rules, const struct topic_rule *rule, struct config_error *error)
{
    struct topic_rule *grown = realloc(rules->rules, (rules->count + 1) * sizeof *grown);
    if (!grown)
        return fail(error, 0, "out of memory");
    rules->rules = grown;
    rules->rules[rules->count++] = *rule;
    return ERR_NONE;
}

enum err topic_rules_add(void *context, const struct config_rule_field *fields, size_t count,
                         struct config_error *error)
{
    struct topic_rules *rules = context;
    struct topic_rule rule = {.policy = NATIVE_POLICY_DEFAULT};
    enum err err = ERR_NONE;
    for (size_t i = 0; i < count && !err; i++)
        err = read_field(&rule, &fields[i], error);
    if (!err)
        err = check_rule(rules, &rule, error);
    if (!err)
        err = append(rules, &rule, error);
    if (err)
        free(rule.filter);
    return err;
}

enum err topic_rules_validate(const struct topic_rules *rules, uint64_t max_frame, char *text, size_t size)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct topic_rule *rule = &rules->rules[i];
        char filter[OPTION_QUOTE_TEXT], payload[OPTION_NUMBER_TEXT], frame[OPTION_NUMBER_TEXT];
        if (rule->max_payload < max_frame)
            continue;
        snprintf(text, size,
                 "topics: max_payload of the rule for %s (%s) must be below limits.max_frame (%s)",
                 option_quote(rule->filter, filter), option_bytes_text(rule->max_payload, payload),
                 option_bytes_text(max_frame, frame));
        return ERR_CONFIG;
    }
    return ERR_NONE;
}

/* ---- printing -------------------------------------------------------------------------------------------- */

static void print_rule(const struct topic_rule *rule, FILE *out)
{
    char number[OPTION_NUMBER_TEXT];
    fputs("  - {filter: ", out);
    yaml_text_print(out, rule->filter);
    if (rule->policy != NATIVE_POLICY_DEFAULT)
        fprintf(out, ", policy: %s", native_policy_name(rule->policy));
    if (rule->block)
        fputs(", block: true", out);
    if (rule->unretained)
        fputs(", retained: false", out);
    if (rule->max_payload)
        fprintf(out, ", max_payload: %s", option_bytes_text(rule->max_payload, number));
    if (rule->queue)
        fprintf(out, ", queue: %llu", (unsigned long long)rule->queue);
    fputs("}\n", out);
}

void topic_rules_print(void *context, FILE *out)
{
    const struct topic_rules *rules = context;
    fputs("\n# What holds for some topics: the first rule that fits wins. Keys: filter, policy (of a "
          "subscription that\n"
          "# names none), block (whether subscriptions may ask for it), max_payload, queue, retained\n"
          "# (whether publishes may leave a retained value).\n",
          out);
    fputs(rules->count > 0 ? "topics:\n" : "topics: []\n", out);
    for (size_t i = 0; i < rules->count; i++)
        print_rule(&rules->rules[i], out);
}

/* ---- finding --------------------------------------------------------------------------------------------- */

const struct topic_rule *topic_rules_find(const struct topic_rules *rules, struct span topic)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (filter_matches(rule_filter(&rules->rules[i]), topic))
            return &rules->rules[i];
    }
    return NULL;
}

/* FILTER of "$share/GROUP/FILTER", or all of it. */
static struct span without_group(struct span filter)
{
    if (!filter_is_shared(filter))
        return filter;
    for (int slashes = 0; slashes < 2; filter.data++, filter.len--)
        slashes += filter.data[0] == '/';
    return filter;
}

const struct topic_rule *topic_rules_find_filter(const struct topic_rules *rules, struct span filter)
{
    struct span inner = without_group(filter);
    for (size_t i = 0; i < rules->count; i++) {
        if (filter_covers(rule_filter(&rules->rules[i]), inner))
            return &rules->rules[i];
    }
    return NULL;
}

/* ---- covering -------------------------------------------------------------------------------------------- */

/* The levels of a filter, one after the other. */
struct levels {
    struct span rest;
    bool done; /* no level is left; an empty rest may still be an empty level */
};

static struct span take_level(struct levels *levels)
{
    struct span level = levels->rest;
    const uint8_t *slash = level.len > 0 ? memchr(level.data, '/', level.len) : NULL;
    if (!slash) {
        levels->done = true;
        return level;
    }
    level.len = (size_t)(slash - level.data);
    levels->rest.data += level.len + 1;
    levels->rest.len -= level.len + 1;
    return level;
}

static bool is_wildcard(struct span level, char wildcard)
{
    return level.len == 1 && level.data[0] == (uint8_t)wildcard;
}

/* Whether the only level left is "#". */
static bool rest_is_all(const struct levels *levels)
{
    return !levels->done && is_wildcard(levels->rest, '#');
}

bool filter_covers(struct span outer, struct span inner)
{
    struct levels out = {.rest = outer}, in = {.rest = inner};
    /* A leading wildcard leaves `$`-topics alone, and a leading wildcard inside does the same. */
    if (inner.len > 0 && inner.data[0] == '$' && (outer.data[0] == '+' || outer.data[0] == '#'))
        return false;
    while (!in.done) {
        if (out.done)
            return false;
        struct span wide = take_level(&out), narrow = take_level(&in);
        if (is_wildcard(wide, '#'))
            return true;
        if (is_wildcard(narrow, '#'))
            /* "a/#" matches "a", which "a/+/#" does not; but in front of "#" and "/#" there is no topic. */
            return inner.len <= 2 && is_wildcard(wide, '+') && rest_is_all(&out);
        if (!is_wildcard(wide, '+') && !span_eq(wide, narrow))
            return false;
    }
    return out.done || rest_is_all(&out); /* "a/#" matches "a" too */
}
