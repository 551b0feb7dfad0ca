#include "clients/cli/bench_histogram.h"

#include <math.h>

/* The greatest value that falls into the slot. */
static uint64_t slot_end(uint32_t index)
{
    if (index < 2 * HISTOGRAM_PARTS)
        return index;
    uint32_t shift = index / HISTOGRAM_PARTS - 1;
    uint64_t part = index - (uint64_t)shift * HISTOGRAM_PARTS;
    return (part << shift) + (((uint64_t)1 << shift) - 1);
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    uint64_t rank = (uint64_t)ceil((double)h->count * percent / 100);
    uint64_t below = 0;
    rank = rank < 1 ? 1 : rank > h->count ? h->count : rank;
    for (uint32_t i = 0; i < HISTOGRAM_SLOTS; i++) {
        below += h->slot[i];
        if (h->slot[i] > 0 && below >= rank)
            return slot_end(i) < h->max ? slot_end(i) : h->max;
    }
    return 0;
}
