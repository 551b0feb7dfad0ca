#include "tests/sim/profile.h"

#include <string.h>

#include "proto/topic.h"

static const char *const topic_names[TOPICS_MAX] = {
    "a",       "a/b",       "a/c",      "a/b/c",    "b",        "b/c",    "block/1",
    "block/2", "block/2/x", "values/1", "values/2", "values/3", "$own/x", "c/d/e/f",
    "c/d",     "jobs/1",    "jobs/2",   "/",        "a//b",     "room/7"};

static const char *const filter_names[FILTERS_MAX] = {
    "#",        "a/#",     "a/+",     "+/b",       "+",         "+/+",      "a/+/c",    "values/#",
    "values/+", "block/#", "block/+", "block/+/x", "$own/#",    "jobs/+",   "c/#",      "+/c",
    "room/+",   "/+",      "a/b/#",   "+/d/#",     "a",         "a/b",      "a/c",      "a/b/c",
    "b",        "b/c",     "block/1", "block/2",   "block/2/x", "values/1", "values/2", "values/3",
    "$own/x",   "c/d/e/f", "c/d",     "jobs/1",    "jobs/2",    "/",        "a//b",     "room/7"};

static void draw_names(struct profile *p, struct random *dice)
{
    bool few = dice_percent(dice, 40);
    p->topics = few ? (unsigned)dice_between(dice, 1, 4) : TOPICS_MAX;
    unsigned first = (unsigned)random_below(dice, TOPICS_MAX - p->topics + 1);
    for (unsigned i = 0; i < p->topics; i++)
        p->topic[i] = topic_names[first + i];
    p->filters = 0;
    for (unsigned i = 0; i < FILTERS_MAX; i++) {
        const char *name = filter_names[i];
        bool any = !few;
        for (unsigned t = 0; t < p->topics; t++)
            any |= filter_matches(span_str(name), span_str(p->topic[t]));
        if (any)
            p->filter[p->filters++] = name;
    }
    for (unsigned f = 0; f < p->filters; f++)
        for (unsigned t = 0; t < p->topics; t++)
            p->match[f][t] = filter_matches(span_str(p->filter[f]), span_str(p->topic[t]));
}

static void draw_settings(struct profile *p, struct random *dice)
{
    p->delivery =
        (struct delivery_settings){.queue = DICE_PICK(dice, 1, 4, 16, 64, 1024),
                                   .queue_bytes = DICE_PICK(dice, 1024, 4096, 16384, 65536, 4 << 20),
                                   .policy = (int)random_below(dice, 4),
                                   .log_window = DICE_PICK(dice, 0, 65536, 512 << 10, 4 << 20),
                                   .batch = DICE_PICK(dice, 64, 1024, 4096, 65536),
                                   .block_timeout = DICE_PICK(dice, 100, 1000, 10000, 1000000),
                                   .mailbox = DICE_PICK(dice, 8192, 16384, 65536, 8 << 20)};
    p->session = (struct session_settings){.hello_timeout = 2000,
                                           .keepalive = p->mute ? 500 : 0,
                                           .keepalive_max = 3600000,
                                           .idle_timeout = 0,
                                           .drain_window = DICE_PICK(dice, 0, 500, 5000),
                                           .close_timeout = DICE_PICK(dice, 50, 1000, 5000)};
    p->limits = (struct limits_settings){.max_payload = 1 << 20,
                                         .max_frame = (1 << 20) + 4096,
                                         .max_frame_before_hello = 8192,
                                         .max_topic = 1024,
                                         .max_levels = 32,
                                         .subscriptions_per_connection = dice_percent(dice, 10) ? 3 : 10000,
                                         .connections = 100000,
                                         .publish_rate = dice_percent(dice, 7) ? 50 : 0,
                                         .inbound_per_connection = 2 << 20,
                                         .inbound_total = 64 << 20,
                                         .control_backlog = DICE_PICK(dice, 64, 4096, 256 << 10)};
}

static void draw_rules(struct profile *p)
{
    p->rule[0] = (struct topic_rule){.filter = "block/#", .block = true};
    p->rule[1] =
        (struct topic_rule){.filter = "jobs/+", .block = true, .policy = NATIVE_POLICY_BLOCK, .queue = 5};
    p->rule[2] = (struct topic_rule){.filter = "values/#", .policy = NATIVE_POLICY_CONFLATE, .queue = 8};
    for (int i = 0; i < RULES; i++)
        p->rule[i].filter_len = strlen(p->rule[i].filter);
    if (!p->block)
        p->rule[0].block = p->rule[1].block = false;
    if (!p->block)
        p->rule[1].policy = NATIVE_POLICY_DROP_NEWEST;
    p->rules = (struct topic_rules){.rules = p->rule, .count = RULES};
}

static void draw_crowd(struct profile *p, struct random *dice)
{
    p->clients = (unsigned)(dice_percent(dice, 4)    ? dice_between(dice, 60, 250)
                            : dice_percent(dice, 40) ? dice_between(dice, 2, 6)
                                                     : dice_between(dice, 6, 40));
    p->rounds = (unsigned)dice_between(dice, 10, p->clients > 60 ? 25 : 90);
    p->subs_most = (unsigned)DICE_PICK(dice, 1, 1, 2, 6);
    p->publishers = (unsigned)DICE_PICK(dice, 20, 50, 100);
    p->burst_most = (unsigned)DICE_PICK(dice, 1, 4, 20, 60);
    p->payload_most = DICE_PICK(dice, 20, 100, 1000, 1000, 9000);
    p->slow = (unsigned)DICE_PICK(dice, 0, 30, 60, 100);
    p->leave = (unsigned)DICE_PICK(dice, 0, 0, 30, 200);
    p->garbage = (unsigned)DICE_PICK(dice, 0, 0, 10);
    p->simple_subs = dice_percent(dice, 50);
    p->tick_most_ms = DICE_PICK(dice, 0, 2, 20, 200);
}

void profile_draw(struct profile *p, struct random *dice)
{
    *p = (struct profile){.shards = dice_percent(dice, 55) ? 1 : (unsigned)dice_between(dice, 2, 4),
                          .keys = dice_percent(dice, 50),
                          .ttl = dice_percent(dice, 30),
                          .tags = dice_percent(dice, 50),
                          .hz = dice_percent(dice, 50),
                          .block = dice_percent(dice, 50),
                          .drain = dice_percent(dice, 20),
                          .mute = dice_percent(dice, 10),
                          .oom_one_in = dice_percent(dice, 12) ? (unsigned)DICE_PICK(dice, 50, 500, 5000) : 0,
                          .memory_limit =
                              dice_percent(dice, 8) ? DICE_PICK(dice, 700 << 10, 2 << 20, 3 << 20) : 0};
    draw_names(p, dice);
    draw_settings(p, dice);
    draw_rules(p);
    draw_crowd(p, dice);
}

bool profile_refuses(const struct profile *p)
{
    return p->oom_one_in || p->limits.publish_rate;
}
