/*
 * A log-linear histogram of durations in nanoseconds (as HdrHistogram, http://hdrhistogram.org): exact up to 127 ns,
 * above that every power of two is cut into 64 equal parts, so that a value is off by less than 1.6 %. Fixed
 * size, recording is a handful of instructions. One thread.
 *
 *   index:  0 .. 127 exact | 64 parts of 128..255 | 64 parts of 256..511 | ... | 64 parts of 2^63..2^64-1
 */
#ifndef SLUICE_BENCH_HISTOGRAM_H
#define SLUICE_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_PART_BITS = 6,
    HISTOGRAM_PARTS = 1 << HISTOGRAM_PART_BITS,
    HISTOGRAM_SLOTS = (64 - HISTOGRAM_PART_BITS + 1) * HISTOGRAM_PARTS
};

struct histogram {
    uint64_t slot[HISTOGRAM_SLOTS];
    uint64_t count;
    uint64_t max; /* exact */
};

static inline uint32_t histogram_index(uint64_t value)
{
    if (value < 2 * HISTOGRAM_PARTS)
        return (uint32_t)value;
    uint32_t shift = 63 - (uint32_t)__builtin_clzll(value) - HISTOGRAM_PART_BITS;
    return shift * HISTOGRAM_PARTS + (uint32_t)(value >> shift);
}

static inline void histogram_record(struct histogram *h, uint64_t ns)
{
    h->slot[histogram_index(ns)]++;
    h->count++;
    if (ns > h->max)
        h->max = ns;
}

/* The smallest value such that at least `percent` (0 .. 100) of all are not above it, rounded up to the end of its
 * slot but not above the maximum; 0 without values. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

#endif
