/*
 * `max_hz`: at most so many messages a second per topic (or key) of one subscription; the newest wins, and the trailing
 * value is always delivered. A value that comes too early is held, as a copy of its own, until its time; what it replaces
 * is counted and told in the GAP before it.
 *
 *   all entries share one interval, so the list in order of sending is the list in order of becoming due:
 *   oldest ─► [cpu0 sent 12:00.00] ─► [cpu1 sent 12:00.02, held 1, skipped 3] ─► newest
 *
 * Bounds: sub->queue entries per subscription: at the bound the oldest goes, a value it held with a GAP. And
 * delivery.queue_bytes over all limiters of one connection: held values go, the one that waits longest first, with a GAP; the rate
 * stays.
 * Shard thread.
 */
#ifndef SLUICE_BROKER_RATE_H
#define SLUICE_BROKER_RATE_H

#include "broker/delivery/outbox.h"

/* Gives the subscription a limiter; its policy must be conflate. ERR_NO_MEMORY. */
MUST_CHECK enum err rate_start(struct subscription *sub, double max_hz);
/* Lets through what is due and holds the rest. */
void rate_push(struct subscription *sub, const struct run *run);
/* Hands over everything held and ends the limiter. */
void rate_end(struct subscription *sub);
/* Ends the limiter without handing anything over (the connection is gone). */
void rate_discard(struct subscription *sub);

#endif
