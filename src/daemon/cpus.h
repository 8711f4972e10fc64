/*
 * Which CPUs this process may use, and how many of them it is paid for: the affinity mask it was
 * started with and the CPU quotas of the cgroups it is in. Both decide how many reactors run where
 * the configuration leaves it to us.
 */
#ifndef WEIR_DAEMON_CPUS_H
#define WEIR_DAEMON_CPUS_H

#include <pthread.h>
#include <stdint.h>

#include "weir/base/check.h"
#include "weir/base/mask.h"

/* As many reactors as there can be; CPUs beyond are not looked at. */
#define CPUS_MAX ((unsigned)MASK_REACTORS_MAX)

#define CPUS_NO_QUOTA UINT32_MAX

struct cpus {
    uint32_t n_allowed;         /* CPUs of the affinity mask, 1 to CPUS_MAX */
    uint32_t n_quota;           /* whole CPUs that the quotas allow, at least 1, or CPUS_NO_QUOTA */
    uint16_t allowed[CPUS_MAX]; /* their numbers, rising */
};

/* Any thread; blocks on files of the kernel. root is put in front of their paths: "", or a folder
 * of a test. A quota that cannot be read counts as none. 0 or -errno of sched_getaffinity(2). */
NODISCARD int cpus_read(const char *root, struct cpus *out);

/* How many reactors to start where the configuration does not say. */
uint32_t cpus_n_reactors(const struct cpus *c);

/* Threads made with attr stay on this CPU; pthread_create() fails where it may not be used. 0 or
 * -errno. */
NODISCARD int cpus_pin(pthread_attr_t *attr, uint16_t cpu);

#endif
