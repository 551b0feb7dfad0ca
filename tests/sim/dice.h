/*
 * The one source of chance of a simulated run: everything that is drawn comes from the run's seed, in an order that
 * depends on nothing else.
 */
#ifndef SLUICE_SIM_DICE_H
#define SLUICE_SIM_DICE_H

#include <stdbool.h>
#include <stddef.h>

#include "broker/random.h"

/* From `least` to `most`, both included. */
static inline uint64_t dice_between(struct random *dice, uint64_t least, uint64_t most)
{
    return least + random_below(dice, most - least + 1);
}

static inline bool dice_percent(struct random *dice, unsigned percent)
{
    return random_below(dice, 100) < percent;
}

/* One of the numbers. */
#define DICE_PICK(dice, ...)                                                                                 \
    ((const uint64_t[]){                                                                                     \
        __VA_ARGS__}[random_below((dice), sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))])

#endif
