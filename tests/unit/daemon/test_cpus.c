/* CPU quotas, read from small trees that look like /proc and /sys, and pinning. */
#include "cpus.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define V2_MOUNT "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNT                                                                                   \
    "31 24 0:27 / /sys/fs/memory rw - cgroup cgroup rw,memory\n"                                   \
    "32 24 0:28 / /sys/fs/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
#define CONTAINER_MOUNT                                                                            \
    "33 24 0:28 /docker/7f /sys/fs/cpu ro master:4 - cgroup cgroup rw,cpuacct,cpu\n"

struct file {
    const char *path;
    const char *text;
};

static const struct quota_case {
    const char *name;
    const char *mountinfo;
    const char *cgroup;
    struct file files[5];
    uint32_t quota;
} quota_cases[] = {
    {"no cgroups", "", "", {{NULL, NULL}}, CPUS_NO_QUOTA},
    {"v2 without the controller", V2_MOUNT, "0::/\n", {{NULL, NULL}}, CPUS_NO_QUOTA},
    {"v2 max", V2_MOUNT, "0::/\n", {{"sys/fs/cgroup/cpu.max", "max 100000\n"}}, CPUS_NO_QUOTA},
    {"v2 at the root of a namespace",
     V2_MOUNT,
     "0::/\n",
     {{"sys/fs/cgroup/cpu.max", "400000 100000\n"}},
     4},
    {"v2 rounds down", V2_MOUNT, "0::/\n", {{"sys/fs/cgroup/cpu.max", "399999 100000\n"}}, 3},
    {"v2 at least one", V2_MOUNT, "0::/\n", {{"sys/fs/cgroup/cpu.max", "10000 100000\n"}}, 1},
    {"v2 the smallest up the path",
     V2_MOUNT,
     "0::/a/b\n",
     {{"sys/fs/cgroup/a/b/cpu.max", "500000 100000\n"},
      {"sys/fs/cgroup/a/cpu.max", "200000 100000\n"},
      {"sys/fs/cgroup/cpu.max", "300000 100000\n"}},
     2},
    {"v2 not the neighbour's",
     V2_MOUNT,
     "0::/a\n",
     {{"sys/fs/cgroup/a/cpu.max", "500000 100000\n"},
      {"sys/fs/cgroup/b/cpu.max", "200000 100000\n"}},
     5},
    {"v2 other period", V2_MOUNT, "0::/\n", {{"sys/fs/cgroup/cpu.max", "70000 10000\n"}}, 7},
    {"v2 nonsense", V2_MOUNT, "0::/\n", {{"sys/fs/cgroup/cpu.max", "x y\n"}}, CPUS_NO_QUOTA},
    {"v2 empty", V2_MOUNT, "0::/\n", {{"sys/fs/cgroup/cpu.max", ""}}, CPUS_NO_QUOTA},
    {"v2 period of zero", V2_MOUNT, "0::/\n", {{"sys/fs/cgroup/cpu.max", "1 0\n"}}, CPUS_NO_QUOTA},
    {"v2 huge",
     V2_MOUNT,
     "0::/\n",
     {{"sys/fs/cgroup/cpu.max", "9223372036854775807 1\n"}},
     CPUS_NO_QUOTA},
    {"v1 none",
     V1_MOUNT,
     "4:memory:/m\n3:cpu,cpuacct:/\n",
     {{"sys/fs/cpu/cpu.cfs_quota_us", "-1\n"}, {"sys/fs/cpu/cpu.cfs_period_us", "100000\n"}},
     CPUS_NO_QUOTA},
    {"v1 nested",
     V1_MOUNT,
     "4:memory:/m\n3:cpu,cpuacct:/j\n",
     {{"sys/fs/cpu/j/cpu.cfs_quota_us", "250000\n"},
      {"sys/fs/cpu/j/cpu.cfs_period_us", "100000\n"},
      {"sys/fs/cpu/cpu.cfs_quota_us", "-1\n"},
      {"sys/fs/cpu/cpu.cfs_period_us", "100000\n"}},
     2},
    {"v1 of a container without a namespace",
     CONTAINER_MOUNT,
     "3:cpuacct,cpu:/docker/7f/inner\n",
     {{"sys/fs/cpu/inner/cpu.cfs_quota_us", "600000\n"},
      {"sys/fs/cpu/inner/cpu.cfs_period_us", "100000\n"},
      {"sys/fs/cpu/cpu.cfs_quota_us", "300000\n"},
      {"sys/fs/cpu/cpu.cfs_period_us", "100000\n"}},
     3},
    {"v1 out of sight",
     CONTAINER_MOUNT,
     "3:cpu:/docker/7f0\n",
     {{"sys/fs/cpu/cpu.cfs_quota_us", "300000\n"}, {"sys/fs/cpu/cpu.cfs_period_us", "100000\n"}},
     3},
    {"v1 controllers that only look like it",
     "31 24 0:27 / /sys/fs/cpu rw - cgroup cgroup rw,cpuset,cpuacct\n",
     "3:cpuset:/\n",
     {{"sys/fs/cpu/cpu.cfs_quota_us", "300000\n"}, {"sys/fs/cpu/cpu.cfs_period_us", "100000\n"}},
     CPUS_NO_QUOTA},
    {"hybrid: the smaller of both",
     V1_MOUNT V2_MOUNT,
     "3:cpu,cpuacct:/\n0::/\n",
     {{"sys/fs/cpu/cpu.cfs_quota_us", "300000\n"},
      {"sys/fs/cpu/cpu.cfs_period_us", "100000\n"},
      {"sys/fs/cgroup/cpu.max", "800000 100000\n"}},
     3},
    {"lines cut short", "30 24 0:26 - cgroup2\n", "0:\n", {{NULL, NULL}}, CPUS_NO_QUOTA},
};

static void write_file(const char *root, const char *path, const char *text)
{
    char full[512];

    snprintf(full, sizeof(full), "%s/%s", root, path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "we");

    cr_assert_not_null(file, "%s", full);
    fputs(text, file);
    fclose(file);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

Test(cpus, quotas)
{
    for (size_t i = 0; i < sizeof(quota_cases) / sizeof(quota_cases[0]); i++) {
        const struct quota_case *c = &quota_cases[i];
        char root[] = "/tmp/weir-cpus-XXXXXX";
        struct cpus cpus;

        cr_assert_not_null(mkdtemp(root));
        write_file(root, "proc/self/mountinfo", c->mountinfo);
        write_file(root, "proc/self/cgroup", c->cgroup);
        for (size_t f = 0; f < 5 && c->files[f].path != NULL; f++)
            write_file(root, c->files[f].path, c->files[f].text);
        cr_expect_eq(cpus_read(root, &cpus), 0);
        cr_expect_eq(cpus.n_quota, c->quota, "%s: %u, not %u", c->name, cpus.n_quota, c->quota);
        nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
}

Test(cpus, n_reactors)
{
    struct cpus c = {.n_allowed = 8, .n_quota = CPUS_NO_QUOTA};

    cr_expect_eq(cpus_n_reactors(&c), 8);
    c.n_quota = 3;
    cr_expect_eq(cpus_n_reactors(&c), 3);
    c.n_quota = 9;
    cr_expect_eq(cpus_n_reactors(&c), 8);
}

static void *read_own_cpus(void *out)
{
    cr_assert_eq(cpus_read("", out), 0);
    return NULL;
}

/* What a thread pinned to cpu sees; the error of pthread_create(). */
static int read_pinned(uint16_t cpu, struct cpus *seen)
{
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    cr_assert_eq(cpus_pin(&attr, cpu), 0);

    int error = pthread_create(&thread, &attr, read_own_cpus, seen);

    pthread_attr_destroy(&attr);
    if (error == 0)
        pthread_join(thread, NULL);
    return error;
}

Test(cpus, pinning)
{
    struct cpus all;
    struct cpus seen;

    cr_assert_eq(cpus_read("", &all), 0);
    for (uint32_t i = 0; i < all.n_allowed; i++) {
        cr_assert_eq(read_pinned(all.allowed[i], &seen), 0);
        cr_expect_eq(seen.n_allowed, 1);
        cr_expect_eq(seen.allowed[0], all.allowed[i]);
    }
}

Test(cpus, pinning_to_a_cpu_that_is_not_there)
{
    struct cpus seen;

    cr_expect_eq(read_pinned(8191, &seen), EINVAL);
}
