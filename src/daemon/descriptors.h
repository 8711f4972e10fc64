/*
 * How many files the kernel lets this process have open.
 */
#ifndef WEIR_DAEMON_DESCRIPTORS_H
#define WEIR_DAEMON_DESCRIPTORS_H

#include <stdint.h>

#include "weir/base/check.h"
#include "weir/conf/conf.h"

/* How many descriptors a daemon with this configuration may come to need: one for each client and,
 * as a guess, as many for each database as one user's pool may open there. Pure. */
NODISCARD uint64_t descriptors_needed(const struct conf *conf);

/* Raises the number of descriptors to what the kernel allows this process (RLIMIT_NOFILE,
 * getrlimit(2)), and warns where the configuration may need more. */
void descriptors_raise(const struct conf *conf);

#endif
