#include "proto/cursor.h"

#include <assert.h>

/* ---- headers -------------------------------------------------------------------------------------------- */

static uint64_t big_endian(const uint8_t *p, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | p[i];
    return value;
}

static uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* What one first byte says: its type, how many bytes of length or number follow it, and how to read them. */
static enum cursor_type type_of(uint8_t first)
{
    static const uint8_t types[] = {
        /* 0xc0 */ CURSOR_NIL,   CURSOR_INVALID, CURSOR_BOOL,  CURSOR_BOOL,
        /* 0xc4 */ CURSOR_BIN,   CURSOR_BIN,     CURSOR_BIN,   CURSOR_EXT,
        /* 0xc8 */ CURSOR_EXT,   CURSOR_EXT,     CURSOR_FLOAT, CURSOR_FLOAT,
        /* 0xcc */ CURSOR_UINT,  CURSOR_UINT,    CURSOR_UINT,  CURSOR_UINT,
        /* 0xd0 */ CURSOR_INT,   CURSOR_INT,     CURSOR_INT,   CURSOR_INT,
        /* 0xd4 */ CURSOR_EXT,   CURSOR_EXT,     CURSOR_EXT,   CURSOR_EXT,
        /* 0xd8 */ CURSOR_EXT,   CURSOR_STR,     CURSOR_STR,   CURSOR_STR,
        /* 0xdc */ CURSOR_ARRAY, CURSOR_ARRAY,   CURSOR_MAP,   CURSOR_MAP,
    };
    if (first < 0x80)
        return CURSOR_UINT;
    if (first < 0x90)
        return CURSOR_MAP;
    if (first < 0xa0)
        return CURSOR_ARRAY;
    if (first < 0xc0)
        return CURSOR_STR;
    if (first < 0xe0)
        return (enum cursor_type)types[first - 0xc0];
    return CURSOR_INT;
}

enum cursor_type cursor_peek(const struct cursor *c)
{
    if (c->at == c->end)
        return CURSOR_END;
    enum cursor_type type = type_of(c->at[0]);
    /* 0xd0..0xd3 say "signed"; the sign is the top bit of the byte behind. */
    bool wide_signed = c->at[0] >= 0xd0 && c->at[0] <= 0xd3;
    if (wide_signed && cursor_left(c) > 1 && c->at[1] < 0x80)
        return CURSOR_UINT;
    return type;
}

/* ---- single values -------------------------------------------------------------------------------------- */

/* Takes the header of a container; each of its elements is at least `bytes_each` long. */
static inline enum err take_count(struct cursor *c, size_t header, uint32_t n, size_t bytes_each,
                                  uint32_t *count)
{
    if (n * (uint64_t)bytes_each > cursor_left(c) - header)
        return ERR_PROTOCOL;
    c->at += header;
    *count = n;
    return ERR_NONE;
}

/* A container with a 16 or 32-bit count; `wide` is the first byte of the 16-bit form. */
static inline enum err long_container(struct cursor *c, uint8_t wide, size_t bytes_each, uint32_t *count)
{
    size_t left = cursor_left(c);
    if (left >= 3 && c->at[0] == wide)
        return take_count(c, 3, load16(c->at + 1), bytes_each, count);
    if (left >= 5 && c->at[0] == wide + 1)
        return take_count(c, 5, load32(c->at + 1), bytes_each, count);
    return ERR_PROTOCOL;
}

enum err cursor_long_array(struct cursor *c, uint32_t *count)
{
    return long_container(c, 0xdc, 1, count);
}

enum err cursor_map(struct cursor *c, uint32_t *count)
{
    if (c->at == c->end || (c->at[0] & 0xf0) != 0x80)
        return long_container(c, 0xde, 2, count);
    return take_count(c, 1, c->at[0] & 0x0f, 2, count);
}

/* uint8 .. uint64 and int8 .. int64, as long as the value is not negative. */
enum err cursor_long_uint(struct cursor *c, uint64_t *value)
{
    size_t left = cursor_left(c);
    if (left < 2 || c->at[0] < 0xcc || c->at[0] > 0xd3)
        return ERR_PROTOCOL;
    size_t bytes = (size_t)1 << (c->at[0] & 3);
    bool negative = c->at[0] >= 0xd0 && c->at[1] >= 0x80;
    if (negative || left < 1 + bytes)
        return ERR_PROTOCOL;
    *value = big_endian(c->at + 1, bytes);
    c->at += 1 + bytes;
    return ERR_NONE;
}

/* Takes the `len` bytes behind a header of `header` bytes. */
static inline enum err take(struct cursor *c, size_t header, size_t len, struct span *out)
{
    if (len > cursor_left(c) - header)
        return ERR_PROTOCOL;
    *out = span_of(c->at + header, len);
    c->at += header + len;
    return ERR_NONE;
}

/* The three lengths of bin and the three longer ones of str; `narrow` is the first byte of the 8-bit form. */
static inline enum err long_bytes(struct cursor *c, uint8_t narrow, struct span *out)
{
    size_t left = cursor_left(c);
    if (left >= 2 && c->at[0] == narrow)
        return take(c, 2, c->at[1], out);
    if (left >= 3 && c->at[0] == narrow + 1)
        return take(c, 3, load16(c->at + 1), out);
    if (left >= 5 && c->at[0] == narrow + 2)
        return take(c, 5, load32(c->at + 1), out);
    return ERR_PROTOCOL;
}

enum err cursor_long_str(struct cursor *c, struct span *out)
{
    return long_bytes(c, 0xd9, out);
}

enum err cursor_long_bin(struct cursor *c, struct span *out)
{
    return long_bytes(c, 0xc4, out);
}

enum err cursor_nil(struct cursor *c)
{
    if (c->at == c->end || c->at[0] != 0xc0)
        return ERR_PROTOCOL;
    c->at++;
    return ERR_NONE;
}

/* ---- skipping ------------------------------------------------------------------------------------------- */

/* ext: one byte of type stands between the header and the data. */
static enum err skip_ext(struct cursor *c)
{
    size_t left = cursor_left(c);
    uint8_t first = c->at[0];
    struct span ignored;
    if (first >= 0xd4 && left >= 2)
        return take(c, 2, (size_t)1 << (first - 0xd4), &ignored);
    size_t bytes = (size_t)1 << (first - 0xc7);
    if (first > 0xc9 || left < 2 + bytes)
        return ERR_PROTOCOL;
    return take(c, 2 + bytes, big_endian(c->at + 1, bytes), &ignored);
}

/* Numbers, nil and booleans: their length follows from the first byte alone. */
static enum err skip_fixed(struct cursor *c)
{
    uint8_t first = c->at[0];
    size_t bytes = 0;
    if (first == 0xca || first == 0xcb)
        bytes = first == 0xca ? 4 : 8;
    else if (first >= 0xcc && first <= 0xd3)
        bytes = (size_t)1 << (first & 3);
    if (cursor_left(c) < 1 + bytes)
        return ERR_PROTOCOL;
    c->at += 1 + bytes;
    return ERR_NONE;
}

/* Skips one value, or only the header of a container and then says in *inside how many values it holds. */
static enum err skip_one(struct cursor *c, uint64_t *inside, bool *opened)
{
    struct span ignored;
    uint32_t count;
    enum err e;
    *opened = false;
    switch (cursor_peek(c)) {
    case CURSOR_END:
    case CURSOR_INVALID:
        return ERR_PROTOCOL;
    case CURSOR_STR:
    case CURSOR_BIN:
        return cursor_bytes(c, &ignored);
    case CURSOR_EXT:
        return skip_ext(c);
    case CURSOR_ARRAY:
        e = cursor_array(c, &count);
        *opened = true;
        *inside = count;
        return e;
    case CURSOR_MAP:
        e = cursor_map(c, &count);
        *opened = true;
        *inside = (uint64_t)count * 2;
        return e;
    case CURSOR_NIL:
    case CURSOR_BOOL:
    case CURSOR_UINT:
    case CURSOR_INT:
    case CURSOR_FLOAT:
        return skip_fixed(c);
    }
    assert(false);
    return ERR_PROTOCOL;
}

enum err cursor_skip(struct cursor *c)
{
    struct cursor walk = *c;
    uint64_t left[CURSOR_DEPTH_MAX + 1] = {1}; /* values still to skip, per open container */
    size_t depth = 0;
    for (;;) {
        while (left[depth] == 0) {
            if (depth == 0) {
                *c = walk;
                return ERR_NONE;
            }
            depth--;
        }
        left[depth]--;
        uint64_t inside = 0;
        bool opened;
        if (skip_one(&walk, &inside, &opened))
            return ERR_PROTOCOL;
        if (!opened)
            continue;
        if (depth == CURSOR_DEPTH_MAX)
            return ERR_PROTOCOL;
        left[++depth] = inside;
    }
}
