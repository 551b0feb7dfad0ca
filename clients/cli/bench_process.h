/*
 * What a process has used so far, from /proc: the server's, by its pid. Any thread.
 */
#ifndef SLUICE_BENCH_PROCESS_H
#define SLUICE_BENCH_PROCESS_H

#include <stdint.h>

/* CPU time in nanoseconds of all threads that still live, user and system; negative when it cannot be read or pid is 0. */
double process_cpu_ns(uint64_t pid);
/* Resident memory in bytes; 0 when it cannot be read. */
uint64_t process_rss(uint64_t pid);
/* CPU time in nanoseconds of this process. */
double process_own_cpu_ns(void);

#endif
