/*
 * The reactors' side: who is served, in which order, and what happens to a server that comes when
 * nobody wants it any more.
 */
#include "scene.h"

#include "weir/base/clock.h"

/* A server is opened, used and shelved. */
static void warm_up(struct scene *sc, struct pool *p, unsigned reactor)
{
    struct client c;

    client_acquire(&c, sc, p, reactor);
    SCENE_UNTIL(sc, c.server != NULL);
    client_release(&c);
}

ENGINE_TEST(pool, a_server_is_opened_for_the_first_and_kept_for_the_next)
{
    struct scene sc;
    struct client c;
    struct pool *p;
    struct server *s;

    scene_init(&sc, *variant, 1, "default_pool_size = 5;");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&c, &sc, p, 0);
    cr_assert_null(c.server); /* opening takes some turns */
    SCENE_UNTIL(&sc, c.server != NULL);
    s = c.server;
    client_release(&c);
    client_acquire(&c, &sc, p, 0);
    cr_assert_eq(c.server, s); /* within the call */
    client_release(&c);
    cr_assert_eq(sc.n_logins, 1);
    cr_assert_eq(scene_count(p).n_idle, 1);
    cr_assert_eq(scene_count(p).n_waiters, 0);
    scene_fini(&sc);
    cr_assert_eq(sc.n_terminates, 1);
}

ENGINE_TEST(pool, waiters_of_one_reactor_are_served_in_the_order_of_their_coming)
{
    struct scene sc;
    struct client c[6];
    struct pool *p;

    scene_init(&sc, *variant, 1, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    for (unsigned i = 0; i < 6; i++)
        client_acquire(&c[i], &sc, p, 0);
    cr_assert_eq(scene_count(p).n_waiters, 6);
    for (unsigned i = 0; i < 6; i++) {
        SCENE_UNTIL(&sc, c[i].server != NULL);
        cr_assert_eq(c[i].served_as, i + 1);
        client_release(&c[i]);
    }
    cr_assert_eq(sc.n_logins, 1);
    scene_fini(&sc);
}

ENGINE_TEST(pool, a_newcomer_does_not_overtake_at_home)
{
    struct scene sc;
    struct client holder, first, second;
    struct pool *p;

    scene_init(&sc, *variant, 2, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&holder, &sc, p, 1);
    SCENE_UNTIL(&sc, holder.server != NULL);
    client_acquire(&first, &sc, p, 0);
    client_release(&holder); /* on its way to reactor 0 */
    client_acquire(&second, &sc, p, 0);
    SCENE_UNTIL(&sc, first.server != NULL);
    cr_assert_null(second.server);
    client_release(&first);
    cr_assert_not_null(second.server);
    client_release(&second);
    scene_fini(&sc);
}

ENGINE_TEST(pool, an_idle_server_of_another_reactor_is_taken)
{
    struct scene sc;
    struct client c;
    struct pool *p;

    scene_init(&sc, *variant, 3, "");
    p = scene_pool(&sc, "db", "alice");
    warm_up(&sc, p, 2);
    client_acquire(&c, &sc, p, 0);
    cr_assert_not_null(c.server);
    client_release(&c);
    cr_assert_eq(sc.n_logins, 1);
    scene_fini(&sc);
}

ENGINE_TEST(pool, a_server_given_back_goes_to_who_waits_elsewhere)
{
    struct scene sc;
    struct client c[3];
    struct pool *p;

    scene_init(&sc, *variant, 3, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    for (unsigned i = 0; i < 3; i++)
        client_acquire(&c[i], &sc, p, i);
    clients_serve(c, 3);
    cr_assert_eq(sc.n_served, 3);
    cr_assert_eq(scene_count(p).n_idle, 1);
    scene_fini(&sc);
}

ENGINE_TEST(pool, the_longest_waiting_elsewhere_comes_first)
{
    struct scene sc;
    struct client holder, young, old;
    struct pool *p;

    scene_init(&sc, *variant, 3, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&holder, &sc, p, 0);
    SCENE_UNTIL(&sc, holder.server != NULL);
    client_acquire(&old, &sc, p, 2);
    scene_let_pass(&sc, 5);
    client_acquire(&young, &sc, p, 1);
    client_release(&holder);
    SCENE_UNTIL(&sc, old.server != NULL);
    cr_assert_null(young.server);
    client_release(&old);
    SCENE_UNTIL(&sc, young.server != NULL);
    client_release(&young);
    scene_fini(&sc);
}

ENGINE_TEST(pool, one_who_has_waited_longer_elsewhere_comes_before_ours)
{
    struct scene sc;
    struct client holder, ours, theirs;
    struct pool *p;

    scene_init(&sc, *variant, 2, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&holder, &sc, p, 0);
    SCENE_UNTIL(&sc, holder.server != NULL);
    client_acquire(&theirs, &sc, p, 1);
    scene_let_pass(&sc, 20);
    client_acquire(&ours, &sc, p, 0);
    client_release(&holder);
    SCENE_UNTIL(&sc, theirs.server != NULL);
    cr_assert_null(ours.server);
    client_release(&theirs);
    SCENE_UNTIL(&sc, ours.server != NULL);
    client_release(&ours);
    scene_fini(&sc);
}

/* Ours come anew each time, the other one waits: it is not put off for ever. */
ENGINE_TEST(pool, ours_come_first_a_few_times_only)
{
    struct scene sc;
    struct client c[2], theirs;
    struct pool *p;
    unsigned n = 0;

    scene_init(&sc, *variant, 2, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&c[0], &sc, p, 0);
    SCENE_UNTIL(&sc, c[0].server != NULL);
    client_acquire(&theirs, &sc, p, 1);
    for (; n < 20; n++) {
        client_acquire(&c[(n + 1) % 2], &sc, p, 0);
        client_release(&c[n % 2]);
        if (c[(n + 1) % 2].server == NULL)
            break;
    }
    cr_assert_eq(n, 8);
    SCENE_UNTIL(&sc, theirs.server != NULL);
    client_release(&theirs);
    SCENE_UNTIL(&sc, c[(n + 1) % 2].server != NULL);
    client_release(&c[(n + 1) % 2]);
    scene_fini(&sc);
}

ENGINE_TEST(pool, who_leaves_is_not_served)
{
    struct scene sc;
    struct client holder, leaver, stayer;
    struct pool *p;

    scene_init(&sc, *variant, 1, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&holder, &sc, p, 0);
    client_acquire(&leaver, &sc, p, 0);
    client_acquire(&stayer, &sc, p, 0);
    SCENE_UNTIL(&sc, holder.server != NULL);
    client_leave(&leaver);
    client_leave(&leaver); /* twice is fine */
    client_release(&holder);
    SCENE_UNTIL(&sc, stayer.server != NULL);
    cr_assert_eq(leaver.served_as, 0);
    client_release(&stayer);
    scene_fini(&sc);
}

/* Its grant is in the mail when the only waiter leaves: the server is not lost. */
ENGINE_TEST(pool, a_grant_that_finds_nobody_goes_on)
{
    struct scene sc;
    struct client holder, leaver, other;
    struct pool *p;

    scene_init(&sc, *variant, 3, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&holder, &sc, p, 0);
    SCENE_UNTIL(&sc, holder.server != NULL);
    client_acquire(&leaver, &sc, p, 1);
    client_release(&holder);
    client_leave(&leaver);
    client_acquire(&other, &sc, p, 2);
    SCENE_UNTIL(&sc, other.server != NULL);
    cr_assert_eq(leaver.served_as, 0);
    client_release(&other);
    cr_assert_eq(sc.n_logins, 1);
    scene_fini(&sc);
}

ENGINE_TEST(pool, a_grant_that_finds_nobody_is_shelved)
{
    struct scene sc;
    struct client holder, leaver;
    struct pool *p;

    scene_init(&sc, *variant, 2, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&holder, &sc, p, 0);
    SCENE_UNTIL(&sc, holder.server != NULL);
    client_acquire(&leaver, &sc, p, 1);
    client_release(&holder);
    client_leave(&leaver);
    SCENE_UNTIL(&sc, scene_count(p).n_idle == 1);
    cr_assert_eq(scene_count(p).n_waiters, 0);
    scene_fini(&sc);
}

/* The waiter for whom it was leaves, another one comes before it arrives. */
ENGINE_TEST(pool, a_grant_is_for_whoever_is_first_when_it_comes)
{
    struct scene sc;
    struct client holder, leaver, next;
    struct pool *p;

    scene_init(&sc, *variant, 2, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&holder, &sc, p, 0);
    SCENE_UNTIL(&sc, holder.server != NULL);
    client_acquire(&leaver, &sc, p, 1);
    client_release(&holder);
    client_leave(&leaver);
    client_acquire(&next, &sc, p, 1);
    scene_turn(&sc, scene_reactor(&sc, 1));
    cr_assert_not_null(next.server);
    client_release(&next);
    scene_fini(&sc);
}

ENGINE_TEST(pool, a_granted_server_that_is_dead_is_replaced)
{
    struct scene sc;
    struct client holder, waiter;
    struct pool *p;

    scene_init(&sc, *variant, 2, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&holder, &sc, p, 0);
    SCENE_UNTIL(&sc, holder.server != NULL);
    client_acquire(&waiter, &sc, p, 1);
    scene_kill(&sc, holder.server);
    client_release(&holder);
    rig_let_pass(&sc.rigs[1 + 1], 3); /* long enough that it is looked at: control turns alone */
    SCENE_UNTIL(&sc, waiter.server != NULL);
    cr_assert_eq(sc.n_logins, 2);
    client_release(&waiter);
    scene_fini(&sc);
}

ENGINE_TEST(pool, an_idle_server_that_is_dead_is_not_given_out)
{
    struct scene sc;
    struct client c;
    struct pool *p;

    scene_init(&sc, *variant, 1, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, c.server != NULL);
    scene_kill(&sc, c.server);
    client_release(&c);
    scene_let_pass(&sc, 3);
    client_acquire(&c, &sc, p, 0);
    cr_assert_null(c.server);
    SCENE_UNTIL(&sc, c.server != NULL);
    cr_assert_eq(sc.n_logins, 2);
    client_release(&c);
    scene_fini(&sc);
}

/* It was parked, and nothing was armed on it meanwhile. */
ENGINE_TEST(pool, a_server_that_died_while_parked_is_not_given_out)
{
    struct scene sc;
    struct client holder, waiter;

    scene_init(&sc, *variant, 1, "default_pool_size = 1;");
    client_acquire(&holder, &sc, scene_pool(&sc, "db", "alice"), 0);
    SCENE_UNTIL(&sc, holder.server != NULL);
    client_acquire(&waiter, &sc, holder.pool, 0);
    server_move(holder.server, SERVER_PARKED);
    scene_kill(&sc, holder.server);
    client_release(&holder);
    cr_assert_null(waiter.server);
    SCENE_UNTIL(&sc, waiter.server != NULL);
    cr_assert_eq(sc.n_logins, 2);
    client_release(&waiter);
    scene_fini(&sc);
}

ENGINE_TEST(pool, who_waits_is_seen)
{
    struct scene sc;
    struct client holder, waiter;
    struct pool *p;
    uint64_t now_ns;

    scene_init(&sc, *variant, 2, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&holder, &sc, p, 0);
    SCENE_UNTIL(&sc, holder.server != NULL);
    now_ns = loop_now_ns(scene_reactor(&sc, 1)->loop);
    cr_assert_not(pool_waited(p, now_ns, 0));
    cr_assert_eq(scene_count(p).oldest_us, 0);
    client_acquire(&waiter, &sc, p, 1);
    cr_assert(pool_waited(p, now_ns + 10 * NS_PER_MS, 10 * NS_PER_MS));
    cr_assert_not(pool_waited(p, now_ns + 9 * NS_PER_MS, 10 * NS_PER_MS));
    cr_assert_eq(scene_count(p).oldest_us, now_ns / NS_PER_US);
    client_release(&holder);
    SCENE_UNTIL(&sc, waiter.server != NULL);
    cr_assert_not(pool_waited(p, UINT64_MAX / 2, 0));
    client_release(&waiter);
    scene_fini(&sc);
}
