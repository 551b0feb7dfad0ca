/*
 * One shard: everything between transports and mailboxes, without a socket, a thread or a clock of its own. The broker
 * gives it a loop (shard_loop.h), the simulation drives it by hand. All calls on the shard's own thread.
 *
 *   transports ─► sessions ─► router ─► delivery ─► transports
 *                                │  ▲
 *                                ▼  │ runs, verdicts, interest
 *                              mailbox ◄──► other shards
 *
 * A turn: set the clock, shard_receive(), any number of session_...() calls, timers, then shard_end_turn().
 */
#ifndef SLUICE_BROKER_SHARD_H
#define SLUICE_BROKER_SHARD_H

#include "broker/clock.h"
#include "broker/delivery/delivery.h"
#include "broker/mailbox.h"
#include "broker/random.h"
#include "broker/router/router.h"
#include "broker/session/sessions.h"
#include "broker/timer_wheel.h"

/* What all shards of a broker share; made before the first and outliving the last. */
struct shard_common {
    unsigned shards;
    struct sessions_config sessions;
    const struct delivery_settings *delivery; /* borrows */
    struct mailroom *mailroom;                /* borrows */
    _Atomic uint64_t *fattest;                /* borrows; one per shard */
};

struct shard_relay; /* runs that wait for room in another shard's mailbox */
struct remote_wait; /* another shard's publish that waits for a subscriber here */

struct shard {
    unsigned id;
    struct clock clock;
    struct random random;
    struct timer_wheel wheel;
    struct delivery delivery;
    struct router router;
    struct sessions sessions;
    struct mailbox *mailbox;         /* borrows: this shard's */
    struct shard_relay *relays;      /* owns; one per shard */
    unsigned congested;              /* relays that hold something */
    struct remote_wait *waiting;     /* all of them */
    struct remote_wait *resumed;     /* those to be looked at again */
    struct interest_mail *unplanted; /* other shards' announcements that memory was short for ... */
    struct timer replant;            /* ... and when they are tried again */
};

/* `seed` decides all that is random. ERR_NO_MEMORY. */
MUST_CHECK enum err shard_init(struct shard *shard, const struct shard_common *common, unsigned id,
                               uint64_t seed, uint64_t now_ms, uint64_t unix_ms);
/* A mail to this shard that is never worked off: releases what it holds. No shard runs any more. */
void shard_dispose(struct shard *shard, const struct mail *mail);
/* Ends what is left, without farewells. No shard runs any more, and all mail has been disposed of. */
void shard_fini(struct shard *shard);

/* Works off the mail of other shards. */
void shard_receive(struct shard *shard);
/* Flushes, acts on verdicts, sends the mail. Returns whether there is more to do at once: the next turn must not wait. */
bool shard_end_turn(struct shard *shard);

#endif
