#include "broker/delivery/rate.h"

#include <math.h>
#include <string.h>

#include "broker/delivery/delivery.h"
#include "broker/delivery/value_name.h"
#include "broker/memory.h"

enum { BUCKETS_AT_FIRST = 8 };

struct rate_entry {
    struct rate_entry *newer, *older;           /* order of sending */
    struct rate_entry *held_newer, *held_older; /* order of the values' coming, where one is held */
    struct rate_entry *chain;                   /* hash chain */
    struct run held;                            /* .chunk NULL: nothing; else a private copy of one frame */
    uint64_t sent_ms;
    uint64_t skipped; /* values replaced since the last one sent */
    uint32_t hash;
    uint32_t topic_len, key_len;
    bool keyed;
    uint8_t name[]; /* topic and key */
};

struct rate {
    struct subscription *sub;
    struct rate_entry *oldest, *newest;
    struct rate_entry *held_oldest, *held_newest; /* those that hold a value */
    struct rate_entry **buckets;                  /* owns */
    uint32_t bucket_mask, count;
    double interval_ms;
    struct timer timer; /* the oldest entry's time */
};

static struct delivery *delivery_of(const struct rate *rate)
{
    return rate->sub->outbox->delivery;
}

static uint64_t due_ms(const struct rate *rate, const struct rate_entry *entry)
{
    return entry->sent_ms + (uint64_t)ceil(rate->interval_ms);
}

/* ---- entries -------------------------------------------------------------------------------------------- */

static struct value_name entry_name(const struct rate_entry *entry)
{
    const uint8_t *key = entry->keyed ? entry->name + entry->topic_len : NULL;
    return (struct value_name){span_of(entry->name, entry->topic_len), span_of(key, entry->key_len)};
}

static struct rate_entry *entry_find(const struct rate *rate, struct value_name name, uint32_t hash)
{
    struct rate_entry *entry = rate->buckets[hash & rate->bucket_mask];
    while (entry && !(entry->hash == hash && value_name_same(entry_name(entry), name)))
        entry = entry->chain;
    return entry;
}

static void entry_link_newest(struct rate *rate, struct rate_entry *entry)
{
    entry->newer = NULL;
    entry->older = rate->newest;
    *(rate->newest ? &rate->newest->newer : &rate->oldest) = entry;
    rate->newest = entry;
}

static void entry_unlink(struct rate *rate, struct rate_entry *entry)
{
    *(entry->older ? &entry->older->newer : &rate->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &rate->newest) = entry->older;
}

static size_t entry_bytes(const struct rate_entry *entry)
{
    return sizeof *entry + entry->topic_len + entry->key_len;
}

static size_t held_bytes(uint32_t len)
{
    return sizeof(struct chunk) + len;
}

/* The entry holds the run from now on, with its reference. */
static void entry_hold(struct rate *rate, struct rate_entry *entry, struct run held)
{
    entry->held = held;
    entry->held_newer = NULL;
    entry->held_older = rate->held_newest;
    *(rate->held_newest ? &rate->held_newest->held_newer : &rate->held_oldest) = entry;
    rate->held_newest = entry;
    rate->sub->outbox->held_bytes += held_bytes(held.len);
}

/* Takes the held value out of the entry; the reference is the caller's. */
static struct run entry_take(struct rate *rate, struct rate_entry *entry)
{
    struct run held = entry->held;
    *(entry->held_older ? &entry->held_older->held_newer : &rate->held_oldest) = entry->held_newer;
    *(entry->held_newer ? &entry->held_newer->held_older : &rate->held_newest) = entry->held_older;
    rate->sub->outbox->held_bytes -= held_bytes(held.len);
    entry->held.chunk = NULL;
    return held;
}

static void entry_release(struct rate *rate, struct rate_entry *entry)
{
    if (entry->held.chunk)
        chunk_unref(&delivery_of(rate)->pool, entry_take(rate, entry).chunk);
}

static void entry_free(struct rate *rate, struct rate_entry *entry)
{
    entry_unlink(rate, entry);
    struct rate_entry **at = &rate->buckets[entry->hash & rate->bucket_mask];
    while (*at != entry)
        at = &(*at)->chain;
    *at = entry->chain;
    rate->count--;
    entry_release(rate, entry);
    rate->sub->outbox->held_bytes -= entry_bytes(entry);
    memory_free(entry, entry_bytes(entry));
}

static bool grow(struct rate *rate)
{
    uint32_t size = rate->buckets ? 2 * (rate->bucket_mask + 1) : BUCKETS_AT_FIRST;
    struct rate_entry **buckets = memory_alloc(size * sizeof *buckets, 0);
    if (!buckets)
        return false;
    memset(buckets, 0, size * sizeof *buckets);
    for (struct rate_entry *entry = rate->oldest; entry; entry = entry->newer) {
        entry->chain = buckets[entry->hash & (size - 1)];
        buckets[entry->hash & (size - 1)] = entry;
    }
    if (rate->buckets)
        memory_free(rate->buckets, (rate->bucket_mask + 1) * sizeof *buckets);
    rate->buckets = buckets;
    rate->bucket_mask = size - 1;
    return true;
}

static struct rate_entry *entry_new(struct rate *rate, struct value_name name, uint32_t hash)
{
    if (rate->count > rate->bucket_mask && !grow(rate))
        return NULL;
    struct rate_entry *entry = memory_alloc(sizeof *entry + name.topic.len + name.key.len, 0);
    if (!entry)
        return NULL;
    memset(entry, 0, sizeof *entry);
    entry->hash = hash;
    entry->topic_len = (uint32_t)name.topic.len;
    entry->key_len = (uint32_t)name.key.len;
    entry->keyed = name.key.data != NULL;
    memcpy(entry->name, name.topic.data, name.topic.len);
    if (name.key.len > 0)
        memcpy(entry->name + name.topic.len, name.key.data, name.key.len);
    entry->chain = rate->buckets[hash & rate->bucket_mask];
    rate->buckets[hash & rate->bucket_mask] = entry;
    rate->count++;
    rate->sub->outbox->held_bytes += entry_bytes(entry);
    return entry;
}

/* ---- sending -------------------------------------------------------------------------------------------- */

static void send_frame(struct rate *rate, struct rate_entry *entry, const struct run *frame)
{
    struct subscription *sub = rate->sub;
    uint64_t skipped = entry->skipped;
    entry->skipped = 0;
    outbox_push_after_gap(sub->outbox, sub, frame, skipped, NATIVE_GAP_RATE);
    entry->sent_ms = *delivery_of(rate)->now_ms;
}

static void send_held(struct rate *rate, struct rate_entry *entry)
{
    struct run held = entry_take(rate, entry);
    send_frame(rate, entry, &held);
    chunk_unref(&delivery_of(rate)->pool, held.chunk);
}

/* Whether the held value was past its time; then it is told instead of sent. */
static bool expire_held(struct rate *rate, struct rate_entry *entry)
{
    struct outbox *outbox = rate->sub->outbox;
    if (!entry->held.meta)
        return false;
    uint64_t expires_ms = outbox->encoder->frame_view(run_bytes(&entry->held)).expires_ms;
    if (expires_ms == 0 || *outbox->delivery->unix_ms < expires_ms)
        return false;
    outbox_push_gap(outbox, rate->sub, entry->skipped, NATIVE_GAP_RATE);
    outbox_push_gap(outbox, rate->sub, 1, NATIVE_GAP_EXPIRED);
    entry->skipped = 0;
    entry_release(rate, entry);
    return true;
}

static void arm(struct rate *rate)
{
    if (rate->oldest)
        timer_start(delivery_of(rate)->wheel, &rate->timer, due_ms(rate, rate->oldest));
}

/* The oldest entries' time has come: held values go out, entries with nothing to hold are forgotten. */
static void tick(struct timer *timer)
{
    struct rate *rate = (struct rate *)((char *)timer - offsetof(struct rate, timer));
    uint64_t now = *delivery_of(rate)->now_ms;
    while (rate->oldest && due_ms(rate, rate->oldest) <= now) {
        struct rate_entry *entry = rate->oldest;
        if (!entry->held.chunk || expire_held(rate, entry)) {
            entry_free(rate, entry);
            continue;
        }
        entry_unlink(rate, entry);
        send_held(rate, entry);
        entry_link_newest(rate, entry);
    }
    arm(rate);
}

/* Tells what the entry holds and has skipped as lost. */
static void give_up(struct rate *rate, struct rate_entry *entry)
{
    struct outbox *outbox = rate->sub->outbox;
    outbox_push_gap(outbox, rate->sub, entry->skipped, NATIVE_GAP_RATE);
    outbox_push_gap(outbox, rate->sub, entry->held.chunk ? 1 : 0, NATIVE_GAP_DROPPED_OLDEST);
    entry->skipped = 0;
    entry_release(rate, entry);
}

static bool has_bytes(const struct rate *rate, size_t bytes)
{
    return rate->sub->outbox->held_bytes + bytes <= delivery_of(rate)->settings->queue_bytes;
}

/* Lets held values go, oldest first, until there is room for so many bytes. False when that is not enough. */
static bool make_room(struct rate *rate, size_t bytes)
{
    if (bytes > delivery_of(rate)->settings->queue_bytes)
        return false;
    while (rate->held_oldest && !has_bytes(rate, bytes))
        give_up(rate, rate->held_oldest);
    return has_bytes(rate, bytes);
}

/* At a bound the oldest entries go; what comes next under their names passes at once. */
static void make_room_for_entry(struct rate *rate, size_t bytes)
{
    bool room = make_room(rate, bytes);
    while (rate->oldest && (!room || rate->count >= rate->sub->queue)) {
        struct rate_entry *oldest = rate->oldest;
        give_up(rate, oldest);
        entry_free(rate, oldest);
        room = has_bytes(rate, bytes);
    }
}

/* Holds a copy of the frame in place of what was held before. */
static void hold(struct rate *rate, struct rate_entry *entry, const struct run *frame)
{
    struct delivery *delivery = delivery_of(rate);
    if (entry->held.chunk) {
        entry->skipped++;
        entry_release(rate, entry);
    }
    if (!make_room(rate, held_bytes(frame->len))) {
        give_up(rate, entry);
        outbox_push_gap(rate->sub->outbox, rate->sub, 1, NATIVE_GAP_DROPPED_OLDEST);
        return;
    }
    struct chunk *copy = chunk_new_private(&delivery->pool, frame->len);
    if (!copy) {
        delivery_condemn(delivery, rate->sub->outbox, OUTBOX_LOST);
        return;
    }
    memcpy(copy->data, run_bytes(frame), frame->len);
    struct run held = *frame;
    held.chunk = copy;
    held.off = 0;
    entry_hold(rate, entry, held);
}

static void push_frame(struct rate *rate, const struct run *frame)
{
    struct frame_view view = rate->sub->outbox->encoder->frame_view(run_bytes(frame));
    struct value_name name = value_name_of(&view);
    uint32_t hash = value_name_hash(name, 0);
    struct rate_entry *entry = entry_find(rate, name, hash);
    if (entry && due_ms(rate, entry) > *delivery_of(rate)->now_ms) {
        hold(rate, entry, frame);
        return;
    }
    if (entry) {
        entry_unlink(rate, entry);
        if (entry->held.chunk) {
            entry->skipped++;
            entry_release(rate, entry);
        }
    } else {
        make_room_for_entry(rate, sizeof *entry + name.topic.len + name.key.len);
        entry = entry_new(rate, name, hash);
        if (!entry) {
            delivery_condemn(delivery_of(rate), rate->sub->outbox, OUTBOX_LOST);
            return;
        }
    }
    send_frame(rate, entry, frame);
    entry_link_newest(rate, entry);
}

void rate_push(struct subscription *sub, const struct run *run)
{
    struct rate *rate = sub->rate;
    const struct encoder *encoder = sub->outbox->encoder;
    struct run rest = *run;
    while (rest.count > 0 && sub->outbox->verdict != OUTBOX_LOST) {
        struct run frame = rest;
        frame.count = 1;
        frame.len = encoder->frame_bytes(run_bytes(&rest));
        rest.off += frame.len;
        rest.len -= frame.len;
        rest.count--;
        push_frame(rate, &frame);
    }
    arm(rate);
}

/* ---- life ----------------------------------------------------------------------------------------------- */

enum err rate_start(struct subscription *sub, double max_hz)
{
    struct rate *rate = memory_alloc(sizeof *rate, 0);
    if (!rate)
        return ERR_NO_MEMORY;
    *rate = (struct rate){.sub = sub, .interval_ms = 1000.0 / max_hz, .timer = {.fire = tick}};
    if (!grow(rate)) {
        memory_free(rate, sizeof *rate);
        return ERR_NO_MEMORY;
    }
    sub->rate = rate;
    return ERR_NONE;
}

void rate_discard(struct subscription *sub)
{
    struct rate *rate = sub->rate;
    if (!rate)
        return;
    timer_stop(delivery_of(rate)->wheel, &rate->timer);
    while (rate->oldest)
        entry_free(rate, rate->oldest);
    memory_free(rate->buckets, (rate->bucket_mask + 1) * sizeof *rate->buckets);
    memory_free(rate, sizeof *rate);
    sub->rate = NULL;
}

void rate_end(struct subscription *sub)
{
    struct rate *rate = sub->rate;
    for (struct rate_entry *entry = rate->oldest; entry; entry = entry->newer)
        if (entry->held.chunk && !expire_held(rate, entry))
            send_held(rate, entry);
    rate_discard(sub);
}
