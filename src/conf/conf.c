/*
 * The life of a snapshot.
 */
#include "weir/conf/conf.h"

#include <stdlib.h>

#include "memory.h"

struct conf *conf_get(struct conf *c)
{
    /* relaxed: the caller has a reference already, nothing is published by this one */
    uint32_t n = atomic_fetch_add_explicit(&c->n_refs, 1, memory_order_relaxed);

    ASSERT(n > 0 && n < UINT32_MAX);
    return c;
}

void conf_put(struct conf *c)
{
    if (c == NULL)
        return;

    /* release: our reads of the snapshot come before its end; acquire: so do everybody's, for the
     * one who ends it. Each pairs with the other in the other threads' puts. */
    uint32_t n = atomic_fetch_sub_explicit(&c->n_refs, 1, memory_order_acq_rel);

    ASSERT(n > 0);
    if (n > 1)
        return;
    memory_free(c->memory);
    free(c);
}
