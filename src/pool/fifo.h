/*
 * The waiters of one part, in the order of their coming. Runs on: the part's reactor.
 *
 * Whoever changes the queue publishes that: by fifo_publish(), or, where a promised server has
 * arrived, by demand_arrived() and fifo_show(). Published is what the demand word and has_waiters
 * say; releasers on other threads go by these.
 */
#ifndef WEIR_POOL_FIFO_H
#define WEIR_POOL_FIFO_H

#include "weir/base/clock.h"

#include "internal.h"

static inline void fifo_note_oldest(struct pool_part *part)
{
    struct list_link *first = list_first(&part->waiters);
    uint64_t us = first == NULL ? 0 : LIST_ITEM(first, struct waiter, link)->since_ns / NS_PER_US;

    atomic_store_explicit(&part->oldest_us, us, memory_order_relaxed); /* a hint, read by others */
}

static inline void fifo_push(struct pool_part *part, struct waiter *w)
{
    list_push_back(&part->waiters, &w->link);
    if (part->n_waiters++ == 0)
        fifo_note_oldest(part);
}

static inline void fifo_remove(struct pool_part *part, struct waiter *w)
{
    list_remove(&w->link);
    part->n_waiters--;
    fifo_note_oldest(part);
}

/* NULL: nobody waits. */
static inline struct waiter *fifo_pop(struct pool_part *part)
{
    struct list_link *first = list_first(&part->waiters);
    struct waiter *w = first == NULL ? NULL : LIST_ITEM(first, struct waiter, link);

    if (w != NULL)
        fifo_remove(part, w);
    return w;
}

/* The bit of has_waiters. */
static inline void fifo_show(struct pool_part *part, const struct thread *self)
{
    if (part->n_waiters > 0)
        mask_set(&part->pool->has_waiters, self->number);
    else
        mask_clear(&part->pool->has_waiters, self->number);
}

static inline void fifo_publish(struct pool_part *part, const struct thread *self)
{
    demand_set(&part->demand, part->n_waiters);
    fifo_show(part, self);
}

#endif
