/*
 * Counters with one writer and any number of readers. The writer's add is a plain load and store
 * (relaxed atomics compile to that), so counting costs nothing on the path of a query; readers on
 * other threads see a value that is a little old, never a torn one.
 */
#ifndef WEIR_BASE_COUNTER_H
#define WEIR_BASE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

struct counter {
    _Atomic uint64_t value;
};

/* The one writing thread only. */
static inline void counter_add(struct counter *c, uint64_t n)
{
    uint64_t old = atomic_load_explicit(&c->value, memory_order_relaxed);

    atomic_store_explicit(&c->value, old + n, memory_order_relaxed);
}

/* Any thread. */
static inline uint64_t counter_read(const struct counter *c)
{
    return atomic_load_explicit(&c->value, memory_order_relaxed);
}

#endif
