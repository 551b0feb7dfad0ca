/*
 * The bytes of a connection that could not be worked off yet: an unfinished frame, or what came behind a publish that
 * has to wait. It grows with the bytes received, never with what a header promises, and is charged to a budget that all
 * connections share. Shard thread; the budget: any.
 */
#ifndef SLUICE_BROKER_STASH_H
#define SLUICE_BROKER_STASH_H

#include <stdatomic.h>

#include "proto/err.h"
#include "proto/span.h"

/* limits.inbound_per_connection and limits.inbound_total. At the bound the connection that asks for more is closed. */
struct inbound_budget {
    _Atomic uint64_t used; /* bytes, over all shards */
    uint64_t total, each;
};

struct stash {
    uint32_t at;  /* what lies before has been worked off */
    uint32_t len; /* bytes of data */
    uint32_t cap;
    uint32_t searched; /* what lies before has been looked through for what may be served before its turn; */
    uint32_t sub_at;   /* the first SUB found there, UINT32_MAX: none */
    uint8_t data[];
};

/* What waits; empty for NULL. Borrowed until the next append or drop. */
static inline struct span stash_rest(const struct stash *stash)
{
    return stash ? span_of(stash->data + stash->at, stash->len - stash->at) : (struct span){0};
}

/* Appends; *stash may be NULL before. `want` is how long the whole will be as far as is known (0: not at all): it keeps
 * the last step of growth from overshooting. ERR_LIMIT: this connection's bound; ERR_OVERLOADED: everybody's;
 * ERR_NO_MEMORY. On error nothing is changed. */
MUST_CHECK enum err stash_append(struct stash **stash, struct inbound_budget *budget, struct span bytes,
                                 size_t want);

/* `searched` and `sub_at` speak of what still waits: from `at` on, anew when the SUB has been worked off. */
void stash_resume_search(struct stash *stash);

/* Gives the memory back; *stash becomes NULL. */
void stash_drop(struct stash **stash, struct inbound_budget *budget);

#endif
