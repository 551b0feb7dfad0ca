/*
 * A delivery with one or two outboxes on fake transports, for the tests of what lies in broker/delivery/. The transport
 * takes as many bytes as it is allowed to and keeps them; frames_of() reads them back as a subscriber would.
 */
#ifndef SLUICE_TEST_DELIVERY_FIXTURE_H
#define SLUICE_TEST_DELIVERY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/delivery/blocking.h"
#include "broker/delivery/delivery.h"
#include "broker/delivery/rate.h"
#include "broker/memory.h"

enum { FAKE_BYTES_MAX = 8 << 20, FAKE_FRAMES_MAX = 65536 };

struct fake_transport {
    struct transport transport; /* first */
    size_t room;                /* bytes it still takes; SIZE_MAX: any number */
    bool wants_writable;
    bool ever_refused;
    bool gone; /* the connection is lost: write says so */
    unsigned writes;
    size_t write_max; /* bytes of the longest */
    uint8_t *bytes;   /* owns: what it took */
    size_t len;
};

struct fixture {
    uint64_t now_ms, unix_ms;
    _Atomic uint64_t fattest[1];
    struct delivery_settings settings;
    struct timer_wheel wheel;
    struct delivery delivery;
    struct fake_transport fake, other_fake;
    struct outbox outbox, other;
    struct subscription sub, second;
    unsigned drained, resumed;
};

static struct fixture f;

static ssize_t fake_write(struct transport *transport, const struct iovec *pieces, int count, size_t bytes)
{
    struct fake_transport *fake = (struct fake_transport *)transport;
    size_t take = bytes < fake->room ? bytes : fake->room, left = take;
    if (fake->gone)
        return -1;
    fake->ever_refused |= take < bytes;
    if (transport->ops->framed && take < bytes)
        return 0;
    fake->writes++;
    fake->write_max = bytes > fake->write_max ? bytes : fake->write_max;
    for (int i = 0; i < count && left > 0; i++) {
        size_t n = pieces[i].iov_len < left ? pieces[i].iov_len : left;
        assert_true(fake->len + n <= FAKE_BYTES_MAX);
        memcpy(fake->bytes + fake->len, pieces[i].iov_base, n);
        fake->len += n;
        left -= n;
    }
    if (fake->room != SIZE_MAX)
        fake->room -= take;
    return (ssize_t)take;
}

static void fake_want_writable(struct transport *transport, bool wanted)
{
    ((struct fake_transport *)transport)->wants_writable = wanted;
}

static const struct transport_ops fake_ops = {.write = fake_write, .want_writable = fake_want_writable};
static const struct transport_ops fake_framed_ops = {
    .write = fake_write, .want_writable = fake_want_writable, .framed = true};

static void on_drained(struct subscription *sub)
{
    (void)sub;
    f.drained++;
}

static void on_resumed(struct waiter *waiter)
{
    (void)waiter;
    f.resumed++;
}

static const struct delivery_ops fixture_ops = {.subscription_drained = on_drained,
                                                .publisher_resumed = on_resumed};

static inline void subscription_init(struct subscription *sub, struct outbox *outbox, const char *filter,
                                     enum native_policy policy, uint32_t queue)
{
    *sub = (struct subscription){.outbox = outbox,
                                 .filter = filter,
                                 .filter_len = (uint32_t)strlen(filter),
                                 .queue = queue,
                                 .policy = (uint8_t)policy};
}

static int fixture_setup(void **state)
{
    (void)state;
    memset(&f, 0, sizeof f);
    f.now_ms = 1000;
    f.unix_ms = 1700000000000;
    f.settings = (struct delivery_settings){
        .queue = 1000, .queue_bytes = 1 << 20, .log_window = 1 << 20, .batch = 65536, .block_timeout = 5000};
    timer_wheel_init(&f.wheel, f.now_ms);
    delivery_init(&f.delivery, &f.settings, &fixture_ops, &f.wheel, &f.now_ms, &f.unix_ms, 0, 1, f.fattest);
    f.fake = (struct fake_transport){.transport = {.ops = &fake_ops, .kind = "fake"}, .room = SIZE_MAX};
    f.other_fake = f.fake;
    f.fake.bytes = malloc(FAKE_BYTES_MAX);
    f.other_fake.bytes = malloc(FAKE_BYTES_MAX);
    outbox_init(&f.outbox, &f.delivery, &f.fake.transport, &encoder_native);
    outbox_init(&f.other, &f.delivery, &f.other_fake.transport, &encoder_native);
    subscription_init(&f.sub, &f.outbox, "t/#", NATIVE_POLICY_DROP_OLDEST, 10);
    subscription_init(&f.second, &f.other, "t/#", NATIVE_POLICY_DROP_OLDEST, 10);
    return 0;
}

static int fixture_teardown(void **state)
{
    (void)state;
    rate_discard(&f.sub);
    rate_discard(&f.second);
    if (f.sub.blocking)
        blocking_release(&f.sub);
    outbox_fini(&f.outbox);
    outbox_fini(&f.other);
    delivery_fini(&f.delivery);
    free(f.fake.bytes);
    free(f.other_fake.bytes);
    memory_set_fail_hook(NULL, NULL);
    return memory_used() == 0 ? 0 : -1;
}

/* Appends frames to the log; the caller lets go of the chunk. */
static inline struct run log_run(const uint8_t *frames, size_t len, uint32_t count, bool meta)
{
    struct run run = {.len = (uint32_t)len, .count = count, .meta = meta};
    uint8_t *to = wire_log_reserve(&f.delivery.log, run.len, &run.chunk, &run.off);
    assert_non_null(to);
    memcpy(to, frames, len);
    wire_log_commit(&f.delivery.log, run.len);
    chunk_ref(&f.delivery.pool, run.chunk);
    return run;
}

/* One message of so many bytes of payload. */
static inline struct run make_long(const char *topic, size_t bytes)
{
    uint8_t *payload = calloc(1, bytes);
    struct native_pub pub = {.topic = span_str(topic), .payload = span_of(payload, bytes)};
    uint8_t *frame = malloc(native_msg_bytes_max(&pub));
    struct run run = log_run(frame, native_put_msg(frame, &pub, f.unix_ms), 1, false);
    free(frame);
    free(payload);
    return run;
}

/* A run of `count` messages on a topic whose payloads are numbered on from `first`. The caller lets go of its chunk. */
static inline struct run make_run(const char *topic, uint32_t first, uint32_t count, const char *key,
                                  uint64_t ttl_ms)
{
    uint8_t frames[256 * 64];
    size_t len = 0;
    assert_true(count <= 64);
    for (uint32_t i = 0; i < count; i++) {
        char payload[16];
        snprintf(payload, sizeof payload, "%u", first + i);
        struct native_pub pub = {.topic = span_str(topic),
                                 .payload = span_str(payload),
                                 .flags = (key ? NATIVE_PUB_KEY : 0u) | (ttl_ms ? NATIVE_PUB_TTL : 0u),
                                 .key = key ? span_str(key) : (struct span){0},
                                 .ttl_ms = ttl_ms};
        len += native_put_msg(frames + len, &pub, f.unix_ms);
    }
    return log_run(frames, len, count, key || ttl_ms);
}

static inline void push_to(struct subscription *sub, const char *topic, uint32_t first, uint32_t count)
{
    struct run run = make_run(topic, first, count, NULL, 0);
    outbox_push(sub->outbox, sub, &run);
    delivery_routed(&f.delivery, run.len);
    chunk_unref(&f.delivery.pool, run.chunk);
}

static inline void push(uint32_t first, uint32_t count)
{
    push_to(&f.sub, "t/1", first, count);
}

static inline void push_long(struct subscription *sub, const char *topic, size_t bytes)
{
    struct run run = make_long(topic, bytes);
    outbox_push(sub->outbox, sub, &run);
    chunk_unref(&f.delivery.pool, run.chunk);
}

static inline void push_keyed(const char *key, uint32_t number, uint64_t ttl_ms)
{
    struct run run = make_run("t/1", number, 1, key, ttl_ms);
    outbox_push(&f.outbox, &f.sub, &run);
    chunk_unref(&f.delivery.pool, run.chunk);
}

static inline void end_turn(void)
{
    delivery_flush(&f.delivery);
    delivery_begin_turn(&f.delivery);
}

/* The socket takes bytes again. */
static inline void open_up(struct fake_transport *fake, struct outbox *outbox, size_t room)
{
    fake->room = room;
    outbox_flush(outbox);
}

/* What the subscriber reads, one line a frame: "t/1 5", "gap 3 dropped_oldest", "tag 7", "ok 4". */
static inline const char *frames_of(const struct fake_transport *fake)
{
    static char text[1 << 20];
    size_t len = 0;
    struct span in = span_of(fake->bytes, fake->len), frame;
    text[0] = '\0';
    while (in.len > 0) {
        uint32_t op, count;
        struct cursor body;
        size_t need;
        struct native_msg msg;
        struct native_gap gap;
        struct native_ok ok;
        uint32_t tag;
        assert_int_equal(native_next_frame(&in, 1 << 20, &frame, &need), ERR_NONE);
        assert_int_equal(native_open(frame, &op, &count, &body), ERR_NONE);
        char *to = text + len;
        size_t room = sizeof text - len;
        int n = 0;
        if (op == NATIVE_MSG && native_decode_msg(body, count, &msg) == ERR_NONE)
            n = snprintf(to, room, "%.*s %.*s\n", (int)msg.topic.len, (const char *)msg.topic.data,
                         (int)msg.payload.len, (const char *)msg.payload.data);
        else if (op == NATIVE_GAP && native_decode_gap(body, count, &gap) == ERR_NONE)
            n = snprintf(to, room, "gap %llu %.*s\n", (unsigned long long)gap.count, (int)gap.reason.len,
                         (const char *)gap.reason.data);
        else if (op == NATIVE_TAG && native_decode_tag(body, count, &tag) == ERR_NONE)
            n = snprintf(to, room, "tag %u\n", tag);
        else if (op == NATIVE_OK && native_decode_ok(body, count, &ok) == ERR_NONE)
            n = snprintf(to, room, "ok %u\n", (unsigned)ok.id);
        assert_true(n > 0 && (size_t)n < room);
        len += (size_t)n;
    }
    return text;
}

static inline void push_ok(struct outbox *outbox, uint64_t id)
{
    struct wire_buf ok;
    wire_buf_init(&ok, 0);
    assert_int_equal(native_encode_ok(&ok, id), ERR_NONE);
    assert_int_equal(outbox_push_control(outbox, ok.data, (uint32_t)ok.len, 1), ERR_NONE);
    wire_buf_fini(&ok);
}

#define delivery_test(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

#endif
