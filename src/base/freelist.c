/*
 * A Treiber stack over indices. A place is an index + 1, or 0 for none. The head is one word: a tag
 * that every give changes, and the place of the first index. The link of an index on the list is
 * one word too: how many are on the list from here on, and the next place; so nobody has to count
 * takes and gives. The link of an index that has a holder is TAKEN. (0 everywhere is thus the state
 * of a new list.)
 *
 * ABA: a thread that read the head and was overtaken fails in its exchange because the tag has
 * moved on. It would take exactly a multiple of 2^32 gives inside the few instructions between to
 * fool it: at 10 ns each, 43 seconds.
 * Rejected: links inside the things themselves (a late reader would race with the holder's
 * writes); a 128-bit head (not lock-free on every machine, opaque to the race detector); a counter
 * of what is taken (two more locked instructions, half the cost of a take and a give).
 */
#include "freelist.h"

#include <errno.h>
#include <stdlib.h>

#include "weir/base/yield.h"

#define TAKEN UINT64_MAX
#define HIGH_ONE (UINT64_C(1) << 32)

_Static_assert(sizeof(struct freelist) == CACHE_LINE, "one line, and nothing else on it");

/* Heads and links alike: */
static uint32_t low(uint64_t word)
{
    return (uint32_t)word;
}

static uint64_t high(uint64_t word)
{
    return word & ~(HIGH_ONE - 1);
}

int freelist_init(struct freelist *f, uint32_t n)
{
    ASSERT(n >= 1 && n <= FREELIST_MAX);
    *f = (struct freelist){.links = calloc(n, sizeof(*f->links)), .n = n};
    return f->links == NULL ? -ENOMEM : 0;
}

void freelist_fini(struct freelist *f)
{
    free(f->links);
    f->links = NULL;
}

void freelist_open(struct freelist *f, uint32_t n_open)
{
    ASSERT(n_open <= f->n);
    ASSERT(n_open >= atomic_load_explicit(&f->n_open, memory_order_relaxed));
    /* release: pairs with the acquire in extend() */
    atomic_store_explicit(&f->n_open, n_open, memory_order_release);
}

uint32_t freelist_n_open(const struct freelist *f)
{
    return atomic_load_explicit(&f->n_open, memory_order_relaxed);
}

static uint32_t pop(struct freelist *f)
{
    /* acquire: pairs with the release in freelist_give(). Other takes may have come between; they
     * exchange the head without a release, but continue the sequence that the give began. */
    uint64_t head = atomic_load_explicit(&f->head, memory_order_acquire);
    uint64_t rest;

    do {
        if (low(head) == 0)
            return FREELIST_NONE;
        /* relaxed: if another thread takes this index first, the value may be anything, and the
         * exchange fails. */
        rest =
            high(head) | low(atomic_load_explicit(&f->links[low(head) - 1], memory_order_relaxed));
        YIELD_POINT(YIELD_FREELIST_SEEN);
    } while (!atomic_compare_exchange_weak_explicit(&f->head, &head, rest, memory_order_acquire,
                                                    memory_order_acquire));
    return low(head) - 1;
}

/* The lowest index that was never taken. */
static uint32_t extend(struct freelist *f)
{
    /* acquire: pairs with the release in freelist_open() */
    uint32_t n_open = atomic_load_explicit(&f->n_open, memory_order_acquire);
    uint32_t index = atomic_load_explicit(&f->n_ever_taken, memory_order_relaxed);

    do {
        if (index >= n_open)
            return FREELIST_NONE;
        /* relaxed: no holder has written anything for this one to see */
    } while (!atomic_compare_exchange_weak_explicit(&f->n_ever_taken, &index, index + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    return index;
}

uint32_t freelist_take(struct freelist *f)
{
    uint32_t index = pop(f);

    if (index == FREELIST_NONE) {
        YIELD_POINT(YIELD_FREELIST_EMPTY);
        index = extend(f);
    }
    /* All that were open have been taken once, which stays so: if the list is empty now, they all
     * are taken now. */
    if (index == FREELIST_NONE)
        index = pop(f);
    if (index == FREELIST_NONE)
        return FREELIST_NONE;

    ASSERT(atomic_load_explicit(&f->links[index], memory_order_relaxed) != TAKEN);
    /* release: who sees this sees that the head has moved; pairs with the acquire in n_listed() */
    atomic_store_explicit(&f->links[index], TAKEN, memory_order_release);
    return index;
}

/* How many are on the list that begins with this head; anything if the head is not the same after
 * the call. */
static uint64_t n_listed(const struct freelist *f, uint64_t head)
{
    if (low(head) == 0)
        return 0;
    /* acquire: pairs with the stores to links in take and give */
    return atomic_load_explicit(&f->links[low(head) - 1], memory_order_acquire) >> 32;
}

void freelist_give(struct freelist *f, uint32_t index)
{
    ASSERT(index < f->n);
    ASSERT(atomic_load_explicit(&f->links[index], memory_order_relaxed) == TAKEN); /* given twice */

    /* acquire: the link of the head is that of the give which made it the head */
    uint64_t head = atomic_load_explicit(&f->head, memory_order_acquire);
    uint64_t next;

    do {
        /* release: as in freelist_take() */
        atomic_store_explicit(&f->links[index], (n_listed(f, head) + 1) << 32 | low(head),
                              memory_order_release);
        next = (high(head) + HIGH_ONE) | (index + 1);
        /* release: publishes the link and what the holder wrote; pairs with the acquire in pop() */
    } while (!atomic_compare_exchange_weak_explicit(&f->head, &head, next, memory_order_release,
                                                    memory_order_acquire));
}

uint32_t freelist_n_taken(const struct freelist *f)
{
    uint64_t head, n_free;

    do {
        head = atomic_load_explicit(&f->head, memory_order_acquire);
        YIELD_POINT(YIELD_FREELIST_COUNTING);
        n_free = n_listed(f, head);
    } while (head != atomic_load_explicit(&f->head, memory_order_relaxed));
    /* Read last: what was on the list had been taken before. */
    return atomic_load_explicit(&f->n_ever_taken, memory_order_relaxed) - (uint32_t)n_free;
}
