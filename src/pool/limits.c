/*
 * Limits that several pools share. A limit is plain data of control; reactors see of it only their
 * pool's `listed` and `give_back`. Model: docs/models/limit.pml.
 *
 * A pool that finds no room is listed. It *starves* if clients wait and it has no server at all,
 * opening ones included; only then are others disturbed, and only while nothing is closing for it
 * yet. A pool that has servers gets freed slots and, once a second, servers that nobody has used
 * for a second: it never takes one in use, or two busy pools would log in for every transaction.
 * Runs on: control.
 */
#include "weir/base/clock.h"
#include "weir/base/yield.h"

#include "control.h"
#include "own.h"
#include "pools.h"

#define UNUSED_NS NS_PER_S
#define TICK_NS NS_PER_S

static struct pool *listed_pool(struct list_link *link)
{
    return LIST_ITEM(link, struct pool_control, listed)->pool;
}

static bool starves(const struct pool *p)
{
    return control_n_staying(p) == 0 &&
           (pool_has_unclaimed(p) || mask_read(&p->awaiting) != 0 || own_is_waiting(p));
}

/* Lists p. It stands in line from the moment when it is seen to starve, not from when it wanted
 * more: else a pool that has just given its last server for another one would be before it. */
static void enlist(struct pool *p)
{
    struct pool_control *c = p->control;
    bool in_line = starves(p);

    if (list_linked(&c->listed) && in_line && !c->in_line)
        list_remove(&c->listed);
    c->in_line = in_line;
    if (!list_linked(&c->listed))
        list_push_back(&p->pools->listed, &c->listed);
    atomic_store_explicit(&p->listed, true, memory_order_seq_cst); /* pairs with pool_look() */
}

static bool is_under(const struct pool *p, const struct limit *limit)
{
    return p->control->limits[0] == limit || p->control->limits[1] == limit;
}

static bool is_full(const struct limit *limit)
{
    return limit->n_taken >= limit->max;
}

/* NULL: p has room under all its limits. */
static struct limit *full_limit(const struct pool *p)
{
    for (unsigned i = 0; i < POOL_LIMITS; i++) {
        struct limit *limit = p->control->limits[i];

        if (limit != NULL && is_full(limit))
            return limit;
    }
    return NULL;
}

/* The pool that has starved longest under a limit; NULL: none starves. */
static struct pool *first_in_line(const struct pools *ps, const struct limit *limit)
{
    LIST_FOREACH (link, &ps->listed) {
        struct pool *p = listed_pool(link);

        if (p->control->in_line && is_under(p, limit) && starves(p))
            return p;
    }
    return NULL;
}

bool limits_are_full(const struct pool *p)
{
    return full_limit(p) != NULL;
}

static bool is_passed_over(const struct pool *p, const struct limit *limit)
{
    const struct pool *first = first_in_line(p->pools, limit);

    return first != NULL && first != p;
}

bool limits_admit(const struct pool *p)
{
    for (unsigned i = 0; i < POOL_LIMITS; i++) {
        const struct limit *limit = p->control->limits[i];

        if (limit != NULL && (is_full(limit) || is_passed_over(p, limit)))
            return false;
    }
    return true;
}

void limits_count(struct pool *p, int taken, int closing)
{
    for (unsigned i = 0; i < POOL_LIMITS; i++) {
        struct limit *limit = p->control->limits[i];

        if (limit == NULL)
            continue;
        limit->n_taken += (unsigned)taken;
        limit->n_closing += (unsigned)closing;
        ASSERT(limit->n_closing <= limit->n_taken && limit->n_taken <= limit->max);
    }
}

bool limits_starving_beside(const struct pool *p)
{
    for (unsigned i = 0; i < POOL_LIMITS; i++) {
        const struct limit *limit = p->control->limits[i];

        if (limit != NULL && is_full(limit) && limit->n_closing == 0 && is_passed_over(p, limit))
            return true;
    }
    return false;
}

/* ---- making room for one that starves ---- */

static unsigned n_above_minimum(const struct pool *p)
{
    unsigned staying = control_n_staying(p), min = p->conf.policy.min_pool_size;

    return staying > min ? staying - min : 0;
}

/* The pool beside p with most servers above its minimum; where none has more than that, the one
 * with most servers: one that has none comes before one that keeps some in store. NULL: none has
 * any. */
static struct pool *richest_beside(const struct pool *p, const struct limit *limit)
{
    struct pool *other, *best = NULL;

    for (unsigned i = 0; (other = pools_at(p->pools, i)) != NULL; i++) {
        if (other == p || !is_under(other, limit) || control_n_staying(other) == 0)
            continue;
        if (best == NULL || n_above_minimum(other) > n_above_minimum(best) ||
            (n_above_minimum(best) == 0 && control_n_staying(other) > control_n_staying(best)))
            best = other;
    }
    return best;
}

/* Takes a wish down again, unless a releaser was faster: then its server is on its way here. */
static void unwish(struct pool *p)
{
    unsigned n = atomic_load_explicit(&p->give_back, memory_order_seq_cst);

    while (n > 0 && !atomic_compare_exchange_weak_explicit(
                        &p->give_back, &n, n - 1, memory_order_seq_cst, memory_order_seq_cst))
        ;
}

void limits_want_back(struct thread *control, struct pool *from, const char *why)
{
    struct server *s;

    /* First said, then looked: a releaser gives, then looks, so one of the two finds the server
     * (M_LOOK_BEFORE_GIVE_BACK). One wish at a time. */
    if (atomic_load_explicit(&from->give_back, memory_order_seq_cst) == 0)
        atomic_fetch_add_explicit(&from->give_back, 1, memory_order_seq_cst);
    YIELD_POINT(YIELD_POOL_WISHED);
    s = control_take_idle(from, loop_now_ns(control->loop), 0);
    if (s == NULL)
        return;
    unwish(from);
    control_close(control, s, why);
}

void limits_want(struct thread *control, struct pool *p)
{
    struct pools *ps = p->pools;
    struct limit *limit = full_limit(p);
    struct pool *from;

    enlist(p);
    if (!wheel_armed(&ps->second))
        loop_timer_set(control->loop, &ps->second, TICK_NS);
    if (limit == NULL || limit->n_closing > 0 || first_in_line(ps, limit) != p)
        return;
    from = richest_beside(p, limit);
    if (from != NULL)
        limits_want_back(control, from, CONTROL_MAKE_ROOM);
}

bool limits_unlist(struct pool *p)
{
    if (!list_linked(&p->control->listed))
        return false;
    YIELD_POINT(YIELD_POOL_UNLISTING);
    list_remove(&p->control->listed);
    p->control->in_line = false;
    atomic_store_explicit(&p->listed, false, memory_order_seq_cst); /* pairs with pool_look() */
    return true;
}

/* A look at a pool moves no other one on the list. */
static void look_under(struct pools *ps, const struct limit *limit)
{
    struct pool *first, *last = NULL;

    for (; (first = first_in_line(ps, limit)) != NULL && first != last; last = first)
        control_look(first);
    if (first != NULL)
        return; /* it starves on: nobody may overtake it, and what it needs has been asked for */
    LIST_FOREACH (link, &ps->listed) {
        if (is_full(limit))
            return;
        if (is_under(listed_pool(link), limit))
            control_look(listed_pool(link));
    }
}

void limits_taken(struct thread *control, const struct pool *p)
{
    for (unsigned i = 0; i < POOL_LIMITS; i++) {
        const struct limit *limit = p->control->limits[i];

        if (limit == NULL || !is_full(limit))
            continue;
        LIST_FOREACH (link, &p->pools->listed)
            if (is_under(listed_pool(link), limit))
                own_make_room(control, listed_pool(link));
    }
}

void limits_freed(struct pool *p)
{
    for (unsigned i = 0; i < POOL_LIMITS; i++)
        if (p->control->limits[i] != NULL)
            look_under(p->pools, p->control->limits[i]);
}

/* ---- once a second ---- */

/* A server of a pool beside p that nobody has used for a while makes room for p. */
static void take_unused(struct thread *control, const struct pool *p, const struct limit *limit)
{
    struct pool *other;

    for (unsigned i = 0; (other = pools_at(p->pools, i)) != NULL; i++) {
        struct server *s;

        if (other == p || !is_under(other, limit) || n_above_minimum(other) == 0)
            continue;
        s = control_take_idle(other, loop_now_ns(control->loop), UNUSED_NS);
        if (s != NULL) {
            control_close(control, s, CONTROL_MAKE_ROOM);
            return;
        }
    }
}

void limits_tick(struct wheel_timer *t)
{
    struct pools *ps = CONTAINER_OF(t, struct pools, second);
    struct thread *control = crew_control(ps->config.crew);

    LIST_FOREACH (link, &ps->listed) {
        struct pool *p = listed_pool(link);
        const struct limit *limit;

        control_look(p);
        limit = full_limit(p);
        if (list_linked(&p->control->listed) && limit != NULL && limit->n_closing == 0)
            take_unused(control, p, limit);
    }
    if (!list_empty(&ps->listed))
        loop_timer_set(control->loop, &ps->second, TICK_NS);
}
