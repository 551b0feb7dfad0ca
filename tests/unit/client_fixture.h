/*
 * A client core on a scripted connection: the test is the broker, the clock and the dice. What the core calls back
 * is written down as lines of text, which tests compare.
 */
#ifndef SLUICE_TESTS_CLIENT_FIXTURE_H
#define SLUICE_TESTS_CLIENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sluice.h>

#include "proto/native_reply.h"

/* Each test file uses some of these. */
#define UNUSED __attribute__((unused))

struct fixture {
    struct sluice_core *core;
    uint64_t now_ms;
    uint64_t random; /* what the dice say; 100 unless told: the top of the first wait's range */
    char log[4096];  /* a line per callback */
    struct span out; /* what of the last output has not been looked at */
    struct wire_buf sent;
};

/* ---- callbacks, written down ---------------------------------------------------------------------------- */

UNUSED __attribute__((format(printf, 2, 3))) static void note(struct fixture *f, const char *format, ...)
{
    size_t len = strlen(f->log);
    va_list args;
    va_start(args, format);
    vsnprintf(f->log + len, sizeof f->log - len, format, args);
    va_end(args);
}

/* Compares what was written down since the last time. */
#define assert_log(f, expected)                                                                              \
    do {                                                                                                     \
        assert_string_equal((f)->log, expected);                                                             \
        (f)->log[0] = '\0';                                                                                  \
    } while (0)

#define BYTES(b) (int)(b).len, (const char *)(b).data

UNUSED static void on_connected(void *user, const struct sluice_welcome *welcome)
{
    note(user, "connected %u\n", (unsigned)welcome->connection);
}

UNUSED static void on_down(void *user, const struct sluice_down *down)
{
    if (down->final)
        note(user, "down %s final\n", down->error.code);
    else
        note(user, "down %s retry in %llu\n", down->error.code, (unsigned long long)down->retry_in_ms);
}

UNUSED static void on_gap(void *user, const struct sluice_gap *gap)
{
    note(user, "gap %.*s %llu %.*s\n", BYTES(gap->filter), (unsigned long long)gap->count,
         BYTES(gap->reason));
}

UNUSED static void on_drained(void *user)
{
    note(user, "drained\n");
}

UNUSED static void on_error(void *user, const struct sluice_error *error)
{
    note(user, "error %s: %s\n", error->code, error->text);
}

UNUSED static void on_live(void *user, struct sluice_bytes filter)
{
    note(user, "live %.*s\n", BYTES(filter));
}

UNUSED static void on_done(void *user, const struct sluice_error *result)
{
    note(user, "done %s\n", result->code);
}

UNUSED static void on_message(void *user, const struct sluice_message *message)
{
    note(user, "%llu: %.*s=%.*s%s\n", (unsigned long long)message->subscription, BYTES(message->topic),
         BYTES(message->payload), message->retained ? " retained" : "");
}

UNUSED static void on_subscribed(void *user, uint64_t subscription, const struct sluice_error *result,
                                 const struct sluice_granted *granted)
{
    note(user, "subscribed %llu %s%s\n", (unsigned long long)subscription, result->code,
         !granted            ? " without grant"
         : granted->retained ? " with retained values"
                             : "");
}

UNUSED static void on_reply(void *user, const struct sluice_error *result, const struct sluice_message *reply)
{
    if (reply)
        note(user, "reply %.*s\n", BYTES(reply->payload));
    else
        note(user, "no reply: %s\n", result->code);
}

/* ---- the scripted world --------------------------------------------------------------------------------- */

static uint64_t scripted_random(void *arg)
{
    return ((struct fixture *)arg)->random;
}

UNUSED static struct fixture *fixture_new(struct sluice_options options)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct sluice_callbacks callbacks = {f, on_connected, on_down, on_gap, on_drained, on_error, on_live};
    f->now_ms = 1000;
    f->random = 100;
    wire_buf_init(&f->sent, 0);
    options.random = scripted_random;
    options.random_arg = f;
    f->core = sluice_core_new(&options, &callbacks, f->now_ms);
    assert_non_null(f->core);
    return f;
}

UNUSED static void fixture_free(struct fixture *f)
{
    sluice_core_free(f->core);
    wire_buf_fini(&f->sent);
    free(f);
}

/* Time passes, and the core is told. */
UNUSED static void pass(struct fixture *f, uint64_t ms)
{
    f->now_ms += ms;
    sluice_core_tick(f->core, f->now_ms);
}

/* Takes all output; read_frame() then reads it frame by frame. */
UNUSED static size_t take_output(struct fixture *f)
{
    size_t len;
    f->sent.len = 0;
    const void *data;
    while ((data = sluice_core_output(f->core, &len))) {
        assert_int_equal(wire_buf_append(&f->sent, data, len), ERR_NONE);
        sluice_core_sent(f->core, f->now_ms, len);
    }
    f->out = span_of(f->sent.data, f->sent.len);
    return f->sent.len;
}

/* The next frame's op, 0 when there is none. */
UNUSED static uint32_t read_frame(struct fixture *f, uint32_t *count, struct cursor *body)
{
    struct span frame;
    size_t need;
    uint32_t op;
    if (f->out.len == 0)
        return 0;
    assert_int_equal(native_next_frame(&f->out, 1 << 26, &frame, &need), ERR_NONE);
    assert_int_equal(native_open(frame, &op, count, body), ERR_NONE);
    return op;
}

UNUSED static void expect_nothing(struct fixture *f)
{
    assert_int_equal(f->out.len, 0);
    assert_int_equal(take_output(f), 0);
}

/* The next frame is a SUB of this filter; returns its id. */
UNUSED static uint64_t expect_sub(struct fixture *f, const char *filter, struct native_sub *sub)
{
    struct native_sub local;
    struct cursor body;
    uint32_t count;
    sub = sub ? sub : &local;
    assert_int_equal(read_frame(f, &count, &body), NATIVE_SUB);
    assert_int_equal(native_decode_sub(body, count, sub), ERR_NONE);
    assert_true(span_eq(sub->filter, span_str(filter)));
    return sub->id;
}

UNUSED static struct native_pub expect_pub(struct fixture *f, const char *topic)
{
    struct native_pub pub;
    struct cursor body;
    uint32_t count;
    assert_int_equal(read_frame(f, &count, &body), NATIVE_PUB);
    assert_int_equal(native_decode_pub(body, count, &pub), ERR_NONE);
    assert_true(span_eq(pub.topic, span_str(topic)));
    return pub;
}

UNUSED static void expect_op(struct fixture *f, uint32_t op)
{
    struct cursor body;
    uint32_t count;
    assert_int_equal(read_frame(f, &count, &body), op);
}

/* ---- what the broker says ------------------------------------------------------------------------------- */

/* Feeds and frees. */
UNUSED static void feed(struct fixture *f, struct wire_buf *frames)
{
    sluice_core_receive(f->core, f->now_ms, frames->data, frames->len);
    wire_buf_fini(frames);
}

UNUSED static void add_msg(struct wire_buf *out, const char *topic, const char *payload)
{
    struct native_pub pub = {.topic = span_str(topic), .payload = span_str(payload)};
    assert_int_equal(wire_buf_reserve(out, native_msg_bytes_max(&pub)), ERR_NONE);
    out->len += native_put_msg(out->data + out->len, &pub, 0);
}

UNUSED static void add_tag(struct wire_buf *out, uint32_t tag)
{
    assert_int_equal(wire_buf_reserve(out, NATIVE_TAG_BYTES_MAX), ERR_NONE);
    out->len += native_put_tag(out->data + out->len, tag);
}

UNUSED static void add_gap(struct wire_buf *out, const char *filter, uint64_t count,
                           enum native_gap_reason reason)
{
    assert_int_equal(wire_buf_reserve(out, native_gap_bytes_max(strlen(filter))), ERR_NONE);
    out->len += native_put_gap(out->data + out->len, span_str(filter), count, reason);
}

UNUSED static void say_msg(struct fixture *f, const char *topic, const char *payload)
{
    struct wire_buf b = {0};
    add_msg(&b, topic, payload);
    feed(f, &b);
}

UNUSED static void say_welcome(struct fixture *f, uint32_t keepalive_s)
{
    struct wire_buf b = {0};
    struct native_welcome welcome = {.session = span_str("s1"),
                                     .server = span_str("test/1"),
                                     .max_frame = 2000,
                                     .max_payload = 1000,
                                     .keepalive_s = keepalive_s};
    assert_int_equal(native_encode_welcome(&b, &welcome), ERR_NONE);
    feed(f, &b);
}

UNUSED static void say_ok(struct fixture *f, uint64_t id)
{
    struct wire_buf b = {0};
    assert_int_equal(native_encode_ok(&b, id), ERR_NONE);
    feed(f, &b);
}

UNUSED static void say_err(struct fixture *f, uint64_t id, const char *code)
{
    struct wire_buf b = {0};
    struct native_error error = {id, span_str(code), span_str("because")};
    assert_int_equal(native_encode_err(&b, &error), ERR_NONE);
    feed(f, &b);
}

UNUSED static void say_bye(struct fixture *f, const char *code, uint32_t reconnect_after_ms)
{
    struct wire_buf b = {0};
    struct native_bye bye = {span_str(code), span_str("because"), reconnect_after_ms};
    assert_int_equal(native_encode_bye(&b, &bye), ERR_NONE);
    feed(f, &b);
}

/* ---- getting there -------------------------------------------------------------------------------------- */

/* Opens the socket and says WELCOME; HELLO is taken, what follows it is left to be read. */
UNUSED static void connect_with_keepalive(struct fixture *f, uint32_t keepalive_s)
{
    assert_int_equal(sluice_core_want(f->core), SLUICE_WANT_CONNECT);
    sluice_core_connecting(f->core, f->now_ms);
    sluice_core_connected(f->core, f->now_ms);
    take_output(f);
    expect_op(f, NATIVE_HELLO);
    say_welcome(f, keepalive_s);
}

UNUSED static void connect_now(struct fixture *f)
{
    connect_with_keepalive(f, 0);
}

/* The connection breaks and the wait until the next attempt passes. */
UNUSED static void break_and_wait(struct fixture *f)
{
    sluice_core_disconnected(f->core, f->now_ms, NULL);
    pass(f, sluice_core_deadline_ms(f->core) - f->now_ms);
}

UNUSED static uint64_t subscribe(struct fixture *f, const char *filter)
{
    uint64_t id = 0;
    assert_int_equal(sluice_core_subscribe(f->core, filter, NULL, on_message, on_subscribed, f, &id),
                     SLUICE_OK);
    return id;
}

UNUSED static enum sluice_status publish(struct fixture *f, const char *topic, const char *payload)
{
    struct sluice_publish p = {.topic = sluice_str(topic), .payload = sluice_str(payload)};
    return sluice_core_publish(f->core, &p, on_done, f);
}

UNUSED static enum sluice_status request(struct fixture *f, const char *topic, uint64_t timeout_ms)
{
    struct sluice_publish p = {.topic = sluice_str(topic), .payload = sluice_str("?")};
    return sluice_core_request(f->core, &p, f->now_ms, timeout_ms, on_reply, f);
}

#endif
