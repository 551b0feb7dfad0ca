#include "broker/router/router.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "broker/delivery/blocking.h"
#include "broker/memory.h"
#include "proto/topic.h"

enum { FOUND_AT_FIRST = 64 };

/* One filter that another shard wants. */
struct shard_route {
    struct route route; /* first */
    UT_hash_handle hh;
    size_t key_len; /* of what follows: shard and filter, without a gap */
    uint8_t shard;
    char filter[];
};

static void init_retained(struct router *router, const struct router_config *config)
{
    struct delivery *delivery = router->delivery;
    const struct retained_config retained = {.pool = &delivery->pool,
                                             .wheel = delivery->wheel,
                                             .now_ms = delivery->now_ms,
                                             .unix_ms = delivery->unix_ms,
                                             .shard = router->shard,
                                             .shards = router->shards,
                                             .messages_max = config->retained_messages_max,
                                             .bytes_max = config->retained_bytes_max};
    retained_init(&router->retained, &retained);
}

enum err router_init(struct router *router, struct delivery *delivery, const struct router_config *config,
                     const struct router_ops *ops, void *context, unsigned shard, unsigned shards)
{
    *router = (struct router){.delivery = delivery,
                              .rules = config->rules,
                              .ops = ops,
                              .context = context,
                              .shard = shard,
                              .shards = shards};
    router->found_cap = FOUND_AT_FIRST;
    router->found = memory_alloc(router->found_cap * sizeof(struct subscription *), 0);
    if (!router->found)
        return ERR_NO_MEMORY;
    router->tree = topic_tree_new();
    if (!router->tree) {
        memory_free(router->found, router->found_cap * sizeof(struct subscription *));
        return ERR_NO_MEMORY;
    }
    router->interest = interest_table_new(shard, shards, &ops->interest, context);
    match_cache_init(&router->cache, ROUTER_CACHE_BYTES);
    init_retained(router, config);
    return ERR_NONE;
}

static void shard_route_free(struct router *router, struct shard_route *remote)
{
    HASH_DEL(router->remote, remote);
    memory_free(remote, sizeof *remote + remote->key_len);
}

void router_fini(struct router *router)
{
    struct shard_route *remote, *next;
    HASH_ITER(hh, router->remote, remote, next)
    {
        topic_tree_remove(router->tree, &remote->route.entry);
        shard_route_free(router, remote);
    }
    match_cache_fini(&router->cache);
    retained_fini(&router->retained);
    interest_table_free(router->interest);
    topic_tree_free(router->tree);
    memory_free(router->found, router->found_cap * sizeof(struct subscription *));
}

/* ---- the index ------------------------------------------------------------------------------------------ */

static void index_changed(struct router *router, struct span filter)
{
    if (filter_is_wildcard(filter))
        match_cache_forget_all(&router->cache);
    else
        match_cache_forget(&router->cache, filter);
}

/* A match may find every subscription: room for that is made where its lack can still be answered. */
static enum err make_room(struct router *router)
{
    if (topic_tree_entries(router->tree) < router->found_cap)
        return ERR_NONE;
    size_t size = router->found_cap * sizeof(struct subscription *);
    struct subscription **found = memory_resize(router->found, size, 2 * size);
    if (!found)
        return ERR_NO_MEMORY;
    router->found = found;
    router->found_cap *= 2;
    return ERR_NONE;
}

enum err router_subscribe(struct router *router, struct local_route *route, struct interest_wait *wait,
                          bool *must_wait)
{
    struct span filter = subscription_filter(&route->sub);
    route->route.kind = ROUTE_LOCAL;
    enum err e = make_room(router);
    if (e)
        return e;
    e = topic_tree_add(router->tree, filter, &route->route.entry);
    if (e)
        return e;
    e = interest_add(router->interest, filter, wait, must_wait);
    if (e)
        topic_tree_remove(router->tree, &route->route.entry);
    index_changed(router, filter);
    return e;
}

void router_unsubscribe(struct router *router, struct local_route *route)
{
    struct span filter = subscription_filter(&route->sub);
    topic_tree_remove(router->tree, &route->route.entry);
    interest_remove(router->interest, filter);
    index_changed(router, filter);
}

static struct shard_route *remote_find(struct router *router, unsigned shard, struct span filter)
{
    uint8_t key[1 + UINT16_MAX];
    struct shard_route *remote = NULL;
    key[0] = (uint8_t)shard;
    memcpy(key + 1, filter.data, filter.len);
    HASH_FIND(hh, router->remote, key, 1 + filter.len, remote);
    return remote;
}

enum err router_remote_add(struct router *router, unsigned shard, struct span filter)
{
    if (remote_find(router, shard, filter))
        return ERR_NONE;
    struct shard_route *remote = memory_alloc(sizeof *remote + 1 + filter.len, 0);
    if (!remote)
        return ERR_NO_MEMORY;
    memset(remote, 0, sizeof *remote);
    remote->route.kind = ROUTE_SHARD;
    remote->key_len = 1 + filter.len;
    remote->shard = (uint8_t)shard;
    memcpy(remote->filter, filter.data, filter.len);
    if (topic_tree_add(router->tree, filter, &remote->route.entry)) {
        memory_free(remote, sizeof *remote + remote->key_len);
        return ERR_NO_MEMORY;
    }
    HASH_ADD_KEYPTR(hh, router->remote, &remote->shard, remote->key_len, remote);
    index_changed(router, filter);
    return ERR_NONE;
}

void router_remote_remove(struct router *router, unsigned shard, struct span filter)
{
    struct shard_route *remote = remote_find(router, shard, filter);
    if (!remote)
        return;
    topic_tree_remove(router->tree, &remote->route.entry);
    shard_route_free(router, remote);
    index_changed(router, filter);
}

/* ---- matching ------------------------------------------------------------------------------------------- */

/* Whether this match has found a shared subscription of the outbox already. The mark alone would do, if it did not come
 * around after 2^32 matches. */
static bool seen_before(const struct router *router, const struct outbox *outbox)
{
    if (outbox->match_mark != router->mark || outbox->match_slot >= router->found_count)
        return false;
    const struct subscription *found = router->found[outbox->match_slot];
    return found->outbox == outbox && !found->prefixed;
}

/* One copy per connection, under the first SUB that matches; independent subscriptions get theirs besides. */
static void found_local(struct router *router, struct subscription *sub)
{
    struct outbox *outbox = sub->outbox;
    if (!sub->prefixed) {
        if (seen_before(router, outbox)) {
            struct subscription **slot = &router->found[outbox->match_slot];
            if (sub->order < (*slot)->order)
                *slot = sub;
            return;
        }
        outbox->match_mark = router->mark;
        outbox->match_slot = (uint32_t)router->found_count;
    }
    router->found[router->found_count++] = sub;
}

static void visit(struct topic_entry *entry, void *context)
{
    struct router *router = context;
    struct route *route = (struct route *)entry;
    if (route->kind == ROUTE_LOCAL)
        found_local(router, &((struct local_route *)route)->sub);
    else
        router->found_shards |= (uint64_t)1 << ((struct shard_route *)route)->shard;
}

struct match *router_match(struct router *router, struct span topic)
{
    struct match *match = match_cache_find(&router->cache, topic);
    if (match)
        return match;
    router->found_count = 0;
    router->found_shards = 0;
    if (++router->mark == 0)
        router->mark = 1;
    topic_tree_match(router->tree, topic, visit, router);
    return match_cache_put(&router->cache, topic, router->found, (uint32_t)router->found_count,
                           router->found_shards,
                           router->rules ? topic_rules_find(router->rules, topic) : NULL);
}

/* ---- routing -------------------------------------------------------------------------------------------- */

static struct subscription *full_among(struct subscription *const *subs, uint32_t count,
                                       const struct outbox *publisher)
{
    for (uint32_t i = 0; i < count; i++)
        if (blocking_full(subs[i], publisher))
            return subs[i];
    return NULL;
}

static void catch_up(struct router *router, struct outbox *outbox, const struct run *run)
{
    router->ops->catch_up(outbox, outbox->encoder->frame_view(run_bytes(run)).topic);
}

/* Pushes to this shard's subscribers; returns one that the publisher must wait for. */
static struct subscription *push_local(struct router *router, struct subscription *const *subs,
                                       uint32_t count, const struct run *run, const struct outbox *publisher)
{
    bool full = false;
    router->delivery->publisher = publisher;
    for (uint32_t i = 0; i < count; i++) {
        struct subscription *sub = subs[i];
        if (sub->outbox->catching_up)
            catch_up(router, sub->outbox, run);
        outbox_push(sub->outbox, sub, run);
        if (sub->policy != NATIVE_POLICY_BLOCK || !blocking_full(sub, publisher))
            continue;
        if (!outbox_blocked(sub->outbox))
            outbox_flush(sub->outbox);
        full |= blocking_full(sub, publisher);
    }
    router->delivery->publisher = NULL;
    router->matched += (uint64_t)count * run->count;
    delivery_routed(router->delivery, run->len); /* may flush what was full: nobody may wait for that */
    return full ? full_among(subs, count, publisher) : NULL;
}

/* Takes the entry for one shard off the list. */
static struct retained *take_entry(struct retained **entries)
{
    struct retained *entry = *entries;
    if (!entry)
        return NULL;
    *entries = entry->next;
    entry->next = NULL;
    return entry;
}

static uint64_t other_shards(const struct router *router)
{
    uint64_t all = router->shards == 64 ? UINT64_MAX : ((uint64_t)1 << router->shards) - 1;
    return all & ~((uint64_t)1 << router->shard);
}

struct route_result router_publish(struct router *router, const struct match *match, const struct run *run,
                                   const struct outbox *publisher, uint64_t token, struct retained *retained)
{
    struct route_result result = {0};
    uint64_t shards = retained ? other_shards(router) : match->shards;
    if (!match->rule || !match->rule->block)
        token = 0;
    if (retained)
        retained_apply(&router->retained, take_entry(&retained));
    for (uint64_t left = shards; left; left &= left - 1) {
        unsigned shard = (unsigned)__builtin_ctzll(left);
        if (!router->ops->forward(router->context, shard, run, token, take_entry(&retained)))
            result.congested = true;
        result.verdicts += token != 0;
    }
    router->published += run->count;
    result.full = push_local(router, match->subs, match->count, run, publisher);
    return result;
}

struct subscription *router_deliver(struct router *router, const struct run *run, struct span topic,
                                    struct retained *retained)
{
    if (retained)
        retained_apply(&router->retained, retained);
    struct match *match = router_match(router, topic);
    delivery_arrived(router->delivery, run);
    if (match)
        return push_local(router, match->subs, match->count, run, NULL);
    /* No memory to remember what was found: nobody is there to be told, so it is delivered all the same. */
    return push_local(router, router->found, (uint32_t)router->found_count, run, NULL);
}

struct subscription *router_find_full(struct router *router, struct span topic,
                                      const struct outbox *publisher)
{
    struct match *match = router_match(router, topic);
    return match ? full_among(match->subs, match->count, publisher) : NULL;
}
