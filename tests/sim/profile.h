/*
 * What kind of run a seed makes: settings of the broker, topics and filters in use, how many clients do what for how
 * long. Drawn once, at the start of the run.
 */
#ifndef SLUICE_SIM_PROFILE_H
#define SLUICE_SIM_PROFILE_H

#include "broker/delivery/delivery_settings.h"
#include "broker/limits.h"
#include "broker/router/topic_rules.h"
#include "broker/session/session_settings.h"
#include "tests/sim/dice.h"

enum { TOPICS_MAX = 20, FILTERS_MAX = 40, RULES = 3, KEYS = 6 };

struct profile {
    struct delivery_settings delivery;
    struct session_settings session;
    struct limits_settings limits;
    struct topic_rule rule[RULES];
    struct topic_rules rules;
    const char *topic[TOPICS_MAX];
    const char *filter[FILTERS_MAX];
    unsigned topics, filters;
    bool match[FILTERS_MAX][TOPICS_MAX]; /* the reference matcher's answers */
    unsigned shards, clients, rounds;
    unsigned subs_most;  /* per client, at first */
    unsigned publishers; /* percent of clients */
    unsigned burst_most; /* publishes in one go */
    uint64_t payload_most;
    unsigned slow;         /* percent of clients that read slowly */
    unsigned leave;        /* in 10,000 turns: a client goes */
    unsigned garbage;      /* percent of clients that end in garbage */
    unsigned oom_one_in;   /* 0: allocations do not fail */
    uint64_t memory_limit; /* 0: none */
    bool keys, ttl, tags, hz, block, drain, simple_subs, mute;
    uint64_t tick_most_ms;
};

void profile_draw(struct profile *profile, struct random *dice);
/* Whether what was published is surely published, answered or not. */
bool profile_refuses(const struct profile *profile);

#endif
