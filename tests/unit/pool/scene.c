#include "scene.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "weir/base/clock.h"

static struct scene *scene_of(struct crew *crew)
{
    return CONTAINER_OF(crew, struct scene, crew);
}

/* ---- logins: these stand in the place of src/pool/login.c ---- */

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

static const struct sock_ops login_ops = {
    .received = never_received, .ended = never_ended, .closed = never_closed};

static void login_accept(struct scene *sc, struct server *s)
{
    struct thread *control = scene_control(sc);
    int fds[2];

    rig_pair(RIG_UNIX, fds);
    sc->peers[s->id] = fds[1];
    sc->open[s->id] = s;
    cr_assert(sc->limit == 0 || scene_n_open(sc) <= sc->limit, "too many servers are open");
    server_move(s, SERVER_LOGIN);
    stream_accept(&s->stream, control->loop, &login_ops, fds[0]);
    stream_detach(&s->stream);
    s->backend_pid = (int32_t)s->id;
    control_opened(control, s, span_str(sc->greeting));
}

static void login_end(struct scene *sc, struct server *s, enum scene_script script)
{
    static const struct pool_failure refused = {"28P01", "password authentication failed"};
    static const struct pool_failure failed = {"08001", "cannot connect"};

    switch (script) {
    case SCENE_ACCEPTS:
        login_accept(sc, s);
        break;
    case SCENE_REFUSES:
        control_open_failed(scene_control(sc), s, &refused, true);
        break;
    case SCENE_FAILS:
        control_open_failed(scene_control(sc), s, &failed, false);
        break;
    case SCENE_HANGS:
        cr_assert_lt(sc->n_hanging, SCENE_SERVERS_MAX);
        sc->hanging[sc->n_hanging++] = s;
        break;
    }
}

static void login_due(struct wheel_timer *t)
{
    struct server *s = CONTAINER_OF(t, struct server, timer);
    struct scene *sc = scene_of(s->pool->crew);

    login_end(sc, s, sc->script);
}

void login_start(struct thread *control, struct server *s)
{
    struct scene *sc = scene_of(control->crew);

    cr_assert_eq(server_phase(s), SERVER_CONNECTING);
    cr_assert_lt(s->id, SCENE_SERVERS_MAX);
    sc->n_logins++;
    s->timer.fire = login_due;
    loop_timer_set(control->loop, &s->timer, 0);
}

static void forget_hanging(struct scene *sc, const struct server *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < sc->n_hanging; i++)
        if (sc->hanging[i] != s)
            sc->hanging[n++] = sc->hanging[i];
    sc->n_hanging = n;
}

static void login_aborted(struct wheel_timer *t)
{
    struct server *s = CONTAINER_OF(t, struct server, timer);

    login_end(scene_of(s->pool->crew), s, SCENE_FAILS);
}

void login_abort(struct thread *control, struct server *s)
{
    forget_hanging(scene_of(control->crew), s);
    s->timer.fire = login_aborted;
    loop_timer_set(control->loop, &s->timer, 0);
}

void scene_answer(struct scene *sc, enum scene_script script)
{
    struct server *s;

    cr_assert_gt(sc->n_hanging, 0);
    s = sc->hanging[0];
    forget_hanging(sc, s);
    login_end(sc, s, script);
}

/* ---- servers ---- */

static void peer_close(struct scene *sc, unsigned id)
{
    close(sc->peers[id]);
    sc->peers[id] = -1;
}

void scene_kill(struct scene *sc, const struct server *s)
{
    cr_assert_geq(sc->peers[s->id], 0);
    peer_close(sc, (unsigned)s->id);
}

static void peer_turn(struct scene *sc, unsigned id)
{
    static const char terminate[] = {'X', 0, 0, 0, 4};
    char bytes[16];
    ssize_t n = recv(sc->peers[id], bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n < 0)
        return;
    if (n > 0) {
        cr_assert_eq(n, (ssize_t)sizeof(terminate));
        cr_assert_eq(memcmp(bytes, terminate, sizeof(terminate)), 0);
        sc->n_terminates++;
    }
    if (!sc->deaf)
        peer_close(sc, id);
}

unsigned scene_n_open(const struct scene *sc)
{
    unsigned n = 0;

    for (unsigned id = 0; id < SCENE_SERVERS_MAX; id++)
        n += sc->peers[id] >= 0;
    return n;
}

/* ---- the scene ---- */

struct thread *scene_reactor(struct scene *sc, unsigned reactor)
{
    cr_assert_lt(reactor, sc->n_reactors);
    return &sc->crew.threads[reactor];
}

struct thread *scene_control(struct scene *sc)
{
    return crew_control(&sc->crew);
}

static void do_nothing(struct letter *l, struct thread *self)
{
    (void)l;
    (void)self;
}

void scene_turn(struct scene *sc, const struct thread *t)
{
    /* With mail in its box a loop does not wait. */
    sc->nudge[t->number].open = do_nothing;
    loop_post(t->loop, &sc->nudge[t->number].mail);
    rig_turn(&sc->rigs[t->number]);
}

void scene_turn_all(struct scene *sc)
{
    for (unsigned i = 0; i <= sc->n_reactors; i++)
        scene_turn(sc, &sc->crew.threads[i]);
    for (unsigned id = 0; id < SCENE_SERVERS_MAX; id++)
        if (sc->peers[id] >= 0)
            peer_turn(sc, id);
}

void scene_wait_turn(struct scene *sc, const char *for_what)
{
    scene_turn_all(sc);
    cr_assert_not(sc->rigs[0].late, "never came: %s", for_what);
}

void scene_let_pass(struct scene *sc, unsigned ms)
{
    rig_wait_begin(&sc->rigs[0], ms);
    while (!sc->rigs[0].late)
        scene_turn_all(sc);
}

static struct conf *load(const char *settings)
{
    char text[1024];
    struct conf *conf = NULL;
    struct conf_error error;
    int n = snprintf(text, sizeof(text),
                     "weir = { %s };\n"
                     "databases = ( { name = \"*\"; host = \"127.0.0.1\"; } );\n",
                     settings);

    cr_assert(n > 0 && n < (int)sizeof(text));
    cr_assert_eq(conf_load_text("weir.conf", span_of(text, (size_t)n), &conf, &error), 0, "%s",
                 error.text);
    return conf;
}

void scene_init(struct scene *sc, enum rig_variant variant, unsigned n_reactors,
                const char *settings)
{
    struct pools_config config = {.conf = load(settings), .crew = &sc->crew};

    cr_assert_leq(n_reactors, SCENE_REACTORS_MAX);
    *sc = (struct scene){.n_reactors = n_reactors, .greeting = "S"};
    memset(sc->peers, -1, sizeof(sc->peers));
    sc->crew.n_reactors = n_reactors;
    for (unsigned i = 0; i <= n_reactors; i++) {
        struct thread *t = &sc->crew.threads[i];
        struct loop_config loop = {.on_mail = thread_open_mail, .ctx = t};

        rig_init(&sc->rigs[i], variant, loop);
        *t = (struct thread){.number = i, .loop = sc->rigs[i].loop, .crew = &sc->crew};
    }
    cr_assert_eq(pools_new(&sc->pools, &config), 0);
    conf_put(config.conf);
}

static void on_stopped(void *ctx)
{
    struct scene *sc = ctx;

    cr_assert_not(sc->stopped);
    sc->stopped = true;
}

void scene_fini(struct scene *sc)
{
    sc->deaf = false;
    if (!sc->stopped)
        pools_stop(sc->pools, on_stopped, sc);
    SCENE_UNTIL(sc, sc->stopped);
    scene_turn_all(sc); /* the last Terminate is read */
    scene_turn_all(sc);
    cr_assert_eq(scene_n_open(sc), 0);
    pools_free(sc->pools);
    for (unsigned i = 0; i <= sc->n_reactors; i++)
        rig_fini(&sc->rigs[i]);
}

struct pool *scene_pool(struct scene *sc, const char *database, const char *user)
{
    struct pool *p;

    cr_assert_eq(pools_find(sc->pools, span_str(database), span_str(user), &p), POOLS_FOUND);
    for (unsigned i = 0; i < sc->n_reactors; i++)
        cr_assert_eq(pool_join(p, scene_reactor(sc, i)), 0);
    return p;
}

struct pool_counts scene_count(const struct pool *p)
{
    struct pool_counts counts;

    pool_count(p, &counts);
    return counts;
}

/* ---- clients ---- */

static struct client *client_of(struct waiter *w, const struct thread *self)
{
    struct client *c = CONTAINER_OF(w, struct client, waiter);

    cr_assert_eq(c->thread, self);
    cr_assert(c->server == NULL && c->why == NULL && !c->greeted);
    return c;
}

static void on_served(struct waiter *w, struct thread *self, struct server *s)
{
    struct client *c = client_of(w, self);

    c->served_as = ++c->scene->n_served;
    c->server = s;
    c->greeted = s == NULL;
    cr_assert_eq(w->awaits_greeting, s == NULL);
    if (s == NULL) {
        cr_assert_not_null(pool_greeting(c->pool));
        return;
    }
    cr_assert_eq(s->pool, c->pool);
    cr_assert_eq(server_phase(s), SERVER_ACTIVE);
    cr_assert(stream_detached(&s->stream));
    cr_assert(pgw_reply_is_at_rest(&s->replies));
    cr_assert(pgw_walker_at_boundary(&s->from_server));
}

static void on_failed(struct waiter *w, struct thread *self, const struct pool_failure *why)
{
    client_of(w, self)->why = why;
}

static void client_init(struct client *c, struct scene *sc, struct pool *p, unsigned reactor)
{
    *c = (struct client){.scene = sc, .pool = p, .thread = scene_reactor(sc, reactor)};
    c->waiter.served = on_served;
    c->waiter.failed = on_failed;
}

void client_acquire(struct client *c, struct scene *sc, struct pool *p, unsigned reactor)
{
    client_init(c, sc, p, reactor);
    pool_acquire(p, c->thread, &c->waiter);
}

void client_await_greeting(struct client *c, struct scene *sc, struct pool *p, unsigned reactor)
{
    client_init(c, sc, p, reactor);
    pool_await_greeting(p, c->thread, &c->waiter);
}

void client_leave(struct client *c)
{
    pool_leave(c->pool, c->thread, &c->waiter);
}

static struct server *client_take(struct client *c)
{
    struct server *s = c->server;

    cr_assert_not_null(s);
    c->server = NULL;
    return s;
}

void client_release(struct client *c)
{
    pool_release(c->thread, client_take(c));
}

void client_discard(struct client *c, bool terminate)
{
    pool_discard(c->thread, client_take(c), terminate);
}

static void on_death_closed(struct sock *s)
{
    CONTAINER_OF(stream_of(s), struct server, stream)->client = NULL;
}

void client_discard_closed(struct client *c, bool dead)
{
    static const struct sock_ops ops = {
        .received = never_received, .ended = never_ended, .closed = on_death_closed};
    struct server *s = c->server;

    s->client = c;
    stream_attach(&s->stream, c->thread->loop, &ops);
    stream_close(&s->stream);
    SCENE_UNTIL(c->scene, s->client == NULL);
    s->has_ended = dead;
    client_discard(c, false);
}

struct client *clients_holder(struct client *c, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (c[i].server != NULL)
            return &c[i];
    return NULL;
}

struct client *clients_served(struct client *c, unsigned n)
{
    struct client *holder;

    SCENE_UNTIL(c->scene, (holder = clients_holder(c, n)) != NULL);
    return holder;
}

void clients_serve(struct client *c, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        client_release(clients_served(c, n));
}
