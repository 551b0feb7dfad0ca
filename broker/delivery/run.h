/*
 * A run: consecutive frames of one chunk for one subscription. The unit of delivery: one match and one push per
 * subscriber however many messages it holds.
 */
#ifndef SLUICE_BROKER_RUN_H
#define SLUICE_BROKER_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/delivery/chunk.h"

struct subscription;

struct run {
    struct chunk *chunk;      /* one local reference */
    struct subscription *sub; /* borrows; NULL: answers and notices, never dropped */
    uint32_t off, len;        /* bytes of chunk */
    uint32_t count;           /* frames */
    bool meta;                /* some frame carries options (ttl, key): policies must look inside */
};

static inline const uint8_t *run_bytes(const struct run *run)
{
    return run->chunk->data + run->off;
}

/* Whether b starts where a ends, so that one write can send both. */
static inline bool run_adjoins(const struct run *a, const struct run *b)
{
    return a->chunk == b->chunk && a->off + a->len == b->off;
}

#endif
