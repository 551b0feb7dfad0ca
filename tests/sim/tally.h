/*
 * What the runs have exercised, summed up over all seeds and printed at the end: a simulation that never drops a message
 * proves nothing about dropping.
 */
#ifndef SLUICE_SIM_TALLY_H
#define SLUICE_SIM_TALLY_H

#include <stdint.h>

#include "proto/native_reply.h"

#define TALLY_ROWS(X)                                                                                        \
    X(runs, "runs")                                                                                          \
    X(sharded, "of them with several shards")                                                                \
    X(starved, "of them with failing allocations")                                                           \
    X(cramped, "of them with a small memory limit")                                                          \
    X(drained, "of them ended by a drain")                                                                   \
    X(clients, "clients")                                                                                    \
    X(publishes, "publishes")                                                                                \
    X(subscribes, "SUBs")                                                                                    \
    X(replacements, "SUBs that replaced another")                                                            \
    X(unsubscribes, "UNSUBs")                                                                                \
    X(refusals, "requests answered with ERR")                                                                \
    X(deliveries, "deliveries")                                                                              \
    X(tagged, "of them tagged")                                                                              \
    X(accounts, "subscriptions whose messages were accounted for")                                           \
    X(exact, "of them without a racing publish")                                                             \
    X(blocks, "publishes checked for a full `block` subscriber")                                             \
    X(places, "messages whose GAP was checked for its place")                                                \
    X(newest, "conflated values checked for being the newest")                                               \
    X(paces, "intervals checked against max_hz")                                                             \
    X(writes, "writes")                                                                                      \
    X(partial, "partial writes")                                                                             \
    X(refused, "refused writes")                                                                             \
    X(pauses, "readings paused")                                                                             \
    X(withheld, "publishes that waited")                                                                     \
    X(resets, "resets")                                                                                      \
    X(half_closes, "half-closes")                                                                            \
    X(garbage, "clients that sent garbage")                                                                  \
    X(too_slow, "closed as too slow")                                                                        \
    X(fattest, "closed for the memory limit")                                                                \
    X(timeouts, "closed by a deadline")                                                                      \
    X(evacuated, "bytes evacuated")                                                                          \
    X(oom, "failed allocations")

struct tally {
#define TALLY_FIELD(name, text) uint64_t name;
    TALLY_ROWS(TALLY_FIELD)
#undef TALLY_FIELD
    uint64_t gaps[NATIVE_GAP_COUNT];                             /* messages */
    uint64_t dropped[NATIVE_POLICY_BLOCK + 1][NATIVE_GAP_COUNT]; /* the same by policy */
};

void tally_print(const struct tally *tally);
/* Adds a row to the sum of all. */
extern struct tally tally;

#endif
