/*
 * When to try again: exponential backoff with full jitter (a wait is uniformly random between 0 and a ceiling that
 * doubles), so that clients that lost their broker together do not come back together. A wait that the broker
 * asked for is a lower bound on top of which the jitter comes. Pure: randomness and time are handed in.
 */
#ifndef SLUICE_CLIENT_RECONNECT_H
#define SLUICE_CLIENT_RECONNECT_H

#include <stdint.h>

#include "proto/span.h"

/* A connection that lived this long proves the broker healthy: the backoff starts from the beginning. */
enum { RECONNECT_STABLE_MS = 5000 };

struct reconnect {
    uint64_t min_ms, max_ms;
    uint32_t attempt;      /* failures in a row */
    uint64_t opened_at_ms; /* when the present connection was welcomed; 0: it has not been */
};

void reconnect_opened(struct reconnect *reconnect, uint64_t now_ms);
/* The connection ended or could not be made: how long to wait. after_ms is the broker's reconnect_after_ms or 0. */
uint64_t reconnect_wait_ms(struct reconnect *reconnect, uint64_t now_ms, uint32_t after_ms, uint64_t random);
/* Whether an error from the broker with this code makes every further attempt pointless. */
bool reconnect_is_terminal(struct span code);

#endif
