/*
 * The load generator's connections: one epoll loop, sluice.v1 over TCP or WebSocket, or the same frames by way of the
 * bare relay (tests/bench/relay.c). It connects, greets, cuts frames, answers PING and enters MSG and GAP in the
 * ledger; when to publish what is the scenario's business. It is not libsluice on purpose: a generator must be several
 * times cheaper than what it measures. One thread.
 *
 *   conn: CONNECTING ─► UPGRADING (ws) ─► GREETING ─► READY ─► CLOSED
 *                                          HELLO, SUB... sent; WELCOME, OK... awaited
 */
#ifndef SLUICE_BENCH_NET_H
#define SLUICE_BENCH_NET_H

#include <sys/socket.h>

#include "clients/cli/bench_ledger.h"
#include "clients/cli/bench_ws.h"
#include "proto/wire_buf.h"

enum {
    NET_RECEIVE_BYTES = 256 * 1024,    /* per recv() */
    NET_UNSENT_MAX = 64 * 1024 * 1024, /* per connection; more means that the server does not read */
    NET_HEADROOM = WS_HEADER_MAX       /* free bytes in front of what conn_send() is given */
};

enum net_transport { NET_TCP, NET_WS, NET_RELAY };

struct net_target {
    enum net_transport transport;
    char host[256], port[6], path[128];
    struct sockaddr_storage address;
    socklen_t address_len;
};

enum conn_state { CONN_CLOSED, CONN_CONNECTING, CONN_UPGRADING, CONN_GREETING, CONN_READY };

struct net;

struct conn {
    struct net *net; /* borrows */
    int fd;
    enum conn_state state;
    uint32_t receiver;        /* in the ledger; UINT32_MAX: receives nothing */
    uint32_t awaited;         /* answers until it is ready */
    size_t out_at;            /* bytes of `out` that were sent */
    struct wire_buf greeting; /* until it is sent */
    struct wire_buf out;      /* what the socket refused */
    struct wire_buf carry;    /* an unfinished frame, or the answer to the upgrade */
    struct ws_reader ws;
};

struct net {
    struct net_target target;
    int epoll_fd, pace_fd;
    struct ledger *ledger; /* borrows; NULL: messages are not expected */
    uint32_t run;          /* of the stamps */
    uint64_t now_ns;       /* CLOCK_MONOTONIC, as of the last event */
    bool exact;            /* read the clock for every read, not only once per turn */
    uint8_t *buffer;       /* owns: NET_RECEIVE_BYTES */
    uint32_t ready;        /* connections in this state */
    uint32_t source;       /* for a server on loopback: 127.0.0.source is the client's address; 0: any */
    uint32_t random;
    void (*on_ready)(struct conn *); /* may be NULL; may close the connection */
    void *context;                   /* of on_ready */
    char failure[256];               /* why it cannot go on; "" while it can */
};

uint64_t net_clock_ns(void);

/* URL: tcp://HOST[:PORT], ws://HOST[:PORT][/PATH], relay://HOST:PORT. False with the reason in *why. */
bool net_parse_target(const char *url, struct net_target *out, char *why, size_t why_size);
/* False with net->failure set when the system refuses. */
bool net_init(struct net *net, const struct net_target *target, struct ledger *ledger);
void net_fini(struct net *net);
/* Notes why the run cannot go on; the first reason stays. */
void net_fail(struct net *net, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One turn: waits at most timeout_ms for events and handles them. False once net->failure is set. */
bool net_turn(struct net *net, int timeout_ms);
/* Makes net_turn() return at least this often, without the rounding to milliseconds; 0: not. */
void net_pace(struct net *net, uint64_t interval_ns);
/* Turns until `count` connections are ready; false on failure, or when none becomes ready for a while. */
bool net_await_ready(struct net *net, uint32_t count);

/* Connects and sends the greeting (takes its bytes, which start behind NET_HEADROOM free ones); ready after `answers`
 * answers. conn->receiver is set before. small_window: for a subscriber that is not going to read, with as little
 * room in the kernel as there can be. */
void conn_open(struct conn *conn, struct net *net, struct wire_buf *greeting, uint32_t answers,
               bool small_window);
/* Closes and frees what the connection owns. A closed one stays closed. */
void conn_close(struct conn *conn);
/* Nothing is read from it any more. */
void conn_stall(struct conn *conn);
/* Sends whole frames; the bytes may be changed, and so may NET_HEADROOM bytes in front of them. */
void conn_send(struct conn *conn, uint8_t *bytes, size_t len);
static inline bool conn_backed_up(const struct conn *conn)
{
    return conn->out.len > 0;
}

/* Between bench_net.c and bench_receive.c, which has what comes in. */
void conn_receive(struct conn *conn);
void conn_greet(struct conn *conn);
void conn_send_pong(struct conn *conn, struct span body);

#endif
