/*
 * What the waiters of one reactor want of one pool, in one word: `unclaimed`, waiters to whom
 * nothing is promised, and `promised`, servers under way to them. Waiters of a reactor are
 * interchangeable: a claim promises one server to the reactor, not to a client. So there is
 * nothing to cancel when a client leaves, times out or is served at home: the owner's queue is
 * shorter, and a promised server that finds nobody is released like any other.
 *
 * The rule that this word exists for: claim only with a server in the hand. Who claims first and
 * then finds the shelves empty holds a promise that nobody keeps, while the one who would have
 * kept it saw no unclaimed waiter and shelved its server (mutant M_CLAIM_FIRST of
 * docs/models/pool.pml).
 *
 * Sequentially consistent throughout, as the model assumes.
 */
#ifndef WEIR_BASE_DEMAND_H
#define WEIR_BASE_DEMAND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "weir/base/check.h"

struct demand {
    _Atomic uint64_t word; /* promised << 32 | unclaimed */
};

static inline uint64_t demand_pack(uint32_t promised, uint32_t n_waiters)
{
    uint32_t unclaimed = n_waiters > promised ? n_waiters - promised : 0;

    return (uint64_t)promised << 32 | unclaimed;
}

static inline void demand_init(struct demand *d)
{
    atomic_init(&d->word, 0);
}

/* Any thread. Waiters to whom nothing is promised. Pairs with demand_set(). */
static inline uint32_t demand_unclaimed(const struct demand *d)
{
    return (uint32_t)atomic_load_explicit(&d->word, memory_order_seq_cst);
}

/* Any thread. Servers under way. */
static inline uint32_t demand_promised(const struct demand *d)
{
    return (uint32_t)(atomic_load_explicit(&d->word, memory_order_seq_cst) >> 32);
}

/* Owner, after every change of its queue: n_waiters is its length now. Pairs with the loads of
 * demand_unclaimed() and demand_claim(). */
static inline void demand_set(struct demand *d, uint32_t n_waiters)
{
    uint64_t old = atomic_load_explicit(&d->word, memory_order_seq_cst);
    uint64_t new;

    do {
        new = demand_pack((uint32_t)(old >> 32), n_waiters);
    } while (new != old && !atomic_compare_exchange_weak_explicit(
                               &d->word, &old, new, memory_order_seq_cst, memory_order_seq_cst));
}

/* Any thread that has an idle server in its hand. True: the server is promised to that reactor and
 * must be posted to it now. False: nobody there wants one. Pairs with demand_set(). */
NODISCARD static inline bool demand_claim(struct demand *d)
{
    uint64_t old = atomic_load_explicit(&d->word, memory_order_seq_cst);

    do {
        if ((uint32_t)old == 0)
            return false;
        /* One step: unclaimed - 1, promised + 1. */
    } while (!atomic_compare_exchange_weak_explicit(&d->word, &old, old - 1 + (UINT64_C(1) << 32),
                                                    memory_order_seq_cst, memory_order_seq_cst));
    return true;
}

/* Owner: a promised server has arrived, and its queue, after the waiter that gets it has left, has
 * length n_waiters. Both halves change in one step: in two, others would see a waiter too many and
 * claim for nobody, or one too few and shelve their server. */
static inline void demand_arrived(struct demand *d, uint32_t n_waiters)
{
    uint64_t old = atomic_load_explicit(&d->word, memory_order_seq_cst);
    uint64_t new;

    do {
        ASSERT(old >> 32 > 0); /* nobody posts a server without a claim */
        new = demand_pack((uint32_t)(old >> 32) - 1, n_waiters);
    } while (!atomic_compare_exchange_weak_explicit(&d->word, &old, new, memory_order_seq_cst,
                                                    memory_order_seq_cst));
}

#endif
