/*
 * The libwebsockets context of one shard, on the shard's loop: connections accepted by us are handed to it, and its
 * callbacks are passed on to ws.c (WebSocket) and http.c (plain HTTP). Shard thread.
 *
 * libwebsockets 4.1.6 is used against its grain in a few places, each measured: it does not listen (its listener cannot
 * share a port between contexts, and spins when descriptors run out), it does not time connections (its default policy
 * keeps a sorted list of timers), and it does not frame what we send (ws.c).
 */
#ifndef SLUICE_BROKER_LWS_HOST_H
#define SLUICE_BROKER_LWS_HOST_H

#include <sys/socket.h>
#include <uv.h>

#include "broker/frontend/admission.h"
#include "broker/frontend/http_settings.h"
#include "broker/frontend/ws.h"

struct lws_host;

struct lws_host_config {
    uv_loop_t *loop; /* borrows, all of them */
    const struct http_settings *http;
    struct admission *admission;
    unsigned notsent_lowat; /* bytes; 0: leave the socket alone */
    struct ws_config ws;
};

/* NULL when out of memory or descriptors. */
struct lws_host *lws_host_new(const struct lws_host_config *config);
/* An acceptor's callback; `context` is the host. */
void lws_host_accepted(void *context, int fd, const struct sockaddr_storage *peer);
/* Before the end of each turn: hands over what was received. */
void lws_host_end_turn(struct lws_host *host);
/* Closes everything; all sessions have ended. The loop must run until nothing is left before lws_host_free(). */
void lws_host_stop(struct lws_host *host);
void lws_host_free(struct lws_host *host);

#endif
