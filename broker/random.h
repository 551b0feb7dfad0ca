/*
 * Random numbers for spreading things in time (jitter, ids), never for secrets. One generator per shard, seeded by
 * whoever starts it, so that a simulation repeats itself. SplitMix64 (Steele, Lea, Flood 2014). Shard thread.
 */
#ifndef SLUICE_BROKER_RANDOM_H
#define SLUICE_BROKER_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0 .. bound - 1; 0 when the bound is 0. */
static inline uint64_t random_below(struct random *random, uint64_t bound)
{
    return bound ? random_next(random) % bound : 0;
}

#endif
