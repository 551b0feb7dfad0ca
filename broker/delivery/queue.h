/*
 * The queue of an outbox that cannot be fast: nodes in the order in which they will be sent. This is where bounds and
 * policies live (policy.c) and where every lost message is counted, at the place in the stream where it stood. What
 * leaves is in queue.c, how it is sent in drain.c.
 *
 *   first ─► [half-sent frame] ─► [gap 3 │ run of sub A] ─► [OK] ─► [run of B] ─► [gap 7] ─► last
 *                                        └──── sub A's own chain ─────────► ...
 *
 * A node's gaps are the losses just before its first message; a node with gaps and no message is a loss behind which
 * nothing of that subscription has been queued yet. Bounds: sub->queue messages per subscription and
 * delivery.queue_bytes for the connection, bookkeeping included. Shard thread.
 */
#ifndef SLUICE_BROKER_QUEUE_H
#define SLUICE_BROKER_QUEUE_H

#include "broker/delivery/outbox.h"

enum queued_flags {
    QUEUED_PINNED = 1, /* begun on the wire: must go on before anything else and cannot be dropped */
    QUEUED_KEYED = 2,  /* in the key table: conflation replaces it in place */
    QUEUED_PRIVATE = 4 /* its bytes are out of the log */
};

struct queued {
    struct run run;                     /* .chunk NULL: only gaps; .sub NULL: answers */
    struct queued *next, *prev;         /* the order of sending */
    struct queued *sub_next, *sub_prev; /* the subscription's chain, oldest first */
    struct queued *key_next;            /* hash chain */
    uint64_t position;                  /* delivery's when it was queued */
    uint64_t expires_ms;                /* Unix milliseconds; 0: never */
    uint64_t gap[NATIVE_GAP_COUNT];     /* 64 bits: at a million a second 32 are over after an hour */
    uint32_t hash;                      /* of (subscription, key or topic) */
    uint32_t flags;
};

struct queue {
    struct outbox *outbox; /* borrows */
    struct queued *first, *last;
    struct queued **keys; /* owns; key table, NULL until something is conflated */
    uint32_t key_mask, key_count;
    struct queue *blocked_next, *blocked_prev; /* delivery's list while blocked */
    bool blocked;
    uint64_t refused_turn; /* the turn in which the socket last refused */
    size_t bytes;          /* wire bytes and bookkeeping of all nodes */
};

/* Gives the outbox a queue (it must have none). NULL when out of memory. */
struct queue *queue_open(struct outbox *outbox);
/* Drops everything and goes; subscriptions no longer point into it. */
void queue_close(struct queue *queue);

/* Adds messages; under the subscription's policy once the socket has refused. Takes references of its own. When memory
 * fails the outbox is condemned as lost. */
void queue_add(struct queue *queue, struct subscription *sub, const struct run *run);
/* Notes messages of the subscription lost just before whatever is added next. */
void queue_add_gap(struct queue *queue, struct subscription *sub, uint64_t lost, enum native_gap_reason why);
/* Adds answers: never dropped. */
void queue_add_control(struct queue *queue, const struct run *run);
/* Whether the run does not fit into the bounds. */
bool queue_overflows(const struct queue *queue, const struct subscription *sub, const struct run *run);

/* Sends from the front until the socket refuses or nothing is left; see drain.c. */
void queue_drain(struct queue *queue);

/* The socket refused: what waits goes under the policies, and waits until it is writable. */
void queue_refused(struct queue *queue);
/* For queue_refused(): adds all that was queued before again, under its subscription's policy. */
void queue_apply_policies(struct queue *queue);

/* The first node has sent its gaps and the given frames of its run. */
void queue_consume(struct queue *queue, uint32_t bytes, uint32_t count);
/* The first node's first frame (`frame` bytes) is half sent: its rest, behind `sent` bytes, is pinned at the front. */
void queue_pin(struct queue *queue, uint32_t frame, uint32_t sent);
/* Puts the rest of a half-sent frame at the front; hands over the run's reference. */
void queue_pin_run(struct queue *queue, const struct run *run);
/* As queue_pin() when bytes made for this subscriber were in front of it: `rest` is all that is still to be sent of them and
 * of the frame (0 bytes: a loss notice without a message behind it), and is copied. The node's gaps are told. */
void queue_pin_copy(struct queue *queue, uint32_t frame, struct span rest);
/* The first node's messages are past their time: they become a gap. */
void queue_expire(struct queue *queue);

/* All messages that are not half sent become gaps. */
void queue_abandon(struct queue *queue);
/* Copies what is older than `position` to private chunks. */
void queue_evacuate(struct queue *queue, uint64_t position);

#endif
