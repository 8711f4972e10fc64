/*
 * Control's side of the pool layer: opening, closing and counting. Everything here runs on control,
 * so it is plain data.
 */
#ifndef WEIR_POOL_CONTROL_H
#define WEIR_POOL_CONTROL_H

#include "weir/base/list.h"
#include "weir/base/wheel.h"

#include "internal.h"

/* A bound on the servers of several pools together: max_db_connections of a database,
 * max_user_connections of a user. Invariant: n_closing <= n_taken <= max. */
struct limit {
    struct list_link link;
    bool of_user;       /* else of a database */
    unsigned max;       /* at least 1 */
    unsigned n_taken;   /* slots, closing ones included */
    unsigned n_closing; /* of them: free at their FIN */
    char name[CONF_NAME_MAX + 1];
};

#define POOL_LIMITS 2

/* Different failures and greetings that a pool keeps: whoever was given one may hold on to it. */
#define POOL_KEPT_MAX 8

/* What control knows of a pool. */
struct pool_control {
    struct pool *pool;
    struct limit *limits[POOL_LIMITS]; /* the database's, the user's; NULL: none */
    uint64_t numbers[POOL_BLOCKS];     /* bit: the number is in use */
    struct list servers;               /* all that are not free, in the order of opening */
    struct list own_waiting;           /* clients that want a server of their own (own.c) */
    struct list own_opening;           /* those for whom one is being opened */
    unsigned n_own;                    /* servers of one client alone, closing ones excepted */
    unsigned next_home;                /* where a server goes that nobody waits for */
    bool backing_off;                  /* a login failed; `retry` is armed */
    bool refused; /* since the last good login one failed in a way that waiting does not mend */
    struct wheel_timer retry;
    struct wheel_timer sweep; /* armed while a server may outlive its time or its use */
    struct wheel_timer audit; /* armed while a server was used that is idle now; audit.c */
    struct server *audited;   /* NULL: none is being asked */
    struct list_link listed;  /* on pools->listed */
    bool in_line;             /* and when last looked at it starved */
    struct pool_failure *failures[POOL_KEPT_MAX];
    struct greeting *greetings[POOL_KEPT_MAX];
    unsigned n_failures, n_greetings;
};

/* Counts that control alone writes; others read them for SHOW. */
static inline unsigned count_read(const atomic_uint *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

static inline void count_add(atomic_uint *count, int n)
{
    atomic_store_explicit(count, count_read(count) + (unsigned)n, memory_order_relaxed);
}

/* --- control.c */

/* Opens as many servers as waiters need and limits allow: the one place where servers are opened.
 */
void control_look(struct pool *p);

/* A login has ended well: s is SERVER_LOGIN, its stream detached, backend_pid and key set.
 * greeting: the ParameterStatus messages that came, whole, one after the other; copied. */
void control_opened(struct thread *control, struct server *s, struct span greeting);

/* Connecting or logging in has failed; s is SERVER_CONNECTING or SERVER_LOGIN and its stream has
 * closed or was never opened. why is copied, and logged here. permanent: waiting does not mend it
 * (wrong password, no such database), so those who wait are told. Frees the slot. */
void control_open_failed(struct thread *control, struct server *s, const struct pool_failure *why,
                         bool permanent);

/* An idle server in control's hand goes to whoever waits, to make room for a pool that starves, or
 * to a shelf; one that is too old is closed. */
void control_release(struct thread *control, struct server *s);

/* Takes an empty slot back; then looks at those who may wait for it. */
void control_slot_free(struct server *s);

/* open() of a pool's `ask`, and what comes to control of a server's letter. */
void control_asked(struct letter *l, struct thread *self);
void control_server_arrived(struct thread *control, struct server *s);

/* Servers for all clients that are not about to be gone, opening ones included. */
unsigned control_n_staying(const struct pool *p);

/* --- closing.c */

/* Why a server is closed for another pool. */
#define CONTROL_MAKE_ROOM "another pool needs its place"

/* Closes an idle or discarded server in control's hand: Terminate where allowed, FIN, then its slot
 * is free. why goes to the log. */
void control_close(struct thread *control, struct server *s, const char *why);

/* --- sweep.c */

/* Arms the timer for the time when the next server of p is due. Called when one was opened. */
void sweep_plan(struct pool *p);

/* Is s on a shelf at this moment? */
bool control_is_shelved(const struct pool *p, const struct server *s);

/* Takes it off its shelf. False: somebody has it in the hand. */
NODISCARD bool control_take_this(struct pool *p, struct server *s);

/* The server that has been idle longest, at least min_idle_ns, taken off its shelf; NULL: none. */
NODISCARD struct server *control_take_idle(struct pool *p, uint64_t now_ns, uint64_t min_idle_ns);

/* Every server opened before now goes: the shelved ones at once, the others when they come back. */
void control_renew(struct thread *control, struct pool *p, const char *why);

/* --- audit.c */

/* p is new; any thread. */
void audit_init(struct pool *p);

/* Some server of p may have been given back, after audits had come to rest. */
void audit_wake(struct pool *p);

/* No more of them; one that is under way ends as it would. */
void audit_stop(struct pool *p);

/* --- limits.c */

/* May p take a slot now? No limit is full and no other pool under it is first in line. */
NODISCARD bool limits_admit(const struct pool *p);

/* Counts slots of p: taken, and of them closing. */
void limits_count(struct pool *p, int taken, int closing);

/* Has p taken all that one of its limits gives? */
NODISCARD bool limits_are_full(const struct pool *p);

/* One of the servers of `from` goes: now if one is idle, else the next one that is given back comes
 * to control. why goes to the log. */
void limits_want_back(struct thread *control, struct pool *from, const char *why);

/* p has waiters and may not have a server: lists it, and if it starves wants one back elsewhere. */
void limits_want(struct thread *control, struct pool *p);

/* p wants nothing any more. True if it was listed: look once more. */
bool limits_unlist(struct pool *p);

/* A slot was taken for p: a client under a limit that is full by that may need room for a server of
 * its own, where none was needed before. */
void limits_taken(struct thread *control, const struct pool *p);

/* A slot of p was freed: looks at those who are listed under its limits. */
void limits_freed(struct pool *p);

/* Does a pool starve for which a server of p would make room? */
NODISCARD bool limits_starving_beside(const struct pool *p);

/* fire() of pools->second: pools that have servers and want more get what is unused elsewhere. */
void limits_tick(struct wheel_timer *t);

/* --- login.c */

/* Connects and logs in as p->conf says; s is SERVER_CONNECTING, everything but its identity zero.
 * Ends with control_opened() or control_open_failed(), in a later turn, within
 * server_connect_timeout. */
void login_start(struct thread *control, struct server *s);

/* Ends a login under way early: control_open_failed() comes, as for any failure, in a later turn,
 * and as soon as a helper that still works for it is done. */
void login_abort(struct thread *control, struct server *s);

#endif
