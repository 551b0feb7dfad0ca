/*
 * How one protocol's frames look to delivery: where a frame ends, what it is about, and the bytes that are made
 * for one subscriber alone. The outbox and the policies know frames only through these ops; each protocol
 * brings one table.
 */
#ifndef SLUICE_BROKER_ENCODER_H
#define SLUICE_BROKER_ENCODER_H

#include <stddef.h>
#include <stdint.h>

#include "broker/delivery/run.h"
#include "proto/native_reply.h"
#include "proto/span.h"

struct frame_view {
    struct span topic;   /* borrows from the frame */
    struct span key;     /* .data NULL: conflation goes by topic alone */
    uint64_t expires_ms; /* Unix milliseconds; 0: never */
};

struct encoder {
    /* Bytes of the frame that starts here; the log holds whole frames only. */
    uint32_t (*frame_bytes)(const uint8_t *frame);
    struct frame_view (*frame_view)(const uint8_t *frame);
    /* The loss notice for this subscription: an upper bound, and the bytes (returns their number). */
    size_t (*gap_bytes_max)(const struct subscription *sub);
    size_t (*put_gap)(uint8_t *out, const struct subscription *sub, uint64_t count,
                      enum native_gap_reason why);
    /* What precedes each message of a subscription whose `prefixed` is set (the native TAG). */
    size_t prefix_bytes_max;
    size_t (*put_prefix)(uint8_t *out, const struct subscription *sub);
};

/* sluice.v1 (proto/native.h). */
extern const struct encoder encoder_native;

/* Cuts `count` frames off the front of a run. */
static inline void run_trim_front(const struct encoder *encoder, struct run *run, uint32_t count)
{
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += encoder->frame_bytes(run_bytes(run) + bytes);
    run->off += bytes;
    run->len -= bytes;
    run->count -= count;
}

#endif
