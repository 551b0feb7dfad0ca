/*
 * The subscriptions of sessions: SUB judged, granted and entered into the index; UNSUB, replacement, and the draining of
 * what was matched before. One table per shard finds a subscription by its session and filter. Shard thread.
 *
 *   live ──UNSUB, replaced, session leaves──► draining (out of the index, messages still queued) ──► freed
 */
#ifndef SLUICE_BROKER_SUBSCRIBE_H
#define SLUICE_BROKER_SUBSCRIBE_H

#include "broker/router/router.h"
#include "proto/native_request.h"

struct session;
struct sessions;

/* What a client may ask for as `queue`, in messages; more is granted as this. */
enum { SUBSCRIBE_QUEUE_MAX = 65536 };

struct session_sub {
    struct local_route route;        /* first */
    struct session *session;         /* borrows */
    struct session_sub *next, *prev; /* all of the session; `next` also links the dead */
    struct session_sub *lookup_next; /* hash chain */
    struct snapshot *snapshot;       /* the session's; NULL: none, or over */
    struct subscribe_wait *wait;     /* owns; the OK that is withheld until all shards know; NULL: answered */
    char filter[];
};

struct sub_table {
    struct session_sub **buckets; /* owns */
    size_t mask, count;
};

/* Serves a SUB. ERR_NONE: answered now, or once every shard knows of it. Any other: refused, *text says why. */
MUST_CHECK enum err subscribe_add(struct session *session, const struct native_sub *sub, const char **text);
/* Serves an UNSUB: the subscription ends, what it has queued is still delivered. ERR_NOT_SUBSCRIBED. */
MUST_CHECK enum err subscribe_remove(struct session *session, struct span filter);

/* The session says goodbye: no more messages, what is queued still goes out. */
void subscribe_end_all(struct session *session);
/* The connection is gone: leaves the index, lets go of waiting publishers. Before outbox_fini(). */
void subscribe_discard_all(struct session *session);
/* ... and of the memory. After it. */
void subscribe_free_all(struct session *session);

/* Delivery's hook: an ended subscription has nothing queued any more. */
void subscribe_drained(struct subscription *sub);
/* Every shard knows: answers. */
void subscribe_ready(struct interest_wait *wait);
/* Frees what died during the turn. */
void subscribe_free_dead(struct sessions *sessions);
void sub_table_fini(struct sub_table *table);

#endif
