/*
 * What the operator lays down for some topics: an ordered list of rules, the first that fits wins and no other is
 * looked at. Filled by config before the shards start, read-only afterwards; any thread.
 *
 *   topics:
 *     - {filter: "feed/#", policy: conflate, queue: 100, max_payload: 4KiB}
 *     - {filter: "jobs/+", block: true}
 *
 * A publish is judged by topic_rules_find(), a subscription by topic_rules_find_filter(). They differ on purpose: what a
 * rule grants to "jobs/+" must not reach a subscriber of "#", whose queue would then hold back the publishers of
 * all topics.
 */
#ifndef SLUICE_BROKER_TOPIC_RULES_H
#define SLUICE_BROKER_TOPIC_RULES_H

#include <stdio.h>

#include "broker/option.h"
#include "proto/native_request.h"
#include "proto/span.h"

/* A publish walks the rules, so that there must not be too many. */
enum { TOPIC_RULES_MAX = 256 };

struct topic_rule {
    char *filter; /* owns */
    size_t filter_len;
    enum native_policy policy; /* of a subscription that names none; NATIVE_POLICY_DEFAULT: delivery.policy */
    bool block;                /* a subscription may ask for the policy block */
    uint64_t max_payload;      /* bytes; 0: limits.max_payload */
    bool unretained;           /* `retained: false`: publishes may not leave a value behind */
    uint64_t queue;            /* messages, of a subscription that names none; 0: delivery.queue */
};

struct topic_rules {
    struct topic_rule *rules; /* owns */
    size_t count;
};

void topic_rules_init(struct topic_rules *rules);
void topic_rules_fini(struct topic_rules *rules);

/* A config_rule_hook (broker/config.h); `rules` is the struct topic_rules to append to. Refuses what is surely a
 * mistake: a rule that an earlier one covers completely, `policy: block` without `block: true`. */
enum err topic_rules_add(void *rules, const struct config_rule_field *fields, size_t count,
                         struct config_error *error);

/* Whether messages of the largest payload that a rule allows can come in at all. ERR_NONE, or ERR_CONFIG with one line
 * in `text`. */
MUST_CHECK enum err topic_rules_validate(const struct topic_rules *rules, uint64_t max_frame, char *text,
                                         size_t size);

/* Prints the rules as the YAML that loads to them: config's print_rules. */
void topic_rules_print(void *rules, FILE *out);

/* The first rule whose filter matches the topic, or NULL. Borrowed. */
const struct topic_rule *topic_rules_find(const struct topic_rules *rules, struct span topic);

/* The first rule whose filter covers the whole subscription filter, or NULL. Of "$share/GROUP/FILTER" FILTER counts.
 * A rule further up that covers only a part of it does not apply. Borrowed. */
const struct topic_rule *topic_rules_find_filter(const struct topic_rules *rules, struct span filter);

/* Whether every topic that the valid filter `inner` matches is matched by the valid filter `outer` too; neither is
 * shared. Exact, `$`-topics included: "#" covers "+/a" but not "$SYS/a". O(bytes). */
bool filter_covers(struct span outer, struct span inner);

#endif
