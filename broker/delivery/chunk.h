/*
 * A block of finished wire bytes, shared by everything that still has to send some of them. Immutable once
 * written: the tail of a shard's log is appended to, but never behind what a run already names. So another shard
 * can send from it while its owner goes on appending.
 *
 *   chunk ── shards: atomic count, one per shard that holds local references, one per mail under way
 *         └─ local[shard]: plain count, touched by that shard's thread only, a cache line each
 *
 * A private chunk (what a laggard still holds, a rate-limited value) belongs to one shard and has one local count.
 */
#ifndef SLUICE_BROKER_CHUNK_H
#define SLUICE_BROKER_CHUNK_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

enum { CHUNK_BYTES = 256 * 1024, CHUNK_POOL_MAX = 8 };

struct chunk {
    _Atomic uint32_t shards;
    uint32_t local_stride; /* bytes from one shard's count to the next; 0 when private */
    uint32_t cap;          /* bytes of data */
    uint32_t used;         /* bytes written; the appending shard's own business */
    uint32_t alloc;        /* bytes allocated in all */
    uint32_t local_single; /* the local count while local_stride is 0 */
    uint8_t *data;         /* inside the same allocation */
    struct chunk *next_free;
};

/* One shard's view of chunks: who it is, and a few standard chunks kept for reuse. Shard thread. */
struct chunk_pool {
    unsigned shard;
    unsigned shards; /* in the broker */
    struct chunk *free;
    unsigned count;
    uint64_t released; /* how often this shard let a chunk go: names of bytes are only equal in between */
};

void chunk_pool_init(struct chunk_pool *pool, unsigned shard, unsigned shards);
void chunk_pool_fini(struct chunk_pool *pool);

/* A chunk that other shards may hold, with one local reference; NULL when out of memory. */
struct chunk *chunk_new_shared(struct chunk_pool *pool, uint32_t cap);
/* The same of just this size, for what stays long (a retained value); NULL when out of memory. */
struct chunk *chunk_new_single(const struct chunk_pool *pool, uint32_t cap);
/* A chunk for this shard alone, with one local reference; NULL when out of memory. */
struct chunk *chunk_new_private(struct chunk_pool *pool, uint32_t cap);

void chunk_free(struct chunk_pool *pool, struct chunk *chunk);

static inline uint32_t *chunk_local(const struct chunk_pool *pool, struct chunk *chunk)
{
    if (chunk->local_stride == 0)
        return &chunk->local_single;
    return (uint32_t *)(void *)((uint8_t *)chunk + (size_t)(pool->shard + 1) * chunk->local_stride);
}

static inline void chunk_ref(const struct chunk_pool *pool, struct chunk *chunk)
{
    if ((*chunk_local(pool, chunk))++ == 0)
        atomic_fetch_add_explicit(&chunk->shards, 1, memory_order_relaxed);
}

static inline void chunk_unref(struct chunk_pool *pool, struct chunk *chunk)
{
    if (--*chunk_local(pool, chunk) > 0)
        return;
    pool->released++;
    if (atomic_fetch_sub_explicit(&chunk->shards, 1, memory_order_acq_rel) == 1)
        chunk_free(pool, chunk);
}

/* A reference that travels in a mail: taken by the sender, handed to chunk_arrive() by the receiver, which turns
 * it into a local one. */
static inline void chunk_send(struct chunk *chunk)
{
    atomic_fetch_add_explicit(&chunk->shards, 1, memory_order_relaxed);
}
static inline void chunk_arrive(struct chunk_pool *pool, struct chunk *chunk)
{
    chunk_ref(pool, chunk);
    atomic_fetch_sub_explicit(&chunk->shards, 1, memory_order_acq_rel);
}
/* A mail that is never delivered (shutdown). */
void chunk_discard(struct chunk_pool *pool, struct chunk *chunk);

#endif
