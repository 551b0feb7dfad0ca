/*
 * This machine's figures, at any moment: reads /proc, remembers one second of it and turns counters into rates. One
 * thread, no network.
 *
 * Counters tick coarsely (the kernel counts processor time in steps of 10 ms), so a rate between two neighbouring
 * samples would jump by tens of percent. Each rate therefore spans the last second and moves with every sample:
 *
 *     sample   0   1   2   3  ...  9   10
 *              └────────── rate ────────┘
 *                  └────────── rate ────────┘
 */
#ifndef SLUICE_EXAMPLES_SAMPLER_H
#define SLUICE_EXAMPLES_SAMPLER_H

#include <stdint.h>

#include "examples/dashboard/proc.h"

enum { SAMPLER_WINDOW = 10 }; /* samples that a rate spans */

/* One figure: `series` is a path such as "cpu/total" or "net/eth0/rx", without blanks, '+' or '#'; `decimals` says
 * how exact the value is worth printing. */
typedef void sampler_emit(void *context, const char *series, double value, int decimals);

struct sampler;

/* `root` is "/proc", or a directory like it; copied. NULL when its files cannot be opened: errno says why. */
struct sampler *sampler_new(const char *root);
void sampler_free(struct sampler *sampler);

/* Takes one sample and emits what it says. Rates begin with the second sample. A file that cannot be read or
 * understood leaves its figures out. `now_ms` is of a monotonic clock. */
void sampler_take(struct sampler *sampler, uint64_t now_ms, sampler_emit *emit, void *context);

/* What the last sample found; 0 before the first. */
uint64_t sampler_memory_total_bytes(const struct sampler *sampler);
unsigned sampler_cores(const struct sampler *sampler);

#endif
