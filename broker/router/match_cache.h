/*
 * What a topic resolves to, remembered: the subscriptions that get a copy (one per connection, and one per independent
 * subscription), the other shards with interest, the topic rule. "Nobody" is remembered too. A literal SUB or UNSUB
 * forgets one topic, a wildcard one all of them (by generation). Bounded in bytes; at the bound entries not used since
 * the hand last passed go first (CLOCK). Shard thread.
 */
#ifndef SLUICE_BROKER_MATCH_CACHE_H
#define SLUICE_BROKER_MATCH_CACHE_H

#include "broker/delivery/subscription.h"
#include "broker/router/topic_rules.h"
#include "proto/span.h"

struct match {
    struct match *chain;           /* hash chain */
    struct match *newer, *older;   /* the clock's ring, open-ended */
    const struct topic_rule *rule; /* borrows; NULL: no rule */
    uint64_t generation;
    uint64_t shards; /* bit per other shard with interest */
    uint64_t hash;
    uint32_t topic_len;
    uint32_t count;              /* subscriptions */
    bool used;                   /* since the hand passed */
    struct subscription *subs[]; /* borrows; behind them the topic's bytes */
};

struct match_cache {
    struct match **buckets; /* owns */
    size_t bucket_mask, count, bytes, bytes_max;
    struct match *newest, *oldest;
    uint64_t generation;
    uint64_t hits, misses;
};

void match_cache_init(struct match_cache *cache, size_t bytes_max);
void match_cache_fini(struct match_cache *cache);

/* The remembered match, or NULL. Valid until the next change of the cache. */
struct match *match_cache_find(struct match_cache *cache, struct span topic);
/* Remembers; evicts others if it must. NULL when out of memory. */
struct match *match_cache_put(struct match_cache *cache, struct span topic, struct subscription *const *subs,
                              uint32_t count, uint64_t shards, const struct topic_rule *rule);
void match_cache_forget(struct match_cache *cache, struct span topic);
void match_cache_forget_all(struct match_cache *cache);

#endif
