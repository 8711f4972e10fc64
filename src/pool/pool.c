/*
 * The reactors' side of the pool: taking, waiting, giving back, grants. Each step is one of
 * docs/models/pool.pml, and its order is what keeps wake-ups from being lost; the names M_... are
 * the mutants there that break it.
 *
 * In the common case, own shelf to own shelf with nobody waiting, a transaction costs two
 * read-modify-writes on lines that no other core writes and a handful of loads that stay cached.
 */
#include "weir/pool/pool.h"

#include "weir/base/clock.h"
#include "weir/base/yield.h"

#include "cancels.h"
#include "control.h"
#include "fifo.h"
#include "idle.h"
#include "internal.h"

/* A server that was given back this recently is used without a look: what dies within it counts as
 * having died with the query. */
#define FRESH_NS (1 * NS_PER_MS)

/* A local waiter is preferred while it is at most this much younger than the oldest elsewhere... */
#define PREFER_US 500
/* ... and not more often than this in a row. The others' ages are read once per REFRESH_NS. */
#define PREFER_IN_A_ROW 8
#define REFRESH_NS (500 * NS_PER_US)

static const char renewed_or_old[] = "server_lifetime, or its pool was renewed";

static void send_to_control(struct server *s, enum server_errand errand)
{
    s->errand = errand;
    thread_post(crew_control(s->pool->crew), &s->letter);
}

static void send_to_close(struct server *s, const char *why)
{
    s->why = why;
    send_to_control(s, ERRAND_CLOSE);
}

/* ---- taking ---- */

static bool of_older_generation(const struct pool *p, uint32_t born)
{
    return atomic_load_explicit(&p->generation, memory_order_seq_cst) != born;
}

/* The clock is that of the turn, and s may have been opened since this thread's turn began. */
bool pool_is_stale(const struct server *s, uint64_t now_ns)
{
    return of_older_generation(s->pool, s->born) ||
           now_ns >= s->opened_ns + s->pool->conf.policy.server_lifetime_ns;
}

/* What the shelf hides: a look at the socket, unless the server was in use a moment ago. Why it
 * cannot be used, or NULL. */
static const char *fault(struct server *s, uint64_t now_ns)
{
    uint64_t since_ns = atomic_load_explicit(&s->idle_since_ns, memory_order_relaxed);

    if (pool_is_stale(s, now_ns))
        return renewed_or_old;
    return now_ns < since_ns + FRESH_NS ? NULL : idle_fault(s);
}

/* May an idle server be given to a client? If not it goes to control. */
static bool is_usable(struct server *s, uint64_t now_ns)
{
    const char *why = fault(s, now_ns);

    if (why != NULL)
        send_to_close(s, why);
    return why == NULL;
}

struct server *pool_take(struct pool *p, unsigned home, uint64_t now_ns)
{
    unsigned number;

    while ((number = shelves_take(&p->shelves, home)) != SHELF_NONE) {
        struct server *s = pool_server(p, number);

        if (is_usable(s, now_ns))
            return s;
    }
    return NULL;
}

static void hand_over(struct waiter *w, struct thread *self, struct server *s)
{
    server_move(s, SERVER_ACTIVE);
    w->served(w, self, s);
}

static void serve_first(struct pool_part *part, struct thread *self, struct server *s)
{
    struct waiter *w = fifo_pop(part);

    fifo_publish(part, self);
    hand_over(w, self, s);
}

/* ---- waiting ---- */

void pool_ask_control(struct pool *p)
{
    /* Pairs with the store in control_asked(). */
    if (!atomic_exchange_explicit(&p->asked, true, memory_order_seq_cst))
        thread_post(crew_control(p->crew), &p->ask);
}

void pool_look(struct pool_part *part, struct thread *self)
{
    struct pool *p = part->pool;

    while (demand_unclaimed(&part->demand) > 0) {
        struct server *s = pool_take(p, self->number, loop_now_ns(self->loop));

        if (s == NULL) {
            /* Read after the waiter was published; control writes them, then reads who waits. */
            if (atomic_load_explicit(&p->n_servers, memory_order_seq_cst) <
                    p->conf.policy.pool_size &&
                !atomic_load_explicit(&p->listed, memory_order_seq_cst))
                pool_ask_control(p);
            return;
        }
        serve_first(part, self, s);
    }
}

/* Servers refuse us, and it is too early for the next attempt: who waits is told so. Read after the
 * waiter was published; control sets it, then reads who waits. */
static void turn_away(struct pool_part *part, struct thread *self)
{
    if (atomic_load_explicit(&part->pool->refusal, memory_order_seq_cst) != NULL)
        part_tell_failed(part, self);
}

void pool_acquire(struct pool *p, struct thread *self, struct waiter *w)
{
    struct pool_part *part = part_own(p, self);

    ASSERT(!list_linked(&w->link));
    w->since_ns = loop_now_ns(self->loop);
    w->awaits_greeting = false;
    if (part->n_waiters == 0) { /* nobody is overtaken at home */
        struct server *s = pool_take(p, self->number, w->since_ns);

        if (s != NULL) {
            hand_over(w, self, s);
            return;
        }
    }
    YIELD_POINT(YIELD_POOL_FOUND_NONE);
    fifo_push(part, w);
    fifo_publish(part, self);
    YIELD_POINT(YIELD_POOL_PUBLISHED);
    /* First published, then looked once more: M_NO_SECOND_LOOK, M_ASK_BEFORE_PUBLISHING. */
    pool_look(part, self);
    turn_away(part, self);
}

void pool_await_greeting(struct pool *p, struct thread *self, struct waiter *w)
{
    struct pool_part *part = part_own(p, self);

    ASSERT(!list_linked(&w->link));
    w->since_ns = loop_now_ns(self->loop);
    w->awaits_greeting = true;
    list_push_back(&part->awaiting, &w->link);
    mask_set(&p->awaiting, self->number);
    /* The same order here; control stores the greeting, then reads who awaits it. */
    if (pool_greeting(p) != NULL)
        part_tell_look(part, self);
    else
        pool_ask_control(p);
    turn_away(part, self);
}

void pool_leave(struct pool *p, struct thread *self, struct waiter *w)
{
    struct pool_part *part = part_own(p, self);

    if (!list_linked(&w->link))
        return;
    if (!w->awaits_greeting) {
        fifo_remove(part, w);
        fifo_publish(part, self);
        return;
    }
    list_remove(&w->link);
    if (list_empty(&part->awaiting))
        mask_clear(&p->awaiting, self->number);
}

/* ---- giving back ---- */

bool pool_has_unclaimed(const struct pool *p)
{
    uint64_t set = mask_read(&p->has_waiters);

    while (set != 0)
        if (demand_unclaimed(&pool_part(p, mask_pop_after(&set, 0))->demand) > 0)
            return true;
    return false;
}

/* When the first waiter of a reactor came; UINT64_MAX: none waits. */
static uint64_t oldest_us(const struct pool *p, unsigned reactor)
{
    uint64_t us = atomic_load_explicit(&pool_part(p, reactor)->oldest_us, memory_order_relaxed);

    return us == 0 ? UINT64_MAX : us;
}

static uint64_t waiting_elsewhere(const struct pool *p, const struct thread *self)
{
    uint64_t set = mask_read(&p->has_waiters);

    return thread_is_control(self) ? set : set & ~mask_bit(self->number);
}

/* The reactor of set, which is not empty, whose first waiter came first. */
static unsigned longest_waiting(const struct pool *p, const struct thread *self, uint64_t set)
{
    unsigned oldest = mask_pop_after(&set, self->number);

    while (set != 0) {
        unsigned r = mask_pop_after(&set, self->number);

        if (oldest_us(p, r) < oldest_us(p, oldest))
            oldest = r;
    }
    return oldest;
}

bool pool_grant(struct pool *p, const struct thread *self, struct server *s)
{
    uint64_t set = waiting_elsewhere(p, self);

    while (set != 0) {
        unsigned r = longest_waiting(p, self, set);

        /* With the server in the hand, and only so: M_CLAIM_FIRST. */
        if (demand_claim(&pool_part(p, r)->demand)) {
            YIELD_POINT(YIELD_POOL_CLAIMED);
            s->errand = ERRAND_GRANT;
            thread_post(&p->crew->threads[r], &s->letter);
            return true;
        }
        set &= ~mask_bit(r);
    }
    return false;
}

static void refresh_others(struct pool_part *part, const struct thread *self, uint64_t others)
{
    uint64_t now_ns = loop_now_ns(self->loop);

    if (now_ns - part->others_read_ns < REFRESH_NS)
        return;
    part->others_read_ns = now_ns;
    part->others_oldest_us = oldest_us(part->pool, longest_waiting(part->pool, self, others));
}

/* Is the own first waiter the one to serve? What others suffer by it is bounded: PREFER_US and
 * REFRESH_NS, PREFER_IN_A_ROW times. */
static bool prefers_own(struct pool_part *part, const struct thread *self)
{
    uint64_t others = waiting_elsewhere(part->pool, self);

    if (part->n_waiters == 0)
        return false;
    if (others == 0) {
        part->in_a_row = 0;
        return true;
    }
    if (part->in_a_row >= PREFER_IN_A_ROW)
        return false;
    refresh_others(part, self, others);
    if (part->others_oldest_us < UINT64_MAX - PREFER_US &&
        oldest_us(part->pool, self->number) > part->others_oldest_us + PREFER_US)
        return false;
    part->in_a_row++;
    return true;
}

/* Takes one of control's wishes down: the server in the hand is to go there. */
static bool is_wanted_back(struct pool *p)
{
    unsigned n = atomic_load_explicit(&p->give_back, memory_order_seq_cst);

    while (n > 0)
        if (atomic_compare_exchange_weak_explicit(&p->give_back, &n, n - 1, memory_order_seq_cst,
                                                  memory_order_seq_cst))
            return true;
    return false;
}

void pool_shelved(struct pool *p)
{
    /* Control sets it, then looks at the shelves; nobody else writes to that line meanwhile. */
    if (!atomic_load_explicit(&p->audit_rests, memory_order_seq_cst) ||
        !atomic_exchange_explicit(&p->audit_rests, false, memory_order_seq_cst))
        return;
    pool_ask_control(p);
}

/* Gives s, then looks for what happened meanwhile. Returns a server that is in the hand again and
 * must find its place; NULL: all is done. */
static struct server *shelve_and_look(struct pool *p, struct thread *self, struct server *s)
{
    /* After the give it is somebody else's: what is needed of it is copied before. */
    unsigned number = s->number;
    uint32_t born = s->born;

    YIELD_POINT(YIELD_POOL_NOBODY);
    shelves_give(&p->shelves, self->number, number);
    YIELD_POINT(YIELD_POOL_SHELVED);
    pool_shelved(p);
    /* Control may have swept this shelf just before: M_NO_GENERATION_RECHECK. */
    if (of_older_generation(p, born) && shelf_take_this(&part_own(p, self)->shelf, number)) {
        send_to_close(pool_server(p, number), renewed_or_old);
        return NULL;
    }
    /* Control raises give_back, then looks at the shelves (M_NO_LOOK_AT_GIVE_BACK); a waiter is
     * published, then looks there (M_RELEASE_NO_LOOK). */
    if (atomic_load_explicit(&p->give_back, memory_order_seq_cst) == 0 && !pool_has_unclaimed(p))
        return NULL;
    /* Any idle server will do. Is none left: whoever took it will release it. */
    return pool_take(p, self->number, loop_now_ns(self->loop));
}

/* Whoever has an idle server in the hand, for whatever reason, ends here:
 * M_SURPLUS_SHELVED_BLINDLY. */
static void put_down(struct pool_part *part, struct thread *self, struct server *s)
{
    struct pool *p = part->pool;

    while (s != NULL) {
        if (is_wanted_back(p)) {
            send_to_control(s, ERRAND_RETURN);
            return;
        }
        if (prefers_own(part, self)) {
            serve_first(part, self, s);
            return;
        }
        if (pool_grant(p, self, s)) {
            part->in_a_row = 0;
            return;
        }
        if (part->n_waiters > 0) {
            serve_first(part, self, s);
            return;
        }
        s = shelve_and_look(p, self, s);
    }
}

void pool_release(struct thread *self, struct server *s)
{
    uint64_t now_ns = loop_now_ns(self->loop);
    bool watched = server_phase(s) != SERVER_PARKED; /* until now: then its end would be known */
    const char *why;

    ASSERT(stream_detached(&s->stream) && s->n_cancels == 0 && !wheel_armed(&s->timer));
    ASSERT(s->replication == PGW_REPLICATION_OFF);
    server_move(s, SERVER_IDLE);
    atomic_store_explicit(&s->idle_since_ns, now_ns, memory_order_relaxed);
    why = pool_is_stale(s, now_ns) ? renewed_or_old : watched ? NULL : idle_fault(s);
    if (why != NULL)
        send_to_close(s, why);
    else
        put_down(part_own(s->pool, self), self, s);
}

/* What has no reason here has a line in the log of its own, by who gave it up. */
static const char *why_discarded(const struct server *s)
{
    if (s->has_ended || s->replies.is_over)
        return "it ended";
    if (s->replication != PGW_REPLICATION_OFF)
        return "the replication client that it was for has gone";
    return s->is_distrusted ? "it is not what the next client expects" : "given up";
}

void pool_discard(struct thread *self, struct server *s, bool terminate)
{
    (void)self;
    ASSERT(stream_detached(&s->stream) || stream_fd(&s->stream) < 0);
    ASSERT(!wheel_armed(&s->timer));
    cancel_forget(s);
    s->terminate = terminate;
    s->why = why_discarded(s);
    send_to_control(s, stream_fd(&s->stream) < 0 ? ERRAND_CLOSED : ERRAND_CLOSE);
}

/* ---- grants ---- */

static void grant_arrived(struct thread *self, struct server *s)
{
    struct pool_part *part = part_own(s->pool, self);
    struct waiter *w;

    if (!is_usable(s, loop_now_ns(self->loop))) {
        demand_arrived(&part->demand, part->n_waiters);
        pool_look(part, self); /* M_DEAD_GRANT_FORGOTTEN */
        return;
    }
    w = fifo_pop(part);
    demand_arrived(&part->demand, part->n_waiters);
    fifo_show(part, self);
    if (w != NULL)
        hand_over(w, self, s);
    else
        put_down(part, self, s); /* the waiter left, or was served at home */
}

void pool_server_letter(struct letter *l, struct thread *self)
{
    struct server *s = CONTAINER_OF(l, struct server, letter);

    if (thread_is_control(self)) {
        control_server_arrived(self, s);
        return;
    }
    ASSERT(s->errand == ERRAND_GRANT);
    grant_arrived(self, s);
}
