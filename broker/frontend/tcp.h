/*
 * sluice.v1 over raw TCP: one per shard. Reads into one buffer that all connections of the shard share, writes with one
 * send or sendmsg at the end of the turn, and asks for writability only after a short write. Shard thread.
 *
 * A connection that the broker closes lingers: our side is shut down, what still comes is thrown away until the peer
 * closes too or TCP_LINGER_MS are over, because a close with unread input would reset the connection under the farewell.
 * As long as it does it keeps its place under limits.connections: a descriptor is a descriptor.
 */
#ifndef SLUICE_BROKER_TCP_H
#define SLUICE_BROKER_TCP_H

#include <uv.h>

#include "broker/clock.h"
#include "broker/frontend/admission.h"
#include "broker/session/sessions.h"

enum {
    TCP_LINGER_MS = 2000,
    TCP_REFUSED_MAX = 256 /* refused peers that linger at a time; more are cut off without a word */
};

struct tcp_frontend;

struct tcp_config {
    uv_loop_t *loop; /* borrows, all of them */
    struct sessions *sessions;
    struct timer_wheel *wheel;
    struct clock *clock;
    struct admission *admission;
    uint8_t *receive_buffer; /* SESSION_INPUT_MAX bytes, shared by the shard's frontends */
    unsigned notsent_lowat;  /* bytes; 0: leave the socket alone */
};

/* NULL when out of descriptors. */
struct tcp_frontend *tcp_new(const struct tcp_config *config);
/* Closes lingering connections; all sessions have ended. The loop must run once more before tcp_free(). */
void tcp_stop(struct tcp_frontend *tcp);
void tcp_free(struct tcp_frontend *tcp);

/* An acceptor's callback; `context` is the frontend. */
void tcp_accepted(void *context, int fd, const struct sockaddr_storage *peer);

#endif
