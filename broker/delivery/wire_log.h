/*
 * The append-only log of finished frames of one shard: every message, answer and notice is written once, at the
 * end, and named by a run from then on. Not a store: a chunk lives as long as somebody has to send from it.
 * Shard thread.
 *
 *   chunk 7 ▏MSG MSG OK MSG ...▕   chunk 8 ▏MSG MSG          ▕ ◄─ tail: frames are appended here
 *             ▲── run ──▲
 */
#ifndef SLUICE_BROKER_WIRE_LOG_H
#define SLUICE_BROKER_WIRE_LOG_H

#include "broker/delivery/chunk.h"

struct wire_log {
    struct chunk_pool *pool; /* borrows */
    struct chunk *tail;      /* one local reference; NULL before the first append */
    uint64_t appended;       /* bytes, since start */
};

void wire_log_init(struct wire_log *log, struct chunk_pool *pool);
void wire_log_fini(struct wire_log *log);

/* Bytes that fit behind the last frame without a chunk of their own. */
static inline uint32_t wire_log_room(const struct wire_log *log)
{
    return log->tail ? log->tail->cap - log->tail->used : 0;
}

/* Contiguous room for `bytes` at the end; *chunk and *off name the place. Borrowed until the next reserve.
 * NULL when out of memory. */
uint8_t *wire_log_reserve(struct wire_log *log, uint32_t bytes, struct chunk **chunk, uint32_t *off);
/* Makes `bytes` (at most what was reserved) part of the log. */
void wire_log_commit(struct wire_log *log, uint32_t bytes);

#endif
