#include "broker/delivery/queue.h"

#include <assert.h>
#include <string.h>

#include "broker/delivery/blocking.h"
#include "broker/delivery/delivery.h"
#include "broker/delivery/key_table.h"
#include "broker/delivery/queued.h"
#include "broker/memory.h"

struct queue *queue_open(struct outbox *outbox)
{
    assert(!outbox->queue);
    struct queue *queue = memory_alloc(sizeof *queue, 0);
    if (!queue)
        return NULL;
    *queue = (struct queue){.outbox = outbox};
    outbox->queue = queue;
    return queue;
}

static void subscription_left(struct queue *queue, struct subscription *sub)
{
    if (sub->ended && !sub->first)
        queue->outbox->delivery->ops->subscription_drained(sub);
}

/* ---- leaving -------------------------------------------------------------------------------------------- */

void queue_consume(struct queue *queue, uint32_t bytes, uint32_t count)
{
    struct queued *node = queue->first;
    struct subscription *sub = node->run.sub;
    memset(node->gap, 0, sizeof node->gap);
    if (sub) {
        sub->queued -= count;
        queue->outbox->delivery->stats.delivered += count;
    } else {
        queue->outbox->control_bytes -= bytes;
    }
    queue->bytes -= bytes;
    node->run.off += bytes;
    node->run.len -= bytes;
    node->run.count -= count;
    if (node->run.len == 0) {
        queued_unlink(queue, node);
        queued_free(queue, node);
    }
    if (sub) {
        if (sub->blocking)
            blocking_progress(sub);
        subscription_left(queue, sub);
    }
}

/* Takes the first frame off the first node without calling it delivered; the node goes when it was the last. */
static struct run cut_front(struct queue *queue, uint32_t frame)
{
    struct queued *node = queue->first;
    struct run cut = node->run;
    cut.len = frame;
    cut.count = frame ? 1 : 0;
    memset(node->gap, 0, sizeof node->gap);
    if (frame)
        chunk_ref(&queue->outbox->delivery->pool, cut.chunk);
    if (!cut.sub)
        queue->outbox->control_bytes -= frame;
    else
        cut.sub->queued -= cut.count;
    queue->bytes -= frame;
    node->run.off += frame;
    node->run.len -= frame;
    node->run.count -= cut.count;
    if (node->run.len == 0) {
        queued_unlink(queue, node);
        queued_free(queue, node);
    }
    return cut;
}

void queue_pin_run(struct queue *queue, const struct run *run)
{
    struct queued *node = queued_new(queue, run->sub);
    if (!node) {
        chunk_unref(&queue->outbox->delivery->pool, run->chunk);
        return;
    }
    node->run = *run;
    node->flags = QUEUED_PINNED;
    queued_link_first(queue, node);
    if (!run->sub)
        queue->outbox->control_bytes += run->len;
}

void queue_pin(struct queue *queue, uint32_t frame, uint32_t sent)
{
    struct run half = cut_front(queue, frame);
    half.off += sent;
    half.len -= sent;
    queue_pin_run(queue, &half);
}

void queue_pin_copy(struct queue *queue, uint32_t frame, struct span rest)
{
    struct delivery *delivery = queue->outbox->delivery;
    struct chunk *copy = chunk_new_private(&delivery->pool, (uint32_t)rest.len);
    struct run half = cut_front(queue, frame);
    if (half.count)
        chunk_unref(&delivery->pool, half.chunk);
    if (!copy) {
        delivery_condemn(delivery, queue->outbox, OUTBOX_LOST);
        return;
    }
    memcpy(copy->data, rest.data, rest.len);
    half.chunk = copy;
    half.off = 0;
    half.len = (uint32_t)rest.len;
    queue_pin_run(queue, &half);
}

void queue_expire(struct queue *queue)
{
    queued_lose(queue, queue->first, queue->first->run.count, NATIVE_GAP_EXPIRED);
}

void queue_refused(struct queue *queue)
{
    struct outbox *outbox = queue->outbox;
    queue->refused_turn = outbox->delivery->turn;
    if (queue->blocked)
        return;
    queue->blocked = true;
    queue_apply_policies(queue);
    delivery_block(outbox->delivery, queue);
    outbox->transport->ops->want_writable(outbox->transport, true);
}

void queue_abandon(struct queue *queue)
{
    struct queued *node = queue->first;
    while (node) {
        struct queued *next = node->next;
        if (node->run.sub && !queued_is_gap(node) && !(node->flags & QUEUED_PINNED))
            queued_lose(queue, node, node->run.count, NATIVE_GAP_DROPPED_OLDEST);
        node = next;
    }
}

void queue_close(struct queue *queue)
{
    struct outbox *outbox = queue->outbox;
    while (queue->first) {
        struct queued *node = queue->first;
        struct subscription *sub = node->run.sub;
        queued_unlink(queue, node);
        queued_free(queue, node);
        if (sub)
            subscription_left(queue, sub);
    }
    key_table_free(queue);
    outbox->control_bytes = 0;
    outbox->queue = NULL;
    if (queue->blocked) {
        delivery_unblock(outbox->delivery, queue);
        if (outbox->transport)
            outbox->transport->ops->want_writable(outbox->transport, false);
    }
    memory_free(queue, sizeof *queue);
    if (outbox->awaited)
        outbox->delivery->ops->answers_sent(outbox);
}

/* ---- evacuation ----------------------------------------------------------------------------------------- */

static bool may_evacuate(const struct queued *node, uint64_t position)
{
    if (!node->run.chunk || node->position >= position)
        return false;
    return !(node->flags & QUEUED_PRIVATE) || node->run.chunk->cap > 2 * node->run.len;
}

/* Moves one node's bytes to a chunk of their own, or to a smaller one; what follows it in its chain is not merged: a laggard of one
 * subscription has few, long nodes. */
static bool evacuate(struct queue *queue, struct queued *node)
{
    struct delivery *delivery = queue->outbox->delivery;
    struct chunk *copy = chunk_new_private(&delivery->pool, node->run.len);
    if (!copy)
        return false;
    memcpy(copy->data, run_bytes(&node->run), node->run.len);
    chunk_unref(&delivery->pool, node->run.chunk);
    node->run.chunk = copy;
    node->run.off = 0;
    node->flags |= QUEUED_PRIVATE;
    delivery->stats.evacuated += node->run.len;
    return true;
}

void queue_evacuate(struct queue *queue, uint64_t position)
{
    for (struct queued *node = queue->first; node; node = node->next)
        if (may_evacuate(node, position) && !evacuate(queue, node)) {
            delivery_condemn(queue->outbox->delivery, queue->outbox, OUTBOX_LOST);
            return;
        }
}
