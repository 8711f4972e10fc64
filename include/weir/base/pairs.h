/*
 * A small set of names with a value each, packed into one block: what a client has chosen, what a
 * server has. Names are compared without regard to the case of ASCII letters and kept in small
 * letters, in order; so two sets are equal if their bytes are. Where is_exact is set, before the
 * first name, case counts and names are kept as they are. An empty set has no block.
 *
 * Threads: a set belongs to one at a time.
 */
#ifndef WEIR_BASE_PAIRS_H
#define WEIR_BASE_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "weir/base/check.h"
#include "weir/base/span.h"

/* Zeroed: empty. The bytes of a pair: name, NUL, value, NUL. */
struct pairs {
    uint8_t *bytes;
    uint32_t len;  /* in use */
    uint32_t size; /* of the block */
    bool is_exact;
};

/* Spans into the set; until it is changed. */
struct pair {
    struct span name, value;
};

/* Frees the block; empty afterwards. */
void pairs_fini(struct pairs *p);

/* Empty afterwards, the block stays. */
static inline void pairs_clear(struct pairs *p)
{
    p->len = 0;
}

static inline bool pairs_equal(const struct pairs *a, const struct pairs *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->bytes, b->bytes, a->len) == 0);
}

/* The pair at *at, which is 0 for the first and moves on; false behind the last one. */
bool pairs_next(const struct pairs *p, size_t *at, struct pair *out);

/* False: there is no such name. */
bool pairs_get(const struct pairs *p, struct span name, struct span *value);
bool pairs_has(const struct pairs *p, struct span name);

/* Name and value lie elsewhere than in p and have no NUL. False: no memory, and p is as before. */
NODISCARD bool pairs_put(struct pairs *p, struct span name, struct span value);

/* No effect where there is no such name. */
void pairs_remove(struct pairs *p, struct span name);

/* False: no memory, and `to` is as before. Both are exact, or neither is. */
NODISCARD bool pairs_copy(struct pairs *to, const struct pairs *from);

/* The order of names in a set that is not exact: negative, 0 or positive. */
int pairs_compare(struct span a, struct span b);

#endif
