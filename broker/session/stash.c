#include "broker/session/stash.h"

#include "broker/memory.h"

enum { STASH_AT_FIRST = 256 };

static size_t allocated(const struct stash *stash)
{
    return stash ? sizeof *stash + stash->cap : 0;
}

static size_t grown(const struct stash *stash, size_t need, size_t want)
{
    size_t cap = stash ? stash->cap : STASH_AT_FIRST;
    while (cap < need)
        cap *= 2;
    return want >= need && want < cap ? want : cap;
}

static enum err charge(struct inbound_budget *budget, uint64_t more)
{
    uint64_t used = atomic_fetch_add_explicit(&budget->used, more, memory_order_relaxed) + more;
    if (used <= budget->total)
        return ERR_NONE;
    atomic_fetch_sub_explicit(&budget->used, more, memory_order_relaxed);
    return ERR_OVERLOADED;
}

static enum err grow(struct stash **stash, struct inbound_budget *budget, size_t cap)
{
    struct stash *old = *stash;
    size_t more = cap - (old ? old->cap : 0);
    enum err e = charge(budget, more);
    if (e)
        return e;
    struct stash *new = memory_resize(old, allocated(old), sizeof *new + cap);
    if (!new) {
        atomic_fetch_sub_explicit(&budget->used, more, memory_order_relaxed);
        return ERR_NO_MEMORY;
    }
    if (!old)
        *new = (struct stash){.sub_at = UINT32_MAX};
    new->cap = (uint32_t)cap;
    *stash = new;
    return ERR_NONE;
}

void stash_resume_search(struct stash *stash)
{
    if (stash->searched >= stash->at && stash->sub_at >= stash->at)
        return;
    stash->searched = stash->at;
    stash->sub_at = UINT32_MAX;
}

/* Moves what waits to the front. */
static void compact(struct stash *stash)
{
    stash_resume_search(stash);
    stash->len -= stash->at;
    memmove(stash->data, stash->data + stash->at, stash->len);
    stash->searched -= stash->at;
    stash->sub_at -= stash->sub_at == UINT32_MAX ? 0 : stash->at;
    stash->at = 0;
}

enum err stash_append(struct stash **stash, struct inbound_budget *budget, struct span bytes, size_t want)
{
    if (bytes.len == 0)
        return ERR_NONE;
    if (*stash && (*stash)->at > 0)
        compact(*stash);
    size_t need = (*stash ? (*stash)->len : 0) + bytes.len;
    if (need > budget->each)
        return ERR_LIMIT;
    if (!*stash || (*stash)->cap < need) {
        enum err e = grow(stash, budget, grown(*stash, need, want));
        if (e)
            return e;
    }
    memcpy((*stash)->data + (*stash)->len, bytes.data, bytes.len);
    (*stash)->len += (uint32_t)bytes.len;
    return ERR_NONE;
}

void stash_drop(struct stash **stash, struct inbound_budget *budget)
{
    if (!*stash)
        return;
    atomic_fetch_sub_explicit(&budget->used, (*stash)->cap, memory_order_relaxed);
    memory_free(*stash, allocated(*stash));
    *stash = NULL;
}
