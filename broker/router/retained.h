/*
 * The last value of each topic that has one: what a publish with `retain` leaves behind, for those who subscribe later.
 * Every shard holds the whole table; the bodies (finished MSG frames, marked as retained) are shared. A retained publish
 * goes to all shards in the mail that delivers it live, with an entry made by the publisher's shard for each of them, so
 * that no receiver can be short of memory for it.
 *
 *   publisher's shard: prepare ──► own entry: apply, then live to local subscribers
 *                             └──► mail {run, entry} ──► other shard: apply, then live to its subscribers
 *
 * Two shards may publish to one topic at the same time: each entry carries a stamp (a Lamport clock, ties by shard), the
 * higher one stays, everywhere the same. What was cleared leaves a tombstone for RETAINED_TOMBSTONE_MS, so that an older
 * value still under way does not come back.
 *
 * Bounds: limits.retained_messages, and limits.retained_bytes or half of limits.memory, judged on the publisher's shard: a
 * publish over them is refused. At the bound of messages no tombstone is kept. Shard thread.
 */
#ifndef SLUICE_BROKER_RETAINED_H
#define SLUICE_BROKER_RETAINED_H

#include <bsd/sys/tree.h>

#include "broker/delivery/chunk.h"
#include "broker/delivery/run.h"
#include "broker/timer_wheel.h"
#include "proto/native_request.h"
#include "proto/span.h"
#include "proto/wire_buf.h"

enum { RETAINED_TOMBSTONE_MS = 60 * 1000 };

struct retained_table;

/* One topic's value, or the tombstone of one. */
struct retained {
    RB_ENTRY(retained) link;
    struct retained *next;        /* the list that retained_prepare() returns */
    struct retained_table *table; /* borrows; NULL until applied */
    struct timer timer;           /* when it goes */
    struct chunk *chunk;          /* owns one reference; NULL: cleared */
    uint64_t stamp;
    uint64_t arrival;    /* the table's, when it was applied: unique in it */
    uint64_t expires_ms; /* Unix milliseconds; 0: never */
    uint32_t len;        /* bytes of the MSG, the only one of the chunk */
    struct span topic;   /* `name` */
    uint8_t name[];
};

struct retained_config {
    struct chunk_pool *pool; /* borrows, all of them */
    struct timer_wheel *wheel;
    const uint64_t *now_ms, *unix_ms;
    unsigned shard, shards;
    uint64_t messages_max, bytes_max;
};

struct retained_table {
    struct retained_config config;
    RB_HEAD(retained_tree, retained) tree; /* by the bytes of the topic */
    uint64_t clock;                        /* Lamport time of the newest stamp seen */
    uint64_t arrival;                      /* number of the latest entry applied */
    uint64_t entries;                      /* values and tombstones */
    uint64_t values;
    uint64_t bytes;          /* that the values cost the broker, bookkeeping of all shards included */
    struct wire_buf scratch; /* owns: where a body is encoded */
};

void retained_init(struct retained_table *table, const struct retained_config *config);
void retained_fini(struct retained_table *table);

/* Makes what the publish leaves behind, one entry for each shard, this one's first. ERR_LIMIT with *text at a bound,
 * ERR_NO_MEMORY. Nothing has changed until they are applied. */
MUST_CHECK enum err retained_prepare(struct retained_table *table, const struct native_pub *pub,
                                     struct retained **entries, const char **text);
/* The entry takes its place, or goes if a newer one has it. An entry from another shard brings a chunk_send() reference,
 * turned into a local one with chunk_arrive() before. */
void retained_apply(struct retained_table *table, struct retained *entry);
/* Entries that are not applied after all: those of retained_prepare(), or (`sent`) one whose mail is never received. */
void retained_discard(struct chunk_pool *pool, struct retained *entries, bool sent);

/* The value of a topic, or NULL. */
struct retained *retained_find(struct retained_table *table, struct span topic);
/* The next value or tombstone behind the topic `after` (.data NULL: from the start) that the valid filter could match, in
 * the order of bytes; NULL at the end. The caller sees whether it does match. O(log n). */
struct retained *retained_next(struct retained_table *table, struct span filter, struct span after);

static inline struct run retained_run(const struct retained *value)
{
    return (struct run){.chunk = value->chunk, .len = value->len, .count = 1, .meta = true};
}

#endif
