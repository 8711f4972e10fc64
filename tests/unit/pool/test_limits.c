/*
 * Limits that pools share: exact, and nobody starves under them.
 */
#include "scene.h"

#include "weir/base/clock.h"

ENGINE_TEST(limits, of_a_database_are_never_exceeded)
{
    struct scene sc;
    struct client c[12];
    struct pool *pools[3];
    static const char *const users[] = {"alice", "bob", "carol"};

    scene_init(&sc, *variant, 2, "default_pool_size = 4; max_db_connections = 5;");
    sc.limit = 5;
    for (unsigned i = 0; i < 3; i++)
        pools[i] = scene_pool(&sc, "db", users[i]);
    for (unsigned i = 0; i < 12; i++)
        client_acquire(&c[i], &sc, pools[i % 3], i % 2);
    SCENE_UNTIL(&sc, scene_n_open(&sc) == 5);
    clients_serve(c, 12);
    scene_fini(&sc);
}

ENGINE_TEST(limits, of_a_user_span_databases)
{
    struct scene sc;
    struct client a, b, other;

    scene_init(&sc, *variant, 1, "max_user_connections = 1;");
    client_acquire(&a, &sc, scene_pool(&sc, "db1", "alice"), 0);
    SCENE_UNTIL(&sc, a.server != NULL);
    client_acquire(&b, &sc, scene_pool(&sc, "db2", "alice"), 0);
    client_acquire(&other, &sc, scene_pool(&sc, "db2", "bob"), 0);
    SCENE_UNTIL(&sc, other.server != NULL);
    scene_let_pass(&sc, 20);
    cr_assert_null(b.server);
    client_release(&a); /* it starves: this one is closed for it */
    SCENE_UNTIL(&sc, b.server != NULL);
    client_release(&b);
    client_release(&other);
    scene_fini(&sc);
}

/* Databases that only "*" serves have a limit each. */
ENGINE_TEST(limits, are_each_databases_own)
{
    struct scene sc;
    struct client a, b;

    scene_init(&sc, *variant, 1, "max_db_connections = 1;");
    client_acquire(&a, &sc, scene_pool(&sc, "db1", "alice"), 0);
    client_acquire(&b, &sc, scene_pool(&sc, "db2", "alice"), 0);
    SCENE_UNTIL(&sc, a.server != NULL && b.server != NULL);
    client_release(&a);
    client_release(&b);
    scene_fini(&sc);
}

ENGINE_TEST(limits, an_idle_server_makes_room_for_one_who_starves)
{
    struct scene sc;
    struct client a, b;
    struct pool *alice;

    scene_init(&sc, *variant, 2, "max_db_connections = 1;");
    sc.limit = 1;
    alice = scene_pool(&sc, "db", "alice");
    client_acquire(&a, &sc, alice, 0);
    SCENE_UNTIL(&sc, a.server != NULL);
    client_release(&a);
    client_acquire(&b, &sc, scene_pool(&sc, "db", "bob"), 1);
    SCENE_UNTIL(&sc, b.server != NULL);
    cr_assert_eq(atomic_load(&alice->give_back), 0); /* no second one is wanted */
    client_release(&b);
    scene_fini(&sc);
}

/* Alice always has somebody who waits; bob is served all the same. */
ENGINE_TEST(limits, a_busy_pool_gives_one_back_for_one_who_starves)
{
    struct scene sc;
    struct client a[3], b;
    struct pool *alice;
    unsigned n = 0;

    scene_init(&sc, *variant, 2, "max_db_connections = 1;");
    sc.limit = 1;
    alice = scene_pool(&sc, "db", "alice");
    for (unsigned i = 0; i < 3; i++)
        client_acquire(&a[i], &sc, alice, 0);
    SCENE_UNTIL(&sc, a[0].server != NULL);
    client_acquire(&b, &sc, scene_pool(&sc, "db", "bob"), 1);
    while (b.server == NULL) {
        struct client *holder = clients_holder(a, 3);

        cr_assert_lt(n, 100000);
        if (holder != NULL) {
            n++;
            client_release(holder);
            client_acquire(holder, &sc, alice, 0);
        }
        scene_turn_all(&sc);
    }
    client_release(&b);
    clients_serve(a, 3);
    scene_fini(&sc);
}

ENGINE_TEST(limits, of_several_who_starve_the_first_comes_first)
{
    struct scene sc;
    struct client a, c[3];
    static const char *const users[] = {"bob", "carol", "dave"};

    scene_init(&sc, *variant, 1, "max_db_connections = 1;");
    sc.limit = 1;
    client_acquire(&a, &sc, scene_pool(&sc, "db", "alice"), 0);
    SCENE_UNTIL(&sc, a.server != NULL);
    for (unsigned i = 0; i < 3; i++) {
        client_acquire(&c[i], &sc, scene_pool(&sc, "db", users[i]), 0);
        scene_turn_all(&sc);
        scene_turn_all(&sc);
    }
    client_release(&a);
    for (unsigned i = 0; i < 3; i++) {
        SCENE_UNTIL(&sc, c[i].server != NULL);
        cr_assert_eq(c[i].served_as, i + 2);
        client_release(&c[i]);
    }
    scene_fini(&sc);
}

/* Two limits at once are full, of two different pools. */
ENGINE_TEST(limits, one_who_starves_under_two_limits_gets_both)
{
    struct scene sc;
    struct client database, user, c;

    scene_init(&sc, *variant, 1, "max_db_connections = 1; max_user_connections = 1;");
    client_acquire(&database, &sc, scene_pool(&sc, "db1", "alice"), 0);
    client_acquire(&user, &sc, scene_pool(&sc, "db2", "bob"), 0);
    SCENE_UNTIL(&sc, database.server != NULL && user.server != NULL);
    client_acquire(&c, &sc, scene_pool(&sc, "db1", "bob"), 0);
    scene_let_pass(&sc, 5);
    cr_assert_null(c.server);
    client_release(&database);
    client_release(&user);
    SCENE_UNTIL(&sc, c.server != NULL);
    client_release(&c);
    scene_fini(&sc);
}

/* Who has a server waits for one that nobody needs, and does not take it from those in use. */
ENGINE_TEST(limits, who_has_servers_disturbs_nobody_who_works)
{
    struct scene sc;
    struct client a, b[2];
    struct pool *alice, *bob;

    scene_init(&sc, *variant, 1, "max_db_connections = 2;");
    sc.limit = 2;
    alice = scene_pool(&sc, "db", "alice");
    bob = scene_pool(&sc, "db", "bob");
    client_acquire(&a, &sc, alice, 0);
    client_acquire(&b[0], &sc, bob, 0);
    SCENE_UNTIL(&sc, a.server != NULL && b[0].server != NULL);
    client_acquire(&b[1], &sc, bob, 0);
    client_release(&a);
    scene_let_pass(&sc, 100);
    cr_assert_null(b[1].server);
    cr_assert_eq(scene_count(alice).n_idle, 1);
    SCENE_UNTIL(&sc, b[1].server != NULL); /* nobody has used it for a second */
    cr_assert_eq(scene_count(alice).n_servers, 0);
    client_release(&b[0]);
    client_release(&b[1]);
    scene_fini(&sc);
}

/* What was asked for is not needed any more when it comes. */
ENGINE_TEST(limits, a_server_given_back_for_nobody_is_kept)
{
    struct scene sc;
    struct client a, b;
    struct pool *alice;

    scene_init(&sc, *variant, 1, "max_db_connections = 1;");
    alice = scene_pool(&sc, "db", "alice");
    client_acquire(&a, &sc, alice, 0);
    SCENE_UNTIL(&sc, a.server != NULL);
    client_acquire(&b, &sc, scene_pool(&sc, "db", "bob"), 0);
    scene_turn_all(&sc);
    scene_turn_all(&sc);
    client_leave(&b);
    client_release(&a);
    SCENE_UNTIL(&sc, scene_count(alice).n_idle == 1);
    cr_assert_eq(sc.n_terminates, 0);
    scene_fini(&sc);
}

ENGINE_TEST(limits, a_failed_login_makes_room)
{
    struct scene sc;
    struct client a, b;
    struct pool *alice, *bob;

    scene_init(&sc, *variant, 1, "max_db_connections = 1; server_login_retry = \"1h\";");
    sc.script = SCENE_HANGS;
    alice = scene_pool(&sc, "db", "alice");
    bob = scene_pool(&sc, "db", "bob");
    client_acquire(&a, &sc, alice, 0);
    SCENE_UNTIL(&sc, sc.n_hanging == 1);
    client_acquire(&b, &sc, bob, 0);
    scene_let_pass(&sc, 5);
    cr_assert_eq(sc.n_logins, 1);
    sc.script = SCENE_ACCEPTS;
    scene_answer(&sc, SCENE_FAILS);
    SCENE_UNTIL(&sc, b.server != NULL);
    client_leave(&a);
    client_release(&b);
    scene_fini(&sc);
}

/* Servers kept in store give way too, where there is no other room. */
ENGINE_TEST(limits, min_pool_size_starves_nobody)
{
    struct scene sc;
    struct client a, b;
    struct pool *alice;

    scene_init(&sc, *variant, 1, "max_db_connections = 2; min_pool_size = 2;");
    sc.limit = 2;
    alice = scene_pool(&sc, "db", "alice");
    client_acquire(&a, &sc, alice, 0);
    SCENE_UNTIL(&sc, a.server != NULL && scene_n_open(&sc) == 2);
    client_release(&a);
    client_acquire(&b, &sc, scene_pool(&sc, "db", "bob"), 0);
    SCENE_UNTIL(&sc, b.server != NULL);
    scene_let_pass(&sc, 20);
    cr_assert_eq(scene_count(alice).n_servers, 1);
    client_release(&b);
    scene_fini(&sc);
}
