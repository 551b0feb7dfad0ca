/*
 * Which values take each other's place where a subscription conflates or is limited in its rate: those of one topic, and
 * where messages carry a key, those of one topic and key. A wildcard subscriber keeps one value per topic even if the same
 * keys are used on all of them. Pure.
 */
#ifndef SLUICE_BROKER_VALUE_NAME_H
#define SLUICE_BROKER_VALUE_NAME_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "broker/delivery/encoder.h"

struct value_name {
    struct span topic;
    struct span key; /* .data NULL: none, which differs from an empty one */
};

static inline struct value_name value_name_of(const struct frame_view *view)
{
    return (struct value_name){view->topic, view->key};
}

static inline uint32_t value_name_hash(struct value_name name, uint64_t seed)
{
    uint64_t hash = XXH3_64bits_withSeed(name.topic.data, name.topic.len, seed);
    return (uint32_t)(name.key.data ? XXH3_64bits_withSeed(name.key.data, name.key.len, hash) : hash);
}

static inline bool value_name_same(struct value_name a, struct value_name b)
{
    return (a.key.data != NULL) == (b.key.data != NULL) && span_eq(a.key, b.key) && span_eq(a.topic, b.topic);
}

#endif
