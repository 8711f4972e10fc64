/*
 * CPUs and quotas. A quota may be set at every level of a cgroup hierarchy, and the smallest of
 * them counts, so the walk goes from our cgroup up to where the hierarchy is mounted; what a
 * container cannot see above that, it cannot be told. Version 1 and 2 may both be mounted (a
 * "hybrid" system keeps the cpu controller in version 1): both are read. Sources: cgroups(7),
 * proc(5) and Documentation/admin-guide/cgroup-v2.rst of the kernel.
 */
#include "cpus.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 8192 CPUs, the most that the kernel can be built for; with a smaller mask sched_getaffinity()
 * fails on a large machine. */
struct cpu_mask {
    cpu_set_t sets[8];
};

/* One mounted hierarchy and where in it we are. */
struct hierarchy {
    bool is_v2;
    char mounted_at[PATH_MAX];
    char mounted_root[PATH_MAX]; /* the cgroup that is visible at mounted_at */
    char path[PATH_MAX]; /* our cgroup; starts with mounted_root unless it is out of sight */
};

/* The first line of a small file, without its newline; "" if there is none. */
static void read_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");

    line[0] = '\0';
    if (file == NULL)
        return;
    if (fgets(line, (int)size, file) != NULL)
        line[strcspn(line, "\n")] = '\0';
    fclose(file);
}

static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (; list != NULL; list = strchr(list, ',')) {
        list += *list == ',';
        if (strncmp(list, word, len) == 0 && (list[len] == ',' || list[len] == '\0'))
            return true;
    }
    return false;
}

/* A line of /proc/self/mountinfo. */
static bool parse_mount(const char *line, struct hierarchy *h)
{
    const char *tail = strstr(line, " - ");
    char type[16];
    char options[1024];

    if (tail == NULL || sscanf(tail, " - %15s %*s %1023s", type, options) != 2)
        return false;
    if (strcmp(type, h->is_v2 ? "cgroup2" : "cgroup") != 0)
        return false;
    if (!h->is_v2 && !has_word(options, "cpu"))
        return false;
    return sscanf(line, "%*s %*s %*s %4095s %4095s", h->mounted_root, h->mounted_at) == 2;
}

/* A line of /proc/self/cgroup: "0::/path" for version 2, "3:cpu,cpuacct:/path" for version 1. */
static bool parse_cgroup(const char *line, struct hierarchy *h)
{
    char copy[PATH_MAX];
    char *rest = copy;

    snprintf(copy, sizeof(copy), "%s", line);
    const char *id = strsep(&rest, ":");
    const char *controllers = strsep(&rest, ":");

    if (rest == NULL || (h->is_v2 ? strcmp(id, "0") != 0 : !has_word(controllers, "cpu")))
        return false;
    snprintf(h->path, sizeof(h->path), "%s", rest);
    return true;
}

/* True once `parse` has found its line. */
static bool find_line(const char *path, bool (*parse)(const char *, struct hierarchy *),
                      struct hierarchy *h)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    bool found = false;

    if (file == NULL)
        return false;
    while (!found && getline(&line, &size, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        found = parse(line, h);
    }
    free(line);
    fclose(file);
    return found;
}

/* Rounded down: the fraction of a CPU that is left serves the threads that are no reactors. */
static uint32_t whole_cpus(const char *quota, const char *period)
{
    char *end;
    long long quota_us = strtoll(quota, &end, 10);
    long long period_us = strtoll(period, NULL, 10);

    if (end == quota || quota_us <= 0 || period_us <= 0) /* "max", "-1", "" */
        return CPUS_NO_QUOTA;
    if (quota_us < period_us)
        return 1;
    return quota_us / period_us < CPUS_NO_QUOTA ? (uint32_t)(quota_us / period_us) : CPUS_NO_QUOTA;
}

static uint32_t quota_of_folder(const char *folder, bool is_v2)
{
    char path[PATH_MAX + 32];
    char quota[64];
    char period[64];

    if (is_v2) {
        snprintf(path, sizeof(path), "%s/cpu.max", folder);
        read_line(path, quota, sizeof(quota));
        const char *space = strchr(quota, ' ');
        return space == NULL ? CPUS_NO_QUOTA : whole_cpus(quota, space + 1);
    }
    snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", folder);
    read_line(path, quota, sizeof(quota));
    snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", folder);
    read_line(path, period, sizeof(period));
    return whole_cpus(quota, period);
}

/* Our cgroup as seen from the mount point: "" or "/a/b". */
static const char *visible_path(const struct hierarchy *h)
{
    size_t len = strlen(h->mounted_root);

    if (strcmp(h->mounted_root, "/") == 0)
        return strcmp(h->path, "/") == 0 ? "" : h->path;
    if (strncmp(h->path, h->mounted_root, len) != 0)
        return "";
    return h->path[len] == '/' ? h->path + len : "";
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t quota_of_hierarchy(const char *root, bool is_v2)
{
    struct hierarchy h = {.is_v2 = is_v2};
    char path[PATH_MAX];
    uint32_t least = CPUS_NO_QUOTA;

    snprintf(path, sizeof(path), "%s/proc/self/mountinfo", root);
    if (!find_line(path, parse_mount, &h))
        return CPUS_NO_QUOTA;
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    if (!find_line(path, parse_cgroup, &h))
        return CPUS_NO_QUOTA;

    int n_fixed = snprintf(path, sizeof(path), "%s%s", root, h.mounted_at);
    int n = snprintf(path, sizeof(path), "%s%s%s", root, h.mounted_at, visible_path(&h));

    if (n < 0 || (size_t)n >= sizeof(path))
        return CPUS_NO_QUOTA;
    while (true) {
        least = min_u32(least, quota_of_folder(path, is_v2));
        char *slash = strrchr(path + n_fixed, '/');
        if (slash == NULL)
            return least;
        *slash = '\0';
    }
}

int cpus_read(const char *root, struct cpus *out)
{
    struct cpu_mask mask;
    struct cpus c = {0};

    CPU_ZERO_S(sizeof(mask), mask.sets);
    if (sched_getaffinity(0, sizeof(mask), mask.sets) < 0)
        return -errno;
    for (unsigned cpu = 0; cpu < 8 * sizeof(mask) && c.n_allowed < CPUS_MAX; cpu++) {
        if (CPU_ISSET_S(cpu, sizeof(mask), mask.sets))
            c.allowed[c.n_allowed++] = (uint16_t)cpu;
    }
    ASSERT(c.n_allowed > 0); /* the kernel never leaves a thread without a CPU */
    c.n_quota = min_u32(quota_of_hierarchy(root, true), quota_of_hierarchy(root, false));
    *out = c;
    return 0;
}

uint32_t cpus_n_reactors(const struct cpus *c)
{
    return min_u32(c->n_allowed, c->n_quota);
}

int cpus_pin(pthread_attr_t *attr, uint16_t cpu)
{
    struct cpu_mask mask;

    CPU_ZERO_S(sizeof(mask), mask.sets);
    CPU_SET_S(cpu, sizeof(mask), mask.sets);
    return -pthread_attr_setaffinity_np(attr, sizeof(mask), mask.sets);
}
