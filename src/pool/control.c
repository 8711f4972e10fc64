/*
 * Control: the only one who opens, closes and counts servers.
 *
 * A reactor asks, control decides, so there is no reservation to race for. Whatever frees a slot (a
 * close, a failed login) ends with a look at those who may wait for it: M_CLOSE_BLIND,
 * M_FAILURE_BLIND, M_FREED_OWN_POOL_ONLY. Who holds an idle server ends with control_release().
 *
 * Invariants: n_servers of a pool is the length of its list of servers; of a limit, n_taken is the
 * sum over its pools. Runs on: control.
 */
#include "control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/base/clock.h"
#include "weir/base/log.h"
#include "weir/base/yield.h"
#include "weir/pool/prepared.h"

#include "own.h"
#include "pools.h"

static struct thread *control_of(const struct pool *p)
{
    return crew_control(p->crew);
}

static unsigned n_servers(const struct pool *p)
{
    return atomic_load_explicit(&p->n_servers, memory_order_seq_cst); /* control writes it */
}

unsigned control_n_staying(const struct pool *p)
{
    return n_servers(p) - count_read(&p->n_closing) - p->control->n_own;
}

/* ---- slots ---- */

static unsigned lowest_free_number(const struct pool_control *c)
{
    for (unsigned i = 0; i < POOL_BLOCKS; i++)
        if (c->numbers[i] != UINT64_MAX)
            return i * 64 + (unsigned)__builtin_ctzll(~c->numbers[i]);
    return POOL_SIZE_MAX;
}

/* The table entry of a number: 0 or -ENOMEM. */
static int entry_make(struct pool *p, unsigned number)
{
    _Atomic(struct server **) *block = &p->blocks[number / POOL_BLOCK_SERVERS];
    struct server **made;

    if (atomic_load_explicit(block, memory_order_seq_cst) != NULL)
        return 0;
    made = calloc(POOL_BLOCK_SERVERS, sizeof(struct server *));
    if (made == NULL)
        return -ENOMEM;
    atomic_store_explicit(block, made, memory_order_seq_cst); /* pairs with pool_server() */
    return 0;
}

/* All but the ring, which is written before it is read, and the shared atomics. */
static void server_init(struct server *s, struct pool *p, unsigned number)
{
    size_t begin = offsetof(struct server, pool);

    memset((char *)s + begin, 0, offsetof(struct server, ring) - begin);
    atomic_store_explicit(&s->idle_since_ns, 0, memory_order_relaxed); /* for SHOW */
    atomic_store_explicit(&s->inspected_ns, UINT64_MAX, memory_order_relaxed);
    atomic_store_explicit(&s->client_id, 0, memory_order_relaxed);
    s->sql_prepared.is_exact = true;
    s->pool = p;
    s->number = (uint16_t)number;
    s->born = atomic_load_explicit(&p->generation, memory_order_seq_cst);
    s->opened_ns = loop_now_ns(control_of(p)->loop);
    s->id = ++p->pools->last_server_id;
    snprintf(s->log.ids, sizeof(s->log.ids), "s%" PRIu64, s->id);
    s->letter.open = pool_server_letter;
    server_move(s, SERVER_CONNECTING);
}

/* NULL: no memory. */
static struct server *slot_take(struct pool *p)
{
    struct pool_control *c = p->control;
    unsigned number = lowest_free_number(c);
    struct server *s;

    ASSERT(number < POOL_SIZE_MAX);
    if (entry_make(p, number) != 0)
        return NULL;
    s = slab_take(p->pools->servers);
    if (s == NULL)
        return NULL;
    server_init(s, p, number);
    c->numbers[number / 64] |= UINT64_C(1) << number % 64;
    atomic_load_explicit(&p->blocks[number / POOL_BLOCK_SERVERS],
                         memory_order_seq_cst)[number % POOL_BLOCK_SERVERS] = s;
    shelves_make_room(&p->shelves, number);
    list_push_back(&c->servers, &s->link);
    limits_count(p, 1, 0);
    p->pools->n_servers++;
    atomic_fetch_add_explicit(&p->n_servers, 1, memory_order_seq_cst); /* pairs with pool_look() */
    return s;
}

void control_slot_free(struct server *s)
{
    struct pool *p = s->pool;
    struct pools *ps = p->pools;
    struct pool_control *c = p->control;

    server_move(s, SERVER_FREE);
    list_remove(&s->link);
    c->numbers[s->number / 64] &= ~(UINT64_C(1) << s->number % 64);
    limits_count(p, -1, 0);
    ps->n_servers--;
    atomic_fetch_sub_explicit(&p->n_servers, 1, memory_order_seq_cst); /* pairs with pool_look() */
    prepared_free(s->prepared);
    pairs_fini(&s->settings);
    pairs_fini(&s->sql_prepared);
    slab_give(ps->servers, s);
    control_look(p);
    limits_freed(p);
    pools_look_stopped(ps);
}

/* ---- opening ---- */

/* Servers that somebody waits for; a cold pool that is asked for its greeting wants one. */
static unsigned n_wanted(const struct pool *p)
{
    uint64_t set = mask_read(&p->has_waiters);
    unsigned n = 0;

    while (set != 0)
        n += demand_unclaimed(&pool_part(p, mask_pop_after(&set, 0))->demand);
    if (n == 0 && pool_greeting(p) == NULL && mask_read(&p->awaiting) != 0)
        n = 1;
    return n;
}

/* One at a time, and not before a first login has shown that a secret is known with which logins
 * succeed, nor while they are refused. */
static bool wants_to_fill(const struct pool *p)
{
    return control_n_staying(p) < p->conf.policy.min_pool_size && count_read(&p->n_opening) == 0 &&
           pool_greeting(p) != NULL && !p->control->refused;
}

static void retry(struct wheel_timer *t)
{
    struct pool_control *c = CONTAINER_OF(t, struct pool_control, retry);

    c->backing_off = false;
    /* Then looks (M_FAILURE_BLIND). Pairs with the loads of those who wait. */
    atomic_store_explicit(&c->pool->refusal, NULL, memory_order_seq_cst);
    control_look(c->pool);
}

static void back_off(struct pool *p)
{
    struct pool_control *c = p->control;

    c->backing_off = true;
    c->retry.fire = retry;
    loop_timer_set(control_of(p)->loop, &c->retry, p->conf.policy.server_login_retry_ns);
}

static void open_one(struct pool *p)
{
    struct server *s = slot_take(p);

    if (s == NULL) {
        log_error(NULL, "no memory for a server", "database=%s user=%s", p->database, p->user);
        back_off(p);
        return;
    }
    count_add(&p->n_opening, 1);
    login_start(control_of(p), s);
}

static void open_own(struct pool *p)
{
    struct server *s = slot_take(p);

    if (s == NULL) {
        own_no_memory(p);
        return;
    }
    own_begin(p, s);
    login_start(control_of(p), s);
}

static bool is_full(const struct pool *p)
{
    return n_servers(p) >= p->conf.policy.pool_size;
}

/* Opens one server for whoever is next. False: nobody is, or there is no room; what makes some
 * looks again. The login for a client of its own fails for that client alone, and heeds no failures
 * of others. */
static bool look_once(struct pool *p)
{
    bool may_share = !p->control->backing_off;
    bool needed = may_share && n_wanted(p) > count_read(&p->n_opening);
    bool is_own = needed ? own_is_first(p) : own_is_waiting(p);

    if (!may_share && !is_own)
        return false;
    if (((!needed && !is_own) || is_full(p)) && limits_unlist(p))
        return true; /* others ask from here on: look once more at who came before */
    if (is_full(p) || limits_are_full(p))
        own_make_room(control_of(p), p);
    if (is_full(p) || !(needed || is_own || wants_to_fill(p)))
        return false; /* who waits at a full pool needs no log-in: a close looks again */
    if (!limits_admit(p)) {
        if (needed || is_own)
            limits_want(control_of(p), p);
        return false;
    }
    if (is_own)
        open_own(p);
    else
        open_one(p);
    limits_taken(control_of(p), p);
    return true;
}

void control_look(struct pool *p)
{
    while (!p->pools->stopping && look_once(p))
        ;
}

void control_asked(struct letter *l, struct thread *self)
{
    struct pool *p = CONTAINER_OF(l, struct pool, ask);

    (void)self;
    /* First the flag, then the look: M_ASKED_CLEARED_LATE. Pairs with pool_ask_control(). */
    atomic_store_explicit(&p->asked, false, memory_order_seq_cst);
    YIELD_POINT(YIELD_POOL_ASKED);
    own_end_dropped(p);
    control_look(p);
    audit_wake(p);
}

/* ---- how a login ended ---- */

/* The reactor with most waiters, else in turn one that has a part. */
static unsigned choose_home(struct pool *p)
{
    unsigned n_reactors = p->crew->n_reactors, best = 0, most = 0;
    uint64_t set = mask_read(&p->has_waiters);

    while (set != 0) {
        unsigned r = mask_pop_after(&set, 0);
        unsigned n = demand_unclaimed(&pool_part(p, r)->demand);

        if (n > most) {
            most = n;
            best = r;
        }
    }
    for (unsigned i = 0; most == 0 && i < n_reactors; i++) {
        best = p->control->next_home++ % n_reactors;
        if (pool_part(p, best) != NULL)
            break;
    }
    return best;
}

/* The same as before, or a new one that is kept as long as the pool; false: no memory. A server
 * that has told too many different ones leaves it at the last. */
static bool keep_greeting(struct pool *p, struct span bytes)
{
    struct pool_control *c = p->control;
    struct greeting *g = NULL;

    for (unsigned i = 0; i < c->n_greetings && g == NULL; i++)
        if (span_equal(span_of(c->greetings[i]->bytes, c->greetings[i]->len), bytes))
            g = c->greetings[i];
    if (g == NULL && c->n_greetings < POOL_KEPT_MAX) {
        g = malloc(sizeof(*g) + bytes.len);
        if (g == NULL)
            return false;
        g->len = bytes.len;
        memcpy(g->bytes, bytes.ptr, bytes.len);
        c->greetings[c->n_greetings++] = g;
    }
    if (g != NULL)
        atomic_store_explicit(&p->greeting, g, memory_order_seq_cst); /* pairs: pool_greeting() */
    return true;
}

static void tell_awaiting(struct pool *p)
{
    uint64_t set = mask_read(&p->awaiting);

    while (set != 0) {
        unsigned r = mask_pop_after(&set, 0);

        part_tell_look(pool_part(p, r), &p->crew->threads[r]);
    }
}

static void accept_us(struct pool *p)
{
    p->control->refused = false;
    atomic_store_explicit(&p->refusal, NULL, memory_order_seq_cst); /* read by who waits */
    atomic_store_explicit(&p->cause, NULL, memory_order_seq_cst);   /* pool_last_failure() */
}

static void opened_for_all(struct thread *control, struct server *s, struct span greeting)
{
    struct pool *p = s->pool;
    bool kept = keep_greeting(p, greeting);
    uint64_t now_ns = loop_now_ns(control->loop);

    s->greeting = pool_greeting(p);
    count_add(&p->n_opening, -1);
    accept_us(p);
    atomic_store_explicit(&s->idle_since_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&s->inspected_ns, now_ns, memory_order_relaxed);
    tell_awaiting(p); /* the greeting is stored: see pool_await_greeting() */
    if (!kept)
        control_close(control, s, "no memory for its parameters");
    else
        control_release(control, s);
    control_look(p); /* min_pool_size is filled one by one */
    sweep_plan(p);
}

void control_opened(struct thread *control, struct server *s, struct span greeting)
{
    pgw_reply_init(&s->replies, s->ring, SERVER_REPLIES, PGW_TX_IDLE);
    s->terminate = true;
    server_move(s, SERVER_IDLE);
    log_info(&s->log, "server opened", "database=%s user=%s pid=%d", s->pool->database,
             s->pool->user, (int)s->backend_pid);
    if (s->own != NULL)
        own_opened(control, s, greeting);
    else
        opened_for_all(control, s, greeting);
}

static bool same_failure(const struct pool_failure *a, const struct pool_failure *b)
{
    return strcmp(a->sqlstate, b->sqlstate) == 0 && strcmp(a->message, b->message) == 0;
}

/* Kept as long as the pool. Where there is no memory, or a server has too many ways to say no, the
 * last one has to do for all. NULL: there is not even one. */
static const struct pool_failure *keep_failure(struct pool_control *c,
                                               const struct pool_failure *why)
{
    struct pool_failure *f;

    for (unsigned i = 0; i < c->n_failures; i++)
        if (same_failure(c->failures[i], why))
            return c->failures[i];
    f = c->n_failures < POOL_KEPT_MAX ? malloc(sizeof(*f)) : NULL;
    if (f != NULL) {
        *f = *why;
        c->failures[c->n_failures++] = f;
    }
    return c->n_failures > 0 ? c->failures[c->n_failures - 1] : NULL;
}

/* Who waits is told now, who comes before the next attempt at once. */
static void refuse_waiters(struct pool *p, const struct pool_failure *why)
{
    uint64_t set;

    /* First said, then looked: pairs with turn_away(). */
    atomic_store_explicit(&p->refusal, why, memory_order_seq_cst);
    set = mask_read(&p->has_waiters) | mask_read(&p->awaiting);
    while (set != 0) {
        unsigned r = mask_pop_after(&set, 0);

        part_tell_failed(pool_part(p, r), &p->crew->threads[r]);
    }
}

static void failed_for_all(struct pool *p, const struct pool_failure *why, bool permanent)
{
    unsigned n_open = control_n_staying(p) - count_read(&p->n_opening);
    const struct pool_failure *kept = keep_failure(p->control, why);

    count_add(&p->n_opening, -1);
    p->control->refused |= permanent;
    atomic_store_explicit(&p->cause, kept, memory_order_seq_cst); /* pool_last_failure() */
    if (!p->pools->stopping)
        back_off(p);
    /* Where others are open, it is them that clients wait for. */
    if (n_open == 0 && (permanent || p->conf.policy.fail_fast))
        refuse_waiters(p, kept);
}

void control_open_failed(struct thread *control, struct server *s, const struct pool_failure *why,
                         bool permanent)
{
    (void)control;
    log_warning(&s->log, "server login failed", "database=%s user=%s sqlstate=%s why=%s",
                s->pool->database, s->pool->user, why->sqlstate, why->message);
    if (s->own != NULL)
        own_open_failed(s, why);
    else
        failed_for_all(s->pool, why, permanent);
    server_move(s, SERVER_CLOSING);
    control_slot_free(s);
}

/* ---- an idle server in control's hand ---- */

/* Gives s to the shelf of home, then looks, as a reactor does. Returns a server that is in the hand
 * again, or NULL. */
static struct server *shelve_and_look(struct thread *control, struct server *s, unsigned home)
{
    struct pool *p = s->pool;
    unsigned number = s->number;

    YIELD_POINT(YIELD_POOL_NOBODY);
    shelves_give(&p->shelves, home, number);
    pool_shelved(p);
    /* The generation is raised by this thread alone, so it has not changed since is_stale(). */
    if (!pool_has_unclaimed(p))
        return NULL;
    return pool_take(p, home, loop_now_ns(control->loop));
}

void control_release(struct thread *control, struct server *s)
{
    struct pool *p = s->pool;
    unsigned home = choose_home(p);

    if (part_make(p, home) != 0) {
        control_close(control, s, "no memory for a shelf");
        return;
    }
    while (s != NULL) {
        if (pool_is_stale(s, loop_now_ns(control->loop))) {
            control_close(control, s, "its pool was renewed");
            return;
        }
        if (pool_grant(p, control, s))
            return;
        if (limits_starving_beside(p)) {
            control_close(control, s, CONTROL_MAKE_ROOM);
            return;
        }
        s = shelve_and_look(control, s, home);
    }
}

/* One that was wanted back. Who starves comes before the own waiters, if somebody still does. */
static void returned(struct thread *control, struct server *s)
{
    struct pool *p = s->pool;

    if (limits_starving_beside(p)) {
        control_close(control, s, CONTROL_MAKE_ROOM);
    } else if ((is_full(p) || limits_are_full(p)) && own_is_first(p) &&
               count_read(&p->n_closing) == 0) {
        control_close(control, s, OWN_MAKE_ROOM);
    } else {
        control_release(control, s);
        control_look(p); /* who waits still needs room: it was the turn of another one */
    }
}

void control_server_arrived(struct thread *control, struct server *s)
{
    switch (s->errand) {
    case ERRAND_GRANT:
        ASSERT(s->errand != ERRAND_GRANT); /* grants are for reactors */
        break;
    case ERRAND_CLOSE:
    case ERRAND_CLOSED:
        control_close(control, s, s->why);
        break;
    case ERRAND_RETURN:
        returned(control, s);
        break;
    }
}
