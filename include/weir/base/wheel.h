/*
 * Timer wheel: O(1) set and clear, millisecond ticks, hierarchical, any span of time.
 * A timer fires in the first tick that begins at or after its deadline, never before it. Belongs
 * to one thread.
 */
#ifndef WEIR_BASE_WHEEL_H
#define WEIR_BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/base/list.h"

struct wheel_timer;
typedef void wheel_fn(struct wheel_timer *t);

/* Embedded in its owner; all zero but fire = idle. Fires once, then is idle again. */
struct wheel_timer {
    struct list_link link; /* on a slot of the wheel while armed */
    uint64_t deadline_ns;
    wheel_fn *fire; /* set by the owner before the first wheel_set() */
    uint8_t level;  /* where the wheel put it */
    uint8_t slot;
};

/* 8 levels of 6 bits count 2^48 ms, more than 64 bits of nanoseconds can say: no deadline lies
 * beyond the top level. */
#define WHEEL_LEVELS 8
#define WHEEL_SLOT_BITS 6
#define WHEEL_SLOTS (1 << WHEEL_SLOT_BITS)

struct wheel {
    uint64_t now_ns;                 /* of the last advance */
    uint64_t tick;                   /* the last tick that has been fired, in ms */
    uint64_t occupied[WHEEL_LEVELS]; /* bit s: slot s of the level holds timers */
    unsigned n_timers;               /* armed, those about to be fired included */
    struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, uint64_t now_ns);

/* Arms t, or moves its deadline if it is armed. A deadline in the past fires at the next advance;
 * CLOCK_NEVER clears. */
void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t deadline_ns);

/* Idle timers may be cleared too. */
void wheel_clear(struct wheel *w, struct wheel_timer *t);

static inline bool wheel_armed(const struct wheel_timer *t)
{
    return list_linked(&t->link);
}

/* Fires every timer whose deadline has passed, in order of their ticks, those of one tick in the
 * order in which they were set. A callback may set and clear any timer, its own included, and free
 * its own; one set to a time already past fires at the next advance, so a callback that re-arms
 * itself cannot hold the thread. */
void wheel_advance(struct wheel *w, uint64_t now_ns);

/* When wheel_advance() should be called next: never later than the earliest deadline's tick,
 * perhaps earlier. CLOCK_NEVER if no timer is armed. */
uint64_t wheel_next_ns(const struct wheel *w);

#endif
