#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/pool/cancel.h"

void script_init(struct pools *ps, const struct conf_policy *policy)
{
    static const char *const names[SCRIPT_POOLS] = {"app", "cold", "nojoin"};

    memset(ps, 0, sizeof(*ps));

    struct greeting *greeting = (struct greeting *)(void *)ps->greeting;

    greeting->len = SCRIPT_GREETING_LEN;
    memcpy(greeting->bytes, SCRIPT_GREETING, SCRIPT_GREETING_LEN);
    for (unsigned i = 0; i < SCRIPT_POOLS; i++) {
        struct pool *p = &ps->items[i];

        snprintf(p->database, sizeof(p->database), "%s", names[i]);
        p->policy = *policy;
        p->greeting = greeting;
        p->cold = i == SCRIPT_COLD;
        p->join_fails = i == SCRIPT_NOJOIN;
        for (unsigned r = 0; r < SCRIPT_REACTORS; r++) {
            list_init(&p->waiting[r]);
            list_init(&p->awaiting[r]);
        }
    }
}

enum pools_result pools_find(struct pools *ps, struct span database, struct span user,
                             struct pool **out)
{
    (void)user;
    for (unsigned i = 0; i < SCRIPT_POOLS; i++) {
        if (span_equal(database, span_str(ps->items[i].database))) {
            *out = &ps->items[i];
            return POOLS_FOUND;
        }
    }
    if (span_equal(database, span_str("full")))
        return POOLS_FULL;
    return span_equal(database, span_str("nomemory")) ? POOLS_NO_MEMORY : POOLS_NO_DATABASE;
}

int pool_join(struct pool *p, struct thread *self)
{
    (void)self;
    return p->join_fails ? -12 : 0;
}

const struct greeting *pool_greeting(const struct pool *p)
{
    return p->cold ? NULL : p->greeting;
}

const struct pool_failure *pool_last_failure(const struct pool *p)
{
    return p->last_failure;
}

void pool_await_greeting(struct pool *p, struct thread *self, struct waiter *w)
{
    w->since_ns = loop_now_ns(self->loop);
    w->awaits_greeting = true;
    list_push_back(&p->awaiting[self->number], &w->link);
    atomic_fetch_add(&p->n_awaiting, 1);
}

void pool_acquire(struct pool *p, struct thread *self, struct waiter *w)
{
    w->since_ns = loop_now_ns(self->loop);
    list_push_back(&p->waiting[self->number], &w->link);
    atomic_fetch_add(&p->n_waiting, 1);
}

void pool_leave(struct pool *p, struct thread *self, struct waiter *w)
{
    (void)self;
    list_remove(&w->link);
    atomic_fetch_sub(w->awaits_greeting ? &p->n_awaiting : &p->n_waiting, 1);
    w->awaits_greeting = false;
}

unsigned script_n_waiting(const struct pool *p)
{
    return atomic_load(&p->n_waiting);
}

unsigned script_n_awaiting(const struct pool *p)
{
    return atomic_load(&p->n_awaiting);
}

static struct waiter *pop_awaiting(struct pool *p, struct thread *self)
{
    struct list_link *link = list_first(&p->awaiting[self->number]);

    if (link == NULL)
        return NULL;
    pool_leave(p, self, LIST_ITEM(link, struct waiter, link));
    return LIST_ITEM(link, struct waiter, link);
}

void script_warm(struct pool *p, struct thread *self)
{
    struct waiter *w;

    p->cold = false;
    while ((w = pop_awaiting(p, self)) != NULL)
        w->served(w, self, NULL);
}

void script_fail(struct pool *p, struct thread *self, const char *sqlstate, const char *message)
{
    struct pool_failure why;
    struct waiter *w;

    snprintf(why.sqlstate, sizeof(why.sqlstate), "%s", sqlstate);
    snprintf(why.message, sizeof(why.message), "%s", message);
    while ((w = pop_awaiting(p, self)) != NULL)
        w->failed(w, self, &why);
}

struct own *own_ask(const struct own_order *order, struct thread *self)
{
    struct own *o = malloc(sizeof(*o) + order->settings.len);

    if (o == NULL)
        return NULL;
    o->order = *order;
    memcpy(o->settings, order->settings.ptr, order->settings.len);
    if (self->number == 0)
        order->pool->own = o;
    atomic_fetch_add(&order->pool->n_own, 1);
    return o;
}

void own_drop(struct own *o)
{
    atomic_fetch_sub(&o->order.pool->n_own, 1);
    free(o);
}

unsigned script_n_own(const struct pool *p)
{
    return atomic_load(&p->n_own);
}

void script_fail_own(struct pool *p, struct thread *self, const struct pool_failure *why)
{
    struct own *o = p->own;

    o->order.failed(o->order.ctx, self, why);
    own_drop(o);
}

void pool_release(struct thread *self, struct server *s)
{
    (void)self;
    (void)s;
}

void pool_discard(struct thread *self, struct server *s, bool terminate)
{
    (void)self;
    (void)s;
    (void)terminate;
}

bool pool_cancel(struct thread *self, struct server *s)
{
    (void)self;
    (void)s;
    return false;
}

bool pool_waited(const struct pool *p, uint64_t now_ns, uint64_t at_least_ns)
{
    (void)p;
    (void)now_ns;
    (void)at_least_ns;
    return false;
}

const char *pool_database(const struct pool *p)
{
    return p->database;
}

const char *pool_user(const struct pool *p)
{
    (void)p;
    return SCRIPT_USER;
}

const struct conf_policy *pool_policy(const struct pool *p)
{
    return &p->policy;
}
