/*
 * The `block` policy: publishers that wait for a subscriber. A publisher waits for one subscription at a time (when it
 * goes on it looks again); a subscription holds any number of publishers. When its queue has drained to half its bound
 * all of them go on. One that makes no progress for delivery.block_timeout while somebody waits is given up as too
 * slow. Shard thread.
 */
#ifndef SLUICE_BROKER_BLOCKING_H
#define SLUICE_BROKER_BLOCKING_H

#include "broker/delivery/subscription.h"
#include "broker/timer_wheel.h"

struct waiter {
    struct waiter *next, *prev;
    struct blocking *blocking; /* what it waits for; NULL: nothing */
};

/* Exists while somebody waits. */
struct blocking {
    struct subscription *sub;
    struct waiter *first;
    struct timer deadline;
};

/* Whether a publish must wait for this subscription: policy block, at its bound, not the publisher's own (a client that
 * waits for itself would wait for ever; its own overflow is dropped with a GAP, oldest first). */
bool blocking_full(const struct subscription *sub, const struct outbox *publisher);

/* Puts the waiter behind the subscription. */
void blocking_wait(struct subscription *sub, struct waiter *waiter);
/* The waiter goes away or gives up. */
void blocking_leave(struct waiter *waiter);
/* The subscription has sent something: puts the deadline off, lets everybody go on when there is room. */
void blocking_progress(struct subscription *sub);
/* The subscription goes away: everybody goes on. */
void blocking_release(struct subscription *sub);

#endif
