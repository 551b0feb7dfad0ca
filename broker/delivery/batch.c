#include "broker/delivery/batch.h"

#include <stdlib.h>
#include <string.h>

#include "broker/memory.h"

enum { BATCH_KEYS_AT_FIRST = 64 };

void batch_init(struct batch *batch, size_t cap)
{
    memset(batch, 0, sizeof *batch);
    batch->block = memory_must(TRANSPORT_HEADROOM + cap);
    batch->cap = batch->most = cap;
    batch->key = memory_must(BATCH_KEYS_AT_FIRST * sizeof *batch->key);
    batch->key_cap = BATCH_KEYS_AT_FIRST;
}

void batch_fini(struct batch *batch)
{
    free(batch->block);
    free(batch->key);
}

void batch_reset(struct batch *batch)
{
    batch->len = 0;
    batch->pieces = 0;
    batch->key_count = 0;
}

bool batch_grow(struct batch *batch, size_t bytes)
{
    if (bytes <= batch->cap)
        return true;
    uint8_t *block = realloc(batch->block, TRANSPORT_HEADROOM + bytes);
    if (!block)
        return false;
    batch->block = block;
    batch->cap = bytes;
    return true;
}

static bool same(const struct batch *batch, const struct chunk_pool *pool, const struct run *runs,
                 size_t count)
{
    if (batch->key_count != count || batch->released != pool->released)
        return false;
    for (size_t i = 0; i < count; i++)
        if (batch->key[i].chunk != runs[i].chunk || batch->key[i].off != runs[i].off ||
            batch->key[i].len != runs[i].len)
            return false;
    return true;
}

bool batch_fill(struct batch *batch, const struct chunk_pool *pool, const struct run *runs, size_t count)
{
    if (same(batch, pool, runs, count))
        return true;
    batch_reset(batch);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += runs[i].len;
    if (!batch_grow(batch, bytes))
        return false;
    for (size_t i = 0; i < count; i++) {
        memcpy(batch_data(batch) + batch->len, run_bytes(&runs[i]), runs[i].len);
        batch->len += runs[i].len;
    }
    if (count <= batch->key_cap) {
        memcpy(batch->key, runs, count * sizeof *runs);
        batch->key_count = count;
        batch->released = pool->released;
    }
    return true;
}
