#include "broker/delivery/wire_log.h"

#include <assert.h>

void wire_log_init(struct wire_log *log, struct chunk_pool *pool)
{
    *log = (struct wire_log){.pool = pool};
}

void wire_log_fini(struct wire_log *log)
{
    if (log->tail)
        chunk_unref(log->pool, log->tail);
    log->tail = NULL;
}

uint8_t *wire_log_reserve(struct wire_log *log, uint32_t bytes, struct chunk **chunk, uint32_t *off)
{
    struct chunk *tail = log->tail;
    if (!tail || tail->cap - tail->used < bytes) {
        tail = chunk_new_shared(log->pool, bytes);
        if (!tail)
            return NULL;
        if (log->tail)
            chunk_unref(log->pool, log->tail);
        log->tail = tail;
    }
    *chunk = tail;
    *off = tail->used;
    return tail->data + tail->used;
}

void wire_log_commit(struct wire_log *log, uint32_t bytes)
{
    assert(log->tail && log->tail->cap - log->tail->used >= bytes);
    log->tail->used += bytes;
    log->appended += bytes;
}
