/*
 * What the files of the pool layer share of a pool. Who may touch what stands beside each group.
 */
#ifndef WEIR_POOL_INTERNAL_H
#define WEIR_POOL_INTERNAL_H

#include "weir/base/shelf.h"
#include "weir/conf/pool.h"
#include "weir/pool/pool.h"
#include "weir/pool/pools.h"

#define POOL_BLOCK_SERVERS 64
#define POOL_BLOCKS (POOL_SIZE_MAX / POOL_BLOCK_SERVERS)

struct pool_control;

struct pool {
    /* Set when the pool is made, then read-only. */
    struct pools *pools;
    struct crew *crew;
    char database[CONF_NAME_MAX + 1]; /* as clients name them */
    char user[CONF_NAME_MAX + 1];
    struct conf_pool conf;        /* where its servers are, as whom; strings live as the pool */
    struct pool *next;            /* of those in the same bucket */
    struct pool_control *control; /* what it points to is control's alone */

    /* Read by everybody, written seldom and by control alone. */
    _Alignas(CACHE_LINE) atomic_uint generation; /* older servers go when they are given back */
    atomic_uint n_servers;                       /* slots taken, closing ones included */
    atomic_uint n_opening, n_closing;            /* of these; relaxed: others read it for SHOW */
    atomic_bool listed; /* control knows that it wants more than it can get: no need to ask */
    /* Of clients that want a server of their own; relaxed: hints. */
    _Atomic uint64_t own_oldest_us; /* when the first of those who wait came; 0: none waits */
    atomic_uint n_own_waiting, n_own_opening;
    /* What those who wait are turned away with, until the next attempt; NULL: nobody is. */
    _Atomic(const struct pool_failure *) refusal;
    /* Of the last login that failed; NULL once one went well. */
    _Atomic(const struct pool_failure *) cause;
    _Atomic(const struct greeting *) greeting; /* NULL: cold */
    atomic_bool audit_rests; /* control waits to be told of the next use; see audit.c */
    /* number -> server, in blocks made before the first server with such a number is opened */
    _Atomic(struct server **) blocks[POOL_BLOCKS];

    /* Servers that control wants back: control adds, whoever releases a server takes down. */
    _Alignas(CACHE_LINE) atomic_uint give_back;
    _Atomic uint64_t n_idle_words; /* idle.h; who has a server in the hand adds; relaxed */

    struct mask has_waiters; /* reactors whose FIFO is not empty; each writes its own bit */
    struct mask awaiting;    /* reactors with clients that wait for a greeting; the same */

    /* The letter "look" to control: whoever sets the flag posts, control clears it as it reads. */
    _Alignas(CACHE_LINE) atomic_bool asked;
    struct letter ask;

    struct shelves shelves;
    _Atomic(struct shelf *) each[]; /* one per reactor: the shelves of the parts */
};

/* The part of a reactor; NULL before its first use of the pool. */
static inline struct pool_part *pool_part(const struct pool *p, unsigned reactor)
{
    struct shelf *h = shelves_get(&p->shelves, reactor);

    return h == NULL ? NULL : CONTAINER_OF(h, struct pool_part, shelf);
}

/* number was taken from a shelf of p, so its block exists. */
static inline struct server *pool_server(const struct pool *p, unsigned number)
{
    struct server **block = atomic_load_explicit(&p->blocks[number / POOL_BLOCK_SERVERS],
                                                 memory_order_seq_cst); /* pairs with control's */

    return block[number % POOL_BLOCK_SERVERS];
}

/* --- part.c */

/* Any thread: makes the part of a reactor unless it exists. 0 or -ENOMEM. */
NODISCARD int part_make(struct pool *p, unsigned reactor);

/* On its reactor, which has joined. */
struct pool_part *part_own(const struct pool *p, const struct thread *self);

/* Any thread: when the longest waiting client came, us; 0: none waits. Those who want a server of
 * their own are not counted. */
uint64_t pool_oldest_us(const struct pool *p);

/* Any thread: posts the part's letter `look` or `failed`, unless it is under way. */
void part_tell_look(struct pool_part *part, struct thread *to);
void part_tell_failed(struct pool_part *part, struct thread *to);

/* --- pool.c */

/* Any thread: has control look for demand. */
void pool_ask_control(struct pool *p);

/* The owner's second look: serves waiters to whom nothing is promised, else has control look for
 * more. Whoever published a waiter, or dropped a server that was promised, ends here. */
void pool_look(struct pool_part *part, struct thread *self);

/* Any thread that has put a server of p on a shelf. */
void pool_shelved(struct pool *p);

/* Any thread with an idle server in its hand: promises it to the reactor that waits longest, self
 * apart, and posts it there. False: nobody is unclaimed. */
NODISCARD bool pool_grant(struct pool *p, const struct thread *self, struct server *s);

/* Any thread: does a waiter exist to whom nothing is promised? */
NODISCARD bool pool_has_unclaimed(const struct pool *p);

/* Any thread: an idle server of the current generation that is alive, taken off its shelf; the own
 * shelf is that of `home`. Others found on the way go to control. NULL: there is none. */
NODISCARD struct server *pool_take(struct pool *p, unsigned home, uint64_t now_ns);

/* Is s of an older generation than its pool, or past its time? Who holds s may ask. */
NODISCARD bool pool_is_stale(const struct server *s, uint64_t now_ns);

/* open() of every server's letter. */
void pool_server_letter(struct letter *l, struct thread *self);

#endif
