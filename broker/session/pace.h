/*
 * A rate limit in eight bytes: so many events a second, so many at once (the generic cell rate algorithm, ITU-T I.371).
 * Zero-initialised it has its whole burst. Shard thread.
 */
#ifndef SLUICE_BROKER_PACE_H
#define SLUICE_BROKER_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
    uint64_t due_ns; /* when the next event would be due, were they evenly spaced */
};

/* Takes one event. False when it comes too soon: nothing is taken. `rate` 1 .. 1e9 per second, `burst` at least 1. */
static inline bool pace_take(struct pace *pace, uint64_t now_ms, uint64_t rate, uint64_t burst)
{
    uint64_t now_ns = now_ms * 1000000u, interval_ns = 1000000000u / rate;
    uint64_t due_ns = pace->due_ns > now_ns ? pace->due_ns : now_ns;
    if (due_ns - now_ns > (burst - 1) * interval_ns)
        return false;
    pace->due_ns = due_ns + interval_ns;
    return true;
}

#endif
