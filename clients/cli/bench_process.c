#include "clients/cli/bench_process.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- CPU ------------------------------------------------------------------------------------------------ */

/* The scheduler's own account of one thread: nanoseconds on the CPU come first. */
static bool read_schedstat(uint64_t pid, const char *thread, uint64_t *ns)
{
    char path[320];
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/task/%s/schedstat", pid, thread);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    bool good = fscanf(file, "%" SCNu64, ns) == 1;
    fclose(file);
    return good;
}

static double threads_cpu_ns(uint64_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/task", pid);
    DIR *threads = opendir(path);
    if (!threads)
        return -1;
    double sum = 0;
    bool any = false;
    for (const struct dirent *entry; (entry = readdir(threads));) {
        uint64_t ns;
        if (entry->d_name[0] == '.' || !read_schedstat(pid, entry->d_name, &ns))
            continue;
        any = any || ns > 0;
        sum += (double)ns;
    }
    closedir(threads);
    return any ? sum : -1;
}

/* For kernels without scheduler statistics: utime and stime, in ticks (proc(5)). */
static double stat_cpu_ns(uint64_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    uint64_t user, system;
    const char *behind_name = strrchr(text, ')');
    if (!behind_name ||
        sscanf(behind_name + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64, &user,
               &system) != 2)
        return -1;
    return (double)(user + system) * 1e9 / (double)sysconf(_SC_CLK_TCK);
}

double process_cpu_ns(uint64_t pid)
{
    if (pid == 0)
        return -1;
    double ns = threads_cpu_ns(pid);
    return ns >= 0 ? ns : stat_cpu_ns(pid);
}

double process_own_cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec * 1e9 + (double)used.tv_nsec;
}

/* ---- memory --------------------------------------------------------------------------------------------- */

static uint64_t read_kilobytes(uint64_t pid, const char *name, const char *key)
{
    char path[64], line[256];
    uint64_t kilobytes = 0;
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/%s", pid, name);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    while (kilobytes == 0 && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0 && sscanf(line + strlen(key), "%" SCNu64, &kilobytes) != 1)
            break;
    fclose(file);
    return kilobytes;
}

uint64_t process_rss(uint64_t pid)
{
    /* The roll-up walks the page tables and is exact; the counter of `status` may lag behind. */
    uint64_t kilobytes = read_kilobytes(pid, "smaps_rollup", "Rss:");
    if (kilobytes == 0)
        kilobytes = read_kilobytes(pid, "status", "VmRSS:");
    return kilobytes * 1024;
}
