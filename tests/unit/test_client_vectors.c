/*
 * tests/wire/vectors.json, the list that the broker and the other clients are held to, through the public interface of
 * libsluice: what the broker sends reaches the callbacks as it says, and what the program asks for leaves in the bytes of
 * the vectors. The path of the file is the program's argument.
 */
#include "tests/unit/client_fixture.h"

#include <jansson.h>

static json_t *vectors;

/* ---- the list ------------------------------------------------------------------------------------------- */

static struct wire_buf unhex(const char *hex)
{
    struct wire_buf bytes;
    wire_buf_init(&bytes, 0);
    for (; *hex; hex += 2) {
        unsigned value;
        assert_int_equal(sscanf(hex, "%2x", &value), 1);
        uint8_t byte = (uint8_t)value;
        assert_int_equal(wire_buf_append(&bytes, &byte, 1), ERR_NONE);
    }
    return bytes;
}

static const char *text_of(const json_t *vector, const char *key)
{
    return json_string_value(json_object_get(vector, key));
}

static bool is(const json_t *vector, const char *key)
{
    return json_is_true(json_object_get(vector, key));
}

static const json_t *element(const json_t *vector, size_t index)
{
    return json_array_get(json_object_get(vector, "frame"), index);
}

static uint64_t number(const json_t *value)
{
    return (uint64_t)json_integer_value(value);
}

/* str or {"$bin": hex}; .data NULL when there is no such value. For the caller to free. */
static struct sluice_bytes bytes_in(const json_t *value)
{
    const char *hex = text_of(value, "$bin");
    if (!hex)
        return json_is_string(value)
                   ? sluice_bytes_of(strdup(json_string_value(value)), json_string_length(value))
                   : (struct sluice_bytes){0};
    struct wire_buf bytes = unhex(hex);
    return sluice_bytes_of(bytes.data ? bytes.data : malloc(1), bytes.len);
}

static void free_bytes(struct sluice_bytes bytes)
{
    free((void *)(uintptr_t)bytes.data);
}

static void assert_bytes(const char *name, const char *what, struct sluice_bytes got, const json_t *value)
{
    struct sluice_bytes expected = bytes_in(value);
    if ((got.data == NULL) != (expected.data == NULL) || !sluice_bytes_equal(got, expected))
        fail_msg("%s: %s is \"%.*s\"", name, what, BYTES(got));
    free_bytes(expected);
}

static enum sluice_policy policy_of(const char *name)
{
    static const struct {
        const char *name;
        enum sluice_policy policy;
    } names[] = {{"drop_oldest", SLUICE_POLICY_DROP_OLDEST},
                 {"drop_newest", SLUICE_POLICY_DROP_NEWEST},
                 {"conflate", SLUICE_POLICY_CONFLATE},
                 {"disconnect", SLUICE_POLICY_DISCONNECT},
                 {"block", SLUICE_POLICY_BLOCK}};
    for (size_t i = 0; name && i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i].name, name) == 0)
            return names[i].policy;
    return SLUICE_POLICY_DEFAULT;
}

/* ---- what the broker sends ------------------------------------------------------------------------------ */

struct listener {
    struct fixture *f;
    const json_t *vector;
    unsigned messages;
};

static void check_headers(const char *name, const struct sluice_message *message, const json_t *headers)
{
    struct sluice_header_iter it = {0};
    size_t i = 0;
    for (; sluice_header_next(message, &it); i++) {
        assert_bytes(name, "a header's name", it.header.name, json_array_get(json_array_get(headers, i), 0));
        assert_bytes(name, "a header's value", it.header.value,
                     json_array_get(json_array_get(headers, i), 1));
    }
    assert_int_equal(i, json_array_size(headers));
}

static void check_message(void *user, const struct sluice_message *message)
{
    struct listener *listener = user;
    const char *name = text_of(listener->vector, "name");
    const json_t *meta = element(listener->vector, 3);
    listener->messages++;
    assert_bytes(name, "the topic", message->topic, element(listener->vector, 1));
    assert_bytes(name, "the payload", message->payload, element(listener->vector, 2));
    assert_bytes(name, "the key", message->key, json_object_get(meta, "key"));
    assert_bytes(name, "the reply topic", message->reply, json_object_get(meta, "reply"));
    assert_bytes(name, "the correlation", message->correlation, json_object_get(meta, "correlation"));
    assert_bytes(name, "the content type", message->content_type, json_object_get(meta, "content_type"));
    assert_int_equal(message->ttl_ms, number(json_object_get(meta, "ttl_ms")));
    assert_int_equal(message->ts_ms, number(json_object_get(meta, "ts_ms")));
    assert_int_equal(message->text, number(json_object_get(meta, "format")));
    check_headers(name, message, json_object_get(meta, "headers"));
}

static void check_grant(void *user, uint64_t subscription, const struct sluice_error *result,
                        const struct sluice_granted *granted)
{
    struct listener *listener = user;
    const json_t *options = element(listener->vector, 2);
    note(listener->f, "subscribed %llu %s\n", (unsigned long long)subscription, result->code);
    if (!granted || !json_object_get(options, "policy"))
        return;
    assert_int_equal(granted->policy, policy_of(text_of(options, "policy")));
    assert_int_equal(granted->queue, number(json_object_get(options, "queue")));
    assert_true(granted->max_hz == json_number_value(json_object_get(options, "max_hz")));
    assert_int_equal(granted->retained, json_is_true(json_object_get(options, "retained")));
}

/* A client whose second request is a SUB and whose fifth is a PUB, as the answers in the list say. */
static void make_requests(struct listener *listener)
{
    struct fixture *f = listener->f;
    assert_int_equal(sluice_core_subscribe(f->core, "#", NULL, check_message, NULL, listener, NULL),
                     SLUICE_OK);
    assert_int_equal(
        sluice_core_subscribe(f->core, "$other", NULL, check_message, check_grant, listener, NULL),
        SLUICE_OK);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(publish(f, "x", "y"), SLUICE_OK);
    take_output(f);
    f->log[0] = '\0';
}

/* What is written down when the frame arrives; NULL: nothing says more than the callbacks that were called. */
static const char *expected_log(const json_t *vector, char *text, size_t size)
{
    const json_t *first = element(vector, 1), *second = element(vector, 2), *third = element(vector, 3);
    text[0] = '\0';
    switch (number(element(vector, 0))) {
    case NATIVE_WELCOME:
        return "connected 1\n";
    case NATIVE_OK:
        return number(first) == 2 ? "subscribed 2 ok\n" : "done ok\n";
    case NATIVE_ERR:
        if (number(first) == 0)
            snprintf(text, size, "error %s: %s\n", json_string_value(second), json_string_value(third));
        else
            snprintf(text, size, "done %s\n", json_string_value(second));
        return text;
    case NATIVE_GAP:
        snprintf(text, size, "gap %s %llu %s\n", json_string_value(first), (unsigned long long)number(second),
                 json_string_value(third));
        return text;
    case NATIVE_EVENT:
        snprintf(text, size, "live %s\n", json_string_value(second));
        return strcmp(json_string_value(first), "live") == 0 ? text : "";
    case NATIVE_BYE:
        return NULL;
    default:
        return "";
    }
}

static void check_valid(struct listener *listener)
{
    struct fixture *f = listener->f;
    const json_t *vector = listener->vector;
    char text[256];
    const char *expected = expected_log(vector, text, sizeof text);
    uint64_t op = number(element(vector, 0));
    if (!expected) {
        snprintf(text, sizeof text, "down %s retry in ", json_string_value(element(vector, 1)));
        assert_non_null(strstr(f->log, text));
        assert_true(sluice_core_deadline_ms(f->core) >= f->now_ms + number(element(vector, 3)));
    } else if (strcmp(f->log, expected) != 0) {
        fail_msg("%s: %s", text_of(vector, "name"), f->log);
    }
    assert_int_equal(listener->messages, op == NATIVE_MSG);
    if (expected)
        assert_int_equal(take_output(f) > 0, op == NATIVE_PING);
    if (op == NATIVE_PING)
        expect_op(f, NATIVE_PONG);
}

static void check_reply(const json_t *vector)
{
    struct listener listener = {.f = fixture_new((struct sluice_options){0}), .vector = vector};
    struct fixture *f = listener.f;
    struct wire_buf bytes = unhex(text_of(vector, "hex"));
    if (number(element(vector, 0)) == NATIVE_WELCOME) {
        sluice_core_connecting(f->core, f->now_ms);
        sluice_core_connected(f->core, f->now_ms);
        take_output(f);
    } else {
        connect_now(f);
        make_requests(&listener);
    }
    feed(f, &bytes);
    if (is(vector, "valid"))
        check_valid(&listener);
    else if (!strstr(f->log, "down protocol_error retry in "))
        fail_msg("%s: taken, %s", text_of(vector, "name"), f->log);
    fixture_free(f);
}

static void what_the_broker_sends_reaches_the_program_as_the_vectors_say(void **state)
{
    (void)state;
    size_t i;
    json_t *vector;
    unsigned checked = 0;
    json_array_foreach(vectors, i, vector)
    {
        if (strcmp(text_of(vector, "kind"), "reply") != 0)
            continue;
        check_reply(vector);
        checked++;
    }
    assert_true(checked > 25);
}

/* ---- what the program sends ----------------------------------------------------------------------------- */

enum { ID_AT = NATIVE_SIZE_BYTES + 2 /* behind the array's header and the op */ };

static void ask_sub(struct fixture *f, const json_t *vector)
{
    const json_t *options = element(vector, 3);
    struct sluice_subscribe_options asked = {
        .policy = policy_of(text_of(options, "policy")),
        .queue = (uint32_t)number(json_object_get(options, "queue")),
        .max_hz = json_number_value(json_object_get(options, "max_hz")),
        .independent = json_object_get(options, "tag") != NULL,
    };
    assert_int_equal(sluice_core_subscribe(f->core, json_string_value(element(vector, 2)), &asked, on_message,
                                           NULL, f, NULL),
                     SLUICE_OK);
}

static void ask_unsub(struct fixture *f, const json_t *vector)
{
    uint64_t id = subscribe(f, json_string_value(element(vector, 2)));
    take_output(f);
    assert_int_equal(sluice_core_unsubscribe(f->core, id, on_done, f), SLUICE_OK);
}

static void ask_pub(struct fixture *f, const json_t *vector)
{
    const json_t *options = element(vector, 4), *headers = json_object_get(options, "headers");
    struct sluice_header header[4];
    size_t count = json_array_size(headers);
    assert_true(count <= 4);
    for (size_t i = 0; i < count; i++)
        header[i] = (struct sluice_header){bytes_in(json_array_get(json_array_get(headers, i), 0)),
                                           bytes_in(json_array_get(json_array_get(headers, i), 1))};
    struct sluice_publish p = {
        .topic = bytes_in(element(vector, 2)),
        .payload = bytes_in(element(vector, 3)),
        .headers = header,
        .header_count = count,
        .ttl_ms = number(json_object_get(options, "ttl_ms")),
        .key = bytes_in(json_object_get(options, "key")),
        .reply = bytes_in(json_object_get(options, "reply")),
        .correlation = bytes_in(json_object_get(options, "correlation")),
        .content_type = bytes_in(json_object_get(options, "content_type")),
        .text = number(json_object_get(options, "format")) == 1,
        .retain = json_is_true(json_object_get(options, "retain")),
    };
    bool answered = number(element(vector, 1)) != 0;
    assert_int_equal(sluice_core_publish(f->core, &p, answered ? on_done : NULL, f), SLUICE_OK);
    const struct sluice_bytes owned[] = {p.topic, p.payload, p.key, p.reply, p.correlation, p.content_type};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        free_bytes(owned[i]);
    for (size_t i = 0; i < count; i++) {
        free_bytes(header[i].name);
        free_bytes(header[i].value);
    }
}

static void ask_pong(struct fixture *f, const json_t *vector)
{
    (void)vector;
    struct wire_buf ping;
    wire_buf_init(&ping, 0);
    assert_int_equal(native_encode_ping(&ping), ERR_NONE);
    feed(f, &ping);
}

static void (*const asks[])(struct fixture *f, const json_t *vector) = {
    [NATIVE_SUB] = ask_sub,
    [NATIVE_UNSUB] = ask_unsub,
    [NATIVE_PUB] = ask_pub,
    [NATIVE_PONG] = ask_pong,
};

/* Numbers that the client chooses itself, for the client's own: small ones, so that each is one byte. */
static void give_its_numbers(struct wire_buf *expected, const struct wire_buf *sent, const json_t *vector)
{
    uint64_t op = number(element(vector, 0));
    if (op == NATIVE_PONG || sent->len != expected->len)
        return;
    if (number(element(vector, 1)) != 0)
        expected->data[ID_AT] = sent->data[ID_AT];
    if (op == NATIVE_SUB && json_object_get(element(vector, 3), "tag"))
        expected->data[expected->len - 1] = sent->data[sent->len - 1];
}

/* Whether the program can ask for exactly this. */
static bool sayable(const json_t *vector)
{
    uint64_t op = number(element(vector, 0));
    const json_t *headers = json_object_get(element(vector, 4), "headers");
    return is(vector, "canonical") && op < sizeof asks / sizeof asks[0] && asks[op] &&
           number(element(vector, 1)) < 128 && (!headers || json_array_size(headers) > 0);
}

static void check_request(const json_t *vector)
{
    struct fixture *f = fixture_new((struct sluice_options){0});
    struct wire_buf expected = unhex(text_of(vector, "hex"));
    connect_now(f);
    take_output(f);
    asks[number(element(vector, 0))](f, vector);
    take_output(f);
    give_its_numbers(&expected, &f->sent, vector);
    if (f->sent.len != expected.len || memcmp(f->sent.data, expected.data, expected.len) != 0)
        fail_msg("%s: other bytes", text_of(vector, "name"));
    wire_buf_fini(&expected);
    fixture_free(f);
}

static void what_the_program_asks_for_leaves_in_the_bytes_of_the_vectors(void **state)
{
    (void)state;
    size_t i;
    json_t *vector;
    unsigned checked = 0;
    json_array_foreach(vectors, i, vector)
    {
        if (strcmp(text_of(vector, "kind"), "request") != 0 || !sayable(vector))
            continue;
        check_request(vector);
        checked++;
    }
    assert_true(checked >= 18);
}

int main(int argc, char **argv)
{
    json_error_t error;
    vectors = argc > 1 ? json_load_file(argv[1], 0, &error) : NULL;
    if (!vectors) {
        fprintf(stderr, "cannot read the vectors: %s\n",
                argc > 1 ? error.text : "their file is the argument");
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_broker_sends_reaches_the_program_as_the_vectors_say),
        cmocka_unit_test(what_the_program_asks_for_leaves_in_the_bytes_of_the_vectors),
    };
    int failed = cmocka_run_group_tests_name("client_vectors", tests, NULL, NULL);
    json_decref(vectors);
    return failed;
}
