/*
 * Servers for one client alone: they count like all others, room is made for them, nobody else gets
 * one, and a request can be dropped at every moment.
 */
#include "scene.h"

#include <string.h>

#include "weir/base/clock.h"
#include "weir/pool/own.h"

/* One who wants a server of its own. */
struct owner {
    struct thread *thread;
    struct own *own; /* NULL: answered, or dropped */
    struct server *server;
    char sqlstate[6];
    char settings[32];
};

static void on_served(void *ctx, struct thread *self, struct server *s, struct span greeting)
{
    struct owner *o = ctx;

    cr_assert_eq(o->thread, self);
    cr_assert_not_null(o->own, "answered once, and not when it was dropped");
    cr_assert(span_equal(greeting, span_str("S")));
    cr_assert_eq(server_phase(s), SERVER_ACTIVE);
    cr_assert_eq(s->replication, PGW_REPLICATION_LOGICAL);
    cr_assert(stream_detached(&s->stream));
    cr_assert(pgw_reply_is_at_rest(&s->replies));
    o->own = NULL;
    o->server = s;
}

static void on_failed(void *ctx, struct thread *self, const struct pool_failure *why)
{
    struct owner *o = ctx;

    cr_assert_eq(o->thread, self);
    cr_assert_not_null(o->own);
    o->own = NULL;
    memcpy(o->sqlstate, why->sqlstate, sizeof(o->sqlstate));
}

static void owner_ask(struct owner *o, struct scene *sc, struct pool *p, unsigned reactor)
{
    struct own_order order = {.pool = p,
                              .replication = PGW_REPLICATION_LOGICAL,
                              .settings = span_of("replication\0database\0", 21),
                              .served = on_served,
                              .failed = on_failed,
                              .ctx = o};

    *o = (struct owner){.thread = scene_reactor(sc, reactor)};
    o->own = own_ask(&order, o->thread);
    cr_assert_not_null(o->own);
}

static void owner_drop(struct owner *o)
{
    struct own *own = o->own;

    o->own = NULL;
    own_drop(own);
}

static void owner_leave(struct owner *o)
{
    pool_discard(o->thread, o->server, true);
    o->server = NULL;
}

static void check_idle(struct pool *p, unsigned n_idle, unsigned n_servers)
{
    cr_assert_eq(scene_count(p).n_idle, n_idle);
    cr_assert_eq(scene_count(p).n_servers, n_servers);
}

ENGINE_TEST(own, it_is_opened_counted_and_closed)
{
    struct scene sc;
    struct owner o;
    struct pool *p;

    scene_init(&sc, *variant, 2, "default_pool_size = 2;");
    p = scene_pool(&sc, "db", "alice");
    owner_ask(&o, &sc, p, 1);
    SCENE_UNTIL(&sc, o.server != NULL);
    check_idle(p, 0, 1);
    cr_assert_null(pool_greeting(p), "what it was told is nobody else's");
    owner_leave(&o);
    SCENE_UNTIL(&sc, scene_count(p).n_servers == 0);
    cr_assert_eq(sc.n_logins, 1);
    cr_assert_eq(sc.n_terminates, 1);
    scene_fini(&sc);
}

ENGINE_TEST(own, an_idle_one_is_evicted_from_a_full_pool)
{
    struct scene sc;
    struct client c[2];
    struct owner o[2];
    struct pool *p;

    scene_init(&sc, *variant, 2, "default_pool_size = 2;");
    sc.limit = 2;
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&c[0], &sc, p, 0);
    client_acquire(&c[1], &sc, p, 1);
    SCENE_UNTIL(&sc, c[0].server != NULL && c[1].server != NULL);
    client_release(&c[0]);
    client_release(&c[1]);
    owner_ask(&o[0], &sc, p, 0);
    owner_ask(&o[1], &sc, p, 1);
    SCENE_UNTIL(&sc, o[0].server != NULL && o[1].server != NULL);
    check_idle(p, 0, 2);
    owner_leave(&o[0]);
    client_acquire(&c[0], &sc, p, 0);
    SCENE_UNTIL(&sc, c[0].server != NULL);
    client_release(&c[0]);
    owner_leave(&o[1]);
    scene_fini(&sc);
}

/* Whoever came first. */
ENGINE_TEST(own, waiters_have_their_turn_and_so_has_it)
{
    struct scene sc;
    struct client holder, before, after;
    struct owner o;
    struct pool *p;

    scene_init(&sc, *variant, 2, "default_pool_size = 1;");
    sc.limit = 1;
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&holder, &sc, p, 0);
    SCENE_UNTIL(&sc, holder.server != NULL);
    client_acquire(&before, &sc, p, 1);
    scene_let_pass(&sc, 5);
    owner_ask(&o, &sc, p, 0);
    scene_let_pass(&sc, 5);
    client_acquire(&after, &sc, p, 1);
    scene_let_pass(&sc, 5);
    cr_assert(before.server == NULL && o.server == NULL && after.server == NULL);
    cr_assert_eq(scene_count(p).n_waiters, 3);
    client_release(&holder);
    SCENE_UNTIL(&sc, before.server != NULL);
    scene_let_pass(&sc, 20);
    cr_assert(o.server == NULL && after.server == NULL);
    client_release(&before);
    SCENE_UNTIL(&sc, o.server != NULL);
    scene_let_pass(&sc, 20);
    cr_assert_null(after.server);
    owner_leave(&o);
    SCENE_UNTIL(&sc, after.server != NULL);
    client_release(&after);
    scene_fini(&sc);
}

/* Clients that never leave a gap do not keep it out. */
ENGINE_TEST(own, a_busy_pool_gives_one_up)
{
    struct scene sc;
    struct client c[6];
    struct owner o;
    struct pool *p;

    scene_init(&sc, *variant, 2, "default_pool_size = 2;");
    sc.limit = 2;
    p = scene_pool(&sc, "db", "alice");
    for (unsigned i = 0; i < 6; i++)
        client_acquire(&c[i], &sc, p, i % 2);
    SCENE_UNTIL(&sc, c[0].server != NULL || c[1].server != NULL);
    owner_ask(&o, &sc, p, 0);
    for (unsigned n = 0; n < 20 || o.server == NULL; n++) {
        scene_wait_turn(&sc, "its turn");
        for (unsigned i = 0; i < 6; i++) {
            if (c[i].server == NULL)
                continue;
            client_release(&c[i]);
            client_acquire(&c[i], &sc, p, i % 2);
        }
    }
    owner_leave(&o);
    clients_serve(c, 6);
    scene_fini(&sc);
}

ENGINE_TEST(own, limits_count_it)
{
    static const char *const limits[] = {"max_db_connections = 1;", "max_user_connections = 1;"};

    for (unsigned i = 0; i < 2; i++) {
        struct scene sc;
        struct client c;
        struct owner o, second;
        struct pool *p, *beside;

        scene_init(&sc, *variant, 1, limits[i]);
        sc.limit = 1;
        p = scene_pool(&sc, "db", "alice");
        beside = i == 0 ? scene_pool(&sc, "db", "bob") : scene_pool(&sc, "db2", "alice");
        client_acquire(&c, &sc, beside, 0);
        SCENE_UNTIL(&sc, c.server != NULL);
        owner_ask(&o, &sc, p, 0);
        scene_let_pass(&sc, 20);
        cr_assert_null(o.server);
        client_release(&c); /* its pool starves: what is idle elsewhere goes */
        SCENE_UNTIL(&sc, o.server != NULL);
        client_acquire(&c, &sc, p, 0);
        owner_ask(&second, &sc, p, 0);
        scene_let_pass(&sc, 20);
        cr_assert(c.server == NULL && second.server == NULL);
        owner_leave(&o);
        SCENE_UNTIL(&sc, c.server != NULL);
        client_release(&c); /* of the same pool, under a full limit */
        SCENE_UNTIL(&sc, second.server != NULL);
        owner_leave(&second);
        scene_fini(&sc);
    }
}

/* A pool whose only servers are somebody's own has none for others. */
ENGINE_TEST(own, a_pool_starves_beside_it)
{
    struct scene sc;
    struct client c, beside;
    struct owner o;

    scene_init(&sc, *variant, 1, "default_pool_size = 2; max_user_connections = 2;");
    owner_ask(&o, &sc, scene_pool(&sc, "db1", "alice"), 0);
    client_acquire(&beside, &sc, scene_pool(&sc, "db2", "alice"), 0);
    SCENE_UNTIL(&sc, o.server != NULL && beside.server != NULL);
    client_acquire(&c, &sc, scene_pool(&sc, "db1", "alice"), 0);
    scene_let_pass(&sc, 20);
    client_release(&beside);
    rig_wait_begin(&sc.rigs[0], 500); /* at once, not when somebody looks a second later */
    while (c.server == NULL)
        scene_wait_turn(&sc, "the place of one that was idle");
    rig_wait_end(&sc.rigs[0]);
    client_release(&c);
    owner_leave(&o);
    scene_fini(&sc);
}

ENGINE_TEST(own, its_failure_is_its_own)
{
    struct scene sc;
    struct client c;
    struct owner o;
    struct pool *p;

    scene_init(&sc, *variant, 1, "default_pool_size = 1; server_login_retry = \"1h\";");
    p = scene_pool(&sc, "db", "alice");
    sc.script = SCENE_REFUSES;
    owner_ask(&o, &sc, p, 0);
    SCENE_UNTIL(&sc, o.sqlstate[0] != '\0');
    cr_assert_str_eq(o.sqlstate, "28P01");
    cr_assert_null(pool_last_failure(p));
    check_idle(p, 0, 0);
    sc.script = SCENE_ACCEPTS;
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, c.server != NULL); /* without a pause */
    client_release(&c);
    scene_fini(&sc);
}

ENGINE_TEST(own, failures_of_others_do_not_stop_it)
{
    struct scene sc;
    struct client c;
    struct owner o;
    struct pool *p;

    scene_init(&sc, *variant, 1, "server_login_retry = \"1h\";");
    p = scene_pool(&sc, "db", "alice");
    sc.script = SCENE_FAILS;
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, sc.n_logins == 1 && scene_count(p).n_servers == 0);
    sc.script = SCENE_ACCEPTS;
    owner_ask(&o, &sc, p, 0);
    SCENE_UNTIL(&sc, o.server != NULL);
    cr_assert_eq(sc.n_logins, 2);
    owner_leave(&o);
    client_leave(&c);
    scene_fini(&sc);
}

ENGINE_TEST(own, dropped_while_it_waits)
{
    struct scene sc;
    struct client c;
    struct owner o[3];
    struct pool *p;

    scene_init(&sc, *variant, 2, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, c.server != NULL);
    for (unsigned i = 0; i < 3; i++)
        owner_ask(&o[i], &sc, p, i % 2);
    owner_drop(&o[0]); /* before control has read of it */
    scene_let_pass(&sc, 5);
    owner_drop(&o[1]);
    scene_let_pass(&sc, 5);
    cr_assert_eq(scene_count(p).n_waiters, 1);
    cr_assert(pool_waited(p, clock_now_ns(), NS_PER_MS), "who leaves no gap is to leave one");
    client_release(&c);
    SCENE_UNTIL(&sc, o[2].server != NULL);
    cr_assert_not(pool_waited(p, clock_now_ns(), 0));
    cr_assert_eq(sc.n_logins, 2);
    owner_leave(&o[2]);
    scene_fini(&sc);
}

ENGINE_TEST(own, dropped_while_it_is_opened)
{
    struct scene sc;
    struct owner o;
    struct pool *p;

    scene_init(&sc, *variant, 1, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    sc.script = SCENE_HANGS;
    owner_ask(&o, &sc, p, 0);
    SCENE_UNTIL(&sc, sc.n_hanging == 1);
    owner_drop(&o);
    SCENE_UNTIL(&sc, scene_count(p).n_servers == 0);
    scene_fini(&sc);
}

/* The server is on its way, and closed where it arrives. */
ENGINE_TEST(own, dropped_when_it_was_opened)
{
    struct scene sc;
    struct owner o;
    struct pool *p;

    scene_init(&sc, *variant, 1, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    owner_ask(&o, &sc, p, 0);
    rig_wait_begin(&sc.rigs[0], RIG_PATIENCE_MS);
    while (scene_n_open(&sc) == 0) {
        cr_assert_not(sc.rigs[0].late);
        scene_turn(&sc, scene_control(&sc));
    }
    rig_wait_end(&sc.rigs[0]);
    owner_drop(&o);
    SCENE_UNTIL(&sc, scene_count(p).n_servers == 0);
    cr_assert_eq(sc.n_terminates, 1);
    scene_fini(&sc);
}

static void note_stop(void *ctx)
{
    ((struct scene *)ctx)->stopped = true;
}

ENGINE_TEST(own, it_is_told_of_a_stop)
{
    struct scene sc;
    struct client c;
    struct owner waiting, opening, late;
    struct pool *p;

    scene_init(&sc, *variant, 1, "default_pool_size = 2;");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, c.server != NULL);
    sc.script = SCENE_HANGS;
    owner_ask(&opening, &sc, p, 0);
    SCENE_UNTIL(&sc, sc.n_hanging == 1);
    owner_ask(&waiting, &sc, p, 0);
    scene_let_pass(&sc, 5);
    client_discard(&c, true);
    pools_stop(sc.pools, note_stop, &sc);
    owner_ask(&late, &sc, p, 0);
    SCENE_UNTIL(&sc, waiting.own == NULL && opening.own == NULL && late.own == NULL);
    cr_assert_str_eq(waiting.sqlstate, "57P01");
    cr_assert_neq(opening.sqlstate[0], '\0');
    cr_assert_str_eq(late.sqlstate, "57P01");
    scene_fini(&sc);
}
