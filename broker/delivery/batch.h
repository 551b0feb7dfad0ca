/*
 * The shard's gather buffer. Several runs go out in one write: their bytes are copied here once, behind room for a
 * transport header, and reused while the next outbox holds the very same runs (the usual case of a fan-out
 * with two topics or over WebSocket). Shard thread.
 *
 *   [ headroom 16 ][ run ][ run ][ GAP ][ run ] ...        at most delivery.batch bytes, or one longer frame
 */
#ifndef SLUICE_BROKER_BATCH_H
#define SLUICE_BROKER_BATCH_H

#include "broker/delivery/run.h"
#include "broker/delivery/transport.h"

/* A piece of the batch and where it came from, so that a short write can be traced back. */
struct batch_piece {
    uint32_t start;  /* offset in the batch */
    uint32_t prefix; /* bytes made for this subscriber (GAP, TAG) in front of the frames */
    uint32_t frames; /* bytes of frames behind the prefix */
    uint32_t count;  /* messages among them */
};
enum { BATCH_PIECES_MAX = 1024 };

struct batch {
    uint8_t *block; /* owns: headroom and data */
    size_t cap;     /* of data; grows for a frame that is longer than `most` */
    size_t most;    /* bytes that several pieces together may have: delivery.batch */
    size_t len;
    struct run *key; /* owns: the runs that the bytes were made from; key_count 0: not reusable */
    size_t key_count, key_cap;
    uint64_t released; /* the pool's, when the key was taken */
    size_t pieces;
    struct batch_piece piece[BATCH_PIECES_MAX];
};

void batch_init(struct batch *batch, size_t cap);
void batch_fini(struct batch *batch);
static inline uint8_t *batch_data(const struct batch *batch)
{
    return batch->block + TRANSPORT_HEADROOM;
}
/* Forgets what the batch holds. */
void batch_reset(struct batch *batch);
/* Makes room for `bytes` in all; false when out of memory. */
bool batch_grow(struct batch *batch, size_t bytes);

/* Fills the batch from the runs, or finds that it already holds their bytes: the same places of the same chunks,
 * none of which this shard has let go of since. False when out of memory. */
bool batch_fill(struct batch *batch, const struct chunk_pool *pool, const struct run *runs, size_t count);

#endif
