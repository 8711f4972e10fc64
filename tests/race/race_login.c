/*
 * The pool layer with all its threads: reactors whose clients take servers, cancel what they do,
 * give them back or discard them while the request is under way; control, which opens, cancels and
 * closes; helpers, which derive a key for every login and resolve the host's name. PostgreSQL is a
 * thread of its own.
 *
 * Every client comes to the end of its rounds, and a stop is answered when all is gone.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgwire/startup.h"
#include "race.h"
#include "unit/pool/backend.h"
#include "weir/auth/keys.h"
#include "weir/auth/users.h"
#include "weir/base/clock.h"
#include "weir/base/jobs.h"
#include "weir/net/listen.h"
#include "weir/pool/cancel.h"
#include "weir/pool/pools.h"

#define N_REACTORS 2
#define N_CLIENTS 4 /* of each reactor; the pool is smaller */
#define N_ROUNDS 150

/* ---- PostgreSQL ---- */

struct conn {
    struct postgres *pg;
    struct stream stream;
    struct backend backend;
    struct list_link link;
    uint8_t bytes[1024];
};

struct postgres {
    pthread_t thread;
    struct loop *loop;
    struct arena *arena;
    struct listen_socket socket;
    struct loop_listener listener;
    struct letter stop;
    struct thread self;
    struct list conns;
    struct random random;
    bool stopping;
    unsigned n_logins, n_cancels;
};

static struct conn *conn_of(struct sock *sock)
{
    return CONTAINER_OF(stream_of(sock), struct conn, stream);
}

/* A cancel request is acted upon by closing, sooner or later. */
static bool is_cancel(struct span data)
{
    struct pgw_span in = pgw_span_of(data.ptr, data.len);
    struct pgw_startup packet;

    return pgw_startup_next(&in, &packet) == PGW_READY && packet.kind == PGW_STARTUP_CANCEL;
}

static void conn_received(struct sock *sock, struct span data)
{
    struct conn *c = conn_of(sock);
    struct pgw_writer out = pgw_writer_of(c->bytes, sizeof(c->bytes));

    if (c->backend.step == 0 && is_cancel(data)) {
        c->pg->n_cancels++;
        stream_close(&c->stream);
    } else if (backend_logged_in(&c->backend)) {
        stream_close(&c->stream); /* Terminate */
    } else {
        backend_take(&c->backend, data, &out);
        stream_send(&c->stream, span_of(out.buf, out.len));
        c->pg->n_logins += backend_logged_in(&c->backend);
    }
}

static void conn_ended(struct sock *sock, int error)
{
    (void)error;
    sock_close(sock);
}

static void conn_closed(struct sock *sock)
{
    struct conn *c = conn_of(sock);
    struct postgres *pg = c->pg;

    list_remove(&c->link);
    free(c);
    if (pg->stopping && list_empty(&pg->conns))
        loop_stop(pg->loop);
}

static void conn_accepted(struct loop_listener *ln, int fd)
{
    static const struct sock_ops ops = {
        .received = conn_received, .ended = conn_ended, .closed = conn_closed};
    struct postgres *pg = CONTAINER_OF(ln, struct postgres, listener);
    struct conn *c = calloc(1, sizeof(*c));

    RACE_CHECK(c != NULL);
    c->pg = pg;
    c->backend = (struct backend){.method = BACKEND_SCRAM,
                                  .password = "secret",
                                  .salt = (uint8_t)random_below(&pg->random, 256)};
    list_push_back(&pg->conns, &c->link);
    stream_accept(&c->stream, pg->loop, &ops, fd);
    stream_receive(&c->stream);
}

static void postgres_stop(struct letter *l, struct thread *self)
{
    struct postgres *pg = CONTAINER_OF(l, struct postgres, stop);

    (void)self;
    loop_unlisten(&pg->listener);
    pg->stopping = true;
    if (list_empty(&pg->conns))
        loop_stop(pg->loop);
}

/* ---- clients ---- */

enum deed {
    GIVE_BACK,
    CANCEL_AND_WAIT,
    CANCEL_AND_DISCARD,       /* at once */
    CANCEL_AND_DISCARD_LATER, /* or give back, if the request was faster */
    DISCARD,
    N_DEEDS
};

struct client {
    struct reactor *reactor;
    struct waiter waiter;
    struct server *server;
    struct wheel_timer timer;
    enum deed deed;
    unsigned n_rounds;
};

struct reactor {
    struct race_test *test;
    struct thread *thread;
    pthread_t pthread;
    struct letter start, stop;
    struct random random;
    struct client clients[N_CLIENTS];
    unsigned n_busy;
};

struct race_test {
    struct race race;
    struct crew crew;
    struct arena *arenas[N_REACTORS + 1];
    pthread_t control;
    struct letter finished;
    struct jobs *jobs;
    struct keys *keys;
    struct conf *conf;
    struct users *users;
    struct pools *pools;
    struct pool *pool;
    struct postgres pg;
    struct reactor reactors[N_REACTORS];
    atomic_uint n_busy; /* reactors */
};

static void next_round(struct client *c)
{
    struct race_test *t = c->reactor->test;

    if (++c->n_rounds <= N_ROUNDS * t->race.factor) {
        loop_timer_set(c->reactor->thread->loop, &c->timer, 0);
        return;
    }
    if (--c->reactor->n_busy == 0 &&
        /* acq_rel: what the others did comes before the stop */
        atomic_fetch_sub_explicit(&t->n_busy, 1, memory_order_acq_rel) == 1)
        thread_post(crew_control(&t->crew), &t->finished);
}

static void give_back(struct client *c)
{
    struct server *s = c->server;

    c->server = NULL;
    s->client = NULL;
    pool_release(c->reactor->thread, s);
    next_round(c);
}

static void discard(struct client *c)
{
    struct server *s = c->server;

    c->server = NULL;
    s->client = NULL;
    pool_discard(c->reactor->thread, s, true);
    next_round(c);
}

static void cancelled(struct server *s, struct thread *self)
{
    struct client *c = s->client;

    RACE_CHECK(c != NULL && c->server == s && c->reactor->thread == self && s->n_cancels == 0);
    loop_timer_clear(self->loop, &c->timer);
    give_back(c);
}

static void served(struct waiter *w, struct thread *self, struct server *s)
{
    struct client *c = CONTAINER_OF(w, struct client, waiter);

    c->server = s;
    s->client = c;
    s->cancelled = cancelled;
    c->deed = (enum deed)random_below(&c->reactor->random, N_DEEDS);
    if (c->deed != GIVE_BACK && c->deed != DISCARD)
        RACE_CHECK(pool_cancel(self, s));
    switch (c->deed) {
    case GIVE_BACK:
        give_back(c);
        break;
    case CANCEL_AND_DISCARD:
    case DISCARD:
        discard(c);
        break;
    case CANCEL_AND_DISCARD_LATER:
        loop_timer_set(self->loop, &c->timer, 0);
        break;
    case CANCEL_AND_WAIT:
    case N_DEEDS:
        break;
    }
}

static void failed(struct waiter *w, struct thread *self, const struct pool_failure *why)
{
    (void)w, (void)self;
    race_fail("no server: %s", why->message);
}

static void act(struct wheel_timer *t)
{
    struct client *c = CONTAINER_OF(t, struct client, timer);

    if (c->server != NULL)
        discard(c);
    else
        pool_acquire(c->reactor->test->pool, c->reactor->thread, &c->waiter);
}

static void begin(struct letter *l, struct thread *self)
{
    struct reactor *r = CONTAINER_OF(l, struct reactor, start);

    RACE_CHECK(pool_join(r->test->pool, self) == 0);
    r->n_busy = N_CLIENTS;
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        struct client *c = &r->clients[i];

        c->reactor = r;
        c->waiter.served = served;
        c->waiter.failed = failed;
        c->timer.fire = act;
        next_round(c);
    }
}

/* ---- threads ---- */

static void stop_loop(struct letter *l, struct thread *self)
{
    (void)l;
    loop_stop(self->loop);
}

static void pools_stopped(void *ctx)
{
    struct race_test *t = ctx;

    for (unsigned i = 0; i < N_REACTORS; i++)
        thread_post(t->reactors[i].thread, &t->reactors[i].stop);
    thread_post(&t->pg.self, &t->pg.stop);
    loop_stop(crew_control(&t->crew)->loop);
}

static void all_finished(struct letter *l, struct thread *self)
{
    struct race_test *t = CONTAINER_OF(l, struct race_test, finished);

    (void)self;
    pools_stop(t->pools, pools_stopped, t);
}

static void *run_loop(void *loop)
{
    RACE_CHECK(loop_run(loop) == 0);
    return NULL;
}

static void make_loop(struct thread *t, struct arena **arena)
{
    static const struct arena_config chunks = {.chunk_size = 4096, .n_chunks = 512};
    struct loop_config config = {
        .engine = LOOP_ENGINE_EPOLL, .on_mail = thread_open_mail, .ctx = t};

    RACE_CHECK(arena_new(arena, &chunks) == 0);
    config.arena = *arena;
    RACE_CHECK(loop_new(&t->loop, &config) == 0);
}

static void make_postgres(struct race_test *t)
{
    static const struct listen_options options;
    struct postgres *pg = &t->pg;
    struct addr a;

    make_loop(&pg->self, &pg->arena);
    pg->loop = pg->self.loop;
    pg->random = race_random(&t->race, N_REACTORS);
    pg->stop.open = postgres_stop;
    list_init(&pg->conns);
    RACE_CHECK(addr_parse(span_str("127.0.0.1"), 0, &a) == ADDR_OK);
    RACE_CHECK(listen_open(&pg->socket, &a, &options) == 0);
    pg->listener = (struct loop_listener){.fd = pg->socket.fd, .accepted = conn_accepted};
    RACE_CHECK(loop_listen(pg->loop, &pg->listener) == 0);
}

static void make_pools(struct race_test *t)
{
    char text[512];
    struct users_error users_error;
    struct conf_error error;
    struct pools_config config = {.crew = &t->crew};

    snprintf(text, sizeof(text),
             "weir = { default_pool_size = 5; };\n"
             "databases = ( { name = \"%s\"; host = \"localhost\"; port = %u; } );",
             BACKEND_DATABASE, addr_port(&t->pg.socket.addr));
    if (conf_load_text("/c/weir.conf", span_str(text), &t->conf, &error) != 0)
        race_fail("%s", error.text);
    RACE_CHECK(users_load_text("f", span_str("\"" BACKEND_USER "\" \"secret\"\n"), &t->users,
                               &users_error) == 0);
    RACE_CHECK(jobs_new(&t->jobs, 2) == 0 && keys_new(&t->keys, 1) == 0);
    config.conf = t->conf;
    config.users = t->users;
    config.keys = t->keys;
    config.jobs = t->jobs;
    RACE_CHECK(pools_new(&t->pools, &config) == 0);
    RACE_CHECK(pools_find(t->pools, span_str(BACKEND_DATABASE), span_str(BACKEND_USER), &t->pool) ==
               POOLS_FOUND);
}

static void make_crew(struct race_test *t)
{
    t->crew.n_reactors = N_REACTORS;
    for (unsigned i = 0; i <= N_REACTORS; i++) {
        t->crew.threads[i] = (struct thread){.number = i, .crew = &t->crew};
        make_loop(&t->crew.threads[i], &t->arenas[i]);
    }
    t->finished.open = all_finished;
    atomic_init(&t->n_busy, N_REACTORS);
    for (unsigned i = 0; i < N_REACTORS; i++) {
        struct reactor *r = &t->reactors[i];

        r->test = t;
        r->thread = &t->crew.threads[i];
        r->random = race_random(&t->race, i);
        r->start.open = begin;
        r->stop.open = stop_loop;
        thread_post(r->thread, &r->start);
    }
}

static void run_all(struct race_test *t)
{
    RACE_CHECK(pthread_create(&t->pg.thread, NULL, run_loop, t->pg.loop) == 0);
    RACE_CHECK(pthread_create(&t->control, NULL, run_loop, crew_control(&t->crew)->loop) == 0);
    for (unsigned i = 0; i < N_REACTORS; i++)
        RACE_CHECK(pthread_create(&t->reactors[i].pthread, NULL, run_loop,
                                  t->reactors[i].thread->loop) == 0);
    for (unsigned i = 0; i < N_REACTORS; i++)
        pthread_join(t->reactors[i].pthread, NULL);
    pthread_join(t->control, NULL);
    pthread_join(t->pg.thread, NULL);
}

static void free_all(struct race_test *t)
{
    jobs_free(t->jobs);
    pools_free(t->pools);
    conf_put(t->conf);
    users_put(t->users);
    keys_free(t->keys);
    for (unsigned i = 0; i <= N_REACTORS; i++) {
        loop_free(t->crew.threads[i].loop);
        arena_free(t->arenas[i]);
    }
    listen_close(&t->pg.socket);
    loop_free(t->pg.loop);
    arena_free(t->pg.arena);
}

int main(void)
{
    static struct race_test t;

    t.race = race_begin("login");
    make_postgres(&t);
    make_crew(&t);
    make_pools(&t);
    run_all(&t);
    printf("%u logins, %u cancel requests\n", t.pg.n_logins, t.pg.n_cancels);
    free_all(&t);
    return 0;
}
