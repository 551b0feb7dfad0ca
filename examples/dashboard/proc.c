#include "examples/dashboard/proc.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- walking text --------------------------------------------------------------------------------------- */

static const char *next_line(const char *at)
{
    const char *end = strchr(at, '\n');
    return end != NULL ? end + 1 : at + strlen(at);
}

static const char *skip_blanks(const char *at)
{
    while (*at == ' ' || *at == '\t') {
        at++;
    }
    return at;
}

/* Reads one unsigned number of this line and moves past it. */
static bool take_number(const char **at, uint64_t *out)
{
    const char *start = skip_blanks(*at);
    char *end;
    if (!isdigit((unsigned char)*start)) {
        return false;
    }
    errno = 0;
    *out = strtoull(start, &end, 10);
    *at = end;
    return errno == 0;
}

static bool take_numbers(const char **at, uint64_t *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!take_number(at, &out[i])) {
            return false;
        }
    }
    return true;
}

/* ---- processors ----------------------------------------------------------------------------------------- */

/* "user nice system idle iowait irq softirq steal ...": waiting for a disk is not work. */
static bool parse_ticks(const char *at, struct proc_cpu *out)
{
    enum { IDLE = 3, IOWAIT = 4, COLUMNS = 8 };
    uint64_t ticks[COLUMNS] = {0};
    size_t count = 0;
    while (count < COLUMNS && take_number(&at, &ticks[count])) {
        count++;
    }
    if (count <= IDLE) {
        return false;
    }
    out->total = 0;
    for (size_t i = 0; i < count; i++) {
        out->total += ticks[i];
    }
    out->busy = out->total - ticks[IDLE] - ticks[IOWAIT];
    return true;
}

static bool parse_core(const char *line, struct proc_cpus *out)
{
    const char *at = line + strlen("cpu");
    uint64_t number;
    if (!isdigit((unsigned char)*at) || !take_number(&at, &number) || number > UINT16_MAX) {
        return false;
    }
    if (out->count == PROC_CORES_MAX) {
        return true;
    }
    struct proc_cpu *core = &out->core[out->count++];
    core->number = (unsigned)number;
    return parse_ticks(at, core);
}

bool proc_parse_stat(const char *text, struct proc_cpus *out)
{
    *out = (struct proc_cpus){0};
    if (strncmp(text, "cpu ", 4) != 0 || !parse_ticks(text + 4, &out->all)) {
        return false;
    }
    for (const char *line = next_line(text); strncmp(line, "cpu", 3) == 0; line = next_line(line)) {
        if (!parse_core(line, out)) {
            return false;
        }
    }
    return true;
}

/* ---- memory and load ------------------------------------------------------------------------------------ */

/* Finds "NAME:   123 kB"; the name includes the colon. */
static bool find_kib(const char *text, const char *name, uint64_t *bytes)
{
    size_t len = strlen(name);
    for (const char *line = text; *line != '\0'; line = next_line(line)) {
        const char *at = line + len;
        uint64_t kib;
        if (strncmp(line, name, len) == 0 && take_number(&at, &kib)) {
            *bytes = kib * 1024;
            return true;
        }
    }
    return false;
}

bool proc_parse_meminfo(const char *text, struct proc_memory *out)
{
    return find_kib(text, "MemTotal:", &out->total_bytes) &&
           find_kib(text, "MemAvailable:", &out->available_bytes) && out->available_bytes <= out->total_bytes;
}

bool proc_parse_loadavg(const char *text, struct proc_load *out)
{
    return sscanf(text, "%lf %lf %lf", &out->one, &out->five, &out->fifteen) == 3;
}

/* ---- disks ---------------------------------------------------------------------------------------------- */

static bool has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_stacked(const char *name)
{
    static const char *const prefixes[] = {"loop", "ram", "zram", "dm-", "md", "sr", "fd"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (has_prefix(name, prefixes[i])) {
            return true;
        }
    }
    return false;
}

/* "sda1" after "sda", "nvme0n1p2" after "nvme0n1": the kernel lists a disk before its partitions. */
static bool is_partition_of(const char *name, const char *disk)
{
    size_t len = strlen(disk);
    if (len == 0 || strncmp(name, disk, len) != 0) {
        return false;
    }
    const char *rest = name + len;
    if (isdigit((unsigned char)disk[len - 1])) {
        if (*rest != 'p') {
            return false;
        }
        rest++;
    }
    return rest[strspn(rest, "0123456789")] == '\0';
}

/* "major minor name reads merged sectors ms writes merged sectors ms ..." A sector is 512 bytes here whatever the
 * disk's own is. */
static bool parse_disk_line(const char *line, char *name, struct proc_disk *out)
{
    enum { SECTOR_BYTES = 512, READ_SECTORS = 2, WRITTEN_SECTORS = 6, COLUMNS = 7 };
    int used = 0;
    if (sscanf(line, " %*u %*u %31s%n", name, &used) != 1) {
        return false;
    }
    uint64_t column[COLUMNS];
    const char *at = line + used;
    if (!take_numbers(&at, column, COLUMNS)) {
        return false;
    }
    out->read_bytes = column[READ_SECTORS] * SECTOR_BYTES;
    out->written_bytes = column[WRITTEN_SECTORS] * SECTOR_BYTES;
    return true;
}

bool proc_parse_diskstats(const char *text, struct proc_disk *out)
{
    char disk[PROC_NAME_MAX] = "";
    *out = (struct proc_disk){0};
    for (const char *line = text; *line != '\0'; line = next_line(line)) {
        char name[PROC_NAME_MAX];
        struct proc_disk one;
        if (!parse_disk_line(line, name, &one)) {
            return false;
        }
        if (is_stacked(name) || is_partition_of(name, disk)) {
            continue;
        }
        memcpy(disk, name, sizeof disk);
        out->read_bytes += one.read_bytes;
        out->written_bytes += one.written_bytes;
    }
    return true;
}

/* ---- network -------------------------------------------------------------------------------------------- */

/* "  eth0: received packets errs drop fifo frame compressed multicast sent ..." The name may itself hold colons
 * (an alias), so it ends at the last one. */
static bool parse_link_line(const char *line, struct proc_link *out)
{
    enum { RECEIVED = 0, SENT = 8, COLUMNS = 9 };
    const char *name = skip_blanks(line);
    size_t line_len = strcspn(name, "\n");
    const char *colon = memrchr(name, ':', line_len);
    if (colon == NULL || colon == name || (size_t)(colon - name) >= PROC_NAME_MAX) {
        return false;
    }
    memcpy(out->name, name, (size_t)(colon - name));
    out->name[colon - name] = '\0';
    uint64_t column[COLUMNS];
    const char *at = colon + 1;
    if (!take_numbers(&at, column, COLUMNS)) {
        return false;
    }
    out->received_bytes = column[RECEIVED];
    out->sent_bytes = column[SENT];
    return true;
}

bool proc_parse_net_dev(const char *text, struct proc_links *out)
{
    out->count = 0;
    if (strstr(text, "bytes") == NULL) {
        return false;
    }
    const char *line = next_line(next_line(text)); /* two lines of headings */
    for (; *line != '\0' && out->count < PROC_LINKS_MAX; line = next_line(line)) {
        struct proc_link *link = &out->link[out->count];
        if (!parse_link_line(line, link)) {
            return false;
        }
        if (link->received_bytes + link->sent_bytes > 0) {
            out->count++;
        }
    }
    return true;
}
