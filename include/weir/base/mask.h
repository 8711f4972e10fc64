/*
 * A set of reactors, at most 64, in one shared word: which shelves may hold an idle server, on
 * which reactors clients wait. So nobody scans all reactors to find the few that matter.
 *
 * A bit is written only if it must change: a mask that stays as it is stays in every core's cache.
 * An or (and) that changes nothing is the same step as the load that saw so. Sequentially
 * consistent throughout, as docs/models/pool.pml assumes. Any thread, unless the mask's owner says
 * otherwise.
 */
#ifndef WEIR_BASE_MASK_H
#define WEIR_BASE_MASK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "weir/base/check.h"

#define MASK_REACTORS_MAX 64

struct mask {
    _Alignas(CACHE_LINE) _Atomic uint64_t bits;
};

static inline uint64_t mask_bit(unsigned reactor)
{
    ASSERT(reactor < MASK_REACTORS_MAX);
    return UINT64_C(1) << reactor;
}

static inline void mask_init(struct mask *m)
{
    atomic_init(&m->bits, 0);
}

/* Pairs with mask_set() and mask_clear(): who sees a bit sees what was written before it. */
static inline uint64_t mask_read(const struct mask *m)
{
    return atomic_load_explicit(&m->bits, memory_order_seq_cst);
}

/* Pairs with mask_read(). */
static inline void mask_set(struct mask *m, unsigned reactor)
{
    if (!(mask_read(m) & mask_bit(reactor)))
        atomic_fetch_or_explicit(&m->bits, mask_bit(reactor), memory_order_seq_cst);
}

/* Pairs with mask_read(). */
static inline void mask_clear(struct mask *m, unsigned reactor)
{
    if (mask_read(m) & mask_bit(reactor))
        atomic_fetch_and_explicit(&m->bits, ~mask_bit(reactor), memory_order_seq_cst);
}

/* Takes one reactor out of what was read from a mask and returns it: the next one after `home`,
 * then round. Starting there spreads those who look over those who are looked at. `set` must not
 * be empty. */
static inline unsigned mask_pop_after(uint64_t *set, unsigned home)
{
    unsigned shift = (home + 1) % MASK_REACTORS_MAX;
    uint64_t turned = *set >> shift | *set << (MASK_REACTORS_MAX - shift) % MASK_REACTORS_MAX;
    unsigned reactor;

    ASSERT(*set != 0);
    reactor = ((unsigned)__builtin_ctzll(turned) + shift) % MASK_REACTORS_MAX;
    *set &= ~mask_bit(reactor);
    return reactor;
}

#endif
