/*
 * What a sluice.v1 broker sends: encoding for the broker, decoding for clients. MSG has its own hand-made
 * encoder (it is written once for a million deliveries, straight into the wire log); the rest is cold and
 * packed by msgpack-c. See native.h for framing and native_request.h for the two kinds of fault.
 */
#ifndef SLUICE_PROTO_NATIVE_REPLY_H
#define SLUICE_PROTO_NATIVE_REPLY_H

#include "proto/native_request.h"

/* ---- MSG ------------------------------------------------------------------------------------------------ */

/* Upper bound of the bytes native_put_msg() writes for this publish, size included. */
size_t native_msg_bytes_max(const struct native_pub *pub);

/* Writes the whole MSG pair for a publish to `out` and returns its length. Meta is left out when the publish
 * carried no option; one with a ttl or NATIVE_PUB_RETAINED also gets `ts_ms` (Unix milliseconds), so that whoever
 * holds the bytes can tell when it expires, or how old it is. */
size_t native_put_msg(uint8_t *out, const struct native_pub *pub, uint64_t ts_ms);

/* The MSG of the value that the publish leaves behind: with `retained` and `ts_ms`. ERR_NO_MEMORY. */
MUST_CHECK enum err native_encode_retained(struct wire_buf *out, const struct native_pub *pub,
                                           uint64_t ts_ms);

/* The few fields of a MSG pair (starting at its size bytes) that delivery needs while a subscriber is blocked.
 * The input was written by native_put_msg(): malformed input is a bug and asserts. */
struct native_msg_peek {
    size_t pair_bytes;   /* size bytes + frame */
    struct span topic;   /* borrows */
    struct span key;     /* .data NULL when absent */
    uint64_t expires_ms; /* Unix milliseconds; 0: never */
};
struct native_msg_peek native_peek_msg(const uint8_t *pair);

/* Length of the pair at `pair` (size bytes included), from its size alone. */
static inline uint32_t native_pair_bytes(const uint8_t *pair)
{
    return NATIVE_SIZE_BYTES +
           ((uint32_t)pair[1] << 24 | (uint32_t)pair[2] << 16 | (uint32_t)pair[3] << 8 | (uint32_t)pair[4]);
}

struct native_msg {
    struct span topic, payload;
    unsigned flags; /* enum native_pub_flags */
    struct span headers, key, reply, correlation, content_type;
    uint64_t ttl_ms, ts_ms;
    uint32_t format;
};
MUST_CHECK enum err native_decode_msg(struct cursor body, uint32_t count, struct native_msg *out);

/* Iterates over a headers span (validated by the decoders): false at the end. */
bool native_next_header(struct cursor *headers, uint32_t *left, struct span *name, struct span *value);
/* Starts the iteration. */
struct cursor native_headers_begin(struct span headers, uint32_t *left);

/* ---- everything else ------------------------------------------------------------------------------------ */

struct native_welcome {
    struct span session;
    struct span server;   /* "sluiced/0.1.0" */
    uint32_t max_frame;   /* bytes, without the size */
    uint32_t max_payload; /* bytes */
    uint32_t keepalive_s; /* 0: none */
};
MUST_CHECK enum err native_encode_welcome(struct wire_buf *out, const struct native_welcome *welcome);
MUST_CHECK enum err native_decode_welcome(struct cursor body, uint32_t count, struct native_welcome *out);

/* OK without a result (PUB, UNSUB). The fixed small form: [66, id]. */
MUST_CHECK enum err native_encode_ok(struct wire_buf *out, uint64_t id);
/* OK to SUB: the options as granted {policy, queue, max_hz, tag}, and `retained`.
 * `granted->id` is the request's. */
MUST_CHECK enum err native_encode_ok_sub(struct wire_buf *out, const struct native_sub *granted);
struct native_ok {
    uint64_t id;
    struct span result;        /* the raw map, .data NULL when absent */
    enum native_policy policy; /* the keys of a SUB's result that were there */
    uint32_t queue;
    double max_hz;
    bool has_tag;
    uint32_t tag;
    bool retained; /* retained values follow */
};
MUST_CHECK enum err native_decode_ok(struct cursor body, uint32_t count, struct native_ok *out);

struct native_error {
    uint64_t id; /* 0: the error of no request in particular */
    struct span code, text;
};
MUST_CHECK enum err native_encode_err(struct wire_buf *out, const struct native_error *error);
MUST_CHECK enum err native_decode_err(struct cursor body, uint32_t count, struct native_error *out);

/* Why messages are missing; the name is what GAP carries. */
#define NATIVE_GAP_REASONS(X)                                                                                \
    X(DROPPED_OLDEST, "dropped_oldest")                                                                      \
    X(DROPPED_NEWEST, "dropped_newest")                                                                      \
    X(CONFLATED, "conflated")                                                                                \
    X(RATE, "max_hz")                                                                                        \
    X(EXPIRED, "expired")
enum native_gap_reason {
#define NATIVE_GAP_ENUM(name, text) NATIVE_GAP_##name,
    NATIVE_GAP_REASONS(NATIVE_GAP_ENUM)
#undef NATIVE_GAP_ENUM
        NATIVE_GAP_COUNT
};
const char *native_gap_name(enum native_gap_reason reason);

/* Upper bound of the bytes native_put_gap() writes for a filter of this length. */
size_t native_gap_bytes_max(size_t filter_len);
/* Writes the whole GAP pair and returns its length. */
size_t native_put_gap(uint8_t *out, struct span filter, uint64_t count, enum native_gap_reason reason);
struct native_gap {
    struct span filter;
    uint64_t count;
    struct span reason;
};
MUST_CHECK enum err native_decode_gap(struct cursor body, uint32_t count, struct native_gap *out);

enum { NATIVE_TAG_BYTES_MAX = 12 };
/* Writes the whole TAG pair and returns its length. */
size_t native_put_tag(uint8_t out[NATIVE_TAG_BYTES_MAX], uint32_t tag);
MUST_CHECK enum err native_decode_tag(struct cursor body, uint32_t count, uint32_t *tag);

struct native_bye {
    struct span code, text;
    uint32_t reconnect_after_ms;
};
MUST_CHECK enum err native_encode_bye(struct wire_buf *out, const struct native_bye *bye);
MUST_CHECK enum err native_decode_bye(struct cursor body, uint32_t count, struct native_bye *out);

struct native_event {
    struct span kind, topic;
    struct span data; /* the raw map, .data NULL when absent */
};
/* Without data. */
MUST_CHECK enum err native_encode_event(struct wire_buf *out, const struct native_event *event);
MUST_CHECK enum err native_decode_event(struct cursor body, uint32_t count, struct native_event *out);

#endif
