/*
 * Who gets what, on one shard: the topic tree, the cache of its answers, and the table of what other shards want.
 * The router pushes runs into outboxes and hands them to the composition root's ops for other shards; it knows neither
 * sessions nor sockets nor mailboxes. Shard thread.
 */
#ifndef SLUICE_BROKER_ROUTER_H
#define SLUICE_BROKER_ROUTER_H

#include "broker/delivery/delivery.h"
#include "broker/router/interest.h"
#include "broker/router/match_cache.h"
#include "broker/router/retained.h"
#include "broker/router/topic_tree.h"

enum { ROUTER_SHARDS_MAX = 64, ROUTER_CACHE_BYTES = 16 * 1024 * 1024 };

/* What an entry of the tree stands for. */
enum route_kind { ROUTE_LOCAL, ROUTE_SHARD };
struct route {
    struct topic_entry entry; /* first */
    uint8_t kind;             /* enum route_kind */
};
struct local_route {
    struct route route; /* first */
    struct subscription sub;
};

struct router_ops {
    struct interest_ops interest;
    /* Hands a run to another shard, with a reference of its own; `retained` (owned from here on, or NULL) is what it
     * leaves behind there. A verdict is sent back for a token other than 0 (the publisher waits). False: the mailbox to
     * that shard is at its bound; the run is kept and goes first later, the publisher must stop reading until router's
     * congestion ends. */
    bool (*forward)(void *context, unsigned shard, const struct run *run, uint64_t token,
                    struct retained *retained);
    /* A message on the topic is about to be pushed to an outbox that is catching up. */
    void (*catch_up)(struct outbox *outbox, struct span topic);
};

struct router_config {
    const struct topic_rules *rules;                    /* borrows */
    uint64_t retained_messages_max, retained_bytes_max; /* bounds of the table of retained values */
};

struct router {
    struct delivery *delivery;       /* borrows */
    const struct topic_rules *rules; /* borrows */
    const struct router_ops *ops;    /* borrows */
    void *context;
    unsigned shard, shards;
    struct topic_tree *tree;         /* owns */
    struct interest_table *interest; /* owns */
    struct match_cache cache;
    struct retained_table retained;
    struct shard_route *remote;  /* owns: what other shards announced, hashed by (shard, filter) */
    struct subscription **found; /* owns: scratch of the match under way, room for all subscriptions */
    size_t found_count, found_cap;
    uint64_t found_shards;
    uint32_t mark;
    uint64_t published, matched; /* messages in; deliveries decided */
};

/* ERR_NO_MEMORY. */
MUST_CHECK enum err router_init(struct router *router, struct delivery *delivery,
                                const struct router_config *config, const struct router_ops *ops,
                                void *context, unsigned shard, unsigned shards);
void router_fini(struct router *router);

/* Puts the subscription into the index under its filter. *must_wait: `wait` is told (ops->interest.ready) when every
 * shard knows. */
MUST_CHECK enum err router_subscribe(struct router *router, struct local_route *route,
                                     struct interest_wait *wait, bool *must_wait);
void router_unsubscribe(struct router *router, struct local_route *route);

/* What a valid topic resolves to. Valid until the index changes or the next call; NULL when out of memory. */
struct match *router_match(struct router *router, struct span topic);

struct route_result {
    struct subscription *full; /* a `block` subscription that the publisher has to wait for, or NULL */
    unsigned verdicts;         /* other shards that will send one */
    bool congested;            /* a mailbox is at its bound */
};
/* Delivers a run of one topic to everybody in the match. `publisher` is NULL for a run from another shard; `token` names it in
 * verdicts (0: it does not wait). With `retained`, what retained_prepare() made of the run's only message (owned from
 * here on), it goes to all shards. */
struct route_result router_publish(struct router *router, const struct match *match, const struct run *run,
                                   const struct outbox *publisher, uint64_t token, struct retained *retained);
/* Delivers a run from another shard to the subscribers of this one; `retained` (owned from here on) or NULL. */
struct subscription *router_deliver(struct router *router, const struct run *run, struct span topic,
                                    struct retained *retained);
/* A full `block` subscription of this shard among the topic's, or NULL. */
struct subscription *router_find_full(struct router *router, struct span topic,
                                      const struct outbox *publisher);

/* Another shard's announcements. */
MUST_CHECK enum err router_remote_add(struct router *router, unsigned shard, struct span filter);
void router_remote_remove(struct router *router, unsigned shard, struct span filter);

#endif
