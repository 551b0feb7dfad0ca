#include "examples/dashboard/sampler.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 256 * 1024, RING = SAMPLER_WINDOW + 1 };

enum source { SOURCE_STAT, SOURCE_MEMINFO, SOURCE_LOADAVG, SOURCE_DISKSTATS, SOURCE_NET_DEV, SOURCES };

static const char *const source_name[SOURCES] = {"stat", "meminfo", "loadavg", "diskstats", "net/dev"};

/* The counters of one moment. */
struct moment {
    uint64_t at_ms;
    bool has_cpus, has_disk, has_links;
    struct proc_cpus cpus;
    struct proc_disk disk;
    struct proc_links links;
};

struct sampler {
    int fd[SOURCES];
    uint64_t taken; /* samples so far; the newest is ring[(taken - 1) % RING] */
    struct moment ring[RING];
    struct proc_memory memory;
    char text[TEXT_MAX + 1];
};

struct sampler *sampler_new(const char *root)
{
    struct sampler *sampler = calloc(1, sizeof *sampler);
    if (sampler == NULL) {
        return NULL;
    }
    memset(sampler->fd, -1, sizeof sampler->fd);
    for (int i = 0; i < SOURCES; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", root, source_name[i]);
        sampler->fd[i] = open(path, O_RDONLY | O_CLOEXEC);
        /* A container may hide diskstats; without processors there is nothing to show. */
        if (sampler->fd[i] < 0 && i == SOURCE_STAT) {
            int why = errno;
            sampler_free(sampler);
            errno = why;
            return NULL;
        }
    }
    return sampler;
}

void sampler_free(struct sampler *sampler)
{
    if (sampler == NULL) {
        return;
    }
    for (int i = 0; i < SOURCES; i++) {
        if (sampler->fd[i] >= 0) {
            close(sampler->fd[i]);
        }
    }
    free(sampler);
}

/* The kernel writes these files anew for every read from their start. NULL when there is nothing. */
static const char *read_source(struct sampler *sampler, enum source source)
{
    size_t len = 0;
    int fd = sampler->fd[source];
    while (fd >= 0 && len < TEXT_MAX) {
        ssize_t got = pread(fd, sampler->text + len, TEXT_MAX - len, (off_t)len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        len += (size_t)got;
    }
    sampler->text[len] = '\0';
    return len > 0 ? sampler->text : NULL;
}

/* ---- rates ---------------------------------------------------------------------------------------------- */

/* A counter that went back was reset (the interface is a new one): no rate rather than a huge one. */
static double per_second(uint64_t before, uint64_t after, uint64_t elapsed_ms)
{
    return after >= before && elapsed_ms > 0 ? (double)(after - before) * 1000.0 / (double)elapsed_ms : 0.0;
}

static double busy_percent(const struct proc_cpu *before, const struct proc_cpu *after)
{
    if (after->total <= before->total || after->busy < before->busy) {
        return 0.0;
    }
    double percent = 100.0 * (double)(after->busy - before->busy) / (double)(after->total - before->total);
    return percent < 100.0 ? percent : 100.0;
}

static const struct proc_cpu *find_core(const struct proc_cpus *cpus, unsigned number)
{
    for (size_t i = 0; i < cpus->count; i++) {
        if (cpus->core[i].number == number) {
            return &cpus->core[i];
        }
    }
    return NULL;
}

static const struct proc_link *find_link(const struct proc_links *links, const char *name)
{
    for (size_t i = 0; i < links->count; i++) {
        if (strcmp(links->link[i].name, name) == 0) {
            return &links->link[i];
        }
    }
    return NULL;
}

/* ---- figures -------------------------------------------------------------------------------------------- */

static void emit_cpus(const struct moment *before, const struct moment *now, sampler_emit *emit,
                      void *context)
{
    if (!before->has_cpus || !now->has_cpus) {
        return;
    }
    emit(context, "cpu/total", busy_percent(&before->cpus.all, &now->cpus.all), 1);
    for (size_t i = 0; i < now->cpus.count; i++) {
        const struct proc_cpu *core = &now->cpus.core[i];
        const struct proc_cpu *was = find_core(&before->cpus, core->number);
        if (was != NULL) {
            char series[32];
            snprintf(series, sizeof series, "cpu/%u", core->number);
            emit(context, series, busy_percent(was, core), 1);
        }
    }
}

static void emit_disk(const struct moment *before, const struct moment *now, sampler_emit *emit,
                      void *context)
{
    uint64_t elapsed_ms = now->at_ms - before->at_ms;
    if (!before->has_disk || !now->has_disk) {
        return;
    }
    emit(context, "disk/read", per_second(before->disk.read_bytes, now->disk.read_bytes, elapsed_ms), 0);
    emit(context, "disk/written", per_second(before->disk.written_bytes, now->disk.written_bytes, elapsed_ms),
         0);
}

/* An interface may be called almost anything; a topic level may not. */
static void link_series(char *series, size_t size, const char *link, const char *direction)
{
    char level[PROC_NAME_MAX];
    snprintf(level, sizeof level, "%s", link);
    for (char *c = level; *c != '\0'; c++) {
        if (strchr("+#/", *c) != NULL || (unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f) {
            *c = '_';
        }
    }
    snprintf(series, size, "net/%s/%s", level, direction);
}

static void emit_links(const struct moment *before, const struct moment *now, sampler_emit *emit,
                       void *context)
{
    uint64_t elapsed_ms = now->at_ms - before->at_ms;
    if (!before->has_links || !now->has_links) {
        return;
    }
    for (size_t i = 0; i < now->links.count; i++) {
        const struct proc_link *link = &now->links.link[i];
        const struct proc_link *was = find_link(&before->links, link->name);
        char series[64];
        if (was == NULL) {
            continue;
        }
        link_series(series, sizeof series, link->name, "rx");
        emit(context, series, per_second(was->received_bytes, link->received_bytes, elapsed_ms), 0);
        link_series(series, sizeof series, link->name, "tx");
        emit(context, series, per_second(was->sent_bytes, link->sent_bytes, elapsed_ms), 0);
    }
}

static void emit_gauges(struct sampler *sampler, sampler_emit *emit, void *context)
{
    struct proc_load load;
    const char *text = read_source(sampler, SOURCE_MEMINFO);
    if (text != NULL && proc_parse_meminfo(text, &sampler->memory)) {
        uint64_t used = sampler->memory.total_bytes - sampler->memory.available_bytes;
        emit(context, "memory/used", (double)used, 0);
    }
    text = read_source(sampler, SOURCE_LOADAVG);
    if (text != NULL && proc_parse_loadavg(text, &load)) {
        emit(context, "load/1", load.one, 2);
        emit(context, "load/5", load.five, 2);
        emit(context, "load/15", load.fifteen, 2);
    }
}

static void read_counters(struct sampler *sampler, struct moment *moment)
{
    const char *text = read_source(sampler, SOURCE_STAT);
    moment->has_cpus = text != NULL && proc_parse_stat(text, &moment->cpus);
    text = read_source(sampler, SOURCE_DISKSTATS);
    moment->has_disk = text != NULL && proc_parse_diskstats(text, &moment->disk);
    text = read_source(sampler, SOURCE_NET_DEV);
    moment->has_links = text != NULL && proc_parse_net_dev(text, &moment->links);
}

void sampler_take(struct sampler *sampler, uint64_t now_ms, sampler_emit *emit, void *context)
{
    struct moment *now = &sampler->ring[sampler->taken % RING];
    now->at_ms = now_ms;
    read_counters(sampler, now);
    sampler->taken++;
    if (sampler->taken > 1) {
        uint64_t oldest = sampler->taken > RING ? sampler->taken % RING : 0;
        const struct moment *before = &sampler->ring[oldest];
        emit_cpus(before, now, emit, context);
        emit_disk(before, now, emit, context);
        emit_links(before, now, emit, context);
    }
    emit_gauges(sampler, emit, context);
}

uint64_t sampler_memory_total_bytes(const struct sampler *sampler)
{
    return sampler->memory.total_bytes;
}

unsigned sampler_cores(const struct sampler *sampler)
{
    return sampler->taken > 0 ? (unsigned)sampler->ring[(sampler->taken - 1) % RING].cpus.count : 0;
}
