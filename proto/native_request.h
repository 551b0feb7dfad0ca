/*
 * What a sluice.v1 client sends: decoding for the broker, encoding for clients, side by side so that they can
 * not drift apart. Decoded structs borrow from the frame: valid until its buffer is reused. See native.h.
 *
 * Decoding distinguishes two kinds of fault. ERR_PROTOCOL: the frame is not well-formed (the connection must
 * end). Any other code: the frame is well-formed but asks for something wrong (answer ERR with `id`, which is
 * set whenever the return value is not ERR_PROTOCOL, and go on). Unknown map keys are ignored; trailing bytes
 * after the array are ERR_PROTOCOL; map keys must be str.
 */
#ifndef SLUICE_PROTO_NATIVE_REQUEST_H
#define SLUICE_PROTO_NATIVE_REQUEST_H

#include "proto/native.h"
#include "proto/wire_buf.h"

struct native_hello {
    uint64_t version;
    struct span client, user, password, token, session; /* .data NULL when absent */
    uint32_t keepalive_s;                               /* 0 when absent or "none" */
    bool has_keepalive;
};

enum native_policy {
    NATIVE_POLICY_DEFAULT, /* absent: the broker's default for the topic */
    NATIVE_POLICY_DROP_OLDEST,
    NATIVE_POLICY_DROP_NEWEST,
    NATIVE_POLICY_CONFLATE,
    NATIVE_POLICY_DISCONNECT,
    NATIVE_POLICY_BLOCK
};

struct native_sub {
    uint64_t id;
    struct span filter;
    enum native_policy policy;
    uint32_t queue; /* messages, 0 when absent */
    double max_hz;  /* 0 when absent; else 0.001 .. 1000 */
    bool has_tag;
    uint32_t tag;
    bool retained;           /* in the OK only: retained values follow */
    const char *unsupported; /* static name of the first option present that this version refuses, or NULL */
};

struct native_unsub {
    uint64_t id;
    struct span filter;
};

enum native_pub_flags {
    NATIVE_PUB_HEADERS = 1,
    NATIVE_PUB_TTL = 2,
    NATIVE_PUB_KEY = 4,
    NATIVE_PUB_REPLY = 8,
    NATIVE_PUB_CORRELATION = 16,
    NATIVE_PUB_CONTENT_TYPE = 32,
    NATIVE_PUB_FORMAT = 64,
    NATIVE_PUB_KEY_BIN = 128,  /* beside KEY: the key came as bin, and goes on as bin instead of str */
    NATIVE_PUB_RETAIN = 256,   /* PUB only: it becomes its topic's retained value */
    NATIVE_PUB_RETAINED = 512, /* MSG only: it is that value, not live */
    NATIVE_PUB_META = 639 /* those that give a MSG its meta: all but KEY_BIN, which implies one, and RETAIN */
};

struct native_pub {
    uint64_t id; /* 0: no answer wanted */
    struct span topic;
    struct span payload;
    unsigned flags;           /* which of the following are present */
    struct span headers;      /* raw MessagePack: a validated array of [str, str] pairs */
    uint64_t ttl_ms;          /* 1 .. 2^53 */
    struct span key;          /* str or bin, at most 255 bytes */
    struct span reply;        /* a valid topic is for the caller to check */
    struct span correlation;  /* bin, at most 255 bytes */
    struct span content_type; /* str, at most 255 bytes */
    uint32_t format;          /* 0 bytes, 1 UTF-8 text (MQTT 5 payload format indicator) */
    const char *unsupported;  /* static name of the first option present that this version refuses, or NULL */
};

/* Decoders take the cursor and the number of elements left from native_open(). Unsupported options: for SUB
 * since, ack, cursor, ack_wait_ms, in_flight, max_deliver, presence; for PUB dedup; an
 * explicit nil value counts as absent. A wrong type or value of a known option: ERR_BAD_OPTION. */
MUST_CHECK enum err native_decode_hello(struct cursor body, uint32_t count, struct native_hello *out);
MUST_CHECK enum err native_decode_sub(struct cursor body, uint32_t count, struct native_sub *out);
MUST_CHECK enum err native_decode_unsub(struct cursor body, uint32_t count, struct native_unsub *out);
MUST_CHECK enum err native_decode_pub(struct cursor body, uint32_t count, struct native_pub *out);
/* Only the id of a SUB, UNSUB, PUB, HISTORY or PRESENCE frame, for the answer to a request this version refuses. */
MUST_CHECK enum err native_decode_id(struct cursor body, uint32_t count, uint64_t *id);

/* Encoders append one whole pair (size and frame); ERR_NO_MEMORY when the buffer cannot grow. Absent fields
 * (NULL spans, zero numbers, flags not set) are left out. */
MUST_CHECK enum err native_encode_hello(struct wire_buf *out, const struct native_hello *hello);
MUST_CHECK enum err native_encode_sub(struct wire_buf *out, const struct native_sub *sub);
MUST_CHECK enum err native_encode_unsub(struct wire_buf *out, const struct native_unsub *unsub);
MUST_CHECK enum err native_encode_pub(struct wire_buf *out, const struct native_pub *pub);
MUST_CHECK enum err native_encode_ping(struct wire_buf *out);
MUST_CHECK enum err native_encode_pong(struct wire_buf *out);

/* "drop_oldest", ...; NULL for NATIVE_POLICY_DEFAULT. And back: false for an unknown name. */
const char *native_policy_name(enum native_policy policy);
bool native_policy_parse(struct span name, enum native_policy *out);

#endif
