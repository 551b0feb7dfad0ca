/*
 * How much is queued for a subscriber that does not keep up, and how what it can take is written. Filled by
 * config before the shards start, read-only afterwards; any thread.
 */
#ifndef SLUICE_BROKER_DELIVERY_SETTINGS_H
#define SLUICE_BROKER_DELIVERY_SETTINGS_H

#include "broker/option.h"

/* The order of delivery.policy's choices. `block` is missing on purpose: only a topic rule may make it a default.
 * (enum native_policy)(policy + 1) is the same policy as the wire knows it. */
enum delivery_policy { DELIVERY_DROP_OLDEST, DELIVERY_DROP_NEWEST, DELIVERY_CONFLATE, DELIVERY_DISCONNECT };

struct delivery_settings {
    uint64_t queue;         /* messages per subscription */
    uint64_t queue_bytes;   /* wire bytes per connection */
    int policy;             /* enum delivery_policy */
    uint64_t log_window;    /* bytes of the wire log that laggards may pin, per shard */
    uint64_t batch;         /* bytes per write */
    uint64_t block_timeout; /* ms */
    uint64_t notsent_lowat; /* bytes; 0: leave the socket alone */
    uint64_t mailbox;       /* bytes per pair of shards */
};

extern const struct option_table delivery_options;

#endif
