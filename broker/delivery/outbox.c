#include "broker/delivery/outbox.h"

#include <assert.h>
#include <string.h>

#include "broker/delivery/blocking.h"
#include "broker/delivery/delivery.h"
#include "broker/delivery/queue.h"
#include "broker/delivery/rate.h"
#include "broker/memory.h"

enum {
    MANY_AT_FIRST = 4,
    RUNS_MAX = 4096,     /* runs an outbox holds in the fast state before it is flushed in mid-turn */
    GATHER_BELOW = 4096, /* pieces shorter than this are copied together, longer ones by iovec */
    PIECES_MAX = 64      /* iovecs per write */
};

void outbox_init(struct outbox *outbox, struct delivery *delivery, struct transport *transport,
                 const struct encoder *encoder)
{
    *outbox = (struct outbox){.delivery = delivery, .transport = transport, .encoder = encoder};
}

static struct run *fast_runs(struct outbox *outbox)
{
    return outbox->many ? outbox->many : &outbox->one;
}

static void release_fast(struct outbox *outbox)
{
    struct run *runs = fast_runs(outbox);
    for (size_t i = 0; i < outbox->run_count; i++)
        chunk_unref(&outbox->delivery->pool, runs[i].chunk);
    if (outbox->many)
        memory_free(outbox->many, outbox->many_cap * sizeof *outbox->many);
    outbox->many = NULL;
    outbox->run_count = outbox->many_cap = 0;
}

void outbox_fini(struct outbox *outbox)
{
    release_fast(outbox);
    if (outbox->queue)
        queue_close(outbox->queue);
    delivery_forget(outbox->delivery, outbox);
    outbox->transport = NULL;
}

bool outbox_empty(const struct outbox *outbox)
{
    return outbox->run_count == 0 && !outbox->queue;
}

bool outbox_blocked(const struct outbox *outbox)
{
    return outbox->queue && outbox->queue->blocked;
}

size_t outbox_bytes(const struct outbox *outbox)
{
    return outbox->queue ? outbox->queue->bytes : 0;
}

static void lost(struct outbox *outbox)
{
    delivery_condemn(outbox->delivery, outbox, OUTBOX_LOST);
}

/* ---- pushing -------------------------------------------------------------------------------------------- */

static bool grow_fast(struct outbox *outbox)
{
    if (outbox->run_count == 0 || outbox->run_count < outbox->many_cap)
        return true;
    assert(outbox->many_cap < RUNS_MAX);
    uint16_t cap = outbox->many_cap ? (uint16_t)(2 * outbox->many_cap) : MANY_AT_FIRST;
    size_t size = sizeof *outbox->many;
    struct run *many = memory_resize(outbox->many, outbox->many_cap * size, cap * size);
    if (!many)
        return false;
    if (!outbox->many)
        many[0] = outbox->one;
    outbox->many = many;
    outbox->many_cap = cap;
    return true;
}

/* The run joins the last one, or takes a slot. */
static void fast_push(struct outbox *outbox, struct subscription *sub, const struct run *run)
{
    struct delivery *delivery = outbox->delivery;
    if (outbox->run_count > 0) {
        struct run *last = &fast_runs(outbox)[outbox->run_count - 1];
        if (last->sub == sub && run_adjoins(last, run) && last->len + run->len <= delivery->settings->batch) {
            last->len += run->len;
            last->count += run->count;
            last->meta |= run->meta;
            return;
        }
    }
    if (!grow_fast(outbox)) {
        lost(outbox);
        return;
    }
    struct run *slot = &fast_runs(outbox)[outbox->run_count++];
    *slot = *run;
    slot->sub = sub;
    chunk_ref(&delivery->pool, run->chunk);
    delivery_mark_dirty(delivery, outbox);
    if (outbox->run_count >= RUNS_MAX)
        outbox_flush(outbox);
}

/* A queue for what the fast state cannot express; what is in the fast state goes first. */
static struct queue *need_queue(struct outbox *outbox)
{
    if (outbox->queue)
        return outbox->queue;
    if (outbox->run_count > 0)
        outbox_flush(outbox);
    if (outbox->queue)
        return outbox->queue;
    struct queue *queue = queue_open(outbox);
    if (!queue)
        lost(outbox);
    return queue;
}

static bool wants_queue(const struct subscription *sub)
{
    return sub->prefixed || sub->policy == NATIVE_POLICY_BLOCK;
}

/* A queue at its bound is flushed, once per turn where the socket has refused: then, only what it refuses again may go;
 * before, so that no more waits than the bound and this run. */
static void flush_at_bound(struct outbox *outbox, struct subscription *sub, const struct run *run)
{
    struct queue *queue = outbox->queue;
    if (queue->refused_turn != outbox->delivery->turn && queue_overflows(queue, sub, run))
        queue_drain(queue);
}

void outbox_push_after_gap(struct outbox *outbox, struct subscription *sub, const struct run *run,
                           uint64_t lost_before, enum native_gap_reason why)
{
    if (outbox->verdict != OUTBOX_GOOD || !outbox->transport) {
        outbox_push_gap(outbox, sub, lost_before, why);
        outbox_push_gap(outbox, sub, run->count, NATIVE_GAP_DROPPED_OLDEST);
        return;
    }
    if (outbox->queue)
        flush_at_bound(outbox, sub, run);
    if (!outbox->queue && lost_before == 0 && !wants_queue(sub)) {
        fast_push(outbox, sub, run);
        return;
    }
    struct queue *queue = need_queue(outbox);
    if (!queue || outbox->verdict == OUTBOX_LOST)
        return;
    queue_add_gap(queue, sub, lost_before, why);
    queue_add(queue, sub, run);
    if (!queue->blocked)
        delivery_mark_dirty(outbox->delivery, outbox);
}

void outbox_push_gap(struct outbox *outbox, struct subscription *sub, uint64_t lost_before,
                     enum native_gap_reason why)
{
    if (lost_before == 0 || outbox->verdict == OUTBOX_LOST || !outbox->transport)
        return;
    struct queue *queue = need_queue(outbox);
    if (!queue)
        return;
    queue_add_gap(queue, sub, lost_before, why);
    if (!queue->blocked)
        delivery_mark_dirty(outbox->delivery, outbox);
}

void outbox_push(struct outbox *outbox, struct subscription *sub, const struct run *run)
{
    if (sub->rate)
        rate_push(sub, run);
    else if (!outbox->queue && !wants_queue(sub) && outbox->transport && outbox->verdict == OUTBOX_GOOD)
        fast_push(outbox, sub, run);
    else
        outbox_push_after_gap(outbox, sub, run, 0, NATIVE_GAP_RATE);
}

enum err outbox_push_control(struct outbox *outbox, const void *frames, uint32_t len, uint32_t count)
{
    struct delivery *delivery = outbox->delivery;
    struct run run = {.len = len, .count = count};
    if (!outbox->transport || outbox->verdict == OUTBOX_LOST)
        return ERR_NONE;
    uint8_t *to = wire_log_reserve(&delivery->log, len, &run.chunk, &run.off);
    if (!to)
        return ERR_NO_MEMORY;
    memcpy(to, frames, len);
    wire_log_commit(&delivery->log, len);
    outbox->control_bytes += len;
    delivery->position += len;
    if (!outbox->queue) {
        fast_push(outbox, NULL, &run);
        return ERR_NONE;
    }
    queue_add_control(outbox->queue, &run);
    if (!outbox->queue->blocked)
        delivery_mark_dirty(delivery, outbox);
    return ERR_NONE;
}

/* ---- flushing the fast state ---------------------------------------------------------------------------- */

static ssize_t send_pieces(struct outbox *outbox, const struct iovec *pieces, int count, size_t bytes)
{
    struct delivery_stats *stats = &outbox->delivery->stats;
    ssize_t sent = outbox->transport->ops->write(outbox->transport, pieces, count, bytes);
    stats->writes++;
    stats->refused += sent >= 0 && (size_t)sent < bytes;
    return sent;
}

ssize_t outbox_send(struct outbox *outbox, const void *data, size_t len)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    return send_pieces(outbox, &piece, 1, len);
}

/* How many runs go into one write, and their bytes. */
static size_t group(const struct outbox *outbox, const struct run *runs, size_t count, size_t *bytes)
{
    size_t n = 0, max = (size_t)outbox->delivery->settings->batch;
    *bytes = 0;
    do
        *bytes += runs[n++].len;
    while (n < count && *bytes + runs[n].len <= max);
    return n;
}

/* Straight from the log where that is one piece or the pieces are long; 0 where copying them together is cheaper. */
static int place_pieces(const struct run *runs, size_t count, struct iovec pieces[PIECES_MAX], size_t bytes)
{
    int n = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && run_adjoins(&runs[i - 1], &runs[i]))
            pieces[n - 1].iov_len += runs[i].len;
        else if (n == PIECES_MAX)
            return 0;
        else
            pieces[n++] = (struct iovec){(void *)(uintptr_t)run_bytes(&runs[i]), runs[i].len};
    }
    return n == 1 || bytes / (size_t)n >= GATHER_BELOW ? n : 0;
}

static ssize_t send_group(struct outbox *outbox, const struct run *runs, size_t count, size_t bytes)
{
    if (!outbox->transport->ops->framed) {
        struct iovec pieces[PIECES_MAX];
        int n = place_pieces(runs, count, pieces, bytes);
        if (n > 0)
            return send_pieces(outbox, pieces, n, bytes);
    }
    struct batch *batch = &outbox->delivery->batch;
    if (!batch_fill(batch, &outbox->delivery->pool, runs, count))
        return -1;
    return outbox_send(outbox, batch_data(batch), bytes);
}

/* Messages and answers that the socket has accepted. */
static void settle(struct outbox *outbox, const struct run *run, uint32_t bytes, uint32_t count)
{
    if (run->sub)
        outbox->delivery->stats.delivered += count;
    else
        outbox->control_bytes -= bytes;
}

/* Takes what was sent off the front of a run: whole frames are settled, a half-sent one is pinned in the queue. */
static void split_sent(struct outbox *outbox, struct run *run, uint32_t sent)
{
    uint32_t whole = 0, count = 0, frame = 0;
    while (whole < sent) {
        frame = outbox->encoder->frame_bytes(run_bytes(run) + whole);
        if (whole + frame > sent)
            break;
        whole += frame;
        count++;
    }
    settle(outbox, run, whole, count);
    run->off += whole;
    run->len -= whole;
    run->count -= count;
    sent -= whole;
    if (sent == 0)
        return;
    struct run half = *run;
    half.off += sent;
    half.len = frame - sent;
    half.count = run->sub ? 1 : 0;
    if (!run->sub)
        outbox->control_bytes -= frame;
    chunk_ref(&outbox->delivery->pool, half.chunk);
    queue_pin_run(outbox->queue, &half);
    run->off += frame;
    run->len -= frame;
    run->count--;
}

/* The socket refused: what is left becomes a queue, under the policies. `sent` bytes of the runs are gone. */
static void spill(struct outbox *outbox, const struct run *runs, size_t count, size_t sent)
{
    struct queue *queue = queue_open(outbox);
    if (!queue) {
        lost(outbox);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct run run = runs[i];
        if (sent >= run.len) {
            sent -= run.len;
            settle(outbox, &run, run.len, run.count);
            continue;
        }
        split_sent(outbox, &run, (uint32_t)sent);
        sent = 0;
        if (run.len > 0 && run.sub)
            queue_add(queue, run.sub, &run);
        else if (run.len > 0)
            queue_add_control(queue, &run);
    }
    queue_refused(queue);
}

static void flush_fast(struct outbox *outbox)
{
    const struct run *runs = fast_runs(outbox);
    size_t count = outbox->run_count;
    for (size_t i = 0, n, bytes; i < count; i += n) {
        n = group(outbox, runs + i, count - i, &bytes);
        ssize_t sent = send_group(outbox, runs + i, n, bytes);
        if (sent < 0) {
            lost(outbox);
            break;
        }
        if ((size_t)sent < bytes) {
            spill(outbox, runs + i, count - i, (size_t)sent);
            break;
        }
        for (size_t k = i; k < i + n; k++)
            settle(outbox, &runs[k], runs[k].len, runs[k].count);
    }
    release_fast(outbox);
    if (outbox->awaited && !outbox->queue)
        outbox->delivery->ops->answers_sent(outbox);
}

void outbox_flush(struct outbox *outbox)
{
    if (!outbox->transport || outbox->verdict == OUTBOX_LOST)
        return;
    if (outbox->queue)
        queue_drain(outbox->queue);
    else if (outbox->run_count > 0)
        flush_fast(outbox);
}

/* ---- leaving -------------------------------------------------------------------------------------------- */

/* Whether the fast state names the subscription: it must not go as long as it does. */
static bool holds_fast(struct outbox *outbox, const struct subscription *sub)
{
    const struct run *runs = fast_runs(outbox);
    for (size_t i = 0; i < outbox->run_count; i++)
        if (runs[i].sub == sub)
            return true;
    return false;
}

void outbox_end_subscription(struct subscription *sub)
{
    struct outbox *outbox = sub->outbox;
    if (sub->rate)
        rate_end(sub);
    if (holds_fast(outbox, sub))
        outbox_flush(outbox);
    sub->ended = true;
    if (sub->blocking)
        blocking_release(sub);
    if (!sub->first)
        outbox->delivery->ops->subscription_drained(sub);
}

void outbox_abandon(struct outbox *outbox)
{
    if (outbox->queue)
        queue_abandon(outbox->queue);
}
