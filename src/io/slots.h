/*
 * Names for operations in the kernel: index and generation, so that a completion that comes after
 * its slot has been given to somebody else is recognised.
 *
 * Invariants: index 0 is never given out; the generation of a slot grows each time it is put back.
 * Runs on: the loop's thread.
 */
#ifndef IO_SLOTS_H
#define IO_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/base/check.h"

struct slot {
    union {
        void *object;       /* in use; NULL: nobody waits for the completion any more */
        uint32_t next_free; /* not in use; 0: none */
    };
    uint32_t generation;
    uint8_t kind;   /* the engine's */
    bool cancelled; /* a cancel is on its way */
};

struct slots {
    struct slot *slots; /* address space for SLOTS_MAX */
    uint32_t n_used_ever;
    uint32_t free; /* the slot put back last; 0: none */
};

#define SLOTS_MAX (1U << 21)

NODISCARD int slots_init(struct slots *t);
void slots_fini(struct slots *t);

/* 0 if all are in use. */
NODISCARD uint32_t slots_get(struct slots *t, uint8_t kind, void *object);
void slots_put(struct slots *t, uint32_t index);

static inline struct slot *slots_at(const struct slots *t, uint32_t index)
{
    return &t->slots[index];
}

/* What the operation carries. */
static inline uint64_t slots_name(const struct slots *t, uint32_t index)
{
    return (uint64_t)t->slots[index].generation << 32 | index;
}

/* The index in name, or 0 if the slot is not that operation's any more. */
static inline uint32_t slots_find(const struct slots *t, uint64_t name)
{
    uint32_t index = (uint32_t)name;

    return index <= t->n_used_ever && t->slots[index].generation == name >> 32 ? index : 0;
}

#endif
