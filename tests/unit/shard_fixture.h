/*
 * Shards without sockets, threads or clocks, and clients that speak sluice.v1 by bytes: for the tests of sessions and of
 * what shards say to each other.
 */
#ifndef SLUICE_TEST_SHARD_FIXTURE_H
#define SLUICE_TEST_SHARD_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/memory.h"
#include "broker/session/native.h"
#include "broker/shard.h"

enum { SHARDS = 2, PEER_BYTES_MAX = 4 << 20 };

struct peer {
    struct transport transport; /* first */
    struct session *session;
    struct shard *shard;
    size_t room; /* bytes the socket still takes */
    bool paused, closed, lost;
    size_t len, read;
    uint8_t bytes[PEER_BYTES_MAX];
};

static struct {
    uint64_t now_ms;
    struct session_settings session;
    struct limits_settings limits;
    struct delivery_settings delivery;
    struct topic_rules rules;
    struct inbound_budget inbound;
    _Atomic uint64_t fattest[SHARDS];
    struct shard_common common;
    struct shard shards[SHARDS];
    unsigned turns_that_want_more;
} w;

static ssize_t peer_write(struct transport *transport, const struct iovec *pieces, int count, size_t bytes)
{
    struct peer *peer = (struct peer *)transport;
    size_t take = bytes < peer->room ? bytes : peer->room, left = take;
    for (int i = 0; i < count && left > 0; i++) {
        size_t n = pieces[i].iov_len < left ? pieces[i].iov_len : left;
        assert_true(peer->len + n <= PEER_BYTES_MAX);
        memcpy(peer->bytes + peer->len, pieces[i].iov_base, n);
        peer->len += n;
        left -= n;
    }
    if (peer->room != SIZE_MAX)
        peer->room -= take;
    return (ssize_t)take;
}

static void peer_want_writable(struct transport *transport, bool wanted)
{
    (void)transport, (void)wanted;
}

static void peer_pause_reading(struct transport *transport, bool paused)
{
    ((struct peer *)transport)->paused = paused;
}

static void peer_name(const struct transport *transport, char *text, size_t size)
{
    (void)transport;
    snprintf(text, size, "test");
}

static void peer_close(struct transport *transport, bool lost)
{
    struct peer *peer = (struct peer *)transport;
    assert_false(peer->closed);
    peer->closed = true;
    peer->lost = lost;
    peer->session = NULL;
}

static const struct transport_ops peer_ops = {.write = peer_write,
                                              .want_writable = peer_want_writable,
                                              .pause_reading = peer_pause_reading,
                                              .peer = peer_name,
                                              .close = peer_close};

static void no_wake(void *context, unsigned shard)
{
    (void)context, (void)shard;
}

static int world_setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    w.now_ms = 1000;
    w.session = (struct session_settings){.hello_timeout = 500,
                                          .keepalive = 60000,
                                          .keepalive_max = 3600000,
                                          .drain_window = 200,
                                          .close_timeout = 300};
    w.limits = (struct limits_settings){.max_payload = 65536,
                                        .max_frame = 70000,
                                        .max_frame_before_hello = 1024,
                                        .max_topic = 1024,
                                        .max_levels = 32,
                                        .subscriptions_per_connection = 100,
                                        .retained_messages = 1000,
                                        .retained_bytes = 1 << 20,
                                        .control_backlog = 4096};
    w.delivery = (struct delivery_settings){.queue = 1000,
                                            .queue_bytes = 1 << 20,
                                            .log_window = 1 << 20,
                                            .batch = 65536,
                                            .block_timeout = 5000,
                                            .mailbox = 1 << 20};
    topic_rules_init(&w.rules);
    w.inbound.total = w.inbound.each = 1 << 20;
    w.common = (struct shard_common){
        .shards = SHARDS,
        .sessions = {&w.session, &w.limits, &w.rules, &w.inbound, "sluiced/test"},
        .delivery = &w.delivery,
        .mailroom = mailroom_new(SHARDS, w.delivery.mailbox, no_wake, NULL),
        .fattest = w.fattest,
    };
    for (unsigned i = 0; i < SHARDS; i++)
        assert_int_equal(shard_init(&w.shards[i], &w.common, i, i + 1, w.now_ms, 1700000000000), ERR_NONE);
    return 0;
}

static void dispose(void *context, unsigned receiver, const struct mail *mail)
{
    (void)context;
    shard_dispose(&w.shards[receiver], mail);
}

static int world_teardown(void **state)
{
    (void)state;
    memory_set_fail_hook(NULL, NULL);
    for (unsigned i = 0; i < SHARDS; i++)
        sessions_end_all(&w.shards[i].sessions);
    mailroom_discard(w.common.mailroom, dispose, NULL);
    for (unsigned i = 0; i < SHARDS; i++)
        shard_fini(&w.shards[i]);
    mailroom_free(w.common.mailroom);
    topic_rules_fini(&w.rules);
    return memory_used() == 0 && w.inbound.used == 0 ? 0 : -1;
}

/* Turns until nobody has anything to say to anybody. */
static inline void settle(void)
{
    for (int round = 0; round < 20; round++) {
        for (unsigned i = 0; i < SHARDS; i++) {
            shard_receive(&w.shards[i]);
            w.turns_that_want_more += shard_end_turn(&w.shards[i]);
        }
    }
}

static inline void pass(uint64_t ms)
{
    while (ms-- > 0) {
        w.now_ms++;
        for (unsigned i = 0; i < SHARDS; i++) {
            clock_set(&w.shards[i].clock, w.now_ms);
            timer_wheel_advance(&w.shards[i].wheel, w.now_ms);
        }
        settle();
    }
}

/* The caller frees it when its session has ended. */
static struct peer *peer_new(unsigned shard)
{
    struct peer *peer = calloc(1, sizeof *peer);
    peer->transport = (struct transport){.ops = &peer_ops, .kind = "test"};
    peer->shard = &w.shards[shard];
    peer->room = SIZE_MAX;
    peer->session = session_open(&peer->shard->sessions, &peer->transport, &session_native);
    assert_non_null(peer->session);
    return peer;
}

static void peer_free(struct peer *peer)
{
    if (peer->session) {
        session_lost(peer->session);
        settle();
    }
    free(peer);
}

/* The frames that `encode` writes to `out`, handed to the session in one read. */
#define SAY(peer_, ...)                                                                                      \
    do {                                                                                                     \
        struct wire_buf out_, *out = &out_;                                                                  \
        wire_buf_init(out, 0);                                                                               \
        __VA_ARGS__                                                                                          \
        if ((peer_)->session)                                                                                \
            session_input((peer_)->session, span_of(out->data, out->len));                                   \
        settle();                                                                                            \
        wire_buf_fini(out);                                                                                  \
    } while (0)

static inline void hello(struct wire_buf *out, uint32_t keepalive_s)
{
    struct native_hello frame = {.version = 1, .keepalive_s = keepalive_s, .has_keepalive = true};
    assert_int_equal(native_encode_hello(out, &frame), ERR_NONE);
}

static inline void sub(struct wire_buf *out, uint64_t id, const char *filter, enum native_policy policy,
                       uint32_t queue)
{
    struct native_sub frame = {.id = id, .filter = span_str(filter), .policy = policy, .queue = queue};
    assert_int_equal(native_encode_sub(out, &frame), ERR_NONE);
}

static inline void unsub(struct wire_buf *out, uint64_t id, const char *filter)
{
    struct native_unsub frame = {.id = id, .filter = span_str(filter)};
    assert_int_equal(native_encode_unsub(out, &frame), ERR_NONE);
}

static inline void pub(struct wire_buf *out, uint64_t id, const char *topic, const char *payload)
{
    struct native_pub frame = {.id = id, .topic = span_str(topic), .payload = span_str(payload)};
    assert_int_equal(native_encode_pub(out, &frame), ERR_NONE);
}

static inline void keep(struct wire_buf *out, uint64_t id, const char *topic, const char *payload)
{
    struct native_pub frame = {
        .id = id, .topic = span_str(topic), .payload = span_str(payload), .flags = NATIVE_PUB_RETAIN};
    assert_int_equal(native_encode_pub(out, &frame), ERR_NONE);
}

static inline void ping(struct wire_buf *out)
{
    assert_int_equal(native_encode_ping(out), ERR_NONE);
}

static int describe(uint32_t op, struct cursor body, uint32_t count, char *to, size_t room)
{
    union {
        struct native_msg msg;
        struct native_gap gap;
        struct native_ok ok;
        struct native_error error;
        struct native_bye bye;
        struct native_event event;
    } in;
    if (op == NATIVE_MSG && native_decode_msg(body, count, &in.msg) == ERR_NONE)
        return snprintf(to, room, "%.*s %.*s%s\n", (int)in.msg.topic.len, (const char *)in.msg.topic.data,
                        (int)in.msg.payload.len, (const char *)in.msg.payload.data,
                        in.msg.flags & NATIVE_PUB_RETAINED ? " retained" : "");
    if (op == NATIVE_EVENT && native_decode_event(body, count, &in.event) == ERR_NONE)
        return snprintf(to, room, "%.*s %.*s\n", (int)in.event.kind.len, (const char *)in.event.kind.data,
                        (int)in.event.topic.len, (const char *)in.event.topic.data);
    if (op == NATIVE_GAP && native_decode_gap(body, count, &in.gap) == ERR_NONE)
        return snprintf(to, room, "gap %u\n", (unsigned)in.gap.count);
    if (op == NATIVE_OK && native_decode_ok(body, count, &in.ok) == ERR_NONE)
        return snprintf(to, room, "ok %u\n", (unsigned)in.ok.id);
    if (op == NATIVE_ERR && native_decode_err(body, count, &in.error) == ERR_NONE)
        return snprintf(to, room, "err %u %.*s\n", (unsigned)in.error.id, (int)in.error.code.len,
                        (const char *)in.error.code.data);
    if (op == NATIVE_BYE && native_decode_bye(body, count, &in.bye) == ERR_NONE)
        return snprintf(to, room, "bye %.*s\n", (int)in.bye.code.len, (const char *)in.bye.code.data);
    return snprintf(to, room, "%s\n", native_op_name(op));
}

/* What the client has got since it was last asked, one line a frame. */
static const char *heard(struct peer *peer)
{
    static char text[4 << 20];
    size_t len = 0;
    struct span in = span_of(peer->bytes + peer->read, peer->len - peer->read), frame;
    text[0] = '\0';
    while (in.len > 0) {
        uint32_t op, count;
        struct cursor body;
        size_t need;
        if (native_next_frame(&in, 1 << 20, &frame, &need))
            break;
        assert_int_equal(native_open(frame, &op, &count, &body), ERR_NONE);
        len += (size_t)describe(op, body, count, text + len, sizeof text - len);
        assert_true(len < sizeof text);
    }
    peer->read = peer->len - in.len;
    return text;
}

/* A client that has been greeted. */
static inline struct peer *greeted(unsigned shard)
{
    struct peer *peer = peer_new(shard);
    SAY(peer, hello(out, 0););
    assert_string_equal(heard(peer), "WELCOME\n");
    return peer;
}

/* The socket takes bytes again. */
static inline void drink(struct peer *peer, size_t room)
{
    peer->room = room;
    if (peer->session)
        session_writable(peer->session);
    settle();
}

#define world_test(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

#endif
