#include "broker/machine.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

static const uint64_t UNKNOWN = 1ull << 30;

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static FILE *open_below(const char *root, const char *path)
{
    char full[PATH_BYTES];
    return snprintf(full, sizeof full, "%s%s", root, path) < (int)sizeof full ? fopen(full, "re") : NULL;
}

/* MemTotal of /proc/meminfo, or UINT64_MAX. */
static uint64_t physical_memory(const char *root)
{
    FILE *file = open_below(root, "/proc/meminfo");
    if (!file)
        return UINT64_MAX;
    char line[256];
    uint64_t kib = 0;
    while (kib == 0 && fgets(line, sizeof line, file)) {
        if (sscanf(line, "MemTotal: %" SCNu64 " kB", &kib) != 1)
            kib = 0;
    }
    fclose(file);
    return kib > 0 ? kib * 1024 : UINT64_MAX;
}

/* The number in a cgroup's limit file; UINT64_MAX for "max", for nonsense, and where there is no such file. */
static uint64_t read_limit(const char *root, const char *group, const char *name)
{
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/%s", group, name) >= (int)sizeof path)
        return UINT64_MAX;
    FILE *file = open_below(root, path);
    uint64_t limit;
    if (!file)
        return UINT64_MAX;
    if (fscanf(file, "%" SCNu64, &limit) != 1 || limit == 0)
        limit = UINT64_MAX;
    fclose(file);
    return limit;
}

/* The least limit of a group and its parents up to the mount. A path seen from outside our namespace does not
 * exist below our mount; the walk up then still ends at the mount itself, which is our own group. */
static uint64_t group_limit(const char *root, const char *mount, const char *group, const char *name)
{
    char path[PATH_BYTES];
    uint64_t limit = UINT64_MAX;
    size_t mount_len = strlen(mount);
    if (snprintf(path, sizeof path, "%s%s", mount, strstr(group, "..") ? "" : group) >= (int)sizeof path)
        return limit;
    for (size_t len = strlen(path); len >= mount_len; len--) {
        if (path[len] != '\0' && path[len] != '/')
            continue;
        path[len] = '\0';
        limit = least(limit, read_limit(root, path, name));
    }
    return limit;
}

/* Whether `name` is one of the comma-separated words. */
static bool has_word(const char *words, const char *name)
{
    size_t len = strlen(name);
    for (const char *p = words; (p = strstr(p, name)); p += len) {
        if ((p == words || p[-1] == ',') && (p[len] == ',' || p[len] == '\0'))
            return true;
    }
    return false;
}

/* One line of /proc/self/cgroup, "4:memory:/docker/1f" (v1) or "0::/user.slice" (v2). */
static uint64_t line_limit(const char *root, char *line)
{
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(++controllers, ':') : NULL;
    if (!group)
        return UINT64_MAX;
    *group++ = '\0';
    group[strcspn(group, "\n")] = '\0';
    if (has_word(controllers, "memory"))
        return group_limit(root, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
    if (*controllers != '\0')
        return UINT64_MAX;
    return least(group_limit(root, "/sys/fs/cgroup", group, "memory.max"),
                 group_limit(root, "/sys/fs/cgroup/unified", group, "memory.max"));
}

static uint64_t cgroup_memory(const char *root)
{
    FILE *file = open_below(root, "/proc/self/cgroup");
    if (!file)
        return UINT64_MAX;
    char line[PATH_BYTES];
    uint64_t limit = UINT64_MAX;
    while (fgets(line, sizeof line, file))
        limit = least(limit, line_limit(root, line));
    fclose(file);
    return limit;
}

uint64_t limits_machine_memory_at(const char *root)
{
    uint64_t memory = least(physical_memory(root), cgroup_memory(root));
    return memory == UINT64_MAX ? UNKNOWN : memory;
}

uint64_t limits_machine_memory(void)
{
    return limits_machine_memory_at("");
}
