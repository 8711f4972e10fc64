/*
 * Which of n numbered things are free, for any number of threads, without a lock: the common part
 * of arena and slab. The things themselves are never touched, so whoever holds one may write all
 * of it while another thread, a step behind, still looks at the list.
 *
 * Invariants: n_ever_taken <= n_open <= n; an index below n_open is either taken by exactly one
 * holder, or on the list, or was never taken; the last given is taken first; never-taken ones come,
 * in order, only when the list is empty, so the things in use stay few and low.
 */
#ifndef WEIR_BASE_FREELIST_H
#define WEIR_BASE_FREELIST_H

#include <stdatomic.h>
#include <stdint.h>

#include "weir/base/check.h"

#define FREELIST_NONE UINT32_MAX
#define FREELIST_MAX (UINT32_MAX - 1)

/* On a line of its own: every take and give writes it. */
struct freelist {
    _Alignas(CACHE_LINE) _Atomic uint64_t head; /* tag and first link, see freelist.c */
    _Atomic uint32_t n_ever_taken;              /* this index and higher ones were never taken */
    _Atomic uint32_t n_open; /* this index and higher ones may not be taken yet */
    uint32_t n;              /* never changes, nor does links */
    _Atomic uint64_t *links; /* one for each index */
};

/* n indices, none open; 1 <= n <= FREELIST_MAX. 0 or -ENOMEM. */
NODISCARD int freelist_init(struct freelist *f, uint32_t n);
void freelist_fini(struct freelist *f);

/* Opens all below n_open, which is at most n and never goes back. One thread at a time; what it
 * wrote before is seen by whoever takes one of them. */
void freelist_open(struct freelist *f, uint32_t n_open);
uint32_t freelist_n_open(const struct freelist *f);

/* Any thread. FREELIST_NONE when all open ones are taken. */
NODISCARD uint32_t freelist_take(struct freelist *f);

/* Any thread; what the caller wrote before is seen by whoever takes the index next. */
void freelist_give(struct freelist *f, uint32_t index);

/* Any thread; a moment's value, at most n. */
uint32_t freelist_n_taken(const struct freelist *f);

#endif
