/*
 * One pool of servers per (database, user), shared by all reactors.
 *
 * The protocol, its proof obligations and its models: docs/models/pool.pml. In short: a server is
 * taken from any shelf by one atomic and; who finds none publishes a waiter, then looks once more;
 * who gives a server back puts it on a shelf, looks for waiters, and if there is one takes any idle
 * server back *before* claiming the waiter. What crosses threads is a grant: a server posted to a
 * reactor that has waiters. Control alone opens, closes and counts.
 *
 * Invariants: a pool never has more servers than pool_size, closing ones included; on every part,
 * unclaimed = max(0, n_waiters - promised) whenever its reactor is between turns; the reactor's bit
 * of has_waiters is set if and only if its FIFO is not empty.
 *
 * Every atomic is seq_cst (that is what the models assume) unless its comment says otherwise.
 */
#ifndef WEIR_POOL_POOL_H
#define WEIR_POOL_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "weir/base/check.h"
#include "weir/base/demand.h"
#include "weir/base/list.h"
#include "weir/base/shelf.h"
#include "weir/conf/conf.h"
#include "weir/pool/server.h"
#include "weir/pool/thread.h"

#define POOL_SIZE_MAX SHELF_SERVERS_MAX

/* Why waiting clients are turned away. Immutable; lives as long as its pool. */
struct pool_failure {
    char sqlstate[6];
    char message[512];
};

/* A client in a FIFO. Embedded in the client; its reactor's alone. Zeroed = not waiting. */
struct waiter {
    struct list_link link;
    uint64_t since_ns;
    bool awaits_greeting; /* set by pool_await_greeting() */
    /* s is this client's from now on: SERVER_ACTIVE, its stream detached, replies at rest, both
     * walkers at a boundary. For one that awaits a greeting: s is NULL, the greeting is there. */
    void (*served)(struct waiter *w, struct thread *self, struct server *s);
    /* No server will come; the waiter is off the FIFO. */
    void (*failed)(struct waiter *w, struct thread *self, const struct pool_failure *why);
};

/* What one reactor has of a pool; made at its first use of the pool. */
struct pool_part {
    struct shelf shelf;                        /* any thread */
    _Alignas(CACHE_LINE) struct demand demand; /* any thread claims, the owner publishes */
    /* Arrival of the first waiter in us, 0 = none: a hint for fairness; relaxed, the owner writes.
     */
    _Alignas(CACHE_LINE) _Atomic uint64_t oldest_us;
    /* Letters of control, or of the owner to itself; a flag is set by who posts and cleared by who
     * reads. */
    struct letter look, failed;
    atomic_bool look_posted, failed_posted;

    /* the owner's alone: */
    _Alignas(CACHE_LINE) struct list waiters;
    struct list awaiting; /* clients of a cold pool that wait for its greeting */
    struct pool *pool;
    unsigned n_waiters;
    unsigned in_a_row; /* local waiters served in a row while others waited elsewhere */
    uint64_t others_oldest_us, others_read_ns;
};

struct pool;

/* ---- reactors ---- */

/* Makes the part of this reactor, if it has none yet; called at login so that nothing below
 * allocates. 0 or -ENOMEM. */
NODISCARD int pool_join(struct pool *p, struct thread *self);

/* A server for the client that w is embedded in: w->served is called, perhaps before this returns,
 * or w->failed, always later. The server is alive as far as a look at its socket tells; one that
 * was in use less than a millisecond ago is not looked at. */
void pool_acquire(struct pool *p, struct thread *self, struct waiter *w);

/* w leaves its FIFO without a server: client gone, timed out or cancelled. */
void pool_leave(struct pool *p, struct thread *self, struct waiter *w);

/* Gives back a clean server: stream detached, status I, no reply outstanding, no cancel request
 * open. It may be anybody's when this returns. */
void pool_release(struct thread *self, struct server *s);

/* Gives up a server that must not be used again; its stream is detached, or closed already (then
 * stream_fd() is -1). Control says Terminate where the protocol is at a message boundary
 * (terminate), waits for the FIN and frees the slot. */
void pool_discard(struct thread *self, struct server *s, bool terminate);

/* What a login is answered with: the ParameterStatus messages of this pool's last server login, as
 * bytes to send. NULL on a cold pool. Any thread; lives as long as the pool. */
struct greeting {
    size_t len;
    uint8_t bytes[];
};
const struct greeting *pool_greeting(const struct pool *p);

/* On a cold pool: asks control for one login. w->served is called with s == NULL when there is a
 * greeting, w->failed when the login failed for good; w may leave with pool_leave(). */
void pool_await_greeting(struct pool *p, struct thread *self, struct waiter *w);

/* ---- any thread ---- */

/* Has somebody waited for a server of this pool for at least this long, on any reactor? A hint that
 * costs two loads where nobody waits. */
bool pool_waited(const struct pool *p, uint64_t now_ns, uint64_t at_least_ns);

/* Why the last login at this pool's server failed, until one succeeds: what to tell who waited in
 * vain. NULL: it did not fail. */
const struct pool_failure *pool_last_failure(const struct pool *p);

/* As the client named it; NUL-terminated; for as long as the pool. */
const char *pool_database(const struct pool *p);
const char *pool_user(const struct pool *p);

/* What applies to this pool; immutable. */
const struct conf_policy *pool_policy(const struct pool *p);

/* Counts for SHOW; each a moment's value. */
struct pool_counts {
    unsigned n_servers; /* slots taken */
    unsigned n_idle;    /* on shelves */
    unsigned n_opening, n_closing;
    unsigned n_waiters;
    uint64_t oldest_us;    /* arrival of the longest waiting one; 0: none waits */
    uint64_t n_idle_words; /* messages that servers sent while nobody used them; dropped */
};
void pool_count(const struct pool *p, struct pool_counts *out);

#endif
