/*
 * What time it is in a shard: read once when the loop wakes, not once per message, and set by hand in a simulation. Shard
 * thread.
 */
#ifndef SLUICE_BROKER_CLOCK_H
#define SLUICE_BROKER_CLOCK_H

#include <stdint.h>

struct clock {
    uint64_t now_ms;    /* monotonic; deadlines */
    uint64_t unix_ms;   /* since 1970; what messages carry */
    uint64_t unix_base; /* what unix_ms was when now_ms was 0 */
};

static inline void clock_set(struct clock *clock, uint64_t now_ms)
{
    clock->now_ms = now_ms;
    clock->unix_ms = clock->unix_base + now_ms;
}

/* The two clocks drift, and somebody may set the machine's: once in a while. */
static inline void clock_adjust(struct clock *clock, uint64_t now_ms, uint64_t unix_ms)
{
    clock->unix_base = unix_ms - now_ms;
    clock_set(clock, now_ms);
}

#endif
