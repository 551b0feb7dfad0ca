#include "proto/native_subscribe.h"

#include <assert.h>

enum { QUEUE_MAX = 1000000 };

#define MAX_HZ_LEAST 0.001
#define MAX_HZ_MOST  1000.0

static const char *const policy_names[] = {
    [NATIVE_POLICY_DROP_OLDEST] = "drop_oldest",
    [NATIVE_POLICY_DROP_NEWEST] = "drop_newest",
    [NATIVE_POLICY_CONFLATE] = "conflate",
    [NATIVE_POLICY_DISCONNECT] = "disconnect",
    [NATIVE_POLICY_BLOCK] = "block",
};

enum { POLICIES = sizeof policy_names / sizeof policy_names[0] };

const char *native_policy_name(enum native_policy policy)
{
    assert((unsigned)policy < POLICIES);
    return policy_names[policy];
}

bool native_policy_parse(struct span name, enum native_policy *out)
{
    for (size_t i = NATIVE_POLICY_DROP_OLDEST; i < POLICIES; i++) {
        if (span_eq(name, span_str(policy_names[i]))) {
            *out = (enum native_policy)i;
            return true;
        }
    }
    return false;
}

static const char *const option_names[SUBSCRIBE_OPTIONS] = {
    "policy", "queue",  "max_hz",      "tag",       "retained",    "since",
    "ack",    "cursor", "ack_wait_ms", "in_flight", "max_deliver", "presence"};

struct option_names subscribe_option_names(void)
{
    return (struct option_names){option_names, SUBSCRIBE_OPTIONS};
}

enum err subscribe_options_read(const struct span *values, struct native_sub *out)
{
    struct span policy = {0};
    enum err e;
    if ((e = option_str(values[SUBSCRIBE_POLICY], SIZE_MAX, &policy)) ||
        (e = option_uint32(values[SUBSCRIBE_QUEUE], 1, QUEUE_MAX, &out->queue)) ||
        (e = option_number(values[SUBSCRIBE_MAX_HZ], MAX_HZ_LEAST, MAX_HZ_MOST, &out->max_hz)) ||
        (e = option_uint32(values[SUBSCRIBE_TAG], 0, UINT32_MAX, &out->tag)))
        return e;
    if (policy.data && !native_policy_parse(policy, &out->policy))
        return ERR_BAD_OPTION;
    out->has_tag = values[SUBSCRIBE_TAG].data != NULL;
    return ERR_NONE;
}

size_t subscribe_options_count(const struct native_sub *sub)
{
    return (size_t)((sub->policy != NATIVE_POLICY_DEFAULT) + (sub->queue > 0) + (sub->max_hz > 0) +
                    sub->has_tag + sub->retained);
}

void subscribe_options_pack(struct native_pack *p, const struct native_sub *sub)
{
    pack_map(p, subscribe_options_count(sub));
    if (sub->policy != NATIVE_POLICY_DEFAULT) {
        pack_key(p, option_names[SUBSCRIBE_POLICY]);
        pack_key(p, native_policy_name(sub->policy));
    }
    if (sub->queue > 0) {
        pack_key(p, option_names[SUBSCRIBE_QUEUE]);
        pack_uint(p, sub->queue);
    }
    if (sub->max_hz > 0) {
        pack_key(p, option_names[SUBSCRIBE_MAX_HZ]);
        pack_number(p, sub->max_hz);
    }
    if (sub->has_tag) {
        pack_key(p, option_names[SUBSCRIBE_TAG]);
        pack_uint(p, sub->tag);
    }
    if (sub->retained) {
        pack_key(p, option_names[SUBSCRIBE_RETAINED]);
        pack_true(p);
    }
}
