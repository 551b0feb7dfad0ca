/*
 * Topics and filters: "filter NUL topic". Judging never reads too far; the tree of filters and the reference matcher agree;
 * a filter that covers another matches whatever that one matches.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "broker/router/topic_rules.h"
#include "broker/router/topic_tree.h"
#include "proto/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void found(struct topic_entry *entry, void *context)
{
    (void)entry;
    *(unsigned *)context += 1;
}

static void check_match(struct span filter, struct span topic)
{
    struct topic_tree *tree = topic_tree_new();
    struct topic_entry entry = {0}, all = {0};
    unsigned visits = 0;
    assert(tree && topic_tree_add(tree, filter, &entry) == ERR_NONE);
    assert(span_eq(topic_entry_filter(&entry), filter));
    topic_tree_match(tree, topic, found, &visits);
    bool matches = filter_matches(filter, topic);
    assert(visits == matches);
    assert(topic_tree_add(tree, topic, &all) == ERR_NONE);
    visits = 0;
    topic_tree_match(tree, topic, found, &visits);
    assert(visits == 1u + matches);
    topic_tree_remove(tree, &entry);
    topic_tree_remove(tree, &all);
    assert(topic_tree_entries(tree) == 0);
    topic_tree_free(tree);
    if (matches)
        assert(filter_covers(filter, topic));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *nul = len ? memchr(data, 0, len) : NULL;
    size_t first = nul ? (size_t)(nul - data) : len;
    struct span filter = span_of(data, first);
    struct span topic = nul ? span_of(nul + 1, len - first - 1) : span_of(data, 0);
    bool valid_filter = filter_check(filter, TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX) == ERR_NONE;
    bool valid_topic = topic_check(topic, TOPIC_BYTES_MAX) == ERR_NONE;
    if (valid_topic)
        assert(filter_check(topic, TOPIC_BYTES_MAX, TOPIC_BYTES_MAX) == ERR_NONE || filter_is_shared(topic));
    if (!valid_filter || !valid_topic || filter_is_shared(filter) || filter_is_shared(topic))
        return 0;
    check_match(filter, topic);
    assert(filter_covers(span_str("#"), filter) || filter.data[0] == '$');
    return 0;
}
