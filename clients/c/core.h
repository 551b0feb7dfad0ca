/*
 * The inside of struct sluice_core, shared by the files that make it up and seen by nobody else:
 *
 *   core.c          one client's life: connect, greet, serve, keep alive, go down, try again, stop
 *   receive.c       frames from the broker to whoever waits for them
 *   publish.c       messages to the broker, backpressure
 *   subscription.c  what is subscribed, who a message is for, what to renew after a reconnect
 *   request.c       requests and their one inbox
 *   pending.c       answers that are awaited
 *
 * No sockets, no clock: time is what the last call said. One thread at a time. Callbacks into the program may
 * call back into the core, so nothing that a loop stands on is freed while `depth` is above zero.
 */
#ifndef SLUICE_CLIENT_CORE_H
#define SLUICE_CLIENT_CORE_H

#include <sluice.h>
#include <uthash.h>

#include "clients/c/pending.h"
#include "clients/c/reconnect.h"
#include "clients/c/send_buffer.h"
#include "proto/native_reply.h"

enum {
    CORE_KEEPALIVE_S = 30,
    CORE_CONNECT_TIMEOUT_MS = 5000,
    CORE_CLOSE_LINGER_MS = 1000,
    CORE_SEND_BUFFER_BYTES = 4 << 20,
    CORE_RECEIVE_FRAME_BYTES = 64 << 20,
    CORE_IN_FLIGHT = 65536,
    CORE_INBOX_BYTES = 40 /* "_inbox/" + 20 letters + "/" + NUL, and room */
};

enum core_state {
    CORE_DOWN,     /* no connection; the next attempt is due at retry_at_ms */
    CORE_GREETING, /* a connection is being opened, or WELCOME is awaited */
    CORE_OPEN,
    CORE_CLOSING, /* sluice_core_close() was called: only what is buffered still goes out */
    CORE_STOPPED  /* for good */
};

struct route; /* one filter as the broker knows it; subscription.c */
struct subscription;
struct request;

struct sluice_core {
    struct sluice_options options; /* strings are owned, numbers are never 0 */
    struct sluice_callbacks cb;

    enum core_state state;
    bool attached;  /* the owner has a socket, opening or open */
    bool connected; /* and it is up, and has not been given up */
    uint32_t depth; /* callbacks into the program that are running */
    uint64_t now_ms;
    uint64_t retry_at_ms;   /* CORE_DOWN */
    uint64_t give_up_at_ms; /* CORE_GREETING: connect timeout; CORE_CLOSING: linger */
    struct reconnect reconnect;
    uint32_t connections; /* WELCOMEs seen */
    uint64_t epoch;       /* counts connections lost, so that loops notice that theirs has gone */

    uint64_t keepalive_ms; /* as granted; 0: none */
    uint64_t received_at_ms, sent_at_ms, pinged_at_ms;
    uint32_t max_payload_bytes, max_frame_bytes;

    struct wire_buf in; /* the beginning of a frame whose end has not arrived */
    struct send_buffer out;
    bool starved; /* SLUICE_AGAIN was returned, on_drained is owed */
    struct pending_ring pending;

    struct route *routes;               /* owns; hash by filter, in the order of subscribing */
    struct route *numbered;             /* the same, hash by number */
    struct route *wildcards;            /* the untagged ones among them that have wildcards; list */
    struct subscription *subscriptions; /* owns; hash by id */
    uint32_t next_route;                /* also the TAG of an independent subscription */
    uint64_t next_subscription;
    bool has_dead; /* subscriptions wait to be freed when depth is 0 */
    bool tagged;   /* a TAG was received: */
    uint32_t tag;  /* the next MSG is for this route */

    char inbox[CORE_INBOX_BYTES]; /* "_inbox/RANDOM/"; "" before the first request */
    bool inbox_ready;             /* the broker has confirmed its subscription on this connection */
    struct wire_buf held;         /* requests that wait for it, encoded; owns */
    struct request *requests;     /* owns; hash by number */
    struct request *deadlines;    /* the same, list by deadline */
    uint64_t next_request;
};

/* The connection is of no use any more: everything that waits is told, and unless `final` another attempt is
 * planned. Safe to call in any state; the second reason for one connection is ignored. */
void core_down(struct sluice_core *core, const struct sluice_error *why, bool final,
               uint32_t reconnect_after_ms);
/* Calls on_drained if it is owed and there is room. */
void core_maybe_drained(struct sluice_core *core);
/* Around every callback into the program. */
void core_enter(struct sluice_core *core);
void core_leave(struct sluice_core *core);
uint64_t core_random(struct sluice_core *core);

void error_set(struct sluice_error *error, enum sluice_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The broker's words; codes that the API has a status for get it. */
void error_from_broker(struct sluice_error *error, struct span code, struct span text);
extern const struct sluice_error error_none;

/* publish.c: whether `bytes` more may be buffered by the program at this moment. */
enum sluice_status publish_room(struct sluice_core *core, size_t bytes);
/* Checks and encodes into `out` a publish with the given id and, if not NULL, reply topic. */
enum sluice_status publish_encode(struct sluice_core *core, const struct sluice_publish *publish, uint64_t id,
                                  const char *reply, struct wire_buf *out);
enum sluice_status publish_check(const struct sluice_core *core, const struct sluice_publish *publish);
size_t publish_bytes_max(const struct sluice_publish *publish);

/* subscription.c */
/* Sends a SUB for each filter, in the order in which they were first subscribed. */
MUST_CHECK enum err subscriptions_renew(struct sluice_core *core);
void subscriptions_answered(struct sluice_core *core, const struct pending *pending,
                            const struct sluice_error *result, const struct native_ok *ok);
void subscriptions_dispatch(struct sluice_core *core, const struct native_msg *msg);
void subscriptions_sweep(struct sluice_core *core);
void subscriptions_fini(struct sluice_core *core);
/* For the inbox: like sluice_core_subscribe(), and on_subscribed is called after each reconnect too. */
enum sluice_status subscriptions_add_internal(struct sluice_core *core, const char *filter,
                                              sluice_message_fn *on_message,
                                              sluice_subscribed_fn *on_subscribed, void *user);

/* request.c */
void requests_refused(struct sluice_core *core, uint64_t number, const struct sluice_error *why);
void requests_expire(struct sluice_core *core);
void requests_end_all(struct sluice_core *core, const struct sluice_error *why);
uint64_t requests_deadline_ms(const struct sluice_core *core);
void requests_fini(struct sluice_core *core);

#endif
