/*
 * A broker of a hundred lines on a loopback port of its own, in a thread, for the tests of the two adapters. It serves
 * one connection after the other and delivers to it whatever it publishes that one of its filters matches. Some
 * topics make it misbehave:
 *
 *   ctl/refuse  ERR denied          ctl/silent  no answer           ctl/close  the connection ends
 *   ctl/none    ERR no_responders   ctl/stall   nothing is read until fake_broker_resume()
 *
 * A publish with a reply topic is answered there with its payload.
 */
#ifndef SLUICE_TESTS_FAKE_BROKER_H
#define SLUICE_TESTS_FAKE_BROKER_H

#include <arpa/inet.h>
#include <assert.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/native_reply.h"
#include "proto/topic.h"

enum { FAKE_FILTERS_MAX = 8 };

struct fake_broker {
    int listener;
    char url[64], port[8];
    pthread_t thread;
    sem_t resume, published; /* posted for each PUB */
    _Atomic int connection;  /* -1: none */
    _Atomic int connections_seen;
    char filters[FAKE_FILTERS_MAX][64]; /* of the present connection */
    size_t filter_count;
};

static void fake_send(int fd, struct wire_buf *frames)
{
    size_t at = 0;
    while (at < frames->len) {
        ssize_t put = send(fd, frames->data + at, frames->len - at, MSG_NOSIGNAL);
        if (put <= 0)
            break;
        at += (size_t)put;
    }
    wire_buf_fini(frames);
}

static void fake_ok(enum err e)
{
    assert(e == ERR_NONE);
    (void)e;
}

static void fake_message(struct wire_buf *out, struct span topic, struct span payload)
{
    struct native_pub pub = {.topic = topic, .payload = payload};
    fake_ok(wire_buf_reserve(out, native_msg_bytes_max(&pub)));
    out->len += native_put_msg(out->data + out->len, &pub, 0);
}

static bool fake_matches(const struct fake_broker *broker, struct span topic)
{
    for (size_t i = 0; i < broker->filter_count; i++)
        if (filter_matches(span_str(broker->filters[i]), topic))
            return true;
    return false;
}

static void fake_error(struct wire_buf *out, uint64_t id, const char *code)
{
    struct native_error error = {id, span_str(code), span_str("as scripted")};
    fake_ok(native_encode_err(out, &error));
}

/* False when the connection is to end. */
static bool fake_pub(struct fake_broker *broker, const struct native_pub *pub, struct wire_buf *out)
{
    sem_post(&broker->published);
    if (span_eq(pub->topic, span_str("ctl/close")))
        return false;
    if (span_eq(pub->topic, span_str("ctl/silent")))
        return true;
    if (span_eq(pub->topic, span_str("ctl/stall")))
        sem_wait(&broker->resume);
    if (span_eq(pub->topic, span_str("ctl/refuse")))
        fake_error(out, pub->id, "denied");
    else if (span_eq(pub->topic, span_str("ctl/none")))
        fake_error(out, pub->id, "no_responders");
    else if (pub->id)
        fake_ok(native_encode_ok(out, pub->id));
    if (fake_matches(broker, pub->topic))
        fake_message(out, pub->topic, pub->payload);
    if (pub->reply.data && !span_eq(pub->topic, span_str("ctl/none")))
        fake_message(out, pub->reply, pub->payload);
    return true;
}

static void fake_sub(struct fake_broker *broker, const struct native_sub *sub, struct wire_buf *out)
{
    assert(broker->filter_count < FAKE_FILTERS_MAX);
    if (span_eq(sub->filter, span_str("ctl/refuse"))) {
        fake_error(out, sub->id, "denied");
        return;
    }
    snprintf(broker->filters[broker->filter_count++], 64, "%.*s", (int)sub->filter.len,
             (const char *)sub->filter.data);
    struct native_sub granted = *sub;
    granted.policy = NATIVE_POLICY_DROP_OLDEST;
    granted.queue = 1024;
    fake_ok(native_encode_ok_sub(out, &granted));
}

static bool fake_frame(struct fake_broker *broker, struct span frame, struct wire_buf *out)
{
    uint32_t op, count;
    struct cursor body;
    struct native_sub sub;
    struct native_pub pub;
    struct native_unsub unsub;
    struct native_welcome welcome = {
        .session = span_str("s"), .server = span_str("fake/1"), .max_frame = 1 << 22, .max_payload = 1 << 21};
    fake_ok(native_open(frame, &op, &count, &body));
    switch (op) {
    case NATIVE_HELLO:
        fake_ok(native_encode_welcome(out, &welcome));
        return true;
    case NATIVE_SUB:
        fake_ok(native_decode_sub(body, count, &sub));
        fake_sub(broker, &sub, out);
        return true;
    case NATIVE_UNSUB:
        fake_ok(native_decode_unsub(body, count, &unsub));
        broker->filter_count = 0;
        fake_ok(native_encode_ok(out, unsub.id));
        return true;
    case NATIVE_PUB:
        fake_ok(native_decode_pub(body, count, &pub));
        return fake_pub(broker, &pub, out);
    case NATIVE_PING:
        fake_ok(native_encode_pong(out));
        return true;
    default:
        return false;
    }
}

/* Handles the whole frames in `in`; false when the connection is to end. */
static bool fake_frames(struct fake_broker *broker, int fd, struct wire_buf *in)
{
    struct span rest = span_of(in->data, in->len), frame;
    struct wire_buf out = {0};
    size_t need;
    bool go_on = true;
    while (go_on && native_next_frame(&rest, 1 << 24, &frame, &need) == ERR_NONE)
        go_on = fake_frame(broker, frame, &out);
    wire_buf_consume(in, in->len - rest.len);
    fake_send(fd, &out);
    return go_on;
}

static void fake_serve(struct fake_broker *broker, int fd)
{
    struct wire_buf in = {0};
    char buffer[4096];
    ssize_t got;
    broker->filter_count = 0;
    while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0) {
        fake_ok(wire_buf_append(&in, buffer, (size_t)got));
        if (!fake_frames(broker, fd, &in))
            break;
    }
    wire_buf_fini(&in);
}

static void *fake_thread(void *arg)
{
    struct fake_broker *broker = arg;
    int fd;
    while ((fd = accept(broker->listener, NULL, NULL)) >= 0) {
        broker->connection = fd;
        broker->connections_seen++;
        fake_serve(broker, fd);
        broker->connection = -1;
        close(fd);
    }
    return NULL;
}

/* address: "127.0.0.1" or "::1". False when this machine does not have it. The port is bound, and connections are
 * held by the kernel, before the thread runs. */
static inline bool fake_broker_start(struct fake_broker *broker, const char *address)
{
    *broker = (struct fake_broker){.connection = -1};
    bool six = strchr(address, ':') != NULL;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr *sa = six ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
    socklen_t len = six ? sizeof v6 : sizeof v4;
    inet_pton(sa->sa_family, address, six ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr);
    broker->listener = socket(sa->sa_family, SOCK_STREAM, 0);
    if (bind(broker->listener, sa, len) != 0 || listen(broker->listener, 8) != 0) {
        close(broker->listener);
        return false;
    }
    getsockname(broker->listener, sa, &len);
    unsigned port = ntohs(six ? v6.sin6_port : v4.sin_port);
    snprintf(broker->port, sizeof broker->port, "%u", port);
    snprintf(broker->url, sizeof broker->url, six ? "tcp://[%s]:%u" : "tcp://%s:%u", address, port);
    sem_init(&broker->resume, 0, 0);
    sem_init(&broker->published, 0, 0);
    pthread_create(&broker->thread, NULL, fake_thread, broker);
    return true;
}

static inline void fake_broker_resume(struct fake_broker *broker)
{
    sem_post(&broker->resume);
}

static inline void fake_broker_stop(struct fake_broker *broker)
{
    shutdown(broker->listener, SHUT_RDWR);
    int fd = broker->connection;
    if (fd >= 0)
        shutdown(fd, SHUT_RDWR);
    pthread_join(broker->thread, NULL);
    close(broker->listener);
    sem_destroy(&broker->resume);
    sem_destroy(&broker->published);
}

#endif
