/*
 * What the pool layer has of an inspection beside weir/pool/inspect.h: audits, and how what came of
 * each is counted and told.
 */
#ifndef WEIR_POOL_INSPECTION_H
#define WEIR_POOL_INSPECTION_H

#include "weir/base/counter.h"
#include "weir/base/mask.h"
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

/* Like inspect_begin(), about everything, for a server that nobody suspects. What s->settings and
 * s->prepared_by_sql account for is no find: it stays where it is, and is not in `found`. All else
 * is cleaned. Counting and telling are the callee's. */
NODISCARD int inspect_audit(struct server *s, struct thread *control, inspect_done *done,
                            void *ctx);

#endif
