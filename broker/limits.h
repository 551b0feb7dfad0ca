/*
 * What one peer, or all of them together, may ask of the broker. Each row says what happens at the bound: a client
 * is answered, held back or closed, and never anybody else. Filled by config before the shards start, read-only
 * afterwards; any thread.
 */
#ifndef SLUICE_BROKER_LIMITS_H
#define SLUICE_BROKER_LIMITS_H

#include "broker/option.h"

struct limits_settings {
    uint64_t max_payload;                  /* bytes of one published payload */
    uint64_t max_frame;                    /* bytes of one inbound frame, without its size */
    uint64_t max_frame_before_hello;       /* the same while the peer is a stranger */
    uint64_t max_topic;                    /* bytes of a topic or filter */
    uint64_t max_levels;                   /* levels of a filter */
    uint64_t subscriptions_per_connection; /* filters */
    uint64_t connections;                  /* in all */
    uint64_t connections_per_address;      /* 0: no limit */
    uint64_t publish_rate;                 /* messages per second and connection; 0: no limit */
    uint64_t publish_burst;                /* messages; 0: what publish_rate allows in a second */
    uint64_t inbound_per_connection;       /* bytes of unfinished frames */
    uint64_t inbound_total;                /* the same over all connections */
    uint64_t memory; /* bytes; 0: three quarters of limits_machine_memory(), machine.h */
    uint64_t retained_messages, retained_bytes;
    uint64_t control_backlog; /* bytes of answers that a client has not read */
};

extern const struct option_table limits_options;

/* What no single row can say: whether the limits fit each other. ERR_NONE, or ERR_CONFIG with one line in `text`. */
MUST_CHECK enum err limits_validate(const struct limits_settings *limits, char *text, size_t size);

#endif
