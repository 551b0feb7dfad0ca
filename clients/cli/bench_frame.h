/*
 * What the load generator puts into a payload, and a fast reader of the MSG frames that bring it back. The stamp
 * says who sent which message when; the last bytes of the payload repeat the number, so that frames that were
 * cut or mixed are noticed. Pure, any thread. Byte order is the machine's: a stamp is read where it was written.
 *
 *   payload:  run (4) | stream (4) | number (8) | sent_ns (8) | filling ... | ~number (8)
 */
#ifndef SLUICE_BENCH_FRAME_H
#define SLUICE_BENCH_FRAME_H

#include "proto/native.h"

struct stamp {
    uint32_t run;     /* tells this run's messages from any other traffic */
    uint32_t stream;  /* index in the ledger */
    uint64_t number;  /* among the messages of the publisher */
    uint64_t sent_ns; /* CLOCK_MONOTONIC; for a fixed rate the moment when it should have been sent */
};

enum { STAMP_BYTES = 24, STAMP_PAYLOAD_MIN = STAMP_BYTES + 8 };

static inline void stamp_put(uint8_t *payload, size_t len, const struct stamp *stamp)
{
    uint64_t check = ~stamp->number;
    memcpy(payload, &stamp->run, 4);
    memcpy(payload + 4, &stamp->stream, 4);
    memcpy(payload + 8, &stamp->number, 8);
    memcpy(payload + 16, &stamp->sent_ns, 8);
    memcpy(payload + len - 8, &check, 8);
}

/* False for a payload that is not whole or not ours. */
static inline bool stamp_get(struct span payload, uint32_t run, struct stamp *out)
{
    if (payload.len < STAMP_PAYLOAD_MIN)
        return false;
    uint64_t check;
    memcpy(&out->run, payload.data, 4);
    memcpy(&out->stream, payload.data + 4, 4);
    memcpy(&out->number, payload.data + 8, 8);
    memcpy(&out->sent_ns, payload.data + 16, 8);
    memcpy(&check, payload.data + payload.len - 8, 8);
    return out->run == run && check == ~out->number;
}

static inline uint32_t frame_be32(const uint8_t *p)
{
    uint32_t value;
    memcpy(&value, p, 4);
    return __builtin_bswap32(value);
}

/* MSG in the form that an encoder which takes the shortest form writes: [68, topic, payload] with a topic of at
 * most 255 and a payload of at most 65,535 bytes. False for anything else, which may well be a MSG too: ask
 * frame_read_any_msg(). `frame` is without its size. */
static inline bool frame_read_plain_msg(struct span frame, struct span *topic, struct span *payload)
{
    const uint8_t *at = frame.data, *end = frame.data + frame.len;
    if (frame.len < 8 || at[0] != 0x93 || at[1] != NATIVE_MSG)
        return false;
    at += 2;
    if ((at[0] & 0xe0) == 0xa0) {
        *topic = span_of(at + 1, at[0] & 0x1f);
        at += 1;
    } else if (at[0] == 0xd9) {
        *topic = span_of(at + 2, at[1]);
        at += 2;
    } else {
        return false;
    }
    if ((size_t)(end - at) < topic->len + 3)
        return false;
    at += topic->len;
    if (at[0] == 0xc4) {
        *payload = span_of(at + 2, at[1]);
        return at + 2 + payload->len == end;
    }
    *payload = span_of(at + 3, (size_t)(at[1] << 8 | at[2]));
    return at[0] == 0xc5 && at + 3 + payload->len == end;
}

/* The same for every legal MSG without tag, by the general decoder. */
bool frame_read_any_msg(struct cursor body, uint32_t count, struct span *topic, struct span *payload);

#endif
