/*
 * The answers a client waits for. Ids are handed out in order and nearly always answered in order, so the
 * table is a ring indexed by id; what a broker answers late keeps the ring long until then.
 *
 *     oldest            next
 *       v                v
 *   [ . A . . B C D E F  . . . ]      '.' free or answered       slot = id & (cap - 1)
 */
#ifndef SLUICE_CLIENT_PENDING_H
#define SLUICE_CLIENT_PENDING_H

#include <sluice.h>

#include "proto/err.h"

enum pending_kind { PENDING_NONE, PENDING_PUBLISH, PENDING_REQUEST, PENDING_SUBSCRIBE, PENDING_UNSUBSCRIBE };

struct pending {
    enum pending_kind kind;
    bool renewal;            /* SUBSCRIBE: sent again after a reconnect */
    uint32_t route;          /* SUBSCRIBE: number of the route */
    uint64_t number;         /* REQUEST: its number; SUBSCRIBE: the newest subscription it speaks for */
    sluice_done_fn *on_done; /* PUBLISH, UNSUBSCRIBE; may be NULL */
    void *user;
};

struct pending_ring {
    struct pending *slots; /* owns; cap of them, a power of two, 0 before first use */
    uint64_t cap;
    uint64_t oldest, next; /* ids; the next one to hand out is `next`, never 0 */
    uint32_t publishes;    /* PUBLISH and REQUEST entries waiting */
};

void pending_init(struct pending_ring *ring);
void pending_fini(struct pending_ring *ring);
/* Makes sure that the next pending_add() succeeds. */
MUST_CHECK enum err pending_reserve(struct pending_ring *ring);
/* Files an entry under the next id and returns that. pending_reserve() came before. */
uint64_t pending_add(struct pending_ring *ring, struct pending entry);
/* Takes the entry with this id out; false when nothing waits for it. */
bool pending_take(struct pending_ring *ring, uint64_t id, struct pending *out);
/* Takes the oldest entry out; false when none is left. */
bool pending_take_oldest(struct pending_ring *ring, struct pending *out);

#endif
