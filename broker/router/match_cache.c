#include "broker/router/match_cache.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "broker/memory.h"

enum { BUCKETS_AT_FIRST = 256 };

void match_cache_init(struct match_cache *cache, size_t bytes_max)
{
    *cache = (struct match_cache){.bytes_max = bytes_max, .bucket_mask = BUCKETS_AT_FIRST - 1};
    cache->buckets = memory_must(BUCKETS_AT_FIRST * sizeof *cache->buckets);
}

static size_t match_bytes(const struct match *match)
{
    return sizeof *match + match->count * sizeof match->subs[0] + match->topic_len;
}

static struct span match_topic(const struct match *match)
{
    return span_of(&match->subs[match->count], match->topic_len);
}

static void drop(struct match_cache *cache, struct match *match)
{
    struct match **at = &cache->buckets[match->hash & cache->bucket_mask];
    while (*at != match)
        at = &(*at)->chain;
    *at = match->chain;
    *(match->newer ? &match->newer->older : &cache->newest) = match->older;
    *(match->older ? &match->older->newer : &cache->oldest) = match->newer;
    cache->count--;
    cache->bytes -= match_bytes(match);
    memory_free(match, match_bytes(match));
}

void match_cache_fini(struct match_cache *cache)
{
    while (cache->oldest)
        drop(cache, cache->oldest);
    free(cache->buckets);
}

static struct match *find_any(const struct match_cache *cache, struct span topic, uint64_t hash)
{
    struct match *match = cache->buckets[hash & cache->bucket_mask];
    while (match && !(match->hash == hash && span_eq(match_topic(match), topic)))
        match = match->chain;
    return match;
}

struct match *match_cache_find(struct match_cache *cache, struct span topic)
{
    struct match *match = find_any(cache, topic, XXH3_64bits(topic.data, topic.len));
    if (match && match->generation == cache->generation) {
        match->used = true;
        cache->hits++;
        return match;
    }
    cache->misses++;
    if (match)
        drop(cache, match);
    return NULL;
}

static void link_newest(struct match_cache *cache, struct match *match)
{
    match->newer = NULL;
    match->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = match;
    cache->newest = match;
}

/* The hand: the oldest goes unless it was used since; then it gets a second round. */
static void evict(struct match_cache *cache, size_t bytes)
{
    while (cache->oldest && cache->bytes + bytes > cache->bytes_max) {
        struct match *match = cache->oldest;
        if (match->used && match->newer && match->generation == cache->generation) {
            match->used = false;
            cache->oldest = match->newer;
            cache->oldest->older = NULL;
            link_newest(cache, match);
        } else {
            drop(cache, match);
        }
    }
}

static void grow(struct match_cache *cache)
{
    size_t size = 2 * (cache->bucket_mask + 1);
    struct match **buckets = calloc(size, sizeof *buckets);
    if (!buckets)
        return;
    for (struct match *match = cache->oldest; match; match = match->newer) {
        match->chain = buckets[match->hash & (size - 1)];
        buckets[match->hash & (size - 1)] = match;
    }
    free(cache->buckets);
    cache->buckets = buckets;
    cache->bucket_mask = size - 1;
}

struct match *match_cache_put(struct match_cache *cache, struct span topic, struct subscription *const *subs,
                              uint32_t count, uint64_t shards, const struct topic_rule *rule)
{
    size_t bytes = sizeof(struct match) + count * sizeof *subs + topic.len;
    evict(cache, bytes);
    struct match *match = memory_alloc(bytes, 0);
    if (!match)
        return NULL;
    *match = (struct match){.rule = rule,
                            .generation = cache->generation,
                            .shards = shards,
                            .hash = XXH3_64bits(topic.data, topic.len),
                            .topic_len = (uint32_t)topic.len,
                            .count = count};
    if (count > 0)
        memcpy(match->subs, subs, count * sizeof *subs);
    memcpy(&match->subs[count], topic.data, topic.len);
    if (cache->count > cache->bucket_mask)
        grow(cache);
    struct match **slot = &cache->buckets[match->hash & cache->bucket_mask];
    match->chain = *slot;
    *slot = match;
    link_newest(cache, match);
    cache->count++;
    cache->bytes += bytes;
    return match;
}

void match_cache_forget(struct match_cache *cache, struct span topic)
{
    struct match *match = find_any(cache, topic, XXH3_64bits(topic.data, topic.len));
    if (match)
        drop(cache, match);
}

void match_cache_forget_all(struct match_cache *cache)
{
    cache->generation++;
}
