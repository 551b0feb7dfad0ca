/*
 * What one connection still has to be sent. In the fast state it holds runs of the shard's log, nothing per
 * message and nothing per subscription, and is flushed once per loop turn, straight to the socket. Only when the
 * socket refuses bytes, or when something is made for this subscriber alone (TAG, a GAP, a held-back publisher),
 * does it get a queue (queue.h); when the queue is empty it is fast again. Policies see only what a socket has refused.
 *
 *             push                      flush: all accepted
 *   ┌─────► fast: a few runs       ───────────────► idle (no run, no memory but the struct)
 *   │               │ refused, TAG, GAP, block
 *   │               ▼
 *   └──────── queue: nodes, policies, GAPs          blocked: the socket said no, wait for writable
 *      empty
 *
 * Embedded in the session; shard thread. Bounds: delivery.queue_bytes for messages (policy of the subscription), as much
 * again for values held for max_hz (rate.h), limits.control_backlog for answers (policy: the session stops reading
 * requests). What can no longer be queued because the connection is given up is told as a GAP before it goes.
 */
#ifndef SLUICE_BROKER_OUTBOX_H
#define SLUICE_BROKER_OUTBOX_H

#include "broker/delivery/encoder.h"
#include "broker/delivery/run.h"
#include "broker/delivery/subscription.h"
#include "broker/delivery/transport.h"

struct delivery;
struct queue;

enum outbox_verdict {
    OUTBOX_GOOD,
    OUTBOX_TOO_SLOW, /* a `disconnect` subscription is past its bound */
    OUTBOX_FATTEST,  /* the broker is past its memory bound and this one holds most */
    OUTBOX_LOST      /* the transport failed, or memory for the connection could not be had */
};

struct outbox {
    struct delivery *delivery;   /* borrows */
    struct transport *transport; /* borrows; NULL once detached: everything pushed is discarded */
    const struct encoder *encoder;
    struct run one;      /* fast state: the run while there is one ... */
    struct run *many;    /* ... and all of them, in order, when there are more; owns */
    struct queue *queue; /* owns; NULL in the fast state */
    struct outbox *dirty_next;
    struct outbox *condemned_next;
    uint16_t run_count, many_cap;
    uint8_t verdict; /* enum outbox_verdict; set once, acted on by the session */
    bool dirty, condemned;
    bool
        catching_up; /* retained values are on their way to it: the router's catch_up hook comes before each push */
    bool awaited; /* somebody wants to hear when nothing waits any more: the answers_sent hook */
    uint32_t match_mark, match_slot; /* the router's scratch: which match it saw this outbox in, and where */
    uint32_t control_bytes;          /* of answers and notices waiting */
    uint64_t held_bytes;             /* of values held for max_hz, bookkeeping included */
};

void outbox_init(struct outbox *outbox, struct delivery *delivery, struct transport *transport,
                 const struct encoder *encoder);
/* Drops everything that waits. Subscriptions must have been ended before. */
void outbox_fini(struct outbox *outbox);

/* Messages for a subscription of this outbox. Takes a local reference of its own. */
void outbox_push(struct outbox *outbox, struct subscription *sub, const struct run *run);
/* The same, with a number of messages lost before this run for a reason known to the caller (max_hz). */
void outbox_push_after_gap(struct outbox *outbox, struct subscription *sub, const struct run *run,
                           uint64_t lost, enum native_gap_reason why);
/* Only the loss: stands where the next message would. */
void outbox_push_gap(struct outbox *outbox, struct subscription *sub, uint64_t lost,
                     enum native_gap_reason why);
/* An answer or notice (whole frames), behind everything pushed before. ERR_NO_MEMORY: the caller closes. */
MUST_CHECK enum err outbox_push_control(struct outbox *outbox, const void *frames, uint32_t len,
                                        uint32_t count);

/* Sends what waits until the socket refuses. Called at the end of the turn and on writability. */
void outbox_flush(struct outbox *outbox);

/* The subscription leaves: what it still has queued is sent all the same, then the drained hook is called (at once
 * if nothing waits). */
void outbox_end_subscription(struct subscription *sub);

/* Turns queued messages into GAPs (all but one that is half sent), so that a farewell can be the last frame. */
void outbox_abandon(struct outbox *outbox);

/* Writes gathered bytes, counted. Returns as transport write; for the layers inside delivery. */
ssize_t outbox_send(struct outbox *outbox, const void *data, size_t len);

/* Nothing waits. */
bool outbox_empty(const struct outbox *outbox);
/* The socket refused bytes and has not taken them since. */
bool outbox_blocked(const struct outbox *outbox);
/* Wire bytes (and bookkeeping) that wait; 0 in the fast state after a flush. */
size_t outbox_bytes(const struct outbox *outbox);

#endif
