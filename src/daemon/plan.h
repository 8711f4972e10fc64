/*
 * How many reactors there will be and on which CPUs, from the configuration and the CPUs at hand.
 * Pure.
 */
#ifndef WEIR_DAEMON_PLAN_H
#define WEIR_DAEMON_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "cpus.h"
#include "weir/conf/conf.h"

struct plan {
    uint32_t n_reactors; /* 1 to CPUS_MAX */
    bool pinned;
    const char *why;        /* they are pinned or not, for the log */
    uint16_t cpu[CPUS_MAX]; /* of each reactor, where pinned */
};

struct plan plan_reactors(const struct conf *c, const struct cpus *cpus);

#endif
