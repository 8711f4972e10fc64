/*
 * The pool with threads as they are in the daemon: reactors whose clients take servers, or want one
 * of their own, wait, leave while they wait, give back, and let servers die in their hands;
 * control, which opens and closes, has logins fail and be refused, renews pools, and shares a limit
 * among them. Only the logins and what is behind them are played.
 *
 * It goes in many short rounds, since a waiter that was forgotten shows only when nobody comes
 * after it: then the round does not end. Proven besides: a server is in one hand, no limit is
 * exceeded, and after each round nobody waits and nothing is promised.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "race.h"
#include "weir/pool/own.h"

#include "../../src/pool/control.h"
#include "../../src/pool/pools.h"

#define N_REACTORS_MAX 8
#define N_CLIENTS 3  /* of a reactor */
#define N_TODO_MAX 4 /* transactions of a client in a round */
#define N_POOLS_MAX 3

/* One in so many; 0: never. */
struct scenario {
    const char *name;
    unsigned n_reactors, n_pools, pool_size, limit;
    unsigned dies, leaves;   /* of transactions, of clients that wait */
    unsigned fails, refused; /* of logins */
    unsigned renews;         /* of transactions */
    unsigned owns;           /* the same: by a server of its own */
    unsigned n_rounds;
};

struct client {
    struct letter step;
    struct reactor *reactor;
    struct waiter waiter;
    struct pool *pool;
    struct server *server;
    struct own *own; /* the request under way for one of its own */
    unsigned todo, hold;
    bool waiting, posted;
};

struct reactor {
    struct test *test;
    struct thread *thread;
    struct arena *arena;
    struct letter begin, end;
    struct random random;
    unsigned n_busy; /* clients */
    uint64_t n_served, n_failed, n_left, n_killed;
    struct client clients[N_CLIENTS];
};

struct test {
    struct crew crew; /* first: a login finds its test by it */
    const struct scenario *scenario;
    struct reactor reactors[N_REACTORS_MAX + 1]; /* control's is the last one in use */
    struct pools *pools;
    struct pool *each[N_POOLS_MAX];
    atomic_uint n_busy; /* reactors */
    atomic_uint n_open[N_POOLS_MAX], n_open_all;
    struct letter over, renew;
    atomic_bool renew_posted;
    struct round rest;
    unsigned n_rounds, n_logins;
    struct server_login *logins;
};

/* The other end of a server. */
struct server_login {
    struct server_login *next; /* of all */
    struct test *test;
    struct server *server; /* until it is logged in */
    unsigned pool;
    struct letter due;
    struct stream stream;
    bool aborted;
    atomic_bool gone;
};

static bool one_in(struct random *random, unsigned n)
{
    return n > 0 && random_below(random, n) == 0;
}

static struct test *test_of(struct thread *t)
{
    return CONTAINER_OF(t->crew, struct test, crew);
}

static struct random *control_random(struct test *t)
{
    return &t->reactors[t->scenario->n_reactors].random;
}

/* ---- logins, in the place of src/pool/login.c ---- */

/* From now on it does not count: the FIN that frees its slot comes after this. */
static void go(struct server_login *l)
{
    if (atomic_exchange_explicit(&l->gone, true, memory_order_seq_cst))
        return;
    atomic_fetch_sub_explicit(&l->test->n_open[l->pool], 1, memory_order_seq_cst);
    atomic_fetch_sub_explicit(&l->test->n_open_all, 1, memory_order_seq_cst);
}

static struct server_login *login_of(struct sock *s)
{
    return CONTAINER_OF(stream_of(s), struct server_login, stream);
}

static void peer_received(struct sock *s, struct span data)
{
    RACE_CHECK(data.len == 5 && data.ptr[0] == 'X');
    go(login_of(s));
    sock_close(s);
}

static void peer_ended(struct sock *s, int error)
{
    (void)error;
    go(login_of(s));
    sock_close(s);
}

static void peer_closed(struct sock *s)
{
    (void)s; /* freed at the end: a client may have it in its hand */
}

static void accept_login(struct server_login *l, struct thread *control)
{
    static const struct sock_ops ops = {
        .received = peer_received, .ended = peer_ended, .closed = peer_closed};
    struct server *s = l->server;
    int fds[2];

    RACE_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    stream_accept(&l->stream, control->loop, &ops, fds[1]);
    stream_receive(&l->stream);
    server_move(s, SERVER_LOGIN);
    stream_accept(&s->stream, control->loop, &ops, fds[0]);
    stream_detach(&s->stream);
    control_opened(control, s, span_str("S"));
}

static void login_due(struct letter *letter, struct thread *control)
{
    static const struct pool_failure failed = {"08001", "cannot connect"};
    static const struct pool_failure refused = {"28P01", "wrong password"};
    struct server_login *l = CONTAINER_OF(letter, struct server_login, due);
    const struct scenario *sc = l->test->scenario;
    struct server *s = l->server;
    bool fails = l->aborted || one_in(control_random(l->test), sc->fails);
    bool is_refused = !fails && one_in(control_random(l->test), sc->refused);

    if (!fails && !is_refused) {
        accept_login(l, control);
        return;
    }
    go(l);
    s->login = NULL;
    control_open_failed(control, s, is_refused ? &refused : &failed, is_refused);
}

static unsigned pool_number(const struct test *t, const struct pool *p)
{
    unsigned i = 0;

    while (t->each[i] != p)
        i++;
    return i;
}

void login_start(struct thread *control, struct server *s)
{
    struct test *t = test_of(control);
    struct server_login *l = calloc(1, sizeof(*l));
    unsigned n, n_all;

    RACE_CHECK(l != NULL);
    *l = (struct server_login){
        .next = t->logins, .test = t, .server = s, .pool = pool_number(t, s->pool)};
    t->logins = l;
    l->due.open = login_due;
    s->login = l;
    t->n_logins++;
    n = atomic_fetch_add_explicit(&t->n_open[l->pool], 1, memory_order_seq_cst);
    n_all = atomic_fetch_add_explicit(&t->n_open_all, 1, memory_order_seq_cst);
    RACE_CHECK(n < t->scenario->pool_size);
    RACE_CHECK(t->scenario->limit == 0 || n_all < t->scenario->limit);
    thread_post(control, &l->due);
}

void login_abort(struct thread *control, struct server *s)
{
    (void)control;
    s->login->aborted = true;
}

/* ---- clients ---- */

static void post_step(struct client *c)
{
    if (c->posted)
        return;
    c->posted = true;
    thread_post(c->reactor->thread, &c->step);
}

static void take(struct client *c, struct thread *self, struct server *s)
{
    RACE_CHECK(self == c->reactor->thread && c->waiting && s->client == NULL);
    RACE_CHECK(s->pool == c->pool && server_phase(s) == SERVER_ACTIVE);
    c->waiting = false;
    c->server = s;
    s->client = c; /* plain: TSan sees two holders */
    c->hold = random_below(&c->reactor->random, 4);
    c->reactor->n_served++;
    post_step(c);
}

static void served(struct waiter *w, struct thread *self, struct server *s)
{
    RACE_CHECK(s->replication == PGW_REPLICATION_OFF);
    take(CONTAINER_OF(w, struct client, waiter), self, s);
}

static void own_served(void *ctx, struct thread *self, struct server *s, struct span greeting)
{
    struct client *c = ctx;

    RACE_CHECK(s->replication == PGW_REPLICATION_PHYSICAL && c->own != NULL);
    RACE_CHECK(span_equal(greeting, span_str("S")));
    c->own = NULL;
    take(c, self, s);
}

static void own_failed(void *ctx, struct thread *self, const struct pool_failure *why)
{
    struct client *c = ctx;

    (void)why;
    RACE_CHECK(self == c->reactor->thread && c->waiting && c->own != NULL);
    c->own = NULL;
    c->waiting = false;
    c->reactor->n_failed++;
    post_step(c);
}

static void failed(struct waiter *w, struct thread *self, const struct pool_failure *why)
{
    struct client *c = CONTAINER_OF(w, struct client, waiter);

    RACE_CHECK(self == c->reactor->thread && c->waiting);
    RACE_CHECK(strcmp(why->sqlstate, "28P01") == 0);
    c->waiting = false;
    c->reactor->n_failed++;
    post_step(c);
}

static void ask_for_own(struct client *c)
{
    struct own_order order = {.pool = c->pool,
                              .replication = PGW_REPLICATION_PHYSICAL,
                              .settings = span_str("replication"),
                              .served = own_served,
                              .failed = own_failed,
                              .ctx = c};

    c->own = own_ask(&order, c->reactor->thread);
    RACE_CHECK(c->own != NULL);
}

static void begin_transaction(struct client *c)
{
    struct reactor *r = c->reactor;
    struct test *t = r->test;

    c->todo--;
    c->waiting = true;
    c->pool = t->each[random_below(&r->random, t->scenario->n_pools)];
    if (one_in(&r->random, t->scenario->owns))
        ask_for_own(c);
    else
        pool_acquire(c->pool, r->thread, &c->waiter);
    if (c->waiting && one_in(&r->random, t->scenario->leaves))
        post_step(c);
}

static void ask_for_renewal(struct test *t)
{
    if (!atomic_exchange_explicit(&t->renew_posted, true, memory_order_seq_cst))
        thread_post(crew_control(&t->crew), &t->renew);
}

static void end_transaction(struct client *c)
{
    struct reactor *r = c->reactor;
    const struct scenario *sc = r->test->scenario;
    struct server *s = c->server;

    c->server = NULL;
    s->client = NULL;
    if (one_in(&r->random, sc->renews))
        ask_for_renewal(r->test);
    if (s->login == NULL) {
        pool_discard(r->thread, s, false); /* died before, and nobody has noticed */
        return;
    }
    if (one_in(&r->random, sc->dies)) {
        r->n_killed++;
        go(s->login);
        s->login = NULL;
        shutdown(stream_fd(&s->stream), SHUT_RDWR);
    }
    if (s->replication != PGW_REPLICATION_OFF || (s->login == NULL && random_below(&r->random, 2)))
        pool_discard(r->thread, s, true);
    else
        pool_release(r->thread, s);
}

static void end_client(struct client *c)
{
    struct test *t = c->reactor->test;

    if (--c->reactor->n_busy == 0 &&
        atomic_fetch_sub_explicit(&t->n_busy, 1, memory_order_seq_cst) == 1)
        thread_post(crew_control(&t->crew), &t->over);
}

static void step(struct letter *l, struct thread *self)
{
    struct client *c = CONTAINER_OF(l, struct client, step);

    c->posted = false;
    if (c->waiting) {
        if (c->own != NULL)
            own_drop(c->own);
        else
            pool_leave(c->pool, self, &c->waiter);
        c->own = NULL;
        c->waiting = false;
        c->reactor->n_left++;
        post_step(c);
    } else if (c->server != NULL) {
        if (c->hold == 0)
            end_transaction(c);
        else
            c->hold--;
        post_step(c);
    } else if (c->todo > 0) {
        begin_transaction(c);
    } else {
        end_client(c);
    }
}

static void begin_round(struct letter *l, struct thread *self)
{
    struct reactor *r = CONTAINER_OF(l, struct reactor, begin);

    (void)self;
    r->n_busy = N_CLIENTS;
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        r->clients[i].todo = 1 + random_below(&r->random, N_TODO_MAX);
        post_step(&r->clients[i]);
    }
}

/* ---- rounds ---- */

static void check_at_rest(struct round *r, struct thread *self)
{
    struct test *t = test_of(self);

    (void)r;
    for (unsigned i = 0; i < t->scenario->n_pools && !thread_is_control(self); i++) {
        const struct pool_part *part = part_own(t->each[i], self);

        RACE_CHECK(part->n_waiters == 0);
        RACE_CHECK(demand_unclaimed(&part->demand) == 0 && demand_promised(&part->demand) == 0);
        RACE_CHECK(!(mask_read(&t->each[i]->has_waiters) & mask_bit(self->number)));
    }
}

static void end_loop(struct letter *l, struct thread *self)
{
    (void)l;
    loop_stop(self->loop);
}

static void stopped(void *ctx)
{
    struct test *t = ctx;

    RACE_CHECK(atomic_load_explicit(&t->n_open_all, memory_order_seq_cst) == 0);
    for (unsigned i = 0; i <= t->scenario->n_reactors; i++)
        thread_post(t->reactors[i].thread, &t->reactors[i].end);
}

static void begin_all(struct test *t)
{
    atomic_store_explicit(&t->n_busy, t->scenario->n_reactors, memory_order_seq_cst);
    for (unsigned i = 0; i < t->scenario->n_reactors; i++)
        thread_post(t->reactors[i].thread, &t->reactors[i].begin);
}

static void at_rest(struct round *r, struct thread *self)
{
    struct test *t = test_of(self);

    (void)r;
    if (--t->n_rounds > 0)
        begin_all(t);
    else
        pools_stop(t->pools, stopped, t);
}

static void round_over(struct letter *l, struct thread *self)
{
    struct test *t = CONTAINER_OF(l, struct test, over);

    round_start(&t->rest, self);
}

static void renew(struct letter *l, struct thread *self)
{
    struct test *t = CONTAINER_OF(l, struct test, renew);

    atomic_store_explicit(&t->renew_posted, false, memory_order_seq_cst);
    control_renew(self, t->each[random_below(control_random(t), t->scenario->n_pools)], "renewed");
}

/* ---- threads ---- */

static void run_loop(void *arg)
{
    struct reactor *r = arg;

    RACE_CHECK(loop_run(r->thread->loop) == 0);
}

static void make_reactor(struct test *t, unsigned i, const struct race *race)
{
    static const struct arena_config chunks = {.chunk_size = 4096, .n_chunks = 512};
    struct reactor *r = &t->reactors[i];
    struct loop_config config = {.engine = LOOP_ENGINE_EPOLL, .on_mail = thread_open_mail};

    r->test = t;
    r->thread = &t->crew.threads[i];
    r->begin.open = begin_round;
    r->end.open = end_loop;
    r->random = race_random(race, i);
    RACE_CHECK(arena_new(&r->arena, &chunks) == 0);
    config.arena = r->arena;
    config.ctx = r->thread;
    *r->thread = (struct thread){.number = i, .crew = &t->crew};
    RACE_CHECK(loop_new(&r->thread->loop, &config) == 0);
    for (unsigned n = 0; n < N_CLIENTS; n++) {
        r->clients[n].reactor = r;
        r->clients[n].step.open = step;
        r->clients[n].waiter.served = served;
        r->clients[n].waiter.failed = failed;
    }
}

static void make_pools(struct test *t)
{
    struct pools_config config = {.crew = &t->crew};
    struct conf_error error;
    char text[512];

    RACE_CHECK(t->scenario->n_pools <= N_POOLS_MAX);
    snprintf(text, sizeof(text),
             "weir = { default_pool_size = %u; max_db_connections = %u; "
             "server_login_retry = \"10ms\"; };\n"
             "databases = ( { name = \"db\"; host = \"127.0.0.1\"; } );",
             t->scenario->pool_size, t->scenario->limit);
    if (conf_load_text("/c/weir.conf", span_str(text), &config.conf, &error) != 0)
        race_fail("%s", error.text);
    RACE_CHECK(pools_new(&t->pools, &config) == 0);
    conf_put(config.conf);
    for (unsigned i = 0; i < t->scenario->n_pools; i++) {
        snprintf(text, sizeof(text), "user%u", i);
        RACE_CHECK(pools_find(t->pools, span_str("db"), span_str(text), &t->each[i]) ==
                   POOLS_FOUND);
        for (unsigned r = 0; r < t->scenario->n_reactors; r++)
            RACE_CHECK(pool_join(t->each[i], &t->crew.threads[r]) == 0);
    }
}

static void report(const struct test *t)
{
    uint64_t n_served = 0, n_failed = 0, n_left = 0, n_killed = 0;

    for (unsigned i = 0; i < t->scenario->n_reactors; i++) {
        n_served += t->reactors[i].n_served;
        n_failed += t->reactors[i].n_failed;
        n_left += t->reactors[i].n_left;
        n_killed += t->reactors[i].n_killed;
    }
    printf("%s: %" PRIu64 " served, %" PRIu64 " refused, %" PRIu64 " left, %" PRIu64
           " killed, %u logins\n",
           t->scenario->name, n_served, n_failed, n_left, n_killed, t->n_logins);
    RACE_CHECK(n_served > 0);
}

static void free_logins(struct test *t)
{
    while (t->logins != NULL) {
        struct server_login *l = t->logins;

        t->logins = l->next;
        free(l);
    }
}

static void never_mind(struct wheel_timer *t)
{
    (void)t;
}

static void run(const struct scenario *scenario, const struct race *race)
{
    struct test *t = aligned_alloc(_Alignof(struct test), sizeof(*t));

    RACE_CHECK(t != NULL);
    memset(t, 0, sizeof(*t));
    t->scenario = scenario;
    t->n_rounds = scenario->n_rounds * (unsigned)race->factor;
    t->crew.n_reactors = scenario->n_reactors;
    t->over.open = round_over;
    t->renew.open = renew;
    t->rest.visit = check_at_rest;
    t->rest.done = at_rest;
    for (unsigned i = 0; i <= scenario->n_reactors; i++)
        make_reactor(t, i, race);
    make_pools(t);
    /* Who starves has to be seen when a slot is freed, not a second later; only where somebody
     * ahead in the line has left is it the second look that finds it. */
    if (scenario->leaves == 0)
        t->pools->second.fire = never_mind;
    begin_all(t);
    race_run(race, scenario->n_reactors + 1, run_loop, t->reactors, sizeof(t->reactors[0]));
    report(t);
    pools_free(t->pools);
    for (unsigned i = 0; i <= scenario->n_reactors; i++) {
        loop_free(t->crew.threads[i].loop);
        arena_free(t->reactors[i].arena);
    }
    free_logins(t);
    free(t);
}

int main(void)
{
    /* clang-format off */
    static const struct scenario scenarios[] = {
        /*                reactors, pools, size, limit, dies, leaves, fails, refused, renews, owns, rounds */
        {"one server",     2,       1,     1,    0,     0,    0,      0,     0,       0,      0,    3000},
        {"leavers",        4,       1,     2,    0,     0,    3,      0,     0,       0,      0,    2000},
        {"deaths",         3,       1,     1,    0,     8,    10,     0,     0,       0,      0,    1000},
        {"renewals",       4,       1,     3,    0,     0,    10,     0,     0,       20,     0,    1000},
        {"failing logins", 2,       1,     2,    0,     10,   0,      10,    10,      0,      0,    150},
        {"one limit",      3,       3,     2,    2,     0,    0,      0,     0,       0,      0,    1500},
        {"their own",      2,       1,     2,    0,     0,    0,      0,     0,       0,      4,    500},
        {"own, one limit", 3,       3,     2,    2,     0,    0,      0,     0,       0,      4,    500},
        {"everything",     8,       3,     4,    6,     50,   10,     50,    50,      100,    10,   150},
    };
    /* clang-format on */
    struct race race = race_begin("race_pool");

    for (unsigned i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
        run(&scenarios[i], &race);
    return 0;
}
