#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/auth/auth_settings.h"
#include "broker/config.h"
#include "broker/delivery/delivery_settings.h"
#include "broker/frontend/http_settings.h"
#include "broker/limits.h"
#include "broker/log.h"
#include "broker/router/topic_rules.h"
#include "broker/server_settings.h"
#include "broker/session/session_settings.h"

/* All settings of the broker, as its main binds them. */
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
    memset(s, 0, sizeof *s);
    const struct config_binding bindings[] = {
        {&server_options, &s->server},   {&limits_options, &s->limits}, {&delivery_options, &s->delivery},
        {&session_options, &s->session}, {&http_options, &s->http},     {&auth_options, &s->auth},
        {&log_options, &s->log},
    };
    memcpy(s->bindings, bindings, sizeof bindings);
    s->config = (struct config){s->bindings, 7, topic_rules_add, &s->rules, topic_rules_print};
    config_defaults(&s->config);
}

static int set_up(void **state)
{
    struct settings *s = malloc(sizeof *s);
    bind(s);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct settings *s = *state;
    topic_rules_fini(&s->rules);
    free(s);
    return 0;
}

static void loads(struct settings *s, const char *yaml)
{
    struct config_error error = {.line = 0};
    if (config_load_text(&s->config, "sluice.yaml", yaml, strlen(yaml), &error))
        fail_msg("%s", error.text);
}

static void refuses(struct settings *s, const char *yaml, const char *why)
{
    struct config_error error = {.line = 0};
    assert_int_equal(config_load_text(&s->config, "sluice.yaml", yaml, strlen(yaml), &error), ERR_CONFIG);
    assert_string_equal(error.text, why);
    topic_rules_fini(&s->rules);
    config_defaults(&s->config);
}

static void refuses_set(struct settings *s, const char *assignment, const char *why)
{
    struct config_error error = {.line = 0};
    assert_int_equal(config_set(&s->config, assignment, &error), ERR_CONFIG);
    assert_string_equal(error.text, why);
}

/* ---- the file -------------------------------------------------------------------------------------------- */

static void defaults_are_those_of_the_design(void **state)
{
    struct settings *s = *state;
    assert_int_equal(s->delivery.policy, DELIVERY_DROP_OLDEST);
    assert_int_equal(s->delivery.queue, 1024);
    assert_int_equal(s->delivery.queue_bytes, 4 << 20);
    assert_int_equal(s->limits.max_payload, 1 << 20);
    assert_int_equal(s->limits.max_frame, 1114112);
    assert_int_equal(s->limits.memory, 0);
    assert_int_equal(s->server.listen.count, 2);
    assert_string_equal(s->server.listen.item[0], "tcp://127.0.0.1:7400");
    assert_string_equal(s->server.listen.item[1], "ws://127.0.0.1:7480");
    assert_false(s->auth.allow_anonymous);
    assert_int_equal(s->log.level, LOG_INFO);
}

static void defaults_leave_nothing_of_what_was_there(void **state)
{
    struct settings *s = *state;
    struct http_settings fresh = s->http;
    memset(&s->http, 0xff, sizeof s->http);
    config_defaults(&s->config);
    assert_memory_equal(&fresh, &s->http, sizeof fresh);
}

static void keys_may_be_nested_or_dotted(void **state)
{
    struct settings *s = *state;
    loads(s, "limits: {max_payload: 64KiB}\n"
             "delivery.policy: conflate\n"
             "session:\n"
             "  keepalive: 30s\n"
             "  \"hello_timeout\": '5s'\n");
    assert_int_equal(s->limits.max_payload, 65536);
    assert_int_equal(s->delivery.policy, DELIVERY_CONFLATE);
    assert_int_equal(s->session.keepalive, 30000);
    assert_int_equal(s->session.hello_timeout, 5000);
}

static void an_empty_file_and_an_empty_section_change_nothing(void **state)
{
    struct settings *s = *state;
    struct limits_settings before = s->limits;
    loads(s, "");
    loads(s, "# nothing but a comment\n");
    loads(s, "---\n...\n");
    loads(s, "limits:\n  # max_payload: 1\nlog: {}\ntopics:\n");
    assert_memory_equal(&before, &s->limits, sizeof before);
}

static void a_list_is_a_sequence_or_one_text_with_commas(void **state)
{
    struct settings *s = *state;
    loads(s, "server:\n  listen:\n    - tcp://[::1]:0\n    - ws://localhost:0\n    - tcp://127.0.0.1:0\n");
    assert_int_equal(s->server.listen.count, 3);
    assert_string_equal(s->server.listen.item[2], "tcp://127.0.0.1:0");
    loads(s, "server.listen: \"tcp://[::1]:0, ws://localhost:0\"");
    assert_int_equal(s->server.listen.count, 2);
    loads(s, "server.listen: []");
    assert_int_equal(s->server.listen.count, 0);
}

static void an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one(void **state)
{
    struct settings *s = *state;
    refuses(s, "log:\n  level: info\nlimits:\n  max_paylod: 1MiB\n",
            "sluice.yaml:4: \"limits.max_paylod\" is not a known key; did you mean \"limits.max_payload\"?");
    refuses(s, "max_payload: 1MiB\n",
            "sluice.yaml:1: \"max_payload\" is not a known key; did you mean \"limits.max_payload\"?");
    refuses(s, "\nlimit: {max_payload: 1MiB}\n",
            "sluice.yaml:2: \"limit\" is not a known key; did you mean \"limits\"?");
    refuses(s, "topic: []\n", "sluice.yaml:1: \"topic\" is not a known key; did you mean \"topics\"?");
    refuses(s, "cluster: {peers: 3}\n", "sluice.yaml:1: \"cluster\" is not a known key");
    refuses(s, "limits: {limits: {max_payload: 1}}\n", "sluice.yaml:1: \"limits.limits\" is not a known key");
}

static void a_bad_value_is_refused_with_its_line_and_its_key(void **state)
{
    struct settings *s = *state;
    refuses(s, "limits:\n  max_topic: 0\n",
            "sluice.yaml:2: limits.max_topic must be from 1 to 65535, not \"0\"");
    refuses(
        s, "delivery.policy: block\n",
        "sluice.yaml:1: delivery.policy must be one of drop_oldest, drop_newest, conflate, disconnect, not "
        "\"block\"");
    refuses(s, "session.keepalive: 60\n",
            "sluice.yaml:1: session.keepalive must be a duration such as 250ms, 10s, 5m or 1h, not \"60\"");
    refuses(s, "limits.max_payload: [1]\n", "sluice.yaml:1: limits.max_payload must be a single value");
    refuses(s, "http.root:\n", "sluice.yaml:1: http.root has no value; write \"\" for an empty one");
    refuses(s, "http.root: \"a\\0b\"\n", "sluice.yaml:1: a value must not contain a zero byte");
    refuses(s, "server.listen: [[a]]\n", "sluice.yaml:1: server.listen must be a list of plain values");
    refuses(s, "server.listen: [\"\"]\n", "sluice.yaml:1: server.listen must not have an empty item");
    refuses(s, "limits: 3\n", "sluice.yaml:1: limits is a section: its keys go below it");
}

static void a_key_or_section_that_is_there_twice_is_refused(void **state)
{
    struct settings *s = *state;
    refuses(s, "log.level: info\nlog.level: warn\n", "sluice.yaml:2: log.level is set twice");
    refuses(s, "log: {level: info}\nlog.level: warn\n", "sluice.yaml:2: log.level is set twice");
    refuses(s, "log: {level: info}\nlog: {format: json}\n", "sluice.yaml:2: section log is there twice");
    refuses(s, "topics: []\ntopics: []\n", "sluice.yaml:2: topics is set twice");
}

static void anchors_aliases_tags_and_further_documents_are_refused(void **state)
{
    struct settings *s = *state;
    refuses(s, "log: &a {level: info}\n", "sluice.yaml:1: anchors are not supported");
    refuses(s, "log: *a\n", "sluice.yaml:1: aliases are not supported");
    refuses(s, "log.level: !!str info\n", "sluice.yaml:1: tags are not supported");
    refuses(s, "log.level: info\n---\nlog.level: info\n", "sluice.yaml:2: must be one document");
    refuses(s, "- a\n", "sluice.yaml:1: must be a mapping of keys to values");
    refuses(s, "[a, b]: c\n", "sluice.yaml:1: a key must be a plain word");
}

static void text_that_is_not_yaml_is_refused_with_its_line(void **state)
{
    struct settings *s = *state;
    refuses(s, "log:\n  level: info: warn\n",
            "sluice.yaml:2: not valid YAML: mapping values are not allowed in this context");
    refuses(s, "log: {level: info\n", "sluice.yaml:2: not valid YAML: did not find expected ',' or '}'");
    refuses(s, "log.level: info\n\nlog.file: \xff\n",
            "sluice.yaml:3: not valid YAML: invalid leading UTF-8 octet");
}

static void a_file_is_bounded_and_says_what_is_wrong_with_it(void **state)
{
    struct settings *s = *state;
    struct config_error error = {.line = 0};
    char path[] = "/tmp/sluice-test-config-XXXXXX", expected[256];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "log.level: debug\n#", 18), 18);
    assert_int_equal(config_load_file(&s->config, path, &error), ERR_NONE);
    assert_int_equal(s->log.level, LOG_DEBUG);
    assert_int_equal(ftruncate(fd, CONFIG_FILE_MAX + 1), 0);
    assert_int_equal(config_load_file(&s->config, path, &error), ERR_CONFIG);
    snprintf(expected, sizeof expected, "%s: larger than 1MiB: not a configuration", path);
    assert_string_equal(error.text, expected);
    close(fd);
    unlink(path);
    assert_int_equal(config_load_file(&s->config, path, &error), ERR_CONFIG);
    snprintf(expected, sizeof expected, "%s: cannot be opened: No such file or directory", path);
    assert_string_equal(error.text, expected);
    assert_int_equal(config_load_file(&s->config, "/", &error), ERR_CONFIG);
    assert_string_equal(error.text, "/: cannot be read: Is a directory");
}

/* ---- topic rules ----------------------------------------------------------------------------------------- */

static void topic_rules_are_read_in_the_order_of_the_file(void **state)
{
    struct settings *s = *state;
    loads(s, "topics:\n"
             "  - {filter: \"feed/#\", policy: conflate, block: true, max_payload: 4KiB, queue: 100}\n"
             "  - filter: \"#\"\n");
    assert_int_equal(s->rules.count, 2);
    assert_string_equal(s->rules.rules[0].filter, "feed/#");
    assert_int_equal(s->rules.rules[0].policy, NATIVE_POLICY_CONFLATE);
    assert_true(s->rules.rules[0].block);
    assert_int_equal(s->rules.rules[0].max_payload, 4096);
    assert_int_equal(s->rules.rules[0].queue, 100);
    assert_string_equal(s->rules.rules[1].filter, "#");
}

static void a_bad_topic_rule_is_refused_at_the_line_of_its_fault(void **state)
{
    struct settings *s = *state;
    refuses(s, "topics:\n  - filter: a\n    quue: 3\n",
            "sluice.yaml:3: topics: \"quue\" is not a known key; did you mean \"queue\"?");
    refuses(s, "topics:\n\n  - queue: 3\n    block: true\n", "sluice.yaml:3: topics: a rule needs a filter");
    refuses(s, "topics: [{filter: a, filter: b}]\n", "sluice.yaml:1: topics: \"filter\" is set twice");
    refuses(s, "topics: [{filter: [a]}]\n", "sluice.yaml:1: topics: \"filter\" must have a single value");
    refuses(s, "topics: [{filter: }]\n", "sluice.yaml:1: topics: \"filter\" must have a single value");
    refuses(s, "topics: [a]\n",
            "sluice.yaml:1: topics: a rule is a mapping such as {filter: \"feed/#\", policy: conflate}");
    refuses(s, "topics: {filter: a}\n", "sluice.yaml:1: topics must be a list of rules");
}

static void a_rule_with_more_keys_than_any_rule_has_is_refused(void **state)
{
    char yaml[512] = "topics:\n  - {";
    for (int i = 0; i < 17; i++)
        snprintf(yaml + strlen(yaml), sizeof yaml - strlen(yaml), "k%d: 1, ", i);
    strcat(yaml, "}\n");
    refuses(*state, yaml, "sluice.yaml:2: topics: too many keys");
}

static void without_a_rule_hook_topics_is_an_unknown_key(void **state)
{
    struct settings *s = *state;
    s->config.rule = NULL;
    refuses(s, "topics: []\n", "sluice.yaml:1: \"topics\" is not a known key");
}

/* ---- --set and the environment --------------------------------------------------------------------------- */

static void a_setting_on_the_command_line_names_key_and_value(void **state)
{
    struct settings *s = *state;
    struct config_error error = {.line = 0};
    assert_int_equal(config_set(&s->config, "http.root=a=b", &error), ERR_NONE);
    assert_string_equal(s->http.root, "a=b");
    assert_int_equal(config_set(&s->config, "http.root=", &error), ERR_NONE);
    assert_string_equal(s->http.root, "");
    refuses_set(s, "http.root", "--set: needs KEY=VALUE, not \"http.root\"");
    refuses_set(s, "=x", "--set: needs KEY=VALUE, not \"=x\"");
    refuses_set(s, "limits.max_paylod=1",
                "--set: \"limits.max_paylod\" is not a known key; did you mean \"limits.max_payload\"?");
    refuses_set(s, "limits.max_payload=x",
                "--set: limits.max_payload must be a size such as 4096, 64KiB or 1MiB, not \"x\"");
    refuses_set(s, "topics=[]", "--set: topics can be set in a file only");
}

static void the_environment_sets_known_names_and_refuses_bad_values(void **state)
{
    struct settings *s = *state;
    struct config_error error = {.line = 0};
    char *good[] = {"PATH=/bin", "SLUICE_LIMITS_MAX_PAYLOAD=64KiB", "SLUICE_AUTH_ALLOW_ANONYMOUS=true", NULL};
    char *bad[] = {"SLUICE_LIMITS_MAX_PAYLOAD=big", NULL};
    assert_int_equal(config_load_env(&s->config, good, &error), ERR_NONE);
    assert_int_equal(s->limits.max_payload, 65536);
    assert_true(s->auth.allow_anonymous);
    assert_int_equal(config_load_env(&s->config, bad, &error), ERR_CONFIG);
    assert_string_equal(error.text,
                        "SLUICE_LIMITS_MAX_PAYLOAD: limits.max_payload must be a size such as 4096, 64KiB "
                        "or 1MiB, not \"big\"");
}

/* Runs with the log in a file; returns what it says, for the caller to free. */
static char *logged(struct settings *s, char **variables)
{
    struct config_error error = {.line = 0};
    char path[] = "/tmp/sluice-test-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    struct log_settings log = {.level = LOG_INFO};
    snprintf(log.file, sizeof log.file, "%s", path);
    assert_true(log_init(&log));
    assert_int_equal(config_load_env(&s->config, variables, &error), ERR_NONE);
    log.file[0] = '\0';
    assert_true(log_init(&log));
    char *text = calloc(1, 4096);
    assert_true(read(fd, text, 4095) >= 0);
    close(fd);
    unlink(path);
    return text;
}

static void an_unknown_variable_only_warns_and_names_the_nearest(void **state)
{
    char *variables[] = {"SLUICE_LIMIT_MAX_PAYLOAD=1", "SLUICE_COLOUR=blue", NULL};
    char *text = logged(*state, variables);
    assert_non_null(strstr(text, " warn  unknown environment variable name=SLUICE_LIMIT_MAX_PAYLOAD "
                                 "nearest=SLUICE_LIMITS_MAX_PAYLOAD\n"));
    assert_non_null(strstr(text, " warn  unknown environment variable name=SLUICE_COLOUR\n"));
    free(text);
}

static void what_orchestrators_inject_and_the_client_reads_is_skipped_in_silence(void **state)
{
    char *variables[] = {"SLUICE_PORT=tcp://10.0.0.1:7400",
                         "SLUICE_SERVICE_HOST=10.0.0.1",
                         "SLUICE_PORT_7400_TCP_ADDR=10.0.0.1",
                         "SLUICE_WS_SERVICE_PORT_HTTP=7480",
                         "SLUICE_URL=tcp://x",
                         "SLUICE_USER=u",
                         "SLUICE_PASSWORD=p",
                         "SLUICE_TOKEN=t",
                         "SLUICE_NOT_AN_ASSIGNMENT",
                         NULL};
    char *text = logged(*state, variables);
    assert_string_equal(text, "");
    free(text);
}

/* ---- printing -------------------------------------------------------------------------------------------- */

static char *printed(const struct settings *s, void (*print)(const struct config *config, FILE *out))
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    print(&s->config, out);
    fclose(out);
    return text;
}

static void what_is_printed_loads_to_the_same_settings(void **state)
{
    struct settings *s = *state, again;
    loads(s, "limits: {max_payload: 1537, connections_per_address: 7}\n"
             "delivery: {policy: disconnect, block_timeout: 1500ms}\n"
             "http: {root: \"a \\\"b\\\" \\\\ \\L\\N\\uFEFF # gr\xc3\xbc\xc3\x9f: x\", allowed_origins: "
             "[\"https://a.example\", \"b,c\"]}\n"
             "server.listen: []\n"
             "auth.allow_anonymous: true\n"
             "topics: [{filter: 'a/\"b\"/#', policy: block, block: true}, {filter: '#', max_payload: 4K, "
             "queue: 9}]\n");
    char *text = printed(s, config_print);
    bind(&again);
    loads(&again, text);
    for (size_t i = 0; i < s->config.count; i++)
        assert_memory_equal(s->bindings[i].settings, again.bindings[i].settings, s->bindings[i].table->size);
    assert_int_equal(again.rules.count, 2);
    char *text_again = printed(&again, config_print);
    assert_string_equal(text, text_again);
    topic_rules_fini(&again.rules);
    free(text);
    free(text_again);
}

static void a_printed_key_comes_with_its_documentation(void **state)
{
    char *text = printed(*state, config_print);
    assert_non_null(strstr(text, "\n# Who may come in.\nauth:\n"));
    assert_non_null(strstr(text, "\n"
                                 "  # Longest topic or filter in bytes.\n"
                                 "  # Default: 1024. Range: 1 to 65535.\n"
                                 "  max_topic: 1024\n"));
    assert_non_null(strstr(text, "\n  # Default: info. One of error, warn, info, debug. SIGHUP applies it.\n"
                                 "  level: info\n"));
    assert_non_null(strstr(text, "  listen: [\"tcp://127.0.0.1:7400\", \"ws://127.0.0.1:7480\"]\n"));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        assert_in_range(strlen(line), 0, 110);
    free(text);
}

static void the_reference_has_a_row_for_every_key(void **state)
{
    struct settings *s = *state;
    char *text = printed(s, config_print_reference);
    assert_non_null(strstr(text,
                           "## limits\n\nWhat one client, or all of them together, may ask of the broker.\n\n"
                           "| key | type | default | range | reload | environment | |\n"));
    assert_non_null(
        strstr(text, "| `limits.max_topic` | number | `1024` | 1 to 65535 | no | `SLUICE_LIMITS_MAX_TOPIC` | "
                     "Longest topic or filter in bytes. |\n"));
    for (size_t i = 0; i < s->config.count; i++) {
        for (size_t n = 0; n < s->bindings[i].table->count; n++) {
            char cell[128];
            snprintf(cell, sizeof cell, "\n| `%s` | ", s->bindings[i].table->rows[n].name);
            assert_non_null(strstr(text, cell));
        }
    }
    free(text);
}

/* ---- tables and reload ----------------------------------------------------------------------------------- */

static void every_row_belongs_to_its_module_and_is_documented_by_one_sentence(void **state)
{
    struct settings *s = *state;
    for (size_t i = 0; i < s->config.count; i++) {
        const struct option_table *table = s->bindings[i].table;
        for (size_t n = 0; n < table->count; n++) {
            const struct option *row = &table->rows[n];
            size_t module = strlen(table->module), doc = strlen(row->doc);
            assert_int_equal(strncmp(row->name, table->module, module), 0);
            assert_int_equal(row->name[module], '.');
            assert_true(row->offset < table->size);
            assert_true(doc > 0 && row->doc[doc - 1] == '.');
        }
    }
}

static void a_reload_takes_reloadable_rows_over_and_leaves_the_others(void **state)
{
    struct settings *s = *state, loaded;
    bind(&loaded);
    loads(&loaded, "log: {level: debug, format: json}\nlimits.max_payload: 1KiB\n");
    struct log_settings quiet = {.level = LOG_ERROR};
    assert_true(log_init(&quiet));
    assert_int_equal(config_adopt(&s->config, &loaded.config), 2);
    assert_int_equal(s->log.level, LOG_DEBUG);
    assert_int_equal(s->log.format, 0);
    assert_int_equal(s->limits.max_payload, 1 << 20);
    assert_int_equal(config_adopt(&s->config, &s->config), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults_are_those_of_the_design),
        TEST(defaults_leave_nothing_of_what_was_there),
        TEST(keys_may_be_nested_or_dotted),
        TEST(an_empty_file_and_an_empty_section_change_nothing),
        TEST(a_list_is_a_sequence_or_one_text_with_commas),
        TEST(an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one),
        TEST(a_bad_value_is_refused_with_its_line_and_its_key),
        TEST(a_key_or_section_that_is_there_twice_is_refused),
        TEST(anchors_aliases_tags_and_further_documents_are_refused),
        TEST(text_that_is_not_yaml_is_refused_with_its_line),
        TEST(a_file_is_bounded_and_says_what_is_wrong_with_it),
        TEST(topic_rules_are_read_in_the_order_of_the_file),
        TEST(a_bad_topic_rule_is_refused_at_the_line_of_its_fault),
        TEST(a_rule_with_more_keys_than_any_rule_has_is_refused),
        TEST(without_a_rule_hook_topics_is_an_unknown_key),
        TEST(a_setting_on_the_command_line_names_key_and_value),
        TEST(the_environment_sets_known_names_and_refuses_bad_values),
        TEST(an_unknown_variable_only_warns_and_names_the_nearest),
        TEST(what_orchestrators_inject_and_the_client_reads_is_skipped_in_silence),
        TEST(what_is_printed_loads_to_the_same_settings),
        TEST(a_printed_key_comes_with_its_documentation),
        TEST(the_reference_has_a_row_for_every_key),
        TEST(every_row_belongs_to_its_module_and_is_documented_by_one_sentence),
        TEST(a_reload_takes_reloadable_rows_over_and_leaves_the_others),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
