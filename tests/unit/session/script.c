#include "script.h"

#include <stdio.h>
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
        pthread_mutex_init(&p->lock, NULL);
        list_init(&p->waiting);
        list_init(&p->awaiting);
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

static void join_list(struct pool *p, struct waiter *w, struct list *list, unsigned *n)
{
    pthread_mutex_lock(&p->lock);
    list_push_back(list, &w->link);
    (*n)++;
    pthread_mutex_unlock(&p->lock);
}

void pool_await_greeting(struct pool *p, struct thread *self, struct waiter *w)
{
    (void)self;
    w->awaits_greeting = true;
    join_list(p, w, &p->awaiting, &p->n_awaiting);
}

void pool_acquire(struct pool *p, struct thread *self, struct waiter *w)
{
    w->since_ns = loop_now_ns(self->loop);
    join_list(p, w, &p->waiting, &p->n_waiting);
}

void pool_leave(struct pool *p, struct thread *self, struct waiter *w)
{
    (void)self;
    pthread_mutex_lock(&p->lock);
    list_remove(&w->link);
    (*(w->awaits_greeting ? &p->n_awaiting : &p->n_waiting))--;
    w->awaits_greeting = false;
    pthread_mutex_unlock(&p->lock);
}

static unsigned read_number(struct pool *p, const unsigned *n)
{
    pthread_mutex_lock(&p->lock);

    unsigned number = *n;

    pthread_mutex_unlock(&p->lock);
    return number;
}

unsigned script_n_waiting(struct pool *p)
{
    return read_number(p, &p->n_waiting);
}

unsigned script_n_awaiting(struct pool *p)
{
    return read_number(p, &p->n_awaiting);
}

static struct waiter *pop_awaiting(struct pool *p)
{
    struct list_link *link = list_first(&p->awaiting);

    if (link == NULL)
        return NULL;
    pool_leave(p, NULL, LIST_ITEM(link, struct waiter, link));
    return LIST_ITEM(link, struct waiter, link);
}

void script_warm(struct pool *p, struct thread *self)
{
    struct waiter *w;

    p->cold = false;
    while ((w = pop_awaiting(p)) != NULL)
        w->served(w, self, NULL);
}

void script_fail(struct pool *p, struct thread *self, const char *sqlstate, const char *message)
{
    struct pool_failure why;
    struct waiter *w;

    snprintf(why.sqlstate, sizeof(why.sqlstate), "%s", sqlstate);
    snprintf(why.message, sizeof(why.message), "%s", message);
    while ((w = pop_awaiting(p)) != NULL)
        w->failed(w, self, &why);
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
