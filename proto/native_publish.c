#include "proto/native_publish.h"

#include "proto/native_put.h"

enum {
    FIELD_BYTES_MAX = 255,
    FORMAT_MAX = 1,
    KNOWN_FLAGS = 127,     /* those that stand for a key of PUB and of MSG */
    NAMES_BYTES_MAX = 112, /* the map's header, all names with theirs, and the three numbers */
};

struct option_names publish_option_names(void)
{
    static const char *const names[PUBLISH_OPTIONS] = {"headers",     "ttl_ms",       "key",    "reply",
                                                       "correlation", "content_type", "format", "ts_ms",
                                                       "retained",    "retain",       "dedup"};
    return (struct option_names){names, PUBLISH_OPTIONS};
}

/* ---- reading -------------------------------------------------------------------------------------------- */

/* An array of [str, str] pairs, taken as it is. */
static enum err read_headers(struct span value, struct span *out)
{
    struct cursor c = cursor_of(value);
    uint32_t pairs, elements;
    struct span ignored;
    if (!value.data)
        return ERR_NONE;
    if (cursor_array(&c, &pairs))
        return ERR_BAD_OPTION;
    while (pairs-- > 0) {
        if (cursor_array(&c, &elements) || elements != 2 || cursor_str(&c, &ignored) ||
            cursor_str(&c, &ignored))
            return ERR_BAD_OPTION;
    }
    *out = value;
    return ERR_NONE;
}

static unsigned flags_of(const struct span values[PUBLISH_OPTIONS])
{
    unsigned flags = 0;
    for (unsigned i = PUBLISH_HEADERS; i <= PUBLISH_FORMAT; i++)
        flags |= values[i].data ? 1u << i : 0u;
    struct cursor key = cursor_of(values[PUBLISH_KEY]);
    if (values[PUBLISH_KEY].data && cursor_peek(&key) == CURSOR_BIN)
        flags |= NATIVE_PUB_KEY_BIN;
    return flags;
}

enum err publish_options_read(const struct span values[PUBLISH_OPTIONS], struct native_pub *out)
{
    enum err e;
    if ((e = read_headers(values[PUBLISH_HEADERS], &out->headers)) ||
        (e = option_uint(values[PUBLISH_TTL], 1, NATIVE_NUMBER_MAX, &out->ttl_ms)) ||
        (e = option_bytes(values[PUBLISH_KEY], FIELD_BYTES_MAX, &out->key)) ||
        (e = option_str(values[PUBLISH_REPLY], SIZE_MAX, &out->reply)) ||
        (e = option_bytes(values[PUBLISH_CORRELATION], FIELD_BYTES_MAX, &out->correlation)) ||
        (e = option_str(values[PUBLISH_CONTENT_TYPE], FIELD_BYTES_MAX, &out->content_type)) ||
        (e = option_uint32(values[PUBLISH_FORMAT], 0, FORMAT_MAX, &out->format)))
        return e;
    out->flags = flags_of(values);
    return ERR_NONE;
}

/* ---- writing -------------------------------------------------------------------------------------------- */

size_t publish_options_bytes_max(const struct native_pub *pub)
{
    size_t bytes = NAMES_BYTES_MAX;
    if (pub->flags & NATIVE_PUB_HEADERS)
        bytes += pub->headers.len;
    if (pub->flags & NATIVE_PUB_KEY)
        bytes += PUT_HEAD_MAX + pub->key.len;
    if (pub->flags & NATIVE_PUB_REPLY)
        bytes += PUT_HEAD_MAX + pub->reply.len;
    if (pub->flags & NATIVE_PUB_CORRELATION)
        bytes += PUT_HEAD_MAX + pub->correlation.len;
    if (pub->flags & NATIVE_PUB_CONTENT_TYPE)
        bytes += PUT_HEAD_MAX + pub->content_type.len;
    return bytes;
}

static uint8_t *put_name(uint8_t *at, enum publish_option option)
{
    return put_str(at, span_str(publish_option_names().names[option]));
}

/* A key with the value true. */
static uint8_t *put_true(uint8_t *at, enum publish_option option)
{
    at = put_name(at, option);
    *at++ = 0xc3;
    return at;
}

/* What PUB and MSG have in common, behind the map's header. */
static uint8_t *put_known(uint8_t *at, const struct native_pub *pub)
{
    unsigned flags = pub->flags;
    if (flags & NATIVE_PUB_HEADERS)
        at = put_bytes(put_name(at, PUBLISH_HEADERS), pub->headers);
    if (flags & NATIVE_PUB_TTL)
        at = put_uint(put_name(at, PUBLISH_TTL), pub->ttl_ms);
    if (flags & NATIVE_PUB_KEY && flags & NATIVE_PUB_KEY_BIN)
        at = put_bin(put_name(at, PUBLISH_KEY), pub->key);
    else if (flags & NATIVE_PUB_KEY)
        at = put_str(put_name(at, PUBLISH_KEY), pub->key);
    if (flags & NATIVE_PUB_REPLY)
        at = put_str(put_name(at, PUBLISH_REPLY), pub->reply);
    if (flags & NATIVE_PUB_CORRELATION)
        at = put_bin(put_name(at, PUBLISH_CORRELATION), pub->correlation);
    if (flags & NATIVE_PUB_CONTENT_TYPE)
        at = put_str(put_name(at, PUBLISH_CONTENT_TYPE), pub->content_type);
    if (flags & NATIVE_PUB_FORMAT)
        at = put_uint(put_name(at, PUBLISH_FORMAT), pub->format);
    return at;
}

uint8_t *publish_options_put(uint8_t *at, const struct native_pub *pub)
{
    bool retain = pub->flags & NATIVE_PUB_RETAIN;
    *at++ = (uint8_t)(0x80 | (__builtin_popcount(pub->flags & KNOWN_FLAGS) + retain));
    at = put_known(at, pub);
    return retain ? put_true(at, PUBLISH_RETAIN) : at;
}

uint8_t *publish_meta_put(uint8_t *at, const struct native_pub *pub, uint64_t ts_ms)
{
    bool retained = pub->flags & NATIVE_PUB_RETAINED, with_ts = retained || pub->flags & NATIVE_PUB_TTL;
    *at++ = (uint8_t)(0x80 | (__builtin_popcount(pub->flags & KNOWN_FLAGS) + retained + with_ts));
    at = put_known(at, pub);
    if (retained)
        at = put_true(at, PUBLISH_RETAINED);
    return with_ts ? put_uint(put_name(at, PUBLISH_TS), ts_ms) : at;
}
