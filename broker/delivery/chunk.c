#include "broker/delivery/chunk.h"

#include <assert.h>
#include <string.h>

#include "broker/memory.h"

enum { CACHE_LINE = 64 };
_Static_assert(sizeof(struct chunk) <= CACHE_LINE, "the counts of the shards start on the next cache line");

void chunk_pool_init(struct chunk_pool *pool, unsigned shard, unsigned shards)
{
    *pool = (struct chunk_pool){.shard = shard, .shards = shards};
}

void chunk_pool_fini(struct chunk_pool *pool)
{
    while (pool->free) {
        struct chunk *chunk = pool->free;
        pool->free = chunk->next_free;
        memory_free(chunk, chunk->alloc);
    }
    pool->count = 0;
}

static struct chunk *chunk_setup(struct chunk *chunk, uint32_t alloc, uint32_t head, uint32_t cap,
                                 uint32_t stride)
{
    memset(chunk, 0, head);
    chunk->local_stride = stride;
    chunk->cap = cap;
    chunk->alloc = alloc;
    chunk->data = (uint8_t *)chunk + head;
    return chunk;
}

/* With a count for each shard, and one reference. */
static struct chunk *alloc_shared(const struct chunk_pool *pool, uint32_t cap)
{
    uint32_t stride = pool->shards > 1 ? CACHE_LINE : 0;
    uint32_t head = CACHE_LINE + pool->shards * stride;
    struct chunk *chunk = memory_alloc(head + cap, CACHE_LINE);
    if (!chunk)
        return NULL;
    chunk_setup(chunk, head + cap, head, cap, stride);
    chunk_ref(pool, chunk);
    return chunk;
}

struct chunk *chunk_new_shared(struct chunk_pool *pool, uint32_t cap)
{
    if (cap > CHUNK_BYTES || !pool->free)
        return alloc_shared(pool, cap < CHUNK_BYTES ? CHUNK_BYTES : cap);
    struct chunk *chunk = pool->free;
    pool->free = chunk->next_free;
    pool->count--;
    chunk->used = 0;
    chunk_ref(pool, chunk);
    return chunk;
}

struct chunk *chunk_new_single(const struct chunk_pool *pool, uint32_t cap)
{
    return alloc_shared(pool, cap);
}

struct chunk *chunk_new_private(struct chunk_pool *pool, uint32_t cap)
{
    uint32_t head = sizeof(struct chunk);
    struct chunk *chunk = memory_alloc(head + cap, 0);
    if (!chunk)
        return NULL;
    chunk_setup(chunk, head + cap, head, cap, 0);
    chunk_ref(pool, chunk);
    return chunk;
}

void chunk_free(struct chunk_pool *pool, struct chunk *chunk)
{
    assert(atomic_load_explicit(&chunk->shards, memory_order_relaxed) == 0);
    bool standard = chunk->cap == CHUNK_BYTES && chunk->alloc >= CHUNK_BYTES + CACHE_LINE;
    if (!standard || pool->count >= CHUNK_POOL_MAX) {
        memory_free(chunk, chunk->alloc);
        return;
    }
    chunk->next_free = pool->free;
    pool->free = chunk;
    pool->count++;
}

void chunk_discard(struct chunk_pool *pool, struct chunk *chunk)
{
    chunk_arrive(pool, chunk);
    chunk_unref(pool, chunk);
}
