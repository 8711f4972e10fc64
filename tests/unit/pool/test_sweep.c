/*
 * What is closed because its time has come, and what is opened in store.
 */
#include "scene.h"

#include "weir/base/clock.h"

static void use(struct scene *sc, struct pool *p, unsigned n)
{
    struct client c[8];

    for (unsigned i = 0; i < n; i++)
        client_acquire(&c[i], sc, p, 0);
    for (unsigned i = 0; i < n; i++)
        SCENE_UNTIL(sc, c[i].server != NULL);
    for (unsigned i = 0; i < n; i++)
        client_release(&c[i]);
}

ENGINE_TEST(sweep, what_nobody_uses_is_closed)
{
    struct scene sc;
    struct pool *p;
    uint64_t begin_ns;

    scene_init(&sc, *variant, 1, "server_idle_timeout = \"100ms\";");
    p = scene_pool(&sc, "db", "alice");
    use(&sc, p, 3);
    begin_ns = clock_now_ns();
    SCENE_UNTIL(&sc, scene_count(p).n_servers == 0);
    cr_assert_geq(clock_now_ns() - begin_ns, 90 * NS_PER_MS);
    cr_assert_not(wheel_armed(&p->control->sweep)); /* nothing to wake up for */
    scene_fini(&sc);
}

ENGINE_TEST(sweep, what_is_in_use_stays)
{
    struct scene sc;
    struct client c;
    struct pool *p;

    scene_init(&sc, *variant, 1, "server_idle_timeout = \"100ms\";");
    p = scene_pool(&sc, "db", "alice");
    use(&sc, p, 2);
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, scene_count(p).n_servers == 1);
    scene_let_pass(&sc, 250);
    cr_assert_eq(scene_count(p).n_servers, 1);
    client_release(&c);
    cr_assert_eq(scene_count(p).n_idle, 1);
    SCENE_UNTIL(&sc, scene_count(p).n_servers == 0);
    scene_fini(&sc);
}

/* Turns of two threads begin at different times, and so do their clocks stand. */
ENGINE_TEST(sweep, a_clock_that_is_behind_finds_what_is_idle)
{
    struct scene sc;
    struct server *s;
    struct pool *p;

    scene_init(&sc, *variant, 1, "");
    p = scene_pool(&sc, "db", "alice");
    use(&sc, p, 1);
    cr_assert_null(control_take_idle(p, 1, 1));
    s = control_take_idle(p, 1, 0);
    cr_assert_not_null(s);
    cr_assert_not(pool_is_stale(s, s->opened_ns - 1));
    control_release(scene_control(&sc), s);
    cr_assert_eq(scene_count(p).n_idle, 1);
    scene_fini(&sc);
}

ENGINE_TEST(sweep, the_minimum_stays_and_no_timer_runs_for_it)
{
    struct scene sc;
    struct pool *p;

    scene_init(&sc, *variant, 1,
               "server_idle_timeout = \"100ms\"; min_pool_size = 2; server_lifetime = \"1h\";");
    p = scene_pool(&sc, "db", "alice");
    use(&sc, p, 4);
    SCENE_UNTIL(&sc, scene_count(p).n_servers == 2);
    scene_let_pass(&sc, 250);
    cr_assert_eq(scene_count(p).n_servers, 2);
    cr_assert_gt(p->control->sweep.deadline_ns, clock_now_ns() + 3000 * NS_PER_S);
    scene_fini(&sc);
}

ENGINE_TEST(sweep, the_minimum_is_opened_after_a_first_login)
{
    struct scene sc;
    struct pool *p;

    scene_init(&sc, *variant, 1, "min_pool_size = 3;");
    p = scene_pool(&sc, "db", "alice");
    scene_let_pass(&sc, 5);
    cr_assert_eq(sc.n_logins, 0); /* whether its secret is good is not known */
    use(&sc, p, 1);
    SCENE_UNTIL(&sc, scene_count(p).n_idle == 3);
    scene_kill(&sc, sc.open[2]);
    scene_let_pass(&sc, 5);
    cr_assert_eq(sc.n_logins, 3); /* nobody has noticed yet */
    use(&sc, p, 3);
    SCENE_UNTIL(&sc, scene_count(p).n_idle == 3);
    cr_assert_eq(sc.n_logins, 4);
    scene_fini(&sc);
}

/* Else it would be tried for ever, and lock the account. */
ENGINE_TEST(sweep, the_minimum_is_not_opened_while_logins_are_refused)
{
    struct scene sc;
    struct client c;
    struct pool *p;

    scene_init(&sc, *variant, 1, "min_pool_size = 2; server_login_retry = \"10ms\";");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, c.server != NULL);
    SCENE_UNTIL(&sc, scene_count(p).n_idle == 1);
    sc.script = SCENE_REFUSES;
    client_discard(&c, true);
    SCENE_UNTIL(&sc, sc.n_logins == 3);
    scene_let_pass(&sc, 50);
    cr_assert_eq(sc.n_logins, 3);
    cr_assert_eq(scene_count(p).n_idle, 1);
    scene_fini(&sc);
}

ENGINE_TEST(sweep, what_has_lived_long_enough_is_closed)
{
    struct scene sc;
    struct client c;
    struct pool *p;
    uint64_t begin_ns = clock_now_ns();

    scene_init(&sc, *variant, 1, "server_lifetime = \"1s\"; server_idle_timeout = 0;");
    p = scene_pool(&sc, "db", "alice");
    use(&sc, p, 2);
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, scene_count(p).n_servers == 1);
    cr_assert_geq(clock_now_ns() - begin_ns, NS_PER_S);
    cr_assert_eq(scene_count(p).n_idle, 0);
    client_release(&c); /* too old as well, but it was in use */
    SCENE_UNTIL(&sc, scene_count(p).n_servers == 0);
    scene_fini(&sc);
}
