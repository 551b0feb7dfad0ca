/*
 * The subscription index of one shard: filters to opaque handles. It knows neither sessions nor sockets nor
 * shards; whoever registers an entry gives its handle a meaning. One thread: the shard's.
 *
 *   literal filters ──► hash: topic ──► node ── entries[]        "room/1"
 *   wildcard filters ─► trie by level:  '+' and '#' children     "room/+/typing", "room/#"
 *
 * An entry is embedded in its owner (a subscription, the interest of another shard) and remembers its place in
 * the node's array, so that leaving a topic with 10,000 subscribers costs the same as leaving an empty one.
 */
#ifndef SLUICE_BROKER_TOPIC_TREE_H
#define SLUICE_BROKER_TOPIC_TREE_H

#include "proto/err.h"
#include "proto/span.h"

struct topic_node;

/* Embedded in the registered object; the tree writes it, the owner keeps it at a fixed address while added. */
struct topic_entry {
    struct topic_node *node; /* borrows; NULL while not in a tree */
    uint32_t index;          /* its place in node's entries */
};

struct topic_tree;

/* NULL when out of memory. */
struct topic_tree *topic_tree_new(void);
/* Entries still registered are forgotten, not touched. */
void topic_tree_free(struct topic_tree *tree);

/* Registers the entry under a valid filter (topic.h; not $share). ERR_NO_MEMORY leaves the tree as it was. */
MUST_CHECK enum err topic_tree_add(struct topic_tree *tree, struct span filter, struct topic_entry *entry);
/* Removes the entry; nodes left empty go with it. Nothing happens when it is in no tree. */
void topic_tree_remove(struct topic_tree *tree, struct topic_entry *entry);

/* The filter that this entry is registered under. Borrowed: until the entry is removed. */
struct span topic_entry_filter(const struct topic_entry *entry);

/* Calls visit for each entry whose filter matches the valid topic, in no particular order. The tree must not be
 * changed meanwhile. Cost: O(levels + matches) for literals, plus the wildcard branches that fit. */
typedef void topic_tree_visit(struct topic_entry *entry, void *context);
void topic_tree_match(const struct topic_tree *tree, struct span topic, topic_tree_visit *visit,
                      void *context);

/* Registered entries, and bytes allocated. */
size_t topic_tree_entries(const struct topic_tree *tree);
size_t topic_tree_bytes(const struct topic_tree *tree);

#endif
