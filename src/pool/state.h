/*
 * How what came of inspections and audits is counted and told: weir/pool/inspect.h has the kinds.
 */
#ifndef WEIR_POOL_STATE_H
#define WEIR_POOL_STATE_H

#include "weir/base/check.h"
#include "weir/base/counter.h"
#include "weir/pool/inspect.h"

/* Of one thread, the only writer; inspections and audits, by what came of them. */
struct state_counters {
    _Alignas(CACHE_LINE) struct counter moved[STATE_N_KINDS];
    struct counter cleaned[STATE_N_KINDS];
    struct counter undetected[STATE_N_KINDS];
};

/* "temp:2,settings": the kinds among those of `kinds`, with how much there was if that is known. */
#define STATE_TEXT_MAX 128
void state_describe(const struct inspect_found *found, unsigned kinds, char out[STATE_TEXT_MAX]);

/* Adds one for each of kinds. */
void state_count(struct counter counters[STATE_N_KINDS], unsigned kinds);

#endif
