#include "broker/delivery/queued.h"

#include <string.h>

#include "broker/delivery/delivery.h"
#include "broker/delivery/key_table.h"
#include "broker/memory.h"

static size_t queued_cost(const struct queued *node)
{
    return sizeof *node + node->run.len;
}

struct queued *queued_new(struct queue *queue, struct subscription *sub)
{
    struct queued *node = memory_alloc(sizeof *node, 0);
    if (!node) {
        delivery_condemn(queue->outbox->delivery, queue->outbox, OUTBOX_LOST);
        return NULL;
    }
    memset(node, 0, sizeof *node);
    node->run.sub = sub;
    node->position = queue->outbox->delivery->position;
    return node;
}

void queued_link_last(struct queue *queue, struct queued *node)
{
    node->prev = queue->last;
    *(queue->last ? &queue->last->next : &queue->first) = node;
    queue->last = node;
    struct subscription *sub = node->run.sub;
    if (sub) {
        node->sub_prev = sub->last;
        *(sub->last ? &sub->last->sub_next : &sub->first) = node;
        sub->last = node;
        sub->queued += node->run.count;
    }
    queue->bytes += queued_cost(node);
}

void queued_link_first(struct queue *queue, struct queued *node)
{
    node->next = queue->first;
    *(queue->first ? &queue->first->prev : &queue->last) = node;
    queue->first = node;
    struct subscription *sub = node->run.sub;
    if (sub) {
        node->sub_next = sub->first;
        *(sub->first ? &sub->first->sub_prev : &sub->last) = node;
        sub->first = node;
        sub->queued += node->run.count;
    }
    queue->bytes += queued_cost(node);
}

void queued_unlink(struct queue *queue, struct queued *node)
{
    *(node->prev ? &node->prev->next : &queue->first) = node->next;
    *(node->next ? &node->next->prev : &queue->last) = node->prev;
    struct subscription *sub = node->run.sub;
    if (sub) {
        *(node->sub_prev ? &node->sub_prev->sub_next : &sub->first) = node->sub_next;
        *(node->sub_next ? &node->sub_next->sub_prev : &sub->last) = node->sub_prev;
        sub->queued -= node->run.count;
    }
    queue->bytes -= queued_cost(node);
    if (node->flags & QUEUED_KEYED)
        key_table_remove(queue, node);
}

void queued_free(struct queue *queue, struct queued *node)
{
    if (node->run.chunk)
        chunk_unref(&queue->outbox->delivery->pool, node->run.chunk);
    memory_free(node, sizeof *node);
}

void queued_replace(struct queue *queue, struct queued *node, const struct run *run)
{
    struct chunk_pool *pool = &queue->outbox->delivery->pool;
    struct subscription *sub = node->run.sub;
    chunk_ref(pool, run->chunk);
    chunk_unref(pool, node->run.chunk);
    queue->bytes += run->len;
    queue->bytes -= node->run.len;
    sub->queued += run->count - node->run.count;
    node->run = *run;
    node->run.sub = sub;
    node->position = queue->outbox->delivery->position;
    node->flags &= ~(uint32_t)QUEUED_PRIVATE;
}

void queued_count_gap(struct queue *queue, struct queued *node, uint64_t lost, enum native_gap_reason why)
{
    node->gap[why] += lost;
    queue->outbox->delivery->stats.gaps[why] += lost;
}

/* Without a message left its gaps move to the subscription's next node, or stay here as a gap of their own. */
static void emptied(struct queue *queue, struct queued *node)
{
    if (queued_has_gaps(node) && !node->sub_next) {
        if (node->flags & QUEUED_KEYED)
            key_table_remove(queue, node);
        chunk_unref(&queue->outbox->delivery->pool, node->run.chunk);
        node->run = (struct run){.sub = node->run.sub};
        node->flags = 0;
        node->expires_ms = 0;
        return;
    }
    if (node->sub_next)
        queued_fold_gaps(node->sub_next, node);
    queued_unlink(queue, node);
    queued_free(queue, node);
}

void queued_lose(struct queue *queue, struct queued *node, uint32_t count, enum native_gap_reason why)
{
    uint32_t len = node->run.len;
    queued_count_gap(queue, node, count, why);
    run_trim_front(queue->outbox->encoder, &node->run, count);
    node->run.sub->queued -= count;
    queue->bytes -= len - node->run.len;
    if (node->run.count == 0)
        emptied(queue, node);
}
