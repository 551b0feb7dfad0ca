/*
 * tests/wire/vectors.json against the codec: what is valid decodes, what is not is refused with its code, and what is
 * canonical is encoded to the same bytes. The path of the file is the program's argument.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "proto/native_reply.h"

static json_t *vectors;

static uint8_t *unhex(const char *hex, size_t *len)
{
    *len = strlen(hex) / 2;
    uint8_t *bytes = malloc(*len + 1);
    for (size_t i = 0; i < *len; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        bytes[i] = (uint8_t)byte;
    }
    return bytes;
}

static const char *text_of(const json_t *vector, const char *key)
{
    return json_string_value(json_object_get(vector, key));
}

/* What a request decodes to, encoded again; not all of them can be: `again` stays empty then. */
static enum err request(uint32_t op, struct cursor body, uint32_t count, struct wire_buf *again)
{
    union {
        struct native_hello hello;
        struct native_sub sub;
        struct native_unsub unsub;
        struct native_pub pub;
    } frame;
    enum err e;
    switch (op) {
    case NATIVE_HELLO:
        e = native_decode_hello(body, count, &frame.hello);
        return e ? e : native_encode_hello(again, &frame.hello);
    case NATIVE_SUB:
        e = native_decode_sub(body, count, &frame.sub);
        if (!e && frame.sub.unsupported)
            return ERR_UNSUPPORTED;
        return e ? e : native_encode_sub(again, &frame.sub);
    case NATIVE_UNSUB:
        e = native_decode_unsub(body, count, &frame.unsub);
        return e ? e : native_encode_unsub(again, &frame.unsub);
    case NATIVE_PUB:
        e = native_decode_pub(body, count, &frame.pub);
        if (!e && frame.pub.unsupported)
            return ERR_UNSUPPORTED;
        return e ? e : native_encode_pub(again, &frame.pub);
    case NATIVE_PING:
        return native_encode_ping(again);
    case NATIVE_PONG:
        return native_encode_pong(again);
    case NATIVE_ACK:
    case NATIVE_NACK:
    case NATIVE_HISTORY:
    case NATIVE_PRESENCE:
        return ERR_UNSUPPORTED;
    default:
        return ERR_UNKNOWN_OP;
    }
}

static enum err put(struct wire_buf *again, const uint8_t *bytes, size_t len)
{
    return wire_buf_append(again, bytes, len);
}

static enum err reply_msg(struct cursor body, uint32_t count, struct wire_buf *again)
{
    struct native_msg msg;
    enum err e = native_decode_msg(body, count, &msg);
    if (e)
        return e;
    struct native_pub pub = {.topic = msg.topic,
                             .payload = msg.payload,
                             .flags = msg.flags,
                             .headers = msg.headers,
                             .key = msg.key,
                             .reply = msg.reply,
                             .correlation = msg.correlation,
                             .content_type = msg.content_type,
                             .ttl_ms = msg.ttl_ms,
                             .format = msg.format};
    uint8_t *bytes = malloc(native_msg_bytes_max(&pub));
    size_t len = native_put_msg(bytes, &pub, msg.ts_ms);
    assert_true(len <= native_msg_bytes_max(&pub));
    e = put(again, bytes, len);
    free(bytes);
    return e;
}

static enum err reply_gap(struct cursor body, uint32_t count, struct wire_buf *again)
{
    struct native_gap gap;
    uint8_t bytes[512];
    enum err e = native_decode_gap(body, count, &gap);
    if (e)
        return e;
    for (unsigned i = 0; i < NATIVE_GAP_COUNT; i++)
        if (span_eq(gap.reason, span_str(native_gap_name((enum native_gap_reason)i))))
            return put(again, bytes, native_put_gap(bytes, gap.filter, gap.count, (enum native_gap_reason)i));
    return ERR_NONE;
}

static enum err reply_ok(struct cursor body, uint32_t count, struct wire_buf *again)
{
    struct native_ok ok;
    enum err e = native_decode_ok(body, count, &ok);
    if (e)
        return e;
    struct native_sub granted = {.id = ok.id,
                                 .policy = ok.policy,
                                 .queue = ok.queue,
                                 .max_hz = ok.max_hz,
                                 .has_tag = ok.has_tag,
                                 .tag = ok.tag,
                                 .retained = ok.retained};
    return ok.policy ? native_encode_ok_sub(again, &granted) : native_encode_ok(again, ok.id);
}

static enum err reply(uint32_t op, struct cursor body, uint32_t count, struct wire_buf *again)
{
    union {
        struct native_welcome welcome;
        struct native_error error;
        struct native_bye bye;
        struct native_event event;
        uint32_t tag;
    } frame;
    uint8_t tag[NATIVE_TAG_BYTES_MAX];
    enum err e;
    switch (op) {
    case NATIVE_WELCOME:
        e = native_decode_welcome(body, count, &frame.welcome);
        return e ? e : native_encode_welcome(again, &frame.welcome);
    case NATIVE_OK:
        return reply_ok(body, count, again);
    case NATIVE_ERR:
        e = native_decode_err(body, count, &frame.error);
        return e ? e : native_encode_err(again, &frame.error);
    case NATIVE_MSG:
        return reply_msg(body, count, again);
    case NATIVE_GAP:
        return reply_gap(body, count, again);
    case NATIVE_EVENT:
        e = native_decode_event(body, count, &frame.event);
        return e || frame.event.data.data ? e : native_encode_event(again, &frame.event);
    case NATIVE_BYE:
        e = native_decode_bye(body, count, &frame.bye);
        return e ? e : native_encode_bye(again, &frame.bye);
    case NATIVE_TAG:
        e = native_decode_tag(body, count, &frame.tag);
        return e ? e : put(again, tag, native_put_tag(tag, frame.tag));
    default:
        return request(op, body, count, again);
    }
}

static void check(const json_t *vector)
{
    size_t len, need;
    uint8_t *bytes = unhex(text_of(vector, "hex"), &len);
    struct span in = span_of(bytes, len), frame;
    struct wire_buf again;
    wire_buf_init(&again, 0);
    assert_int_equal(native_next_frame(&in, 1 << 20, &frame, &need), ERR_NONE);
    assert_int_equal(in.len, 0);

    uint32_t op, count;
    struct cursor body;
    enum err e = native_open(frame, &op, &count, &body);
    if (!e)
        e = (strcmp(text_of(vector, "kind"), "reply") == 0 ? reply : request)(op, body, count, &again);
    const char *expected = text_of(vector, "error");
    if (strcmp(err_name(e), expected ? expected : "ok") != 0)
        fail_msg("%s: %s instead of %s", text_of(vector, "name"), err_name(e), expected ? expected : "ok");
    if (json_is_true(json_object_get(vector, "canonical"))) {
        if (again.len != len || memcmp(again.data, bytes, len) != 0)
            fail_msg("%s: encoded to other bytes", text_of(vector, "name"));
    }
    wire_buf_fini(&again);
    free(bytes);
}

static void every_vector_means_what_it_says(void **state)
{
    (void)state;
    size_t i;
    json_t *vector;
    assert_true(json_array_size(vectors) > 100);
    json_array_foreach(vectors, i, vector) check(vector);
}

/* A frame that is cut short anywhere is refused, and nothing behind its end is read (the sanitizer watches). */
static void no_valid_vector_decodes_when_it_is_cut_short(void **state)
{
    (void)state;
    size_t i, len;
    json_t *vector;
    json_array_foreach(vectors, i, vector)
    {
        if (!json_is_true(json_object_get(vector, "valid")))
            continue;
        uint8_t *bytes = unhex(text_of(vector, "hex"), &len);
        for (size_t cut = 0; cut + NATIVE_SIZE_BYTES < len; cut++) {
            uint8_t *copy = malloc(cut + 1);
            memcpy(copy, bytes + NATIVE_SIZE_BYTES, cut);
            uint32_t op, count;
            struct cursor body;
            struct wire_buf again;
            wire_buf_init(&again, 0);
            enum err e = native_open(span_of(copy, cut), &op, &count, &body);
            if (!e)
                e = (strcmp(text_of(vector, "kind"), "reply") == 0 ? reply : request)(op, body, count,
                                                                                      &again);
            if (e != ERR_PROTOCOL)
                fail_msg("%s cut to %zu bytes: %s", text_of(vector, "name"), cut, err_name(e));
            wire_buf_fini(&again);
            free(copy);
        }
        free(bytes);
    }
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
        cmocka_unit_test(every_vector_means_what_it_says),
        cmocka_unit_test(no_valid_vector_decodes_when_it_is_cut_short),
    };
    int failed = cmocka_run_group_tests_name("wire_vectors", tests, NULL, NULL);
    json_decref(vectors);
    return failed;
}
