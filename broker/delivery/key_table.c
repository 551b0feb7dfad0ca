#include "broker/delivery/key_table.h"

#include <assert.h>
#include <string.h>

#include "broker/memory.h"

enum { KEYS_AT_FIRST = 16 };

uint32_t key_table_hash(const struct subscription *sub, struct value_name name)
{
    return value_name_hash(name, (uint64_t)(uintptr_t)sub);
}

static struct value_name node_name(const struct queue *queue, const struct queued *node)
{
    struct frame_view view = queue->outbox->encoder->frame_view(run_bytes(&node->run));
    return value_name_of(&view);
}

struct queued *key_table_find(const struct queue *queue, const struct subscription *sub,
                              struct value_name name, uint32_t hash)
{
    if (!queue->keys)
        return NULL;
    for (struct queued *node = queue->keys[hash & queue->key_mask]; node; node = node->key_next)
        if (node->hash == hash && node->run.sub == sub && value_name_same(node_name(queue, node), name))
            return node;
    return NULL;
}

static bool grow(struct queue *queue)
{
    uint32_t size = queue->keys ? 2 * (queue->key_mask + 1) : KEYS_AT_FIRST;
    struct queued **keys = memory_alloc(size * sizeof *keys, 0);
    if (!keys)
        return false;
    memset(keys, 0, size * sizeof *keys);
    for (struct queued *node = queue->first; node; node = node->next)
        if (node->flags & QUEUED_KEYED) {
            node->key_next = keys[node->hash & (size - 1)];
            keys[node->hash & (size - 1)] = node;
        }
    key_table_free(queue);
    queue->keys = keys;
    queue->key_mask = size - 1;
    return true;
}

void key_table_insert(struct queue *queue, struct queued *node)
{
    if (!queue->keys || queue->key_count > queue->key_mask)
        if (!grow(queue) && !queue->keys)
            return;
    struct queued **slot = &queue->keys[node->hash & queue->key_mask];
    node->key_next = *slot;
    *slot = node;
    node->flags |= QUEUED_KEYED;
    queue->key_count++;
}

void key_table_remove(struct queue *queue, struct queued *node)
{
    struct queued **at = &queue->keys[node->hash & queue->key_mask];
    while (*at != node) {
        assert(*at);
        at = &(*at)->key_next;
    }
    *at = node->key_next;
    node->flags &= ~(uint32_t)QUEUED_KEYED;
    queue->key_count--;
}

void key_table_free(struct queue *queue)
{
    if (queue->keys)
        memory_free(queue->keys, (queue->key_mask + 1) * sizeof *queue->keys);
    queue->keys = NULL;
}
