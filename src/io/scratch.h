/*
 * Memory of one loop turn: taken piece by piece, given back all at once. The first block is the
 * loop's own, so an ordinary turn takes nothing from the arena.
 *
 * Invariant: next <= end, both in the newest block. Runs on: the loop's thread.
 */
#ifndef IO_SCRATCH_H
#define IO_SCRATCH_H

#include <stddef.h>

#include "weir/base/arena.h"
#include "weir/base/check.h"

#define SCRATCH_ALIGN 16

struct scratch {
    struct arena *arena;
    char *own;          /* the first block */
    char *next, *end;   /* what is left of the newest block */
    void *extra_blocks; /* chunks of the arena, linked through their first word */
};

NODISCARD int scratch_init(struct scratch *s, struct arena *a);
void scratch_fini(struct scratch *s);

/* NULL where len is over scratch_max() or the arena is empty. */
NODISCARD void *scratch_get(struct scratch *s, size_t len);
size_t scratch_max(const struct scratch *s);

/* Takes everything back. */
void scratch_reset(struct scratch *s);

#endif
