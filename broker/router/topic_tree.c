/*
 * Every filter, literal or not, has one node, found by its text in a hash. A topic's literal subscribers are one look
 * into that hash: the text of a wildcard filter is never a topic. Only wildcard filters are in the trie as well:
 *
 *   root ── "room" ─┬─ rest: node "room/#"
 *                   └─ plus ── "typing" ── here: node "room/+/typing"
 *
 * A branch finds its child by name in a second hash, keyed by branch and name, so that a branch with one child and one
 * with a million are the same small struct. Both hashes are seeded with the tree's address: who chooses topics cannot
 * choose collisions.
 */
#include "broker/router/topic_tree.h"

#include <assert.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "broker/memory.h"
#include "proto/topic.h"

enum { BUCKETS_AT_LEAST = 16, ENTRIES_AT_FIRST = 4 };

/* What both hashes chain; first in the struct. */
struct link {
    struct link *chain;
    uint32_t hash;
    uint32_t len; /* of the text that ends the struct */
};

struct table {
    struct link **buckets; /* owns */
    size_t mask, count;
};

/* A filter with entries. */
struct topic_node {
    struct link link;
    uint32_t count, cap; /* cap 1: no array */
    union {
        struct topic_entry *one;   /* borrows */
        struct topic_entry **many; /* owns; borrows each */
    } entries;
    char text[];
};

/* A level of some wildcard filter. */
struct branch {
    struct link link;
    struct branch *parent;   /* NULL: the root */
    struct branch *plus;     /* the child '+', also in the hash */
    struct topic_node *here; /* borrows: the filter that ends with this level */
    struct topic_node *rest; /* borrows: the filter that goes on with '#' and ends */
    uint32_t named;          /* the other children, in the hash only */
    char text[];             /* of the level; not of what leads there */
};

struct topic_tree {
    struct table nodes;
    struct table branches;
    struct branch *root;
    size_t entries, bytes;
};

/* ---- memory, counted ------------------------------------------------------------------------------------ */

static void *take(struct topic_tree *tree, size_t bytes)
{
    void *block = memory_alloc(bytes, 0);
    if (!block)
        return NULL;
    tree->bytes += bytes;
    return memset(block, 0, bytes);
}

static void give_back(struct topic_tree *tree, void *block, size_t bytes)
{
    tree->bytes -= bytes;
    memory_free(block, bytes);
}

/* ---- the two hashes ------------------------------------------------------------------------------------- */

static uint32_t hash_of(const struct topic_tree *tree, const struct branch *parent, struct span text)
{
    return (uint32_t)XXH3_64bits_withSeed(text.data, text.len, (uintptr_t)tree ^ ((uintptr_t)parent << 16));
}

/* False when out of memory; the table stays as it was, which is slower at worst. */
static bool table_resize(struct topic_tree *tree, struct table *table, size_t size)
{
    struct link **buckets = take(tree, size * sizeof *buckets);
    if (!buckets)
        return false;
    for (size_t i = 0; table->buckets && i <= table->mask; i++) {
        for (struct link *link = table->buckets[i], *next; link; link = next) {
            next = link->chain;
            link->chain = buckets[link->hash & (size - 1)];
            buckets[link->hash & (size - 1)] = link;
        }
    }
    if (table->buckets)
        give_back(tree, table->buckets, (table->mask + 1) * sizeof *buckets);
    table->buckets = buckets;
    table->mask = size - 1;
    return true;
}

static void table_add(struct topic_tree *tree, struct table *table, struct link *link)
{
    if (table->count > table->mask)
        (void)table_resize(tree, table, 2 * (table->mask + 1));
    link->chain = table->buckets[link->hash & table->mask];
    table->buckets[link->hash & table->mask] = link;
    table->count++;
}

static void table_remove(struct topic_tree *tree, struct table *table, struct link *link)
{
    struct link **at = &table->buckets[link->hash & table->mask];
    while (*at != link)
        at = &(*at)->chain;
    *at = link->chain;
    table->count--;
    size_t size = table->mask + 1;
    if (size > BUCKETS_AT_LEAST && table->count < size / 8)
        (void)table_resize(tree, table, size / 2);
}

/* ---- nodes ---------------------------------------------------------------------------------------------- */

static struct topic_node *node_of(struct link *link)
{
    return (struct topic_node *)(void *)link;
}

static struct topic_node *node_find(const struct topic_tree *tree, struct span text)
{
    uint32_t hash = hash_of(tree, NULL, text);
    struct link *link = tree->nodes.buckets[hash & tree->nodes.mask];
    while (link && !(link->hash == hash && span_eq(span_of(node_of(link)->text, link->len), text)))
        link = link->chain;
    return link ? node_of(link) : NULL;
}

static struct topic_node *node_new(struct topic_tree *tree, struct span text)
{
    struct topic_node *node = take(tree, sizeof *node + text.len);
    if (!node)
        return NULL;
    node->link = (struct link){.hash = hash_of(tree, NULL, text), .len = (uint32_t)text.len};
    node->cap = 1;
    memcpy(node->text, text.data, text.len);
    table_add(tree, &tree->nodes, &node->link);
    return node;
}

static void node_release(struct topic_tree *tree, struct link *link)
{
    struct topic_node *node = node_of(link);
    if (node->cap > 1)
        give_back(tree, node->entries.many, node->cap * sizeof *node->entries.many);
    give_back(tree, node, sizeof *node + link->len);
}

static void node_free(struct topic_tree *tree, struct topic_node *node)
{
    table_remove(tree, &tree->nodes, &node->link);
    node_release(tree, &node->link);
}

static struct topic_entry **node_entries(struct topic_node *node)
{
    return node->cap == 1 ? &node->entries.one : node->entries.many;
}

/* To or from the place inside the node, or from one array to another. */
static bool node_resize(struct topic_tree *tree, struct topic_node *node, uint32_t cap)
{
    struct topic_entry **old = node->cap > 1 ? node->entries.many : NULL;
    struct topic_entry **entries = cap > 1 ? take(tree, cap * sizeof *entries) : &node->entries.one;
    if (!entries)
        return false;
    memcpy(entries, node_entries(node), node->count * sizeof *entries);
    if (cap > 1)
        node->entries.many = entries;
    if (old)
        give_back(tree, old, node->cap * sizeof *old);
    node->cap = cap;
    return true;
}

static bool node_push(struct topic_tree *tree, struct topic_node *node, struct topic_entry *entry)
{
    if (node->count == node->cap &&
        !node_resize(tree, node, node->cap == 1 ? ENTRIES_AT_FIRST : 2 * node->cap))
        return false;
    *entry = (struct topic_entry){.node = node, .index = node->count};
    node_entries(node)[node->count++] = entry;
    tree->entries++;
    return true;
}

static void node_take_out(struct topic_tree *tree, struct topic_node *node, struct topic_entry *entry)
{
    struct topic_entry **entries = node_entries(node);
    struct topic_entry *last = entries[--node->count];
    entries[entry->index] = last;
    last->index = entry->index;
    *entry = (struct topic_entry){0};
    tree->entries--;
    /* Failing to shrink does no harm. */
    if (node->count == 1 && node->cap > 1)
        (void)node_resize(tree, node, 1);
    else if (node->count > 0 && node->count <= node->cap / 4)
        (void)node_resize(tree, node, node->cap / 2);
}

/* ---- branches ------------------------------------------------------------------------------------------- */

static struct branch *branch_of(struct link *link)
{
    return (struct branch *)(void *)link;
}

static struct span level_at(struct span text, size_t at)
{
    const uint8_t *slash = at < text.len ? memchr(text.data + at, '/', text.len - at) : NULL;
    return span_of(text.data + at, slash ? (size_t)(slash - text.data) - at : text.len - at);
}

static bool level_is(struct span level, char wildcard)
{
    return level.len == 1 && level.data[0] == wildcard;
}

static struct branch *named_child(const struct topic_tree *tree, const struct branch *branch,
                                  struct span name)
{
    if (branch->named == 0)
        return NULL;
    uint32_t hash = hash_of(tree, branch, name);
    struct link *link = tree->branches.buckets[hash & tree->branches.mask];
    while (link && !(link->hash == hash && branch_of(link)->parent == branch &&
                     span_eq(span_of(branch_of(link)->text, link->len), name)))
        link = link->chain;
    return link ? branch_of(link) : NULL;
}

static struct branch *child_find(const struct topic_tree *tree, const struct branch *branch,
                                 struct span level)
{
    return level_is(level, '+') ? branch->plus : named_child(tree, branch, level);
}

static struct branch *child_new(struct topic_tree *tree, struct branch *branch, struct span level)
{
    struct branch *child = take(tree, sizeof *child + level.len);
    if (!child)
        return NULL;
    child->link = (struct link){.hash = hash_of(tree, branch, level), .len = (uint32_t)level.len};
    child->parent = branch;
    memcpy(child->text, level.data, level.len);
    table_add(tree, &tree->branches, &child->link);
    if (level_is(level, '+'))
        branch->plus = child;
    else
        branch->named++;
    return child;
}

/* Takes away the branch, and those above it, as far as nothing needs them. */
static void prune(struct topic_tree *tree, struct branch *branch)
{
    while (branch->parent && !branch->here && !branch->rest && !branch->plus && branch->named == 0) {
        struct branch *parent = branch->parent;
        if (parent->plus == branch)
            parent->plus = NULL;
        else
            parent->named--;
        table_remove(tree, &tree->branches, &branch->link);
        give_back(tree, branch, sizeof *branch + branch->link.len);
        branch = parent;
    }
}

/* The branch that a wildcard filter ends at: that of its last level, or the one before '#'. Missing ones are made. */
static struct branch *branch_reach(struct topic_tree *tree, struct span filter, bool *rest)
{
    struct branch *branch = tree->root;
    *rest = false;
    for (size_t at = 0; at <= filter.len;) {
        struct span level = level_at(filter, at);
        if (level_is(level, '#')) {
            *rest = true;
            break;
        }
        struct branch *child = child_find(tree, branch, level);
        if (!child && !(child = child_new(tree, branch, level))) {
            prune(tree, branch);
            return NULL;
        }
        branch = child;
        at += level.len + 1;
    }
    return branch;
}

/* Puts a node into its place in the trie, or with NULL clears the place. */
static bool trie_set(struct topic_tree *tree, struct span filter, struct topic_node *node)
{
    bool rest;
    struct branch *branch = branch_reach(tree, filter, &rest);
    if (!branch)
        return false;
    *(rest ? &branch->rest : &branch->here) = node;
    prune(tree, branch);
    return true;
}

/* ---- the tree ------------------------------------------------------------------------------------------- */

struct topic_tree *topic_tree_new(void)
{
    struct topic_tree *tree = memory_alloc(sizeof *tree, 0);
    if (!tree)
        return NULL;
    *tree = (struct topic_tree){.bytes = sizeof *tree};
    tree->root = take(tree, sizeof *tree->root);
    if (tree->root && table_resize(tree, &tree->nodes, BUCKETS_AT_LEAST) &&
        table_resize(tree, &tree->branches, BUCKETS_AT_LEAST))
        return tree;
    topic_tree_free(tree);
    return NULL;
}

static void branch_release(struct topic_tree *tree, struct link *link)
{
    give_back(tree, branch_of(link), sizeof(struct branch) + link->len);
}

static void table_free(struct topic_tree *tree, struct table *table,
                       void (*release)(struct topic_tree *tree, struct link *link))
{
    if (!table->buckets)
        return;
    for (size_t i = 0; i <= table->mask; i++) {
        for (struct link *link = table->buckets[i], *next; link; link = next) {
            next = link->chain;
            release(tree, link);
        }
    }
    give_back(tree, table->buckets, (table->mask + 1) * sizeof(struct link *));
}

void topic_tree_free(struct topic_tree *tree)
{
    if (!tree)
        return;
    table_free(tree, &tree->nodes, node_release);
    table_free(tree, &tree->branches, branch_release);
    if (tree->root)
        give_back(tree, tree->root, sizeof *tree->root);
    assert(tree->bytes == sizeof *tree);
    memory_free(tree, sizeof *tree);
}

/* Makes the filter known: a node, and a place in the trie if it is a wildcard. */
static struct topic_node *filter_enter(struct topic_tree *tree, struct span filter)
{
    struct topic_node *node = node_new(tree, filter);
    if (node && filter_is_wildcard(filter) && !trie_set(tree, filter, node)) {
        node_free(tree, node);
        return NULL;
    }
    return node;
}

enum err topic_tree_add(struct topic_tree *tree, struct span filter, struct topic_entry *entry)
{
    assert(!entry->node);
    struct topic_node *node = node_find(tree, filter);
    if (!node)
        node = filter_enter(tree, filter);
    return node && node_push(tree, node, entry) ? ERR_NONE : ERR_NO_MEMORY;
}

void topic_tree_remove(struct topic_tree *tree, struct topic_entry *entry)
{
    struct topic_node *node = entry->node;
    if (!node)
        return;
    node_take_out(tree, node, entry);
    if (node->count > 0)
        return;
    struct span filter = span_of(node->text, node->link.len);
    if (filter_is_wildcard(filter)) {
        bool found = trie_set(tree, filter, NULL);
        assert(found);
        (void)found;
    }
    node_free(tree, node);
}

struct span topic_entry_filter(const struct topic_entry *entry)
{
    return span_of(entry->node->text, entry->node->link.len);
}

size_t topic_tree_entries(const struct topic_tree *tree)
{
    return tree->entries;
}

size_t topic_tree_bytes(const struct topic_tree *tree)
{
    return tree->bytes;
}

/* ---- matching ------------------------------------------------------------------------------------------- */

struct walk {
    const struct topic_tree *tree;
    struct span topic;
    topic_tree_visit *visit;
    void *context;
};

static void visit_node(const struct walk *walk, struct topic_node *node)
{
    if (!node)
        return;
    struct topic_entry **entries = node_entries(node);
    for (uint32_t i = 0; i < node->count; i++)
        walk->visit(entries[i], walk->context);
}

/* What is below a branch that the topic has led to; `at` is where its next level begins, behind the end when there is
 * none. As deep as the filters that are registered have '+' levels, however many levels the topic has. */
static void walk_below(const struct walk *walk, const struct branch *branch, size_t at)
{
    while (branch) {
        visit_node(walk, branch->rest);
        if (at > walk->topic.len) {
            visit_node(walk, branch->here);
            return;
        }
        struct span level = level_at(walk->topic, at);
        at += level.len + 1;
        if (branch->plus)
            walk_below(walk, branch->plus, at);
        branch = named_child(walk->tree, branch, level);
    }
}

void topic_tree_match(const struct topic_tree *tree, struct span topic, topic_tree_visit *visit,
                      void *context)
{
    struct walk walk = {.tree = tree, .topic = topic, .visit = visit, .context = context};
    visit_node(&walk, node_find(tree, topic));
    if (topic.data[0] != '$') {
        walk_below(&walk, tree->root, 0);
        return;
    }
    /* A leading wildcard does not match these. */
    struct span level = level_at(topic, 0);
    walk_below(&walk, named_child(tree, tree->root, level), level.len + 1);
}
