#include "clients/c/pending.h"

#include <assert.h>
#include <stdlib.h>

enum { PENDING_CAP_FIRST = 64 };

void pending_init(struct pending_ring *ring)
{
    *ring = (struct pending_ring){.oldest = 1, .next = 1};
}

void pending_fini(struct pending_ring *ring)
{
    free(ring->slots);
    pending_init(ring);
}

static struct pending *slot(const struct pending_ring *ring, uint64_t id)
{
    return &ring->slots[id & (ring->cap - 1)];
}

enum err pending_reserve(struct pending_ring *ring)
{
    if (ring->next - ring->oldest < ring->cap)
        return ERR_NONE;
    struct pending_ring bigger = *ring;
    bigger.cap = ring->cap ? ring->cap * 2 : PENDING_CAP_FIRST;
    bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
    if (!bigger.slots)
        return ERR_NO_MEMORY;
    for (uint64_t id = ring->oldest; id < ring->next; id++)
        *slot(&bigger, id) = *slot(ring, id);
    free(ring->slots);
    *ring = bigger;
    return ERR_NONE;
}

static bool counts(const struct pending *entry)
{
    return entry->kind == PENDING_PUBLISH || entry->kind == PENDING_REQUEST;
}

uint64_t pending_add(struct pending_ring *ring, struct pending entry)
{
    assert(ring->next - ring->oldest < ring->cap && entry.kind != PENDING_NONE);
    *slot(ring, ring->next) = entry;
    ring->publishes += counts(&entry);
    return ring->next++;
}

bool pending_take(struct pending_ring *ring, uint64_t id, struct pending *out)
{
    if (id < ring->oldest || id >= ring->next || slot(ring, id)->kind == PENDING_NONE)
        return false;
    *out = *slot(ring, id);
    slot(ring, id)->kind = PENDING_NONE;
    ring->publishes -= counts(out);
    while (ring->oldest < ring->next && slot(ring, ring->oldest)->kind == PENDING_NONE)
        ring->oldest++;
    return true;
}

bool pending_take_oldest(struct pending_ring *ring, struct pending *out)
{
    return pending_take(ring, ring->oldest, out);
}
