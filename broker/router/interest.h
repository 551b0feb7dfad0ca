/*
 * What this shard has told the others it wants: one row per filter with local subscribers, however many there are.
 * The first subscriber announces the filter, the last one withdraws it; a SUB is answered once every other shard has
 * confirmed, so that a publish that starts after the answer is delivered. Shard thread.
 *
 * Bound: INTEREST_UNCONFIRMED_MAX announcements under way. At the bound `crowded` is told, so that no more SUBs are
 * served; at half of it it is told again that they may be.
 */
#ifndef SLUICE_BROKER_INTEREST_H
#define SLUICE_BROKER_INTEREST_H

#include "proto/err.h"
#include "proto/span.h"

enum { INTEREST_UNCONFIRMED_MAX = 16384 };

struct interest;

/* Somebody who waits for confirmation; embedded by the waiter, who may leave at any time. */
struct interest_wait {
    struct interest *interest; /* NULL: not waiting */
    struct interest_wait *next, *prev;
};

struct interest_ops {
    /* Tells one other shard. Announcements are confirmed with the cookie. */
    void (*announce)(void *context, unsigned shard, struct span filter, uint64_t cookie);
    void (*withdraw)(void *context, unsigned shard, struct span filter);
    void (*ready)(void *context, struct interest_wait *wait);
    void (*crowded)(void *context, bool crowded);
};

struct interest_table;

struct interest_table *interest_table_new(unsigned shard, unsigned shards, const struct interest_ops *ops,
                                          void *context);
void interest_table_free(struct interest_table *table);

/* One more local subscriber. *must_wait tells whether `wait` was queued for confirmation. */
MUST_CHECK enum err interest_add(struct interest_table *table, struct span filter, struct interest_wait *wait,
                                 bool *must_wait);
/* One less. */
void interest_remove(struct interest_table *table, struct span filter);
/* Another shard has installed the announcement. */
void interest_confirmed(struct interest_table *table, uint64_t cookie);
void interest_leave(struct interest_wait *wait);

#endif
