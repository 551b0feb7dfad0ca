/*
 * The kernel's own counters, as Linux prints them under /proc, taken apart. Text in, numbers out: no files, no clock
 * and no allocation, so each parser is tested with the text of machines that nobody here owns.
 *
 * Every parser takes NUL-terminated text, ignores what it does not know (kernels add columns at the end), and
 * returns false when what it is for is not there; *out is then unspecified.
 */
#ifndef SLUICE_EXAMPLES_PROC_H
#define SLUICE_EXAMPLES_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROC_CORES_MAX = 128, /* further cores count in `all` only */
    PROC_LINKS_MAX = 16,  /* further network interfaces are left out */
    PROC_NAME_MAX = 32
};

/* Time in clock ticks since the machine started. Guest time is inside the rest, as the kernel counts it. */
struct proc_cpu {
    unsigned number; /* of the core; they may have holes */
    uint64_t busy, total;
};

struct proc_cpus {
    struct proc_cpu all;
    size_t count;
    struct proc_cpu core[PROC_CORES_MAX];
};

struct proc_memory {
    uint64_t total_bytes;
    uint64_t available_bytes; /* could be had without swapping: free, and caches that can be dropped */
};

/* Runnable and blocked tasks, averaged over minutes. */
struct proc_load {
    double one, five, fifteen;
};

/* All whole disks together: partitions, and devices on top of disks (dm, md, loop, ram, zram), would count twice. */
struct proc_disk {
    uint64_t read_bytes, written_bytes;
};

struct proc_link {
    char name[PROC_NAME_MAX];
    uint64_t received_bytes, sent_bytes;
};

struct proc_links {
    size_t count;
    struct proc_link link[PROC_LINKS_MAX];
};

bool proc_parse_stat(const char *text, struct proc_cpus *out);
bool proc_parse_meminfo(const char *text, struct proc_memory *out);
bool proc_parse_loadavg(const char *text, struct proc_load *out);
/* A machine without disks is no error: all zero. */
bool proc_parse_diskstats(const char *text, struct proc_disk *out);
/* Interfaces that never carried a byte are left out. */
bool proc_parse_net_dev(const char *text, struct proc_links *out);

#endif
