#include "broker/mailbox.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/memory.h"

enum { MAILS_AT_FIRST = 16, MAILS_KEPT = 4096 };

struct mail_list {
    struct mail *mails; /* owns */
    size_t count, cap;
};

/*
 * What one shard's box knows of another shard. The bytes under way to it are `sent` less what that shard's box tells
 * in its own `told`: each counter has one writer and only grows.
 */
struct peer {
    struct mail_list staged;
    uint64_t sent;         /* to the peer, in all */
    uint64_t wanted;       /* the largest mail refused since there was room */
    uint64_t delivered;    /* from the peer, in all */
    _Atomic uint64_t told; /* `delivered` as of the last flush; read by the peer */
    _Atomic bool refused;  /* a mail to the peer, and no room since; read by the peer */
};

struct mailbox {
    struct mailroom *room; /* borrows */
    unsigned shard;
    bool receiving;
    struct mail_list reading; /* being delivered */
    struct peer *peers;       /* owns; by shard */

    pthread_mutex_t lock; /* of what follows, which any shard touches */
    struct mail_list queue;
    bool woken; /* since it received last */
};

struct mailroom {
    unsigned shards;
    uint64_t bound;
    mailbox_wake *wake;
    void *context;
    struct mailbox *boxes; /* owns; by shard */
};

/* ---- lists of mails ------------------------------------------------------------------------------------- */

static void list_reserve(struct mail_list *list, size_t more)
{
    if (list->cap - list->count >= more)
        return;
    size_t cap = list->cap ? 2 * list->cap : MAILS_AT_FIRST;
    while (cap - list->count < more)
        cap *= 2;
    struct mail *mails = realloc(list->mails, cap * sizeof *mails);
    if (!mails) {
        fprintf(stderr, "sluiced: out of memory (%zu mails between shards)\n", cap);
        abort();
    }
    list->mails = mails;
    list->cap = cap;
}

static void list_swap(struct mail_list *a, struct mail_list *b)
{
    struct mail_list swapped = *a;
    *a = *b;
    *b = swapped;
}

/* Moves the mails of `from` behind those of `to`. */
static void list_move(struct mail_list *from, struct mail_list *to)
{
    if (from->count == 0)
        return;
    if (to->count == 0) {
        list_swap(from, to);
        return;
    }
    list_reserve(to, from->count);
    memcpy(to->mails + to->count, from->mails, from->count * sizeof *from->mails);
    to->count += from->count;
    from->count = 0;
}

static void list_free(struct mail_list *list)
{
    assert(list->count == 0);
    free(list->mails);
    *list = (struct mail_list){0};
}

static void list_clear(struct mail_list *list)
{
    list->count = 0;
    if (list->cap > MAILS_KEPT)
        list_free(list);
}

/* ---- the room ------------------------------------------------------------------------------------------- */

static void box_init(struct mailbox *box, struct mailroom *room, unsigned shard)
{
    box->room = room;
    box->shard = shard;
    box->peers = memory_must(room->shards * sizeof *box->peers);
    int failed = pthread_mutex_init(&box->lock, NULL);
    assert(!failed);
    (void)failed;
}

struct mailroom *mailroom_new(unsigned shards, uint64_t bound_bytes, mailbox_wake *wake, void *context)
{
    assert(shards > 0 && shards <= UINT16_MAX);
    struct mailroom *room = memory_must(sizeof *room);
    *room = (struct mailroom){.shards = shards, .bound = bound_bytes, .wake = wake, .context = context};
    room->boxes = memory_must(shards * sizeof *room->boxes);
    for (unsigned shard = 0; shard < shards; shard++)
        box_init(&room->boxes[shard], room, shard);
    return room;
}

struct mailbox *mailroom_box(struct mailroom *room, unsigned shard)
{
    assert(shard < room->shards);
    return &room->boxes[shard];
}

static void list_dispose(struct mail_list *list, unsigned receiver, mailbox_dispose *dispose, void *context)
{
    for (size_t i = 0; i < list->count; i++)
        dispose(context, receiver, &list->mails[i]);
    list_clear(list);
}

void mailroom_discard(struct mailroom *room, mailbox_dispose *dispose, void *context)
{
    for (unsigned shard = 0; shard < room->shards; shard++) {
        struct mailbox *box = &room->boxes[shard];
        list_dispose(&box->queue, shard, dispose, context);
        for (unsigned peer = 0; peer < room->shards; peer++)
            list_dispose(&box->peers[peer].staged, peer, dispose, context);
    }
}

void mailroom_free(struct mailroom *room)
{
    for (unsigned shard = 0; shard < room->shards; shard++) {
        struct mailbox *box = &room->boxes[shard];
        for (unsigned peer = 0; peer < room->shards; peer++)
            list_free(&box->peers[peer].staged);
        list_free(&box->reading);
        list_free(&box->queue);
        pthread_mutex_destroy(&box->lock);
        free(box->peers);
    }
    free(room->boxes);
    free(room);
}

/* ---- sending -------------------------------------------------------------------------------------------- */

/* The other end of what this box knows of a peer: what the peer's box knows of this shard. */
static struct peer *far_end(const struct mailbox *box, unsigned peer)
{
    return &box->room->boxes[peer].peers[box->shard];
}

static uint64_t under_way(const struct mailbox *box, unsigned receiver)
{
    return box->peers[receiver].sent - atomic_load(&far_end(box, receiver)->told);
}

static bool fits(const struct mailbox *box, unsigned receiver, uint64_t charge)
{
    uint64_t bytes = under_way(box, receiver);
    return bytes == 0 || bytes + charge <= box->room->bound;
}

/* The receiver tells what it delivered and then looks whether it had refused; here it is noted first and then looked
 * at again. So one of the two sees the other, and the credit is not lost. */
static bool admit(struct mailbox *box, unsigned receiver, uint64_t charge)
{
    if (fits(box, receiver, charge))
        return true;
    struct peer *peer = &box->peers[receiver];
    bool before = atomic_exchange(&peer->refused, true);
    if (fits(box, receiver, charge)) {
        atomic_store(&peer->refused, before);
        return true;
    }
    if (!before || charge > peer->wanted)
        peer->wanted = charge;
    return false;
}

bool mailbox_stage(struct mailbox *box, unsigned receiver, const struct mail *mail, uint32_t charge_bytes)
{
    assert(receiver < box->room->shards);
    struct peer *peer = &box->peers[receiver];
    if (charge_bytes > 0 && charge_bytes < sizeof *mail)
        charge_bytes = sizeof *mail;
    if (charge_bytes > 0 && !admit(box, receiver, charge_bytes))
        return false;
    peer->sent += charge_bytes;
    list_reserve(&peer->staged, 1);
    struct mail *staged = &peer->staged.mails[peer->staged.count++];
    *staged = *mail;
    staged->from = (uint16_t)box->shard;
    staged->charge = charge_bytes;
    return true;
}

/* Hands over the mails (there may be none) and sees to it that the shard receives. */
static void post(struct mailbox *receiver, struct mail_list *mails)
{
    pthread_mutex_lock(&receiver->lock);
    list_move(mails, &receiver->queue);
    bool asleep = !receiver->woken;
    receiver->woken = true;
    pthread_mutex_unlock(&receiver->lock);
    list_clear(mails);
    if (asleep)
        receiver->room->wake(receiver->room->context, receiver->shard);
}

/* Whether the peer waits for what has been delivered since the last flush. */
static bool tell(struct mailbox *box, unsigned shard)
{
    struct peer *peer = &box->peers[shard];
    if (peer->delivered == atomic_load_explicit(&peer->told, memory_order_relaxed))
        return false;
    atomic_store(&peer->told, peer->delivered);
    return atomic_load(&far_end(box, shard)->refused);
}

void mailbox_flush(struct mailbox *box)
{
    for (unsigned shard = 0; shard < box->room->shards; shard++) {
        struct mail_list *staged = &box->peers[shard].staged;
        if (tell(box, shard) || staged->count > 0)
            post(&box->room->boxes[shard], staged);
    }
}

bool mailbox_congested(const struct mailbox *box)
{
    for (unsigned shard = 0; shard < box->room->shards; shard++)
        if (atomic_load_explicit(&box->peers[shard].refused, memory_order_relaxed))
            return true;
    return false;
}

/* ---- receiving ------------------------------------------------------------------------------------------ */

static void take_queue(struct mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    list_swap(&box->reading, &box->queue);
    box->woken = false;
    pthread_mutex_unlock(&box->lock);
}

/* Half the bound is free, and what was refused would be accepted. */
static bool has_room(const struct mailbox *box, unsigned receiver)
{
    return under_way(box, receiver) <= box->room->bound / 2 &&
           fits(box, receiver, box->peers[receiver].wanted);
}

static bool take_credits(struct mailbox *box, mailbox_credit *credit, void *context)
{
    bool any = false;
    for (unsigned shard = 0; shard < box->room->shards; shard++) {
        struct peer *peer = &box->peers[shard];
        if (!atomic_load_explicit(&peer->refused, memory_order_relaxed) || !has_room(box, shard))
            continue;
        atomic_store(&peer->refused, false);
        any = true;
        if (credit)
            credit(context, shard);
    }
    return any;
}

bool mailbox_receive(struct mailbox *box, mailbox_deliver *deliver, mailbox_credit *credit, void *context)
{
    assert(!box->receiving);
    box->receiving = true;
    take_queue(box);
    bool any = box->reading.count > 0;
    for (size_t i = 0; i < box->reading.count; i++) {
        const struct mail *mail = &box->reading.mails[i];
        deliver(context, mail);
        box->peers[mail->from].delivered += mail->charge;
    }
    list_clear(&box->reading);
    any |= take_credits(box, credit, context);
    box->receiving = false;
    return any;
}
