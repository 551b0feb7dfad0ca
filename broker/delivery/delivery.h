/*
 * Delivery of one shard: its wire log, the outboxes that have something to send, the ones whose socket refused,
 * and the shared buffer in which batches are gathered. Shard thread.
 *
 * Bounds: the log's window (delivery.log_window, and a quarter of it until the next pass) is kept by evacuation: what
 * a blocked outbox still holds of older chunks is copied to private ones. The process's memory bound is kept by closing the fattest outbox.
 */
#ifndef SLUICE_BROKER_DELIVERY_H
#define SLUICE_BROKER_DELIVERY_H

#include "broker/delivery/batch.h"
#include "broker/delivery/blocking.h"
#include "broker/delivery/chunk.h"
#include "broker/delivery/delivery_settings.h"
#include "broker/delivery/outbox.h"
#include "broker/delivery/wire_log.h"
#include "broker/timer_wheel.h"

/* What delivery tells the layer above; plugged in by it. */
struct delivery_ops {
    /* An ended subscription has nothing queued any more: its memory may go. */
    void (*subscription_drained)(struct subscription *sub);
    /* Publishers that waited for a `block` subscription may go on. */
    void (*publisher_resumed)(struct waiter *waiter);
    /* An awaited outbox has nothing waiting any more. Not the place to push to it. */
    void (*answers_sent)(struct outbox *outbox);
};

struct delivery_stats {
    uint64_t delivered;              /* messages accepted by a socket */
    uint64_t writes;                 /* calls of transport write */
    uint64_t refused;                /* of them, short or refused */
    uint64_t gaps[NATIVE_GAP_COUNT]; /* messages lost, by reason */
    uint64_t evacuated;              /* bytes copied out of the log for laggards */
    uint64_t too_slow, fattest;      /* connections given up */
};

struct delivery {
    const struct delivery_settings *settings; /* borrows */
    const struct delivery_ops *ops;           /* borrows */
    struct timer_wheel *wheel;                /* borrows */
    const uint64_t *now_ms, *unix_ms;         /* borrows: the shard's clocks, set once per turn */
    struct chunk_pool pool;
    struct wire_log log;
    struct batch batch;
    struct outbox *dirty;           /* have something to send this turn */
    struct outbox *condemned;       /* have a verdict that the session must act on */
    const struct outbox *publisher; /* borrows: whose publish is being routed; NULL: another shard's */
    struct queue *blocked;          /* the queues of outboxes whose socket refused, any order */
    uint64_t turn;                  /* number of the loop turn */
    uint64_t position; /* bytes of log that this shard has seen since start; the age of queued runs */
    const struct chunk *arrived; /* compared, never followed: where the latest run of another shard lies */
    uint64_t evacuated_at;       /* position of the last pass */
    uint64_t unflushed;          /* bytes pushed since the last flush */
    _Atomic uint64_t *fattest; /* one per shard, borrows: bytes of the fattest outbox while memory is over */
    struct delivery_stats stats;
};

void delivery_init(struct delivery *delivery, const struct delivery_settings *settings,
                   const struct delivery_ops *ops, struct timer_wheel *wheel, const uint64_t *now_ms,
                   const uint64_t *unix_ms, unsigned shard, unsigned shards, _Atomic uint64_t *fattest);
void delivery_fini(struct delivery *delivery);

/* Flushes every dirty outbox; keeps the log's window and the memory bound. At the end of each turn, and in the
 * middle of one that has already produced DELIVERY_UNFLUSHED_MAX bytes. */
enum { DELIVERY_UNFLUSHED_MAX = 1024 * 1024 };
void delivery_flush(struct delivery *delivery);
/* Starts a turn: sockets that refused earlier may be asked once more. */
void delivery_begin_turn(struct delivery *delivery);
/* Counts routed bytes; flushes when a turn has produced too many. */
void delivery_routed(struct delivery *delivery, uint32_t bytes);
/* A run of another shard is about to be pushed. Its chunk may hold little else for this shard, but who queues the run
 * pins all of it: a chunk counts whole, so that the window bounds what is pinned. */
void delivery_arrived(struct delivery *delivery, const struct run *run);

/* Takes one outbox with a verdict off the list; NULL when there is none. */
struct outbox *delivery_next_condemned(struct delivery *delivery);
/* For the layers inside delivery. */
void delivery_mark_dirty(struct delivery *delivery, struct outbox *outbox);
void delivery_condemn(struct delivery *delivery, struct outbox *outbox, enum outbox_verdict verdict);
void delivery_block(struct delivery *delivery, struct queue *queue);
void delivery_unblock(struct delivery *delivery, struct queue *queue);
/* Forgets an outbox that goes away. */
void delivery_forget(struct delivery *delivery, struct outbox *outbox);

#endif
