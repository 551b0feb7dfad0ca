#include "broker/delivery/delivery.h"

#include <assert.h>

#include "broker/delivery/queue.h"
#include "broker/memory.h"

void delivery_init(struct delivery *delivery, const struct delivery_settings *settings,
                   const struct delivery_ops *ops, struct timer_wheel *wheel, const uint64_t *now_ms,
                   const uint64_t *unix_ms, unsigned shard, unsigned shards, _Atomic uint64_t *fattest)
{
    *delivery = (struct delivery){.settings = settings,
                                  .ops = ops,
                                  .wheel = wheel,
                                  .now_ms = now_ms,
                                  .unix_ms = unix_ms,
                                  .turn = 1,
                                  .fattest = fattest};
    chunk_pool_init(&delivery->pool, shard, shards);
    wire_log_init(&delivery->log, &delivery->pool);
    batch_init(&delivery->batch, (size_t)settings->batch);
}

void delivery_fini(struct delivery *delivery)
{
    assert(!delivery->dirty && !delivery->blocked);
    wire_log_fini(&delivery->log);
    chunk_pool_fini(&delivery->pool);
    batch_fini(&delivery->batch);
}

void delivery_mark_dirty(struct delivery *delivery, struct outbox *outbox)
{
    if (outbox->dirty)
        return;
    outbox->dirty = true;
    outbox->dirty_next = delivery->dirty;
    delivery->dirty = outbox;
}

void delivery_condemn(struct delivery *delivery, struct outbox *outbox, enum outbox_verdict verdict)
{
    if (outbox->verdict == OUTBOX_LOST || outbox->verdict == verdict)
        return;
    if (outbox->verdict != OUTBOX_GOOD && verdict != OUTBOX_LOST)
        return;
    outbox->verdict = (uint8_t)verdict;
    delivery->stats.too_slow += verdict == OUTBOX_TOO_SLOW;
    delivery->stats.fattest += verdict == OUTBOX_FATTEST;
    if (outbox->condemned)
        return;
    outbox->condemned = true;
    outbox->condemned_next = delivery->condemned;
    delivery->condemned = outbox;
}

struct outbox *delivery_next_condemned(struct delivery *delivery)
{
    struct outbox *outbox = delivery->condemned;
    if (outbox) {
        delivery->condemned = outbox->condemned_next;
        outbox->condemned = false;
    }
    return outbox;
}

void delivery_block(struct delivery *delivery, struct queue *queue)
{
    queue->blocked_prev = NULL;
    queue->blocked_next = delivery->blocked;
    if (delivery->blocked)
        delivery->blocked->blocked_prev = queue;
    delivery->blocked = queue;
}

void delivery_unblock(struct delivery *delivery, struct queue *queue)
{
    if (queue->blocked_next)
        queue->blocked_next->blocked_prev = queue->blocked_prev;
    *(queue->blocked_prev ? &queue->blocked_prev->blocked_next : &delivery->blocked) = queue->blocked_next;
    queue->blocked = false;
}

void delivery_forget(struct delivery *delivery, struct outbox *outbox)
{
    struct outbox **at = &delivery->dirty;
    while (outbox->dirty && *at != outbox)
        at = &(*at)->dirty_next;
    if (outbox->dirty)
        *at = outbox->dirty_next;
    at = &delivery->condemned;
    while (outbox->condemned && *at != outbox)
        at = &(*at)->condemned_next;
    if (outbox->condemned)
        *at = outbox->condemned_next;
    outbox->dirty = outbox->condemned = false;
}

/* ---- the turn ------------------------------------------------------------------------------------------- */

/* What blocked outboxes hold of the log beyond its window is copied. A pass looks at all of them, so there is one per
 * quarter of the window. */
static void evacuate(struct delivery *delivery)
{
    if (delivery->position - delivery->evacuated_at < delivery->settings->log_window / 4)
        return;
    delivery->evacuated_at = delivery->position;
    if (delivery->position <= delivery->settings->log_window)
        return;
    uint64_t limit = delivery->position - delivery->settings->log_window;
    for (struct queue *queue = delivery->blocked; queue; queue = queue->blocked_next)
        queue_evacuate(queue, limit);
}

/* Over the memory bound: each shard names its fattest outbox; the one whose is the fattest of all gives it up. */
static void shed(struct delivery *delivery)
{
    struct queue *fattest = NULL;
    for (struct queue *queue = delivery->blocked; queue; queue = queue->blocked_next)
        if (queue->outbox->verdict == OUTBOX_GOOD && (!fattest || queue->bytes > fattest->bytes))
            fattest = queue;
    uint64_t mine = fattest ? fattest->bytes : 0;
    atomic_store_explicit(&delivery->fattest[delivery->pool.shard], mine, memory_order_relaxed);
    for (unsigned i = 0; i < delivery->pool.shards; i++)
        if (atomic_load_explicit(&delivery->fattest[i], memory_order_relaxed) > mine)
            return;
    if (fattest)
        delivery_condemn(delivery, fattest->outbox, OUTBOX_FATTEST);
}

void delivery_flush(struct delivery *delivery)
{
    while (delivery->dirty) {
        struct outbox *outbox = delivery->dirty;
        delivery->dirty = outbox->dirty_next;
        outbox->dirty = false;
        outbox_flush(outbox);
    }
    delivery->unflushed = 0;
    evacuate(delivery);
    if (memory_over())
        shed(delivery);
    else
        atomic_store_explicit(&delivery->fattest[delivery->pool.shard], 0, memory_order_relaxed);
}

void delivery_begin_turn(struct delivery *delivery)
{
    delivery->turn++;
}

void delivery_routed(struct delivery *delivery, uint32_t bytes)
{
    delivery->position += bytes;
    delivery->unflushed += bytes;
    if (delivery->unflushed > DELIVERY_UNFLUSHED_MAX)
        delivery_flush(delivery);
}

void delivery_arrived(struct delivery *delivery, const struct run *run)
{
    if (run->chunk == delivery->arrived)
        return;
    delivery->arrived = run->chunk;
    delivery->position += run->chunk->cap;
}
