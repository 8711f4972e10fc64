/*
 * Steps of the pool's protocol in the orders that are rare and matter: one thread stands at a yield
 * point while another does what would be missed if the first did not look once more. One test for
 * each rule; what would break is named after the mutant of docs/models/pool.pml that drops it.
 *
 * The loops are turned by the test's own thread; only what stands still is in a thread of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "race.h"
#include "weir/base/clock.h"

#include "../../src/pool/control.h"
#include "../../src/pool/pools.h"

#define N_REACTORS 2
#define N_PEERS_MAX 16
#define PATIENCE_NS (5 * NS_PER_S)

struct scene {
    struct crew crew; /* first: a login finds its scene by it */
    struct arena *arenas[N_REACTORS + 1];
    struct letter nudges[N_REACTORS + 1];
    struct pools *pools;
    struct pool *pool;
    int peers[N_PEERS_MAX];
    unsigned n_peers;
    bool stopped;
};

/* ---- logins, in the place of src/pool/login.c ---- */

static void never_received(struct sock *s, struct span data)
{
    (void)s;
    (void)data;
}

static void never_ended(struct sock *s, int error)
{
    (void)s;
    (void)error;
}

static void never_closed(struct sock *s)
{
    (void)s;
}

static void login_due(struct wheel_timer *timer)
{
    static const struct sock_ops ops = {
        .received = never_received, .ended = never_ended, .closed = never_closed};
    struct server *s = CONTAINER_OF(timer, struct server, timer);
    struct scene *sc = CONTAINER_OF(s->pool->crew, struct scene, crew);
    struct thread *control = crew_control(&sc->crew);
    int fds[2];

    RACE_CHECK(sc->n_peers < N_PEERS_MAX);
    RACE_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    sc->peers[sc->n_peers++] = fds[1];
    server_move(s, SERVER_LOGIN);
    stream_accept(&s->stream, control->loop, &ops, fds[0]);
    stream_detach(&s->stream);
    control_opened(control, s, span_str("S"));
}

void login_start(struct thread *control, struct server *s)
{
    s->timer.fire = login_due;
    loop_timer_set(control->loop, &s->timer, 0);
}

void login_abort(struct thread *control, struct server *s)
{
    (void)control, (void)s;
    race_fail("nothing is opened at the end");
}

/* ---- the scene ---- */

static void do_nothing(struct letter *l, struct thread *self)
{
    (void)l;
    (void)self;
}

static struct thread *thread_at(struct scene *sc, unsigned number)
{
    return &sc->crew.threads[number];
}

/* With mail in its box a loop does not wait. */
static void turn(struct scene *sc, unsigned number)
{
    sc->nudges[number].open = do_nothing;
    thread_post(thread_at(sc, number), &sc->nudges[number]);
    RACE_CHECK(loop_turn(thread_at(sc, number)->loop) == 0);
}

static void turn_all(struct scene *sc)
{
    for (unsigned i = 0; i <= N_REACTORS; i++)
        turn(sc, i);
}

/* Every PostgreSQL closes. */
static void close_peers(struct scene *sc)
{
    while (sc->n_peers > 0)
        close(sc->peers[--sc->n_peers]);
}

static struct pool *find_pool(struct scene *sc, const char *user)
{
    struct pool *p;

    RACE_CHECK(pools_find(sc->pools, span_str("db"), span_str(user), &p) == POOLS_FOUND);
    for (unsigned i = 0; i < N_REACTORS; i++)
        RACE_CHECK(pool_join(p, thread_at(sc, i)) == 0);
    return p;
}

static void make_loop(struct scene *sc, unsigned number)
{
    static const struct arena_config chunks = {.chunk_size = 4096, .n_chunks = 512};
    struct thread *t = thread_at(sc, number);
    struct loop_config config = {
        .engine = LOOP_ENGINE_EPOLL, .on_mail = thread_open_mail, .ctx = t};

    RACE_CHECK(arena_new(&sc->arenas[number], &chunks) == 0);
    config.arena = sc->arenas[number];
    *t = (struct thread){.number = number, .crew = &sc->crew};
    RACE_CHECK(loop_new(&t->loop, &config) == 0);
}

static void never_mind(struct wheel_timer *t)
{
    (void)t;
}

static void scene_init(struct scene *sc, unsigned pool_size)
{
    struct pools_config config = {.crew = &sc->crew};
    struct conf_error error;
    char text[256];

    memset(sc, 0, sizeof(*sc));
    sc->crew.n_reactors = N_REACTORS;
    for (unsigned i = 0; i <= N_REACTORS; i++)
        make_loop(sc, i);
    snprintf(text, sizeof(text),
             "weir = { default_pool_size = %u; max_db_connections = %u; };\n"
             "databases = ( { name = \"db\"; host = \"127.0.0.1\"; } );",
             pool_size, pool_size);
    if (conf_load_text("/c/weir.conf", span_str(text), &config.conf, &error) != 0)
        race_fail("%s", error.text);
    RACE_CHECK(pools_new(&sc->pools, &config) == 0);
    conf_put(config.conf);
    sc->pools->second.fire = never_mind; /* what is missed is not found a second later */
    sc->pool = find_pool(sc, "alice");
}

static void on_stopped(void *ctx)
{
    ((struct scene *)ctx)->stopped = true;
}

static void scene_fini(struct scene *sc)
{
    close_peers(sc);
    pools_stop(sc->pools, on_stopped, sc);
    while (!sc->stopped)
        turn_all(sc);
    pools_free(sc->pools);
    for (unsigned i = 0; i <= N_REACTORS; i++) {
        loop_free(thread_at(sc, i)->loop);
        arena_free(sc->arenas[i]);
    }
}

static unsigned n_idle(const struct pool *p)
{
    struct pool_counts counts;

    pool_count(p, &counts);
    return counts.n_idle;
}

/* ---- clients ---- */

struct client {
    struct waiter waiter;
    struct pool *pool;
    struct thread *thread;
    struct server *server;
};

static void served(struct waiter *w, struct thread *self, struct server *s)
{
    struct client *c = CONTAINER_OF(w, struct client, waiter);

    RACE_CHECK(self == c->thread && c->server == NULL);
    c->server = s;
}

static void failed(struct waiter *w, struct thread *self, const struct pool_failure *why)
{
    (void)w, (void)self;
    race_fail("no server: %s", why->message);
}

static struct client client_of(struct scene *sc, struct pool *p, unsigned reactor)
{
    return (struct client){.waiter = {.served = served, .failed = failed},
                           .pool = p,
                           .thread = thread_at(sc, reactor)};
}

static void acquire(void *arg)
{
    struct client *c = arg;

    pool_acquire(c->pool, c->thread, &c->waiter);
}

static void release(void *arg)
{
    struct client *c = arg;
    struct server *s = c->server;

    c->server = NULL;
    pool_release(c->thread, s);
}

/* All turn until c has a server; seconds are an eternity here. */
static void until_served(struct scene *sc, const struct client *c)
{
    uint64_t deadline_ns = clock_now_ns() + PATIENCE_NS;

    while (c->server == NULL) {
        RACE_CHECK(clock_now_ns() < deadline_ns);
        turn_all(sc);
    }
}

/* c has a server. */
static void hold(struct scene *sc, struct client *c)
{
    acquire(c);
    until_served(sc, c);
}

/* ---- give, then look; publish, then look ---- */

/* M_RELEASE_NO_LOOK */
static void waiter_comes_while_a_server_is_shelved(struct scene *sc)
{
    struct client holder = client_of(sc, sc->pool, 0), waiter = client_of(sc, sc->pool, 1);
    struct race_pause releaser;

    hold(sc, &holder);
    race_pause_start(&releaser, YIELD_POOL_NOBODY, release, &holder);
    acquire(&waiter);
    RACE_CHECK(waiter.server == NULL);
    race_pause_end(&releaser);
    until_served(sc, &waiter);
    release(&waiter);
}

/* M_NO_SECOND_LOOK */
static void server_comes_while_a_waiter_is_published(struct scene *sc)
{
    struct client holder = client_of(sc, sc->pool, 0), waiter = client_of(sc, sc->pool, 1);
    struct race_pause taker;

    hold(sc, &holder);
    race_pause_start(&taker, YIELD_POOL_FOUND_NONE, acquire, &waiter);
    release(&holder);
    RACE_CHECK(n_idle(sc->pool) == 1);
    race_pause_end(&taker);
    until_served(sc, &waiter);
    release(&waiter);
}

/* Both look: one of them has the server, and it is the waiter who gets it. */
static void both_look_at_the_same_time(struct scene *sc)
{
    struct client holder = client_of(sc, sc->pool, 0), waiter = client_of(sc, sc->pool, 1);
    struct race_pause releaser, taker;

    hold(sc, &holder);
    race_pause_start(&taker, YIELD_POOL_FOUND_NONE, acquire, &waiter);
    race_pause_start(&releaser, YIELD_POOL_SHELVED, release, &holder);
    race_pause_move(&taker, YIELD_POOL_PUBLISHED);
    race_pause_end(&releaser); /* takes it back, and claims */
    race_pause_end(&taker);
    until_served(sc, &waiter);
    release(&waiter);
}

static void waiter_takes_what_a_releaser_has_shelved(struct scene *sc)
{
    struct client holder = client_of(sc, sc->pool, 0), waiter = client_of(sc, sc->pool, 1);
    struct race_pause releaser;

    hold(sc, &holder);
    race_pause_start(&releaser, YIELD_POOL_SHELVED, release, &holder);
    acquire(&waiter);
    RACE_CHECK(waiter.server != NULL);
    race_pause_end(&releaser);
    release(&waiter);
}

/* ---- promises ---- */

/* The one for whom it was claimed leaves, the next one comes before it is posted. */
static void waiter_leaves_while_a_server_is_promised(struct scene *sc)
{
    struct client holder = client_of(sc, sc->pool, 0), waiter = client_of(sc, sc->pool, 1);
    struct client next = client_of(sc, sc->pool, 1);
    struct race_pause releaser;

    hold(sc, &holder);
    acquire(&waiter);
    race_pause_start(&releaser, YIELD_POOL_CLAIMED, release, &holder);
    pool_leave(sc->pool, waiter.thread, &waiter.waiter);
    acquire(&next);
    race_pause_end(&releaser);
    until_served(sc, &next);
    RACE_CHECK(waiter.server == NULL);
    release(&next);
}

/* M_SURPLUS_SHELVED_BLINDLY: it comes for nobody, and somebody waits elsewhere. */
static void promised_server_is_wanted_elsewhere(struct scene *sc)
{
    struct client holder = client_of(sc, sc->pool, 0), waiter = client_of(sc, sc->pool, 1);
    struct client other = client_of(sc, sc->pool, 0);
    struct race_pause releaser;

    hold(sc, &holder);
    acquire(&waiter);
    race_pause_start(&releaser, YIELD_POOL_CLAIMED, release, &holder);
    pool_leave(sc->pool, waiter.thread, &waiter.waiter);
    race_pause_end(&releaser);
    acquire(&other);
    until_served(sc, &other);
    release(&other);
}

/* ---- control comes between ---- */

/* M_NO_GENERATION_RECHECK */
static void pool_is_renewed_while_a_server_is_shelved(struct scene *sc)
{
    struct client holder = client_of(sc, sc->pool, 0);
    struct race_pause releaser;

    hold(sc, &holder);
    race_pause_start(&releaser, YIELD_POOL_NOBODY, release, &holder);
    control_renew(crew_control(&sc->crew), sc->pool, "renewed");
    race_pause_end(&releaser);
    RACE_CHECK(n_idle(sc->pool) == 0);
}

static void discard(struct client *c)
{
    struct server *s = c->server;

    c->server = NULL;
    pool_discard(c->thread, s, true);
}

static unsigned n_servers(struct scene *sc)
{
    struct pool_counts counts;

    pool_count(sc->pool, &counts);
    return counts.n_servers;
}

/* A slot is freed, and control looks for demand, at the worst time for one who begins to wait. */
static void slot_is_freed_while_a_waiter(struct scene *sc, enum yield_point at)
{
    struct client holder = client_of(sc, sc->pool, 0), waiter = client_of(sc, sc->pool, 1);
    struct race_pause taker;

    hold(sc, &holder);
    race_pause_start(&taker, at, acquire, &waiter);
    close_peers(sc);
    discard(&holder);
    do
        turn(sc, N_REACTORS);
    while (at == YIELD_POOL_FOUND_NONE && n_servers(sc) > 0);
    race_pause_end(&taker);
    until_served(sc, &waiter);
    release(&waiter);
}

static void slot_is_freed_before_a_waiter_is_published(struct scene *sc)
{
    slot_is_freed_while_a_waiter(sc, YIELD_POOL_FOUND_NONE);
}

/* M_CLOSE_BLIND */
static void slot_is_freed_before_a_waiter_has_looked(struct scene *sc)
{
    slot_is_freed_while_a_waiter(sc, YIELD_POOL_PUBLISHED);
}

static void ask_for(struct scene *sc, struct client *c)
{
    acquire(c);
    turn(sc, N_REACTORS);
}

/* M_NO_LOOK_AT_GIVE_BACK: a pool begins to starve while the only server is being shelved. */
static void server_is_wanted_back_while_it_is_shelved(struct scene *sc)
{
    struct client holder = client_of(sc, sc->pool, 0);
    struct client starving = client_of(sc, find_pool(sc, "bob"), 1);
    struct race_pause releaser;

    hold(sc, &holder);
    race_pause_start(&releaser, YIELD_POOL_NOBODY, release, &holder);
    ask_for(sc, &starving);
    race_pause_end(&releaser);
    close_peers(sc);
    until_served(sc, &starving);
    release(&starving);
}

static void look(void *pool)
{
    control_look(pool);
}

static void read_ask(void *pool)
{
    control_asked(&((struct pool *)pool)->ask, crew_control(((struct pool *)pool)->crew));
}

static void release_by_control(void *server)
{
    control_release(crew_control(((struct server *)server)->pool->crew), server);
}

/* M_LOOK_BEFORE_GIVE_BACK: the server is shelved while control wants it back. */
static void server_is_shelved_while_it_is_wanted_back(struct scene *sc)
{
    struct client holder = client_of(sc, sc->pool, 0);
    struct client starving = client_of(sc, find_pool(sc, "bob"), 1);
    struct race_pause control;

    hold(sc, &holder);
    /* As if it had asked already: else control looks once more. */
    atomic_store_explicit(&starving.pool->asked, true, memory_order_seq_cst);
    acquire(&starving);
    race_pause_start(&control, YIELD_POOL_WISHED, look, starving.pool);
    release(&holder);
    race_pause_end(&control);
    close_peers(sc);
    until_served(sc, &starving);
    release(&starving);
}

/* M_CHECKED_SHELVED_BLINDLY: control has had it in its hand, for whatever reason. */
static void waiter_comes_while_control_shelves(struct scene *sc)
{
    struct client holder = client_of(sc, sc->pool, 0), waiter = client_of(sc, sc->pool, 1);
    struct race_pause control;
    struct server *s;

    hold(sc, &holder);
    release(&holder);
    s = control_take_idle(sc->pool, clock_now_ns(), 0);
    RACE_CHECK(s != NULL);
    race_pause_start(&control, YIELD_POOL_NOBODY, release_by_control, s);
    acquire(&waiter);
    RACE_CHECK(waiter.server == NULL);
    race_pause_end(&control);
    until_served(sc, &waiter);
    release(&waiter);
}

/* M_ASKED_CLEARED_LATE */
static void waiter_asks_while_control_reads_that_one_did(struct scene *sc)
{
    struct client waiter = client_of(sc, sc->pool, 0);
    struct race_pause control;

    /* As if one had asked, and left. */
    atomic_store_explicit(&sc->pool->asked, true, memory_order_seq_cst);
    race_pause_start(&control, YIELD_POOL_ASKED, read_ask, sc->pool);
    acquire(&waiter);
    race_pause_end(&control);
    until_served(sc, &waiter);
    release(&waiter);
}

/* A listed pool does not ask; it is being taken off the list when a client comes. */
static void waiter_comes_while_its_pool_is_unlisted(struct scene *sc)
{
    struct client holder = client_of(sc, sc->pool, 0);
    struct client first = client_of(sc, find_pool(sc, "bob"), 1);
    struct client second = client_of(sc, first.pool, 1);
    struct race_pause control;

    hold(sc, &holder);
    ask_for(sc, &first);
    pool_leave(first.pool, first.thread, &first.waiter);
    race_pause_start(&control, YIELD_POOL_UNLISTING, look, first.pool);
    acquire(&second);
    race_pause_end(&control);
    close_peers(sc);
    release(&holder);
    until_served(sc, &second);
    release(&second);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(struct scene *sc);
    } races[] = {
        {"waiter comes while a server is shelved", waiter_comes_while_a_server_is_shelved},
        {"server comes while a waiter is published", server_comes_while_a_waiter_is_published},
        {"both look at the same time", both_look_at_the_same_time},
        {"waiter takes what a releaser has shelved", waiter_takes_what_a_releaser_has_shelved},
        {"waiter leaves while a server is promised", waiter_leaves_while_a_server_is_promised},
        {"promised server is wanted elsewhere", promised_server_is_wanted_elsewhere},
        {"pool is renewed while a server is shelved", pool_is_renewed_while_a_server_is_shelved},
        {"slot is freed before a waiter is published", slot_is_freed_before_a_waiter_is_published},
        {"slot is freed before a waiter has looked", slot_is_freed_before_a_waiter_has_looked},
        {"server is wanted back while it is shelved", server_is_wanted_back_while_it_is_shelved},
        {"server is shelved while it is wanted back", server_is_shelved_while_it_is_wanted_back},
        {"waiter comes while control shelves", waiter_comes_while_control_shelves},
        {"waiter asks while control reads that one did",
         waiter_asks_while_control_reads_that_one_did},
        {"waiter comes while its pool is unlisted", waiter_comes_while_its_pool_is_unlisted},
    };
    static struct scene sc;

    race_begin("race_pool_forced");
    for (unsigned i = 0; i < sizeof(races) / sizeof(races[0]); i++) {
        printf("%s\n", races[i].name);
        scene_init(&sc, 1);
        races[i].run(&sc);
        scene_fini(&sc);
    }
    return 0;
}
