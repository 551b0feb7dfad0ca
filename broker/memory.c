#include "broker/memory.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static _Atomic uint64_t used;
static _Atomic uint64_t limit = UINT64_MAX;
static memory_fail_hook *fail_hook;
static void *fail_context;

void memory_set_limit(uint64_t bytes)
{
    atomic_store_explicit(&limit, bytes, memory_order_relaxed);
}

uint64_t memory_used(void)
{
    return atomic_load_explicit(&used, memory_order_relaxed);
}

uint64_t memory_limit(void)
{
    return atomic_load_explicit(&limit, memory_order_relaxed);
}

bool memory_over(void)
{
    return memory_used() > memory_limit();
}

void memory_set_fail_hook(memory_fail_hook *hook, void *context)
{
    fail_hook = hook;
    fail_context = context;
}

void *memory_alloc(size_t bytes, size_t align)
{
    if (fail_hook && fail_hook(fail_context, bytes))
        return NULL;
    void *block = align ? aligned_alloc(align, (bytes + align - 1) & ~(align - 1)) : malloc(bytes);
    if (block)
        atomic_fetch_add_explicit(&used, bytes, memory_order_relaxed);
    return block;
}

void *memory_resize(void *block, size_t old_bytes, size_t new_bytes)
{
    if (new_bytes > old_bytes && fail_hook && fail_hook(fail_context, new_bytes))
        return NULL;
    void *resized = realloc(block, new_bytes);
    if (resized)
        atomic_fetch_add_explicit(&used, (uint64_t)new_bytes - (uint64_t)old_bytes, memory_order_relaxed);
    return resized;
}

void memory_free(void *block, size_t bytes)
{
    if (!block)
        return;
    free(block);
    atomic_fetch_sub_explicit(&used, bytes, memory_order_relaxed);
}

void *memory_must(size_t bytes)
{
    void *block = calloc(1, bytes);
    if (!block) {
        fprintf(stderr, "sluiced: out of memory (%zu bytes)\n", bytes);
        abort();
    }
    return block;
}
