/*
 * The broker's memory, counted. Everything whose size a peer decides (log chunks, queues, unfinished input) is
 * allocated here and charged to one process-wide counter, each byte once however many subscribers share it.
 * Such allocations can fail and are answered; small fixed ones abort. Any thread.
 *
 * Policy at the bound (limits.memory): nothing is refused in mid-message; at the end of its turn a shard that sees
 * memory_over() closes its fattest outbox if that is the fattest of all shards, and new connections are refused.
 */
#ifndef SLUICE_BROKER_MEMORY_H
#define SLUICE_BROKER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bound in bytes; before the first shard starts. */
void memory_set_limit(uint64_t bytes);
uint64_t memory_used(void);
uint64_t memory_limit(void);
bool memory_over(void);

/* Uninitialised bytes, or NULL. `align` is a power of two (0: malloc's). */
void *memory_alloc(size_t bytes, size_t align);
/* As realloc; on NULL the old block is untouched. */
void *memory_resize(void *block, size_t old_bytes, size_t new_bytes);
void memory_free(void *block, size_t bytes);

/* Small fixed allocations of our own: zeroed, never NULL, uncounted. */
void *memory_must(size_t bytes);

/* Tests: the hook decides whether the next counted allocation fails. NULL: never. */
typedef bool memory_fail_hook(void *context, size_t bytes);
void memory_set_fail_hook(memory_fail_hook *hook, void *context);

#endif
