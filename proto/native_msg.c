/* MSG: written once for a million deliveries, so by hand; read back by delivery and by clients. */
#include <assert.h>

#include "proto/native_publish.h"
#include "proto/native_put.h"
#include "proto/native_reply.h"

/* ---- writing -------------------------------------------------------------------------------------------- */

/* The two below have one hot caller each, into which the linker puts them; so retained values, which are written now and
 * then, have copies of their own. */
__attribute__((always_inline)) static inline size_t bytes_max(const struct native_pub *pub)
{
    size_t fixed = NATIVE_SIZE_BYTES + 2 + 2 * PUT_HEAD_MAX;
    size_t meta = pub->flags & NATIVE_PUB_META ? publish_options_bytes_max(pub) : 0;
    return fixed + pub->topic.len + pub->payload.len + meta;
}

__attribute__((always_inline)) static inline size_t put_msg(uint8_t *out, const struct native_pub *pub,
                                                            uint64_t ts_ms)
{
    uint8_t *frame = out + NATIVE_SIZE_BYTES, *at = frame;
    bool meta = pub->flags & NATIVE_PUB_META;
    *at++ = meta ? 0x94 : 0x93;
    *at++ = NATIVE_MSG;
    at = put_str(at, pub->topic);
    at = put_bin(at, pub->payload);
    if (meta)
        at = publish_meta_put(at, pub, ts_ms);
    size_t len = (size_t)(at - frame);
    assert(len <= UINT32_MAX);
    native_put_size(out, (uint32_t)len);
    return NATIVE_SIZE_BYTES + len;
}

size_t native_msg_bytes_max(const struct native_pub *pub)
{
    return bytes_max(pub);
}

size_t native_put_msg(uint8_t *out, const struct native_pub *pub, uint64_t ts_ms)
{
    return put_msg(out, pub, ts_ms);
}

enum err native_encode_retained(struct wire_buf *out, const struct native_pub *pub, uint64_t ts_ms)
{
    struct native_pub value = *pub;
    value.flags |= NATIVE_PUB_RETAINED;
    enum err e = wire_buf_reserve(out, bytes_max(&value));
    if (e == ERR_NONE)
        out->len += put_msg(out->data + out->len, &value, ts_ms);
    return e;
}

/* ---- looking into what was written ---------------------------------------------------------------------- */

static uint64_t saturating_sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* The two things of a meta map that delivery asks for. */
static void peek_meta(struct cursor *c, struct native_msg_peek *peek)
{
    uint64_t ttl_ms = 0, ts_ms = 0;
    uint32_t options;
    enum err e = cursor_map(c, &options);
    assert(!e);
    while (options-- > 0) {
        struct span name;
        e = cursor_str(c, &name);
        assert(!e);
        if (span_eq(name, span_str("key")))
            e = cursor_bytes(c, &peek->key);
        else if (span_eq(name, span_str("ttl_ms")))
            e = cursor_uint(c, &ttl_ms);
        else if (span_eq(name, span_str("ts_ms")))
            e = cursor_uint(c, &ts_ms);
        else
            e = cursor_skip(c);
        assert(!e);
    }
    if (ttl_ms > 0)
        peek->expires_ms = saturating_sum(ts_ms, ttl_ms);
}

struct native_msg_peek native_peek_msg(const uint8_t *pair)
{
    struct native_msg_peek peek = {.pair_bytes = native_pair_bytes(pair)};
    struct cursor c = {pair + NATIVE_SIZE_BYTES, pair + peek.pair_bytes};
    assert(pair[0] == 0xce && cursor_left(&c) > 2 && c.at[1] == NATIVE_MSG);
    bool with_meta = c.at[0] == 0x94;
    assert(with_meta || c.at[0] == 0x93);
    c.at += 2;
    struct span payload;
    enum err e = cursor_str(&c, &peek.topic);
    assert(!e);
    if (!with_meta)
        return peek;
    e = cursor_bytes(&c, &payload);
    assert(!e);
    peek_meta(&c, &peek);
    return peek;
}

/* ---- reading -------------------------------------------------------------------------------------------- */

static enum err decode_meta(struct cursor body, struct native_msg *out)
{
    struct span values[PUBLISH_OPTIONS];
    struct native_pub pub = {0};
    if (option_map(&body, publish_option_names(), values) || cursor_left(&body) > 0)
        return ERR_PROTOCOL;
    enum err e = publish_options_read(values, &pub);
    bool retained = false;
    if (!e)
        e = option_uint(values[PUBLISH_TS], 0, UINT64_MAX, &out->ts_ms);
    if (!e)
        e = option_bool(values[PUBLISH_RETAINED], &retained);
    out->flags = pub.flags | (retained ? NATIVE_PUB_RETAINED : 0u);
    out->headers = pub.headers;
    out->key = pub.key;
    out->reply = pub.reply;
    out->correlation = pub.correlation;
    out->content_type = pub.content_type;
    out->ttl_ms = pub.ttl_ms;
    out->format = pub.format;
    return e;
}

enum err native_decode_msg(struct cursor body, uint32_t count, struct native_msg *out)
{
    *out = (struct native_msg){0};
    if (cursor_str(&body, &out->topic) || cursor_bytes(&body, &out->payload))
        return ERR_PROTOCOL;
    if (count > 2)
        return decode_meta(body, out);
    return cursor_left(&body) > 0 ? ERR_PROTOCOL : ERR_NONE;
}

struct cursor native_headers_begin(struct span headers, uint32_t *left)
{
    struct cursor c = cursor_of(headers);
    *left = 0;
    if (!headers.data)
        return c;
    enum err e = cursor_array(&c, left);
    assert(!e);
    return c;
}

bool native_next_header(struct cursor *headers, uint32_t *left, struct span *name, struct span *value)
{
    if (*left == 0)
        return false;
    --*left;
    uint32_t elements;
    enum err e = cursor_array(headers, &elements);
    assert(!e && elements == 2);
    e = cursor_str(headers, name);
    assert(!e);
    e = cursor_str(headers, value);
    assert(!e);
    return true;
}
