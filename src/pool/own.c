/*
 * Servers for one client alone (weir/pool/own.h): the way of a request to control and back, and
 * whose turn it is.
 *
 * A request is in the mailbox of control, on `waiting`, on `opening` with its server, and in the
 * mailbox of its reactor, in this order, and always comes back, so that its reactor frees it. Who
 * drops one sets a flag and has control look, which then answers it without a server; one that was
 * on its way already is dealt with when it arrives.
 *
 * Runs on: control, but for own_ask(), own_drop() and returned().
 */
#include "weir/pool/own.h"

#include <stdlib.h>
#include <string.h>

#include "pgwire/sqlstate.h"
#include "weir/base/clock.h"
#include "weir/base/log.h"

#include "control.h"
#include "failure.h"
#include "own.h"
#include "pools.h"

struct own {
    /* set by its reactor before the letter is posted, then read-only */
    struct own_order order; /* settings points behind */
    struct thread *home;
    uint64_t since_ns;

    atomic_bool is_dropped; /* its reactor sets it, then asks control; control reads it */

    /* with the letter */
    struct letter letter;
    struct list_link link;
    struct server *server; /* being opened, then opened; NULL: failed */
    struct greeting *greeting;
    struct pool_failure failure;
    uint8_t settings[];
};

static struct own *own_of(struct list_link *link)
{
    return LIST_ITEM(link, struct own, link);
}

/* ---- on the reactor ---- */

/* seq_cst: pairs with the exchange in pool_ask_control() and the store in control_asked(), so that
 * either control sees it, or another look is to come. */
static bool is_dropped(const struct own *o)
{
    return atomic_load_explicit(&o->is_dropped, memory_order_seq_cst);
}

static void own_free(struct own *o)
{
    free(o->greeting);
    free(o);
}

/* The way back. */
static void returned(struct letter *l, struct thread *self)
{
    struct own *o = CONTAINER_OF(l, struct own, letter);
    struct server *s = o->server;

    if (is_dropped(o)) {
        if (s != NULL)
            pool_discard(self, s, true);
    } else if (s != NULL) {
        server_move(s, SERVER_ACTIVE);
        o->order.served(o->order.ctx, self, s, span_of(o->greeting->bytes, o->greeting->len));
    } else {
        o->order.failed(o->order.ctx, self, &o->failure);
    }
    own_free(o);
}

static void arrived(struct letter *l, struct thread *self);

struct own *own_ask(const struct own_order *order, struct thread *self)
{
    struct own *o;

    ASSERT(order->replication != PGW_REPLICATION_OFF);
    ASSERT(order->settings.len <= PGW_STARTUP_BODY_MAX);
    o = calloc(1, sizeof(*o) + order->settings.len);
    if (o == NULL)
        return NULL;
    if (order->settings.len > 0)
        memcpy(o->settings, order->settings.ptr, order->settings.len);
    o->order = *order;
    o->order.settings.ptr = o->settings;
    o->home = self;
    o->since_ns = loop_now_ns(self->loop);
    o->letter.open = arrived;
    thread_post(crew_control(self->crew), &o->letter);
    return o;
}

void own_drop(struct own *o)
{
    atomic_store_explicit(&o->is_dropped, true, memory_order_seq_cst); /* see is_dropped() */
    pool_ask_control(o->order.pool);
}

/* ---- on control ---- */

static struct own *first_waiting(const struct pool *p)
{
    struct list_link *link = list_first(&p->control->own_waiting);

    return link == NULL ? NULL : own_of(link);
}

/* What others may read of those who wait. */
static void note_waiting(struct pool *p, int n_more)
{
    const struct own *first = first_waiting(p);
    uint64_t us = first == NULL ? 0 : first->since_ns / NS_PER_US;

    count_add(&p->n_own_waiting, n_more);
    atomic_store_explicit(&p->own_oldest_us, us, memory_order_relaxed); /* a hint */
}

static void push_waiting(struct pool *p, struct own *o)
{
    list_push_back(&p->control->own_waiting, &o->link);
    note_waiting(p, 1);
}

static void take_waiting(struct pool *p, struct own *o)
{
    list_remove(&o->link);
    note_waiting(p, -1);
}

static void answer(struct own *o)
{
    o->letter.open = returned;
    thread_post(o->home, &o->letter);
}

static void fail(struct own *o, const char *sqlstate, const char *why)
{
    o->server = NULL;
    failure_set(&o->failure, sqlstate, "%s", why);
    answer(o);
}

static void fail_stopping(struct own *o)
{
    fail(o, PGW_STATE_ADMIN_SHUTDOWN, "weir is shutting down");
}

static void arrived(struct letter *l, struct thread *self)
{
    struct own *o = CONTAINER_OF(l, struct own, letter);
    struct pool *p = o->order.pool;

    (void)self;
    if (p->pools->stopping) {
        fail_stopping(o);
        return;
    }
    push_waiting(p, o);
    control_look(p);
}

void own_end_dropped(struct pool *p)
{
    struct thread *control = crew_control(p->crew);

    LIST_FOREACH (link, &p->control->own_waiting) {
        if (is_dropped(own_of(link))) {
            take_waiting(p, own_of(link));
            answer(own_of(link));
        }
    }
    LIST_FOREACH (link, &p->control->own_opening)
        if (is_dropped(own_of(link)))
            login_abort(control, own_of(link)->server); /* comes back as own_open_failed() */
}

void own_stop(struct pool *p)
{
    struct own *o;

    while ((o = first_waiting(p)) != NULL) {
        take_waiting(p, o);
        fail_stopping(o);
    }
}

/* ---- whose turn it is ---- */

bool own_is_waiting(const struct pool *p)
{
    return first_waiting(p) != NULL;
}

bool own_is_first(const struct pool *p)
{
    const struct own *o = first_waiting(p);
    uint64_t oldest_us = pool_oldest_us(p);

    return o != NULL && (oldest_us == 0 || o->since_ns / NS_PER_US < oldest_us);
}

void own_make_room(struct thread *control, struct pool *p)
{
    if (own_is_waiting(p) && count_read(&p->n_closing) == 0)
        limits_want_back(control, p, OWN_MAKE_ROOM);
}

/* ---- opening ---- */

void own_begin(struct pool *p, struct server *s)
{
    struct own *o = first_waiting(p);

    take_waiting(p, o);
    list_push_back(&p->control->own_opening, &o->link);
    count_add(&p->n_own_opening, 1);
    p->control->n_own++;
    o->server = s;
    s->own = o;
    s->startup = o->order.settings;
    s->replication = o->order.replication;
}

void own_no_memory(struct pool *p)
{
    struct own *o = first_waiting(p);

    take_waiting(p, o);
    fail(o, PGW_STATE_OUT_OF_MEMORY, "no memory for a server");
}

/* The end of opening. */
static struct own *take_own(struct server *s)
{
    struct own *o = s->own;

    s->own = NULL;
    s->startup = span_of(NULL, 0);
    list_remove(&o->link);
    count_add(&s->pool->n_own_opening, -1);
    return o;
}

void own_opened(struct thread *control, struct server *s, struct span greeting)
{
    struct own *o = take_own(s);

    o->greeting = malloc(sizeof(*o->greeting) + greeting.len);
    if (is_dropped(o) || o->greeting == NULL) {
        control_close(control, s, is_dropped(o) ? "its client has gone" : "no memory");
        fail(o, PGW_STATE_OUT_OF_MEMORY, "no memory for the parameters of a server");
        return;
    }
    o->greeting->len = greeting.len;
    if (greeting.len > 0)
        memcpy(o->greeting->bytes, greeting.ptr, greeting.len);
    answer(o);
}

void own_open_failed(struct server *s, const struct pool_failure *why)
{
    struct own *o = take_own(s);

    s->pool->control->n_own--;
    fail(o, why->sqlstate, why->message);
}
