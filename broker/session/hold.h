/*
 * A publish that has been routed but not yet answered, because somebody must catch up first: a `block` subscriber at its
 * bound on this shard or another, or a mailbox at its bound. Its session reads on when the hold is over. It outlives the
 * session while other shards may still name it by its token. Shard thread.
 */
#ifndef SLUICE_BROKER_HOLD_H
#define SLUICE_BROKER_HOLD_H

#include "broker/delivery/blocking.h"
#include "proto/span.h"

struct session;
struct sessions;

/* Somebody who waits for a `block` subscription of this shard: a publish of a session here, or one of another shard. */
struct waiting {
    struct waiter waiter; /* first */
    bool remote;
};

struct hold {
    struct waiting local;     /* first; for a subscriber of this shard */
    struct hold *next, *prev; /* all of the shard */
    struct hold *ready_next;  /* list of those that are over */
    struct sessions *env;     /* borrows */
    struct session *session;  /* borrows; NULL: gone */
    unsigned verdicts;        /* other shards still to be heard */
    bool congested;           /* waits for mailboxes */
    bool ready;               /* in the list */
    uint32_t topic_len, oks_len, ok_count;
    uint8_t bytes[]; /* the topic, then the OKs that are withheld */
};

struct holds {
    struct hold *first;
    struct hold *ready;
};

/* Opens a hold for the session; NULL when out of memory. The caller sets what it waits for. */
struct hold *hold_open(struct session *session, struct span topic, struct span oks, uint32_t ok_count);
/* Puts it on the list of those that are over if it waits for nothing more. */
void hold_check(struct hold *hold);
/* The name that other shards give back; 0 is nobody's. */
static inline uint64_t hold_token(const struct hold *hold)
{
    return (uint64_t)(uintptr_t)hold;
}
/* Another shard's verdict: its subscribers have room. */
void hold_verdict(uint64_t token);
/* All mailboxes have room. */
void holds_uncongested(struct holds *holds);
/* The session leaves: answers what was withheld, and forgets it. */
void hold_give_up(struct hold *hold);
/* The session is gone: no answer. */
void hold_abandon(struct hold *hold);
/* Ends the holds that are over; their sessions go on. Returns whether there was one. */
bool holds_go_on(struct holds *holds);
/* Shutdown: frees those that still wait for a verdict. */
void holds_fini(struct holds *holds);

#endif
