/*
 * sluice.v1 over WebSocket (RFC 6455): the same bytes as over TCP behind a frame header. What the broker sends is framed
 * here, once per batch and in the room that the batch leaves in front, and handed to libwebsockets raw: one write per
 * connection and turn. Shard thread.
 *
 * libwebsockets reads no more at a time than its buffer per connection holds, and that is small because idle connections
 * hold one, too. So who sent something is read on at the end of the turn, and the pieces are gathered, so that a burst of
 * publishes is worked off as one.
 */
#ifndef SLUICE_BROKER_WS_H
#define SLUICE_BROKER_WS_H

#include "broker/clock.h"
#include "broker/session/sessions.h"

enum {
    WS_CLOSE_MS = 5000,          /* how long a peer may take to answer our Close */
    WS_GATHER_BYTES = 64 * 1024, /* input of one connection worked off at a time */
    WS_HUNGRY_MAX = 64           /* connections read on in a turn; the others wait for the next */
};

struct lws;
struct ws_frontend;
struct ws_connection;

struct ws_config {
    struct sessions *sessions; /* borrows, all of them */
    struct timer_wheel *wheel;
    struct clock *clock;
    uint64_t ping_interval_ms; /* 0: none */
    size_t message_max;        /* bytes of one message from a client */
    size_t read_bytes;         /* what libwebsockets reads at a time */
};

struct ws_frontend *ws_new(const struct ws_config *config);
void ws_free(struct ws_frontend *ws);
/* Stops the timers; all sessions have ended. */
void ws_stop(struct ws_frontend *ws);

/* Bytes of a struct ws_connection, which libwebsockets allocates zeroed for each connection. */
size_t ws_connection_bytes(void);

/* The events of a connection, as libwebsockets' callbacks; what they return goes back to it (-1: close). */
int ws_established(struct ws_frontend *ws, struct ws_connection *connection, struct lws *wsi);
int ws_received(struct ws_frontend *ws, struct ws_connection *connection, struct span piece);
int ws_writable(struct ws_connection *connection);
int ws_peer_closes(struct ws_connection *connection);
void ws_closed(struct ws_frontend *ws, struct ws_connection *connection);

/* Reads on where something came in during this turn, and hands it to the sessions. */
void ws_end_turn(struct ws_frontend *ws);

#endif
