/*
 * Sending from a queue: the front nodes are gathered into one batch, each behind what is made for this subscriber alone
 * (GAP, TAG), written, and what a short write left over is traced back to its node.
 */
#include <string.h>

#include "broker/delivery/delivery.h"
#include "broker/delivery/queued.h"

enum { DIRECT_FROM = 4096 /* a run at least this long goes straight from its chunk */ };

static size_t prefix_max(const struct encoder *encoder, const struct queued *node, bool gaps)
{
    const struct subscription *sub = node->run.sub;
    if (!sub)
        return 0;
    return (gaps ? NATIVE_GAP_COUNT * encoder->gap_bytes_max(sub) : 0) +
           (sub->prefixed ? encoder->prefix_bytes_max : 0);
}

static size_t put_gaps(const struct encoder *encoder, const struct queued *node, uint8_t *out)
{
    size_t len = 0;
    for (int i = 0; i < NATIVE_GAP_COUNT; i++)
        if (node->gap[i])
            len += encoder->put_gap(out + len, node->run.sub, node->gap[i], (enum native_gap_reason)i);
    return len;
}

/* Appends one piece: the node's gaps if it is the first of the node, the prefix, and `bytes` of frames from `at`.
 * False when the batch is full. */
static bool add_piece(struct batch *batch, const struct encoder *encoder, const struct queued *node,
                      bool gaps, uint32_t at, uint32_t bytes, uint32_t count)
{
    size_t need = batch->len + prefix_max(encoder, node, gaps) + bytes;
    if (batch->pieces == BATCH_PIECES_MAX || (batch->pieces > 0 && need > batch->most) ||
        !batch_grow(batch, need))
        return false;
    struct batch_piece *piece = &batch->piece[batch->pieces++];
    piece->start = (uint32_t)batch->len;
    uint8_t *out = batch_data(batch) + batch->len;
    size_t len = gaps ? put_gaps(encoder, node, out) : 0;
    if (node->run.sub && node->run.sub->prefixed && bytes > 0 && !(node->flags & QUEUED_PINNED))
        len += encoder->put_prefix(out + len, node->run.sub);
    piece->prefix = (uint32_t)len;
    piece->frames = bytes;
    piece->count = count;
    if (bytes > 0)
        memcpy(out + len, node->run.chunk->data + node->run.off + at, bytes);
    batch->len += len + bytes;
    return true;
}

/* Appends a node: as one piece, or frame by frame where each is prefixed. False when the batch is full. */
static bool add_node(struct batch *batch, const struct encoder *encoder, const struct queued *node)
{
    const struct run *run = &node->run;
    bool gaps = queued_has_gaps(node);
    if (!run->sub || !run->sub->prefixed || run->count <= 1)
        return add_piece(batch, encoder, node, gaps, 0, run->len, run->sub ? run->count : 0);
    for (uint32_t at = 0, frame; at < run->len; at += frame, gaps = false) {
        frame = encoder->frame_bytes(run_bytes(run) + at);
        if (!add_piece(batch, encoder, node, gaps, at, frame, 1))
            return false;
    }
    return true;
}

static bool expired(const struct queue *queue, const struct queued *node)
{
    return node->expires_ms && *queue->outbox->delivery->unix_ms >= node->expires_ms;
}

static void gather(struct queue *queue, struct batch *batch)
{
    batch_reset(batch);
    for (const struct queued *node = queue->first; node && !(batch->pieces > 0 && expired(queue, node));
         node = node->next)
        if (!add_node(batch, queue->outbox->encoder, node))
            return;
}

/* The front node's run was sent as far as `sent` bytes, without a prefix. */
static void consume_part(struct queue *queue, uint32_t sent)
{
    const struct queued *node = queue->first;
    const struct encoder *encoder = queue->outbox->encoder;
    if (node->flags & QUEUED_PINNED) {
        queue_consume(queue, sent, 0);
        return;
    }
    uint32_t whole = 0, count = 0, frame = 0;
    while (whole < sent) {
        frame = encoder->frame_bytes(run_bytes(&node->run) + whole);
        if (whole + frame > sent)
            break;
        whole += frame;
        count++;
    }
    if (whole > 0)
        queue_consume(queue, whole, node->run.sub ? count : 0);
    if (sent > whole)
        queue_pin(queue, frame, sent - whole);
}

/* The front piece was sent as far as `sent` bytes, fewer than it has. */
static void consume_piece_part(struct queue *queue, const struct batch *batch,
                               const struct batch_piece *piece, uint32_t sent)
{
    if (sent == 0)
        return;
    if (piece->prefix == 0) {
        consume_part(queue, sent);
        return;
    }
    const uint8_t *bytes = batch_data(batch) + piece->start;
    uint32_t frame = piece->frames ? queue->outbox->encoder->frame_bytes(bytes + piece->prefix) : 0;
    if (sent < piece->prefix + frame) {
        queue_pin_copy(queue, frame, span_of(bytes + sent, piece->prefix + frame - sent));
        return;
    }
    queue_consume(queue, frame, frame ? 1 : 0);
    if (sent > piece->prefix + frame)
        consume_part(queue, sent - piece->prefix - frame);
}

/* Takes `sent` bytes of the batch off the front of the queue; false when not all of it was sent. */
static bool consume_batch(struct queue *queue, const struct batch *batch, size_t sent)
{
    for (size_t i = 0; i < batch->pieces; i++) {
        const struct batch_piece *piece = &batch->piece[i];
        uint32_t whole = piece->prefix + piece->frames;
        if (sent < whole) {
            consume_piece_part(queue, batch, piece, (uint32_t)sent);
            return false;
        }
        queue_consume(queue, piece->frames, piece->count);
        sent -= whole;
    }
    return true;
}

static bool goes_direct(const struct queue *queue)
{
    const struct queued *node = queue->first;
    return !queue->outbox->transport->ops->framed && node->run.len >= DIRECT_FROM && !queued_has_gaps(node) &&
           !(node->run.sub && node->run.sub->prefixed && !(node->flags & QUEUED_PINNED));
}

/* Sends the front of the queue with one write; false when the socket would not take all of it. */
static bool send_front(struct queue *queue)
{
    struct outbox *outbox = queue->outbox;
    struct batch *batch = &outbox->delivery->batch;
    bool direct = goes_direct(queue);
    size_t bytes = queue->first->run.len;
    ssize_t sent;
    if (direct) {
        sent = outbox_send(outbox, run_bytes(&queue->first->run), bytes);
    } else {
        gather(queue, batch);
        bytes = batch->len;
        sent = batch->pieces > 0 ? outbox_send(outbox, batch_data(batch), bytes) : -1;
    }
    if (sent < 0) {
        delivery_condemn(outbox->delivery, outbox, OUTBOX_LOST);
        return false;
    }
    if (!direct)
        return consume_batch(queue, batch, (size_t)sent);
    const struct run *run = &queue->first->run;
    if ((size_t)sent == bytes)
        queue_consume(queue, run->len, run->sub ? run->count : 0);
    else if (sent > 0)
        consume_part(queue, (uint32_t)sent);
    return (size_t)sent == bytes;
}

void queue_drain(struct queue *queue)
{
    struct outbox *outbox = queue->outbox;
    while (queue->first) {
        if (expired(queue, queue->first)) {
            queue_expire(queue);
            continue;
        }
        if (!send_front(queue)) {
            if (outbox->verdict != OUTBOX_LOST)
                queue_refused(queue);
            return;
        }
    }
    queue_close(queue);
}
