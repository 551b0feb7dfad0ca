/*
 * The nodes of a queue: making them, linking them into both chains (the order of sending, and the subscription's), and
 * keeping the books of queue and subscription in step with what they hold. Private to the queue's files: policy.c,
 * queue.c, drain.c. Shard thread.
 */
#ifndef SLUICE_BROKER_QUEUED_H
#define SLUICE_BROKER_QUEUED_H

#include "broker/delivery/queue.h"

/* A node in no chain, without a run. NULL when out of memory: the outbox is condemned as lost. */
struct queued *queued_new(struct queue *queue, struct subscription *sub);
/* Lets go of the run's chunk; the node must be in no chain. */
void queued_free(struct queue *queue, struct queued *node);

void queued_link_last(struct queue *queue, struct queued *node);
void queued_link_first(struct queue *queue, struct queued *node);
void queued_unlink(struct queue *queue, struct queued *node);

/* The node's run becomes another one; the node keeps its place. */
void queued_replace(struct queue *queue, struct queued *node, const struct run *run);
/* Notes messages lost just before the node's first one. */
void queued_count_gap(struct queue *queue, struct queued *node, uint64_t lost, enum native_gap_reason why);
/* So many of the node's oldest messages become its gap; without one left the node may be gone. */
void queued_lose(struct queue *queue, struct queued *node, uint32_t count, enum native_gap_reason why);

static inline bool queued_is_gap(const struct queued *node)
{
    return !node->run.chunk;
}

static inline void queued_fold_gaps(struct queued *into, const struct queued *from)
{
    for (int i = 0; i < NATIVE_GAP_COUNT; i++)
        into->gap[i] += from->gap[i];
}

static inline bool queued_has_gaps(const struct queued *node)
{
    uint64_t any = 0;
    for (int i = 0; i < NATIVE_GAP_COUNT; i++)
        any |= node->gap[i];
    return any != 0;
}

#endif
