#include "broker/delivery/queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/delivery/blocking.h"
#include "broker/delivery/delivery.h"
#include "broker/delivery/key_table.h"
#include "broker/memory.h"

static size_t node_cost(const struct queued *node)
{
    return sizeof *node + node->run.len;
}

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

/* ---- nodes and chains ----------------------------------------------------------------------------------- */

static struct queued *node_new(struct queue *queue, struct subscription *sub)
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

static void link_last(struct queue *queue, struct queued *node)
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
    queue->bytes += node_cost(node);
}

static void link_first(struct queue *queue, struct queued *node)
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
    queue->bytes += node_cost(node);
}

static void unlink_node(struct queue *queue, struct queued *node)
{
    *(node->prev ? &node->prev->next : &queue->first) = node->next;
    *(node->next ? &node->next->prev : &queue->last) = node->prev;
    struct subscription *sub = node->run.sub;
    if (sub) {
        *(node->sub_prev ? &node->sub_prev->sub_next : &sub->first) = node->sub_next;
        *(node->sub_next ? &node->sub_next->sub_prev : &sub->last) = node->sub_prev;
        sub->queued -= node->run.count;
    }
    queue->bytes -= node_cost(node);
    if (node->flags & QUEUED_KEYED)
        key_table_remove(queue, node);
}

static void node_free(struct queue *queue, struct queued *node)
{
    if (node->run.chunk)
        chunk_unref(&queue->outbox->delivery->pool, node->run.chunk);
    memory_free(node, sizeof *node);
}

/* The node's run becomes another one (or none); the node keeps its place. */
static void node_replace(struct queue *queue, struct queued *node, const struct run *run)
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

static bool node_is_gap(const struct queued *node)
{
    return !node->run.chunk;
}

static void count_gap(struct queue *queue, struct queued *node, uint32_t lost, enum native_gap_reason why)
{
    node->gap[why] += lost;
    queue->outbox->delivery->stats.gaps[why] += lost;
}

static void fold_gaps(struct queued *into, const struct queued *from)
{
    for (int i = 0; i < NATIVE_GAP_COUNT; i++)
        into->gap[i] += from->gap[i];
}

static bool has_gaps(const struct queued *node)
{
    uint32_t any = 0;
    for (int i = 0; i < NATIVE_GAP_COUNT; i++)
        any |= node->gap[i];
    return any != 0;
}

/* The node has no message left. Its gaps move to the subscription's next node, or stay here as a gap of their own. */
static void node_emptied(struct queue *queue, struct queued *node)
{
    if (has_gaps(node) && !node->sub_next) {
        queue->bytes -= node->run.len;
        if (node->flags & QUEUED_KEYED)
            key_table_remove(queue, node);
        chunk_unref(&queue->outbox->delivery->pool, node->run.chunk);
        node->run = (struct run){.sub = node->run.sub};
        node->flags = 0;
        node->expires_ms = 0;
        return;
    }
    if (node->sub_next)
        fold_gaps(node->sub_next, node);
    unlink_node(queue, node);
    node_free(queue, node);
}

static void subscription_left(struct queue *queue, struct subscription *sub)
{
    if (sub->ended && !sub->first)
        queue->outbox->delivery->ops->subscription_drained(sub);
}

/* ---- dropping ------------------------------------------------------------------------------------------- */

/* Cuts `count` frames off the front of a run and returns their bytes. */
static uint32_t trim_front(const struct encoder *encoder, struct run *run, uint32_t count)
{
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += encoder->frame_bytes(run_bytes(run) + bytes);
    run->off += bytes;
    run->len -= bytes;
    run->count -= count;
    return bytes;
}

static struct queued *oldest_droppable(const struct subscription *sub)
{
    struct queued *node = sub->first;
    while (node && ((node->flags & QUEUED_PINNED) || node_is_gap(node)))
        node = node->sub_next;
    return node;
}

/* Drops up to `count` of the subscription's oldest queued messages; returns how many could not be dropped. */
static uint32_t drop_oldest(struct queue *queue, struct subscription *sub, uint32_t count)
{
    struct queued *node;
    while (count > 0 && (node = oldest_droppable(sub))) {
        uint32_t n = count < node->run.count ? count : node->run.count;
        count_gap(queue, node, n, NATIVE_GAP_DROPPED_OLDEST);
        sub->queued -= n;
        queue->bytes -= trim_front(queue->outbox->encoder, &node->run, n);
        if (node->run.count == 0)
            node_emptied(queue, node);
        count -= n;
    }
    return count;
}

static size_t bytes_max(const struct queue *queue)
{
    return (size_t)queue->outbox->delivery->settings->queue_bytes;
}

bool queue_would_drop(const struct queue *queue, const struct subscription *sub, const struct run *run)
{
    return (uint64_t)sub->queued + run->count > sub->queue ||
           queue->bytes + sizeof(struct queued) + run->len > bytes_max(queue);
}

/* Cuts the run to what the bounds leave for it, keeping the newest; what had to go is counted in *lost. */
static void fit_keeping_newest(struct queue *queue, struct subscription *sub, struct run *run, uint32_t *lost)
{
    const struct encoder *encoder = queue->outbox->encoder;
    uint64_t total = (uint64_t)sub->queued + run->count;
    if (total > sub->queue) {
        uint32_t left = drop_oldest(queue, sub, (uint32_t)(total - sub->queue));
        left = left < run->count ? left : run->count;
        trim_front(encoder, run, left);
        *lost += left;
    }
    size_t max = bytes_max(queue), node = sizeof(struct queued);
    while (run->count > 0 && queue->bytes + node + run->len > max) {
        if (drop_oldest(queue, sub, 1) == 0)
            continue;
        trim_front(encoder, run, 1);
        ++*lost;
    }
}

/* Cuts the run to what the bounds leave for it, keeping the oldest. */
static void fit_keeping_oldest(struct queue *queue, struct subscription *sub, struct run *run, uint32_t *lost)
{
    const struct encoder *encoder = queue->outbox->encoder;
    uint32_t room = sub->queue > sub->queued ? sub->queue - sub->queued : 0;
    size_t max = bytes_max(queue), used = queue->bytes + sizeof(struct queued);
    size_t bytes_room = max > used ? max - used : 0;
    uint32_t keep = 0, bytes = 0;
    while (keep < run->count && keep < room) {
        uint32_t frame = encoder->frame_bytes(run_bytes(run) + bytes);
        if (bytes + frame > bytes_room)
            break;
        bytes += frame;
        keep++;
    }
    *lost += run->count - keep;
    run->count = keep;
    run->len = bytes;
}

/* ---- adding --------------------------------------------------------------------------------------------- */

/* A node for new messages of the subscription at the end, holding the gap that stood there if there was one. */
static struct queued *append(struct queue *queue, struct subscription *sub, const struct run *run)
{
    struct queued *node = node_new(queue, sub);
    if (!node)
        return NULL;
    node->run = *run;
    node->run.sub = sub;
    chunk_ref(&queue->outbox->delivery->pool, run->chunk);
    struct queued *gap = sub ? sub->last : NULL;
    if (gap && node_is_gap(gap)) {
        fold_gaps(node, gap);
        unlink_node(queue, gap);
        node_free(queue, gap);
    }
    link_last(queue, node);
    return node;
}

/* Lengthens the last node when the run goes on where it ends. */
static bool extend(struct queue *queue, struct subscription *sub, const struct run *run)
{
    struct queued *last = queue->last;
    if (!last || last->run.sub != sub || node_is_gap(last) || !run_adjoins(&last->run, run))
        return false;
    if (last->expires_ms || (last->flags & (QUEUED_PINNED | QUEUED_KEYED)))
        return false;
    if (last->run.len + run->len > queue->outbox->delivery->settings->batch)
        return false;
    last->run.len += run->len;
    last->run.count += run->count;
    last->run.meta |= run->meta;
    queue->bytes += run->len;
    if (sub)
        sub->queued += run->count;
    return true;
}

void queue_add_gap(struct queue *queue, struct subscription *sub, uint32_t lost, enum native_gap_reason why)
{
    if (lost == 0)
        return;
    struct queued *node = sub->last;
    if (!node || !node_is_gap(node)) {
        node = node_new(queue, sub);
        if (!node)
            return;
        link_last(queue, node);
    }
    count_gap(queue, node, lost, why);
}

/* One message under its key: it takes the place of the older value, if one is queued. */
static void add_keyed(struct queue *queue, struct subscription *sub, struct run *frame)
{
    struct frame_view view = queue->outbox->encoder->frame_view(run_bytes(frame));
    struct value_name name = value_name_of(&view);
    uint32_t hash = key_table_hash(sub, name);
    struct queued *node = key_table_find(queue, sub, name, hash);
    if (node) {
        count_gap(queue, node, 1, NATIVE_GAP_CONFLATED);
        node_replace(queue, node, frame);
        node->expires_ms = view.expires_ms;
        while (queue->bytes > bytes_max(queue) && drop_oldest(queue, sub, 1) == 0)
            ; /* the newer value may be a longer one */
        return;
    }
    uint32_t lost = 0;
    fit_keeping_newest(queue, sub, frame, &lost);
    queue_add_gap(queue, sub, lost, NATIVE_GAP_DROPPED_OLDEST);
    if (frame->count == 0 || !(node = append(queue, sub, frame)))
        return;
    node->expires_ms = view.expires_ms;
    node->hash = hash;
    key_table_insert(queue, node);
}

/* Frames under a policy that does not look at keys. */
static void add_plain(struct queue *queue, struct subscription *sub, struct run *run, uint64_t expires_ms)
{
    uint32_t lost = 0;
    switch (sub->policy) {
    case NATIVE_POLICY_DROP_NEWEST:
        fit_keeping_oldest(queue, sub, run, &lost);
        break;
    case NATIVE_POLICY_DISCONNECT:
        if (queue_would_drop(queue, sub, run)) {
            delivery_condemn(queue->outbox->delivery, queue->outbox, OUTBOX_TOO_SLOW);
            queue_add_gap(queue, sub, run->count, NATIVE_GAP_DROPPED_OLDEST);
            return;
        }
        break;
    case NATIVE_POLICY_BLOCK:
        /* The publisher is held back after this run, unless it is the subscriber itself: nobody can be held back
         * for that, and what is too much is dropped. */
        if (queue->outbox == queue->outbox->delivery->publisher)
            fit_keeping_newest(queue, sub, run, &lost);
        break;
    default:
        fit_keeping_newest(queue, sub, run, &lost);
    }
    if (lost && sub->policy != NATIVE_POLICY_DROP_NEWEST)
        queue_add_gap(queue, sub, lost, NATIVE_GAP_DROPPED_OLDEST);
    if (run->count > 0 && (expires_ms || !extend(queue, sub, run))) {
        struct queued *node = append(queue, sub, run);
        if (node)
            node->expires_ms = expires_ms;
    }
    if (lost && sub->policy == NATIVE_POLICY_DROP_NEWEST)
        queue_add_gap(queue, sub, lost, NATIVE_GAP_DROPPED_NEWEST);
}

void queue_add(struct queue *queue, struct subscription *sub, const struct run *run)
{
    bool keyed = sub->policy == NATIVE_POLICY_CONFLATE;
    struct run rest = *run;
    if (!keyed && !run->meta) {
        add_plain(queue, sub, &rest, 0);
        return;
    }
    const struct encoder *encoder = queue->outbox->encoder;
    while (rest.count > 0) {
        struct run frame = rest;
        frame.count = 1;
        frame.len = encoder->frame_bytes(run_bytes(&rest));
        rest.off += frame.len;
        rest.len -= frame.len;
        rest.count--;
        if (keyed)
            add_keyed(queue, sub, &frame);
        else
            add_plain(queue, sub, &frame, encoder->frame_view(run_bytes(&frame)).expires_ms);
    }
}

void queue_add_control(struct queue *queue, const struct run *run)
{
    if (!extend(queue, NULL, run))
        append(queue, NULL, run);
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
        unlink_node(queue, node);
        node_free(queue, node);
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
        unlink_node(queue, node);
        node_free(queue, node);
    }
    return cut;
}

void queue_pin_run(struct queue *queue, const struct run *run)
{
    struct queued *node = node_new(queue, run->sub);
    if (!node) {
        chunk_unref(&queue->outbox->delivery->pool, run->chunk);
        return;
    }
    node->run = *run;
    node->flags = QUEUED_PINNED;
    link_first(queue, node);
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
    struct queued *node = queue->first;
    struct subscription *sub = node->run.sub;
    count_gap(queue, node, node->run.count, NATIVE_GAP_EXPIRED);
    sub->queued -= node->run.count;
    node->run.count = 0;
    node_emptied(queue, node);
}

void queue_refused(struct queue *queue)
{
    struct outbox *outbox = queue->outbox;
    queue->refused_turn = outbox->delivery->turn;
    if (queue->blocked)
        return;
    queue->blocked = true;
    delivery_block(outbox->delivery, queue);
    outbox->transport->ops->want_writable(outbox->transport, true);
}

void queue_abandon(struct queue *queue)
{
    struct queued *node = queue->first;
    while (node) {
        struct queued *next = node->next;
        struct subscription *sub = node->run.sub;
        if (sub && !node_is_gap(node) && !(node->flags & QUEUED_PINNED)) {
            count_gap(queue, node, node->run.count, NATIVE_GAP_DROPPED_OLDEST);
            sub->queued -= node->run.count;
            node->run.count = 0;
            node_emptied(queue, node);
        }
        node = next;
    }
}

void queue_close(struct queue *queue)
{
    struct outbox *outbox = queue->outbox;
    while (queue->first) {
        struct queued *node = queue->first;
        struct subscription *sub = node->run.sub;
        unlink_node(queue, node);
        node_free(queue, node);
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
