/*
 * Control's side of cancel requests (weir/pool/cancel.h).
 */
#ifndef WEIR_POOL_CANCELS_H
#define WEIR_POOL_CANCELS_H

#include <stdbool.h>

#include "weir/base/list.h"

struct pools;
struct server;

/* Control's alone. */
struct cancels {
    struct list open;    /* connections, n_open of them */
    struct list waiting; /* for their turn, the oldest first */
    unsigned n_open;
    bool stopping;
};

void cancels_init(struct cancels *cs);

/* Ends all connections and begins no more; each request is answered nevertheless, so that nobody
 * waits for it. Those that are open end in a later turn. */
void cancels_stop(struct pools *ps);

static inline bool cancels_idle(const struct cancels *cs)
{
    return cs->n_open == 0;
}

/* On the thread that owns s, which is about to be discarded: nobody is to be told when the request
 * under way for it, if there is one, is over. */
void cancel_forget(struct server *s);

#endif
