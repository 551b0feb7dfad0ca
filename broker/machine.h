/*
 * What this machine, or the container we run in, lets us use. Reads files of the kernel; knows nothing of the broker.
 * Main thread, at start.
 */
#ifndef SLUICE_BROKER_MACHINE_H
#define SLUICE_BROKER_MACHINE_H

#include <stdint.h>

/* Bytes of memory: the least of what the machine has and what our cgroup and its parents allow (v1 and v2). When
 * nothing can be read it answers 1 GiB, a bound that any machine of today survives. */
uint64_t limits_machine_memory(void);

/* The same over another root directory than "/" (tests): `root` is put in front of "/proc" and "/sys". */
uint64_t limits_machine_memory_at(const char *root);

#endif
