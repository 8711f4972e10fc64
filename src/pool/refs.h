/*
 * All that changes of a statement, in one word: how many references there are, whether it is in the
 * queue of those that may be dropped, whether it was found again, whether it is dead. So each of
 * these steps is one exchange that sees all the others:
 *
 *     taken    count + 1, unless dead: it is not there then
 *     put      count - 1; the last one, if it is not queued, queues it
 *     dropped  count 0 to dead: from then on nobody can take it
 *
 * One that is found again stays in the queue; when room is needed it is seen to be held, or spared
 * once. So the path of a query writes this word and nothing else.
 *
 * Invariants: dead is for good; QUEUED and DEAD are changed under the queue's lock.
 * Threads: any.
 */
#ifndef WEIR_POOL_REFS_H
#define WEIR_POOL_REFS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "weir/base/check.h"
#include "weir/base/yield.h"

#define REFS_DEAD (UINT32_C(1) << 31)   /* nothing else is set then */
#define REFS_QUEUED (UINT32_C(1) << 30) /* may be dropped */
#define REFS_FOUND (UINT32_C(1) << 29)  /* again, since it was made or spared */
#define REFS_COUNT (REFS_FOUND - 1)     /* references */

struct refs {
    _Atomic uint32_t word;
};

/* With one reference. */
static inline void refs_init(struct refs *r)
{
    atomic_init(&r->word, 1);
}

/* A moment's value. */
static inline uint32_t refs_count(const struct refs *r)
{
    return atomic_load_explicit(&r->word, memory_order_relaxed) & REFS_COUNT;
}

/* For who has found it and has no reference; its memory is there. False: it is dead. */
NODISCARD static inline bool refs_take(struct refs *r)
{
    uint32_t word = atomic_load_explicit(&r->word, memory_order_relaxed);

    do {
        if (word & REFS_DEAD)
            return false;
        ASSERT((word & REFS_COUNT) < REFS_COUNT);
        YIELD_POINT(YIELD_REFS_TAKING);
    } while (!atomic_compare_exchange_weak_explicit(&r->word, &word, (word + 1) | REFS_FOUND,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* One more, for who has one. */
static inline void refs_add(struct refs *r)
{
    uint32_t before = atomic_fetch_add_explicit(&r->word, 1, memory_order_relaxed) & REFS_COUNT;

    ASSERT(before > 0 && before < REFS_COUNT);
}

/* True: nobody holds it and it is not queued: to be queued by the caller. */
NODISCARD static inline bool refs_put(struct refs *r)
{
    /* release: pairs with the acquire in refs_judge() */
    uint32_t before = atomic_fetch_sub_explicit(&r->word, 1, memory_order_release);

    ASSERT((before & REFS_COUNT) > 0);
    YIELD_POINT(YIELD_REFS_PUT);
    return (before & (REFS_COUNT | REFS_QUEUED)) == 1;
}

/* After refs_put(), under the queue's lock. False: without our reference others have queued it
 * meanwhile, and perhaps dropped it. */
NODISCARD static inline bool refs_queue(struct refs *r)
{
    if (atomic_load_explicit(&r->word, memory_order_relaxed) & (REFS_QUEUED | REFS_DEAD))
        return false;
    atomic_fetch_or_explicit(&r->word, REFS_QUEUED, memory_order_relaxed);
    return true;
}

enum refs_verdict {
    REFS_IS_HELD,    /* not queued any more: the last put will do it */
    REFS_IS_SPARED,  /* still queued, but not found again now */
    REFS_IS_DROPPED, /* dead */
};

/* What is to become of one that has been taken off the queue; under the queue's lock. */
static inline enum refs_verdict refs_judge(struct refs *r, bool may_spare)
{
    uint32_t word = atomic_load_explicit(&r->word, memory_order_relaxed);
    enum refs_verdict verdict;
    uint32_t next;

    do {
        YIELD_POINT(YIELD_REFS_JUDGING);
        if (word & REFS_COUNT) {
            verdict = REFS_IS_HELD;
            next = word & ~REFS_QUEUED;
        } else if (may_spare && word & REFS_FOUND) {
            verdict = REFS_IS_SPARED;
            next = word & ~REFS_FOUND;
        } else {
            verdict = REFS_IS_DROPPED;
            next = REFS_DEAD;
        }
        /* acquire: pairs with the release in refs_put(): its users come before its end */
    } while (!atomic_compare_exchange_weak_explicit(&r->word, &word, next, memory_order_acquire,
                                                    memory_order_relaxed));
    return verdict;
}

#endif
