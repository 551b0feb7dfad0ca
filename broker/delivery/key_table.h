/*
 * The newest queued value per topic and key (value_name.h), for conflation: an index into one queue's nodes, chained through key_next. Names are
 * read from the frames themselves, nothing is copied. Bounded by the queue it indexes. Shard thread.
 */
#ifndef SLUICE_BROKER_KEY_TABLE_H
#define SLUICE_BROKER_KEY_TABLE_H

#include "broker/delivery/queue.h"
#include "broker/delivery/value_name.h"

uint32_t key_table_hash(const struct subscription *sub, struct value_name name);
/* The subscription's node with this name that may still be replaced, or NULL. */
struct queued *key_table_find(const struct queue *queue, const struct subscription *sub,
                              struct value_name name, uint32_t hash);
/* Indexes a node by its hash. Without memory the node is simply not conflated. */
void key_table_insert(struct queue *queue, struct queued *node);
void key_table_remove(struct queue *queue, struct queued *node);
void key_table_free(struct queue *queue);

#endif
