/*
 * A whole run: a broker's shards in one thread, a clock that is set by hand, its clients, and the model of what should
 * happen. Everything follows from the seed.
 */
#ifndef SLUICE_SIM_WORLD_H
#define SLUICE_SIM_WORLD_H

#include "broker/session/stash.h"
#include "broker/shard.h"
#include "tests/sim/client.h"
#include "tests/sim/model.h"
#include "tests/sim/profile.h"

struct world {
    uint64_t seed;
    bool trace;
    struct profile profile;
    struct random dice, oom_dice;
    uint64_t now_ms, step;
    unsigned round;
    bool hasty;    /* a shard wants its next turn at once */
    bool resting;  /* the workload is over: everybody reads */
    bool starving; /* allocations may fail at this moment */
    struct inbound_budget inbound;
    struct mailroom *mailroom; /* owns */
    _Atomic uint64_t *fattest; /* owns */
    struct shard_common common;
    struct shard *shards;   /* owns */
    struct client *clients; /* owns */
    struct model model;
    unsigned over_limit; /* rounds in which memory was over its limit and nobody was given up */
    uint64_t given_up;   /* connections, so far */
    uint64_t hash;       /* of everything that was sent */
};

/* Runs it; returns the hash of everything sent. A violated invariant ends the process. */
uint64_t world_run(uint64_t seed, bool trace);

/* Ends the process with the seed, the invariant's name and what happened, unless `ok`. */
void require(const struct world *world, bool ok, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void trace(const struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* When the simulated broker started, in Unix time. */
enum { WORLD_EPOCH_MS = 1000000000 };

#endif
