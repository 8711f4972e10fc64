/*
 * A server for one client alone: a replication client, whose connection PostgreSQL sets up as its
 * startup packet says and serves by another process than all others. It counts in every limit. It
 * is on no shelf before or after, and is closed when its client leaves.
 *
 * Where there is no room, an idle server of the same pool is closed for it; where none is idle, the
 * request waits for its turn among the pool's waiters, in the order of their coming.
 *
 * Thread: a request is its reactor's; between own_ask() and the answer control works for it.
 */
#ifndef WEIR_POOL_OWN_H
#define WEIR_POOL_OWN_H

#include "pgwire/startup.h"
#include "weir/base/check.h"
#include "weir/base/span.h"
#include "weir/pool/pool.h"

struct own;

struct own_order {
    struct pool *pool;
    enum pgw_replication replication; /* not PGW_REPLICATION_OFF */
    /* What stands in the server's StartupMessage behind user and database, as a packet has it:
     * name, NUL, value, NUL and so on; copied. At most PGW_STARTUP_BODY_MAX bytes. */
    struct span settings;
    /* s is this client's from now on, as for a waiter (pool.h); it is given up with pool_discard().
     * greeting: the ParameterStatus messages that it told; until this returns. */
    void (*served)(void *ctx, struct thread *self, struct server *s, struct span greeting);
    /* No server will come. why lives until this returns. */
    void (*failed)(void *ctx, struct thread *self, const struct pool_failure *why);
    void *ctx;
};

/* On a reactor: one of served() and failed() is called, always in a later turn, and then the
 * request is gone. NULL: no memory. */
NODISCARD struct own *own_ask(const struct own_order *order, struct thread *self);

/* On that reactor, before either was called: neither will be. A server that is being opened for it,
 * or on its way to it, is closed. */
void own_drop(struct own *o);

#endif
