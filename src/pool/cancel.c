/*
 * A cancel request is a letter that goes to control, connects, waits for PostgreSQL to close the
 * connection, and comes back.
 *
 * Whose request it is stays with the thread that asked: the server's `cancel` and the request's
 * `server` lead to each other until it comes back or the server is discarded, and only that thread
 * touches either. An active server leaves its thread in no other way (it is not given back while
 * n_cancels > 0), so the slot may have any new user when the letter comes back.
 *
 * Invariants: a request is with its letter's mailbox, on `waiting`, or on `open`; nothing waits
 * while fewer than CANCELS_IN_FLIGHT_MAX are open.
 * Runs on: control, but for pool_cancel(), cancel_forget() and returned().
 */
#include "weir/pool/cancel.h"

#include <stdlib.h>
#include <string.h>

#include "pgwire/build.h"
#include "weir/base/log.h"

#include "cancels.h"
#include "internal.h"
#include "pools.h"

/* CancelRequest: length, code, process, key. */
#define REQUEST_MAX (3 * sizeof(uint32_t) + PGW_CANCEL_KEY_MAX)

struct cancel {
    struct server *server; /* its thread's: NULL once it has been discarded */

    /* set by that thread before the letter is posted, then read-only */
    struct thread *home;
    struct pool *pool;
    struct log_context log;
    struct addr addr;
    size_t request_len;
    uint8_t request[REQUEST_MAX];

    /* with the letter */
    struct letter letter;
    struct list_link link;
    struct stream stream;
    struct wheel_timer timer;
};

static void begin(struct cancel *c);

static struct cancels *cancels_of(const struct cancel *c)
{
    return &c->pool->pools->cancels;
}

static struct cancel *cancel_of(struct sock *sock)
{
    return CONTAINER_OF(stream_of(sock), struct cancel, stream);
}

/* ---- on the thread that asks ---- */

/* The way back. */
static void returned(struct letter *l, struct thread *self)
{
    struct cancel *c = CONTAINER_OF(l, struct cancel, letter);
    struct server *s = c->server;

    free(c);
    if (s == NULL)
        return;
    s->cancel = NULL;
    s->n_cancels--;
    s->cancelled(s, self);
}

void cancel_forget(struct server *s)
{
    if (s->cancel == NULL)
        return;
    s->cancel->server = NULL;
    s->cancel = NULL;
    s->n_cancels--;
}

static void arrived(struct letter *l, struct thread *self);

static struct cancel *cancel_new(struct thread *self, struct server *s)
{
    struct cancel *c = calloc(1, sizeof(*c));
    struct pgw_writer w;

    if (c == NULL)
        return NULL;
    c->server = s;
    c->home = self;
    c->pool = s->pool;
    c->log = s->log;
    c->addr = s->addr;
    w = pgw_writer_of(c->request, sizeof(c->request));
    pgw_build_cancel(&w, (uint32_t)s->backend_pid, pgw_span_of(s->key, s->key_len));
    c->request_len = w.len;
    c->letter.open = arrived;
    return c;
}

bool pool_cancel(struct thread *self, struct server *s)
{
    struct cancel *c;

    if (s->n_cancels > 0 || s->key_len == 0)
        return false;
    c = cancel_new(self, s);
    if (c == NULL)
        return false;
    s->cancel = c;
    s->n_cancels++;
    thread_post(crew_control(self->crew), &c->letter);
    return true;
}

/* ---- on control ---- */

static void answer(struct cancel *c)
{
    c->letter.open = returned;
    thread_post(c->home, &c->letter);
}

static void let_next_begin(struct cancels *cs)
{
    struct list_link *link;

    while (cs->n_open < CANCELS_IN_FLIGHT_MAX && (link = list_pop_front(&cs->waiting)) != NULL)
        begin(LIST_ITEM(link, struct cancel, link));
}

static void cancel_connected(struct sock *sock, int error)
{
    struct cancel *c = cancel_of(sock);

    if (error != 0) {
        log_warning(&c->log, "cancel request not delivered", "error=%s", strerrordesc_np(-error));
        stream_close(&c->stream);
        return;
    }
    stream_send(&c->stream, span_of(c->request, c->request_len));
    stream_receive(&c->stream);
}

static void cancel_received(struct sock *sock, struct span data)
{
    (void)sock; /* nothing is ever said here */
    (void)data;
}

static void cancel_ended(struct sock *sock, int error)
{
    (void)error; /* gone either way, and PostgreSQL has done what it will do */
    sock_close(sock);
}

static void cancel_closed(struct sock *sock)
{
    struct cancel *c = cancel_of(sock);
    struct pools *ps = c->pool->pools;

    loop_timer_clear(crew_control(c->pool->crew)->loop, &c->timer);
    list_remove(&c->link);
    ps->cancels.n_open--;
    answer(c);
    let_next_begin(&ps->cancels);
    pools_look_stopped(ps);
}

static const struct sock_ops cancel_ops = {
    .received = cancel_received,
    .ended = cancel_ended,
    .connected = cancel_connected,
    .closed = cancel_closed,
};

static void overdue(struct wheel_timer *t)
{
    struct cancel *c = CONTAINER_OF(t, struct cancel, timer);

    log_warning(&c->log, "cancel request not answered in time", NULL);
    stream_close(&c->stream);
}

static void begin(struct cancel *c)
{
    static const struct stream_options options;
    struct cancels *cs = cancels_of(c);
    struct loop *loop = crew_control(c->pool->crew)->loop;
    int error = stream_dial(&c->stream, loop, &cancel_ops, &c->addr, &options);

    if (error != 0) {
        log_warning(&c->log, "cancel request not delivered", "error=%s", strerrordesc_np(-error));
        answer(c);
        return;
    }
    list_push_back(&cs->open, &c->link);
    cs->n_open++;
    c->timer.fire = overdue;
    loop_timer_set(loop, &c->timer, pool_policy(c->pool)->server_connect_timeout_ns);
}

static void arrived(struct letter *l, struct thread *self)
{
    struct cancel *c = CONTAINER_OF(l, struct cancel, letter);
    struct cancels *cs = cancels_of(c);

    (void)self;
    if (cs->stopping) {
        answer(c);
        return;
    }
    list_push_back(&cs->waiting, &c->link);
    let_next_begin(cs);
}

void cancels_init(struct cancels *cs)
{
    list_init(&cs->open);
    list_init(&cs->waiting);
    cs->n_open = 0;
    cs->stopping = false;
}

void cancels_stop(struct pools *ps)
{
    struct cancels *cs = &ps->cancels;
    struct list_link *link;

    cs->stopping = true;
    while ((link = list_pop_front(&cs->waiting)) != NULL)
        answer(LIST_ITEM(link, struct cancel, link));
    LIST_FOREACH (open, &cs->open)
        stream_close(&LIST_ITEM(open, struct cancel, link)->stream);
}
