/*
 * Every decoder on arbitrary frames. What decodes as a request is encoded and decoded again, to the same; what decodes as
 * a PUB becomes the MSG that subscribers get, which must fit the room that was promised to fit, and decode to the same.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/native_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct cursor reopen(const struct wire_buf *pair, uint32_t expected, uint32_t *count)
{
    struct span in = span_of(pair->data, pair->len), frame;
    struct cursor body;
    size_t need;
    uint32_t op;
    assert(native_next_frame(&in, UINT32_MAX, &frame, &need) == ERR_NONE && in.len == 0);
    assert(native_open(frame, &op, count, &body) == ERR_NONE && op == expected);
    return body;
}

static void check_msg(const struct native_pub *pub)
{
    size_t most = native_msg_bytes_max(pub);
    uint8_t *pair = malloc(most);
    size_t bytes = native_put_msg(pair, pub, 1700000000000);
    assert(bytes <= most && native_pair_bytes(pair) == bytes);
    struct native_msg_peek peek = native_peek_msg(pair);
    assert(peek.pair_bytes == bytes && span_eq(peek.topic, pub->topic));
    assert((peek.key.data != NULL) == ((pub->flags & NATIVE_PUB_KEY) != 0) && span_eq(peek.key, pub->key));

    struct span in = span_of(pair, bytes), frame;
    struct cursor body;
    struct native_msg msg;
    size_t need;
    uint32_t op, count;
    assert(native_next_frame(&in, UINT32_MAX, &frame, &need) == ERR_NONE);
    assert(native_open(frame, &op, &count, &body) == ERR_NONE && op == NATIVE_MSG);
    assert(native_decode_msg(body, count, &msg) == ERR_NONE);
    assert(span_eq(msg.topic, pub->topic) && span_eq(msg.payload, pub->payload));
    assert(msg.flags == (pub->flags & ~(unsigned)NATIVE_PUB_RETAIN));
    assert(span_eq(msg.headers, pub->headers) && span_eq(msg.reply, pub->reply) && msg.ttl_ms == pub->ttl_ms);
    free(pair);
}

static void check_pub(struct cursor body, uint32_t count)
{
    struct native_pub pub, again;
    if (native_decode_pub(body, count, &pub))
        return;
    check_msg(&pub);
    struct native_pub kept = pub;
    kept.flags |= NATIVE_PUB_RETAINED;
    check_msg(&kept);
    struct wire_buf pair;
    wire_buf_init(&pair, 0);
    assert(native_encode_pub(&pair, &pub) == ERR_NONE);
    body = reopen(&pair, NATIVE_PUB, &count);
    assert(native_decode_pub(body, count, &again) == ERR_NONE);
    assert(again.id == pub.id && again.flags == pub.flags && span_eq(again.topic, pub.topic));
    assert(span_eq(again.payload, pub.payload) && span_eq(again.headers, pub.headers) &&
           again.format == pub.format);
    wire_buf_fini(&pair);
}

static void check_sub(struct cursor body, uint32_t count)
{
    struct native_sub sub, again;
    if (native_decode_sub(body, count, &sub))
        return;
    struct wire_buf pair;
    wire_buf_init(&pair, 0);
    assert(native_encode_sub(&pair, &sub) == ERR_NONE);
    body = reopen(&pair, NATIVE_SUB, &count);
    assert(native_decode_sub(body, count, &again) == ERR_NONE);
    assert(again.id == sub.id && span_eq(again.filter, sub.filter) && again.policy == sub.policy);
    assert(again.queue == sub.queue && again.has_tag == sub.has_tag && again.tag == sub.tag);
    assert(again.max_hz <= sub.max_hz && again.max_hz >= sub.max_hz);
    wire_buf_fini(&pair);
}

static void check_hello(struct cursor body, uint32_t count)
{
    struct native_hello hello, again;
    if (native_decode_hello(body, count, &hello))
        return;
    struct wire_buf pair;
    wire_buf_init(&pair, 0);
    assert(native_encode_hello(&pair, &hello) == ERR_NONE);
    body = reopen(&pair, NATIVE_HELLO, &count);
    assert(native_decode_hello(body, count, &again) == ERR_NONE);
    assert(span_eq(again.client, hello.client) && again.keepalive_s == hello.keepalive_s);
    wire_buf_fini(&pair);
}

/* Frames of which it is enough that they do no harm. */
static void check_others(struct cursor body, uint32_t count)
{
    union {
        struct native_unsub unsub;
        struct native_welcome welcome;
        struct native_ok ok;
        struct native_error error;
        struct native_gap gap;
        struct native_bye bye;
        struct native_event event;
        uint32_t tag;
        uint64_t id;
    } out;
    (void)!native_decode_unsub(body, count, &out.unsub);
    (void)!native_decode_welcome(body, count, &out.welcome);
    (void)!native_decode_ok(body, count, &out.ok);
    (void)!native_decode_err(body, count, &out.error);
    (void)!native_decode_gap(body, count, &out.gap);
    (void)!native_decode_bye(body, count, &out.bye);
    (void)!native_decode_event(body, count, &out.event);
    (void)!native_decode_tag(body, count, &out.tag);
    (void)!native_decode_id(body, count, &out.id);
}

static void check_received_msg(struct cursor body, uint32_t count)
{
    struct native_msg msg;
    struct span name, value;
    uint32_t left;
    if (native_decode_msg(body, count, &msg) || !(msg.flags & NATIVE_PUB_HEADERS))
        return;
    struct cursor headers = native_headers_begin(msg.headers, &left);
    while (native_next_header(&headers, &left, &name, &value))
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint32_t op, count;
    struct cursor body;
    if (native_open(span_of(data, len), &op, &count, &body))
        return 0;
    switch (op) {
    case NATIVE_HELLO:
        check_hello(body, count);
        break;
    case NATIVE_SUB:
        check_sub(body, count);
        break;
    case NATIVE_PUB:
        check_pub(body, count);
        break;
    case NATIVE_MSG:
        check_received_msg(body, count);
        break;
    default:
        check_others(body, count);
    }
    return 0;
}
