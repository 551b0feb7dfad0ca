/*
 * A set of small numbers that grows as they come.
 */
#ifndef SLUICE_SIM_BITS_H
#define SLUICE_SIM_BITS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct bits {
    uint8_t *bytes; /* owns */
    size_t cap;
};

static inline bool bits_has(const struct bits *bits, size_t i)
{
    return i / 8 < bits->cap && (bits->bytes[i / 8] >> (i % 8) & 1);
}

static inline void bits_add(struct bits *bits, size_t i)
{
    if (i / 8 >= bits->cap) {
        size_t cap = 2 * (i / 8) + 64;
        bits->bytes = realloc(bits->bytes, cap);
        memset(bits->bytes + bits->cap, 0, cap - bits->cap);
        bits->cap = cap;
    }
    bits->bytes[i / 8] |= (uint8_t)(1 << (i % 8));
}

static inline void bits_fini(struct bits *bits)
{
    free(bits->bytes);
    *bits = (struct bits){0};
}

#endif
