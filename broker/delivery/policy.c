/*
 * What goes into a queue: where the bounds are kept, the policies give up what is too much, and each message given up
 * is counted at its place in the stream. Policies take only from what the socket has refused: until it has, everything is
 * queued as it comes; when it does, all of that goes through them.
 */
#include "broker/delivery/delivery.h"
#include "broker/delivery/key_table.h"
#include "broker/delivery/queued.h"

/* ---- dropping ------------------------------------------------------------------------------------------- */

static struct queued *oldest_droppable(const struct subscription *sub)
{
    struct queued *node = sub->first;
    while (node && ((node->flags & QUEUED_PINNED) || queued_is_gap(node)))
        node = node->sub_next;
    return node;
}

/* Drops up to `count` of the subscription's oldest queued messages; returns how many could not be dropped. */
static uint32_t drop_oldest(struct queue *queue, struct subscription *sub, uint32_t count)
{
    struct queued *node;
    while (count > 0 && (node = oldest_droppable(sub))) {
        uint32_t n = count < node->run.count ? count : node->run.count;
        queued_lose(queue, node, n, NATIVE_GAP_DROPPED_OLDEST);
        count -= n;
    }
    return count;
}

static size_t bytes_max(const struct queue *queue)
{
    return (size_t)queue->outbox->delivery->settings->queue_bytes;
}

bool queue_overflows(const struct queue *queue, const struct subscription *sub, const struct run *run)
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
        run_trim_front(encoder, run, left);
        *lost += left;
    }
    size_t max = bytes_max(queue), node = sizeof(struct queued);
    while (run->count > 0 && queue->bytes + node + run->len > max) {
        if (drop_oldest(queue, sub, 1) == 0)
            continue;
        run_trim_front(encoder, run, 1);
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
    struct queued *node = queued_new(queue, sub);
    if (!node)
        return NULL;
    node->run = *run;
    node->run.sub = sub;
    chunk_ref(&queue->outbox->delivery->pool, run->chunk);
    struct queued *gap = sub ? sub->last : NULL;
    if (gap && queued_is_gap(gap)) {
        queued_fold_gaps(node, gap);
        queued_unlink(queue, gap);
        queued_free(queue, gap);
    }
    queued_link_last(queue, node);
    return node;
}

/* Lengthens the last node when the run goes on where it ends. */
static bool extend(struct queue *queue, struct subscription *sub, const struct run *run)
{
    struct queued *last = queue->last;
    if (!last || last->run.sub != sub || queued_is_gap(last) || !run_adjoins(&last->run, run))
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

void queue_add_gap(struct queue *queue, struct subscription *sub, uint64_t lost, enum native_gap_reason why)
{
    if (lost == 0)
        return;
    struct queued *node = sub->last;
    if (!node || !queued_is_gap(node)) {
        node = queued_new(queue, sub);
        if (!node)
            return;
        queued_link_last(queue, node);
    }
    queued_count_gap(queue, node, lost, why);
}

/* One message under its key: it takes the place of the older value, if one is queued. */
static void add_keyed(struct queue *queue, struct subscription *sub, struct run *frame)
{
    struct frame_view view = queue->outbox->encoder->frame_view(run_bytes(frame));
    struct value_name name = value_name_of(&view);
    uint32_t hash = key_table_hash(sub, name);
    struct queued *node = key_table_find(queue, sub, name, hash);
    if (node) {
        queued_count_gap(queue, node, 1, NATIVE_GAP_CONFLATED);
        queued_replace(queue, node, frame);
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
        if (queue_overflows(queue, sub, run)) {
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

static void add_under_policy(struct queue *queue, struct subscription *sub, const struct run *run)
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

void queue_add(struct queue *queue, struct subscription *sub, const struct run *run)
{
    if (queue->blocked)
        add_under_policy(queue, sub, run);
    else if (!extend(queue, sub, run))
        append(queue, sub, run);
}

void queue_add_control(struct queue *queue, const struct run *run)
{
    if (!extend(queue, NULL, run))
        append(queue, NULL, run);
}

/* Takes the messages out of a node that is in no chain: what is left is their gaps, or nothing. */
static struct run take_run(struct queue *queue, struct queued *node)
{
    struct run run = node->run;
    node->run = (struct run){.sub = run.sub};
    if (queued_has_gaps(node))
        queued_link_last(queue, node);
    else
        queued_free(queue, node);
    return run;
}

void queue_apply_policies(struct queue *queue)
{
    struct queued *node = queue->first;
    while (queue->first)
        queued_unlink(queue, queue->first); /* they still know their next */
    for (struct queued *next; node; node = next) {
        next = node->next;
        node->next = node->sub_next = NULL;
        if (!node->run.sub || queued_is_gap(node) || (node->flags & QUEUED_PINNED)) {
            queued_link_last(queue, node);
            continue;
        }
        struct run run = take_run(queue, node);
        add_under_policy(queue, run.sub, &run);
        chunk_unref(&queue->outbox->delivery->pool, run.chunk);
    }
}
