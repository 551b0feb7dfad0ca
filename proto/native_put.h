/*
 * Writing MessagePack by hand, for what is sent a million times a second: each call writes the shortest encoding at
 * `at` and returns where the next goes. The caller has made room. For proto/ and the clients; any thread.
 */
#ifndef SLUICE_PROTO_NATIVE_PUT_H
#define SLUICE_PROTO_NATIVE_PUT_H

#include "proto/span.h"

enum {
    PUT_HEAD_MAX = 5, /* bytes of the longest header of a str or bin */
    PUT_UINT_MAX = 9
};

static inline uint8_t *put_big_endian(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = bytes; i-- > 0;)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

static inline uint8_t *put_bytes(uint8_t *at, struct span bytes)
{
    if (bytes.len > 0)
        memcpy(at, bytes.data, bytes.len);
    return at + bytes.len;
}

static inline uint8_t *put_uint(uint8_t *at, uint64_t value)
{
    unsigned power = value > UINT32_MAX ? 3 : value > UINT16_MAX ? 2 : value > UINT8_MAX ? 1 : 0;
    if (value >= 0x80)
        *at++ = (uint8_t)(0xcc + power);
    return put_big_endian(at, value, 1u << power);
}

/* A header with an 8, 16 or 32-bit length; `narrow` is the first byte of the 8-bit form. */
static inline uint8_t *put_head(uint8_t *at, uint8_t narrow, size_t len)
{
    unsigned power = len > UINT16_MAX ? 2 : len > UINT8_MAX ? 1 : 0;
    *at++ = (uint8_t)(narrow + power);
    return put_big_endian(at, len, 1u << power);
}

static inline uint8_t *put_bin(uint8_t *at, struct span bytes)
{
    return put_bytes(put_head(at, 0xc4, bytes.len), bytes);
}

static inline uint8_t *put_str(uint8_t *at, struct span text)
{
    if (text.len < 32)
        *at++ = (uint8_t)(0xa0 | text.len);
    else
        at = put_head(at, 0xd9, text.len);
    return put_bytes(at, text);
}

#endif
