/*
 * Control's side: logins that end one way or the other, servers that die or are given up, the
 * greeting of a cold pool, reload and stop.
 */
#include "scene.h"

#include "weir/base/clock.h"

#define N_CLIENTS 10

ENGINE_TEST(control, opens_as_many_as_wait_and_no_more_than_the_pool_holds)
{
    struct scene sc;
    struct client c[N_CLIENTS];
    struct pool *p;

    scene_init(&sc, *variant, 3, "default_pool_size = 4;");
    sc.limit = 4;
    p = scene_pool(&sc, "db", "alice");
    for (unsigned i = 0; i < 2; i++)
        client_acquire(&c[i], &sc, p, i);
    SCENE_UNTIL(&sc, c[0].server != NULL && c[1].server != NULL);
    cr_assert_eq(sc.n_logins, 2);
    for (unsigned i = 2; i < N_CLIENTS; i++)
        client_acquire(&c[i], &sc, p, i % 3);
    SCENE_UNTIL(&sc, scene_n_open(&sc) == 4);
    clients_serve(c, N_CLIENTS);
    cr_assert_eq(sc.n_served, N_CLIENTS);
    cr_assert_eq(sc.n_logins, 4);
    cr_assert_eq(scene_count(p).n_idle, 4);
    scene_fini(&sc);
}

/* The pool of one: its server is given up each time, each of ten waiters gets a new one. */
ENGINE_TEST(control, a_server_given_up_is_replaced_for_those_who_wait)
{
    struct scene sc;
    struct client c[N_CLIENTS];
    struct pool *p;

    scene_init(&sc, *variant, 3, "default_pool_size = 1;");
    sc.limit = 1;
    p = scene_pool(&sc, "db", "alice");
    for (unsigned i = 0; i < N_CLIENTS; i++)
        client_acquire(&c[i], &sc, p, i % 3);
    for (unsigned n = 0; n < N_CLIENTS; n++) {
        struct client *holder = clients_served(c, N_CLIENTS);

        if (n % 2 == 0)
            client_discard(holder, true);
        else
            client_discard_closed(holder, true);
    }
    SCENE_UNTIL(&sc, scene_count(p).n_servers == 0);
    cr_assert_eq(sc.n_logins, N_CLIENTS);
    scene_fini(&sc);
    cr_assert_eq(sc.n_terminates, N_CLIENTS / 2);
}

/* Its slot is another's only when the server has closed too. */
ENGINE_TEST(control, a_slot_is_free_at_the_servers_fin)
{
    struct scene sc;
    struct client c[2];
    struct pool *p;

    scene_init(&sc, *variant, 1, "default_pool_size = 1;");
    sc.deaf = true;
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&c[0], &sc, p, 0);
    client_acquire(&c[1], &sc, p, 0);
    SCENE_UNTIL(&sc, c[0].server != NULL);
    client_discard(&c[0], true);
    SCENE_UNTIL(&sc, sc.n_terminates == 1);
    scene_let_pass(&sc, 50);
    cr_assert_eq(scene_count(p).n_servers, 1);
    cr_assert_eq(scene_count(p).n_closing, 1);
    cr_assert_null(c[1].server);
    sc.deaf = false;
    scene_kill(&sc, sc.open[1]);
    SCENE_UNTIL(&sc, c[1].server != NULL);
    client_release(&c[1]);
    scene_fini(&sc);
}

/* Whether it was told to, or was cut off and may have yet to notice. */
ENGINE_TEST(control, a_server_that_does_not_close_is_given_a_second)
{
    static const char *const users[] = {"told", "cut off"};
    struct scene sc;
    struct client first[2], next[2];
    uint64_t begin_ns;

    scene_init(&sc, *variant, 1, "default_pool_size = 1;");
    sc.deaf = true;
    for (unsigned i = 0; i < 2; i++) {
        struct pool *p = scene_pool(&sc, "db", users[i]);

        client_acquire(&first[i], &sc, p, 0);
        client_acquire(&next[i], &sc, p, 0);
        SCENE_UNTIL(&sc, first[i].server != NULL);
    }
    begin_ns = clock_now_ns();
    client_discard(&first[0], true);
    client_discard_closed(&first[1], false);
    SCENE_UNTIL(&sc, next[0].server != NULL || next[1].server != NULL);
    cr_assert_geq(clock_now_ns() - begin_ns, NS_PER_S);
    for (unsigned i = 0; i < 2; i++) {
        SCENE_UNTIL(&sc, next[i].server != NULL);
        client_release(&next[i]);
    }
    scene_fini(&sc);
}

/* Within a message Terminate would be taken for something else. */
ENGINE_TEST(control, no_terminate_within_a_message)
{
    struct scene sc;
    struct client c;
    struct pool *p;

    scene_init(&sc, *variant, 1, "");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, c.server != NULL);
    client_discard(&c, false);
    SCENE_UNTIL(&sc, scene_count(p).n_servers == 0);
    cr_assert_eq(sc.n_terminates, 0);
    cr_assert_eq(scene_n_open(&sc), 0);
    scene_fini(&sc);
}

ENGINE_TEST(control, a_server_that_has_ended_is_not_waited_for)
{
    struct scene sc;
    struct client c;
    struct pool *p;

    scene_init(&sc, *variant, 1, "");
    sc.deaf = true;
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, c.server != NULL);
    scene_kill(&sc, c.server);
    client_discard(&c, true);
    scene_turn(&sc, scene_control(&sc));
    scene_turn(&sc, scene_control(&sc));
    cr_assert_eq(scene_count(p).n_servers, 0);
    scene_fini(&sc);
}

/* ---- logins that fail ---- */

ENGINE_TEST(control, who_waits_waits_on_while_servers_cannot_be_reached)
{
    struct scene sc;
    struct client c[3];
    struct pool *p;

    scene_init(&sc, *variant, 2, "default_pool_size = 2; server_login_retry = \"10ms\";");
    sc.script = SCENE_FAILS;
    p = scene_pool(&sc, "db", "alice");
    cr_assert_null(pool_last_failure(p));
    for (unsigned i = 0; i < 3; i++)
        client_acquire(&c[i], &sc, p, i % 2);
    SCENE_UNTIL(&sc, sc.n_logins >= 5); /* it is tried again and again */
    cr_assert_str_eq(pool_last_failure(p)->sqlstate, "08001");
    for (unsigned i = 0; i < 3; i++)
        cr_assert(c[i].server == NULL && c[i].why == NULL);
    sc.script = SCENE_ACCEPTS;
    clients_serve(c, 3);
    cr_assert_null(pool_last_failure(p));
    scene_fini(&sc);
}

ENGINE_TEST(control, the_next_attempt_waits_for_its_time)
{
    struct scene sc;
    struct client c;
    struct pool *p;

    scene_init(&sc, *variant, 1, "server_login_retry = \"1h\";");
    sc.script = SCENE_FAILS;
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, pool_last_failure(p) != NULL);
    scene_let_pass(&sc, 30);
    cr_assert_eq(sc.n_logins, 1);
    client_leave(&c);
    scene_fini(&sc);
}

ENGINE_TEST(control, a_login_that_is_refused_is_told_at_once_and_to_newcomers)
{
    struct scene sc;
    struct client c[4], late;
    struct pool *p;

    scene_init(&sc, *variant, 2, "default_pool_size = 1; server_login_retry = \"1h\";");
    sc.script = SCENE_REFUSES;
    p = scene_pool(&sc, "db", "alice");
    for (unsigned i = 0; i < 4; i++)
        client_acquire(&c[i], &sc, p, i % 2);
    for (unsigned i = 0; i < 4; i++)
        SCENE_UNTIL(&sc, c[i].why != NULL);
    cr_assert_str_eq(c[0].why->sqlstate, "28P01");
    client_acquire(&late, &sc, p, 1);
    cr_assert_null(late.why); /* never within the call */
    SCENE_UNTIL(&sc, late.why != NULL);
    cr_assert_eq(sc.n_logins, 1);
    cr_assert_eq(scene_count(p).n_waiters, 0);
    scene_fini(&sc);
}

ENGINE_TEST(control, after_a_refusal_it_is_tried_again)
{
    struct scene sc;
    struct client c;
    struct pool *p;

    scene_init(&sc, *variant, 1, "server_login_retry = \"10ms\";");
    sc.script = SCENE_REFUSES;
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, c.why != NULL);
    sc.script = SCENE_ACCEPTS;
    scene_let_pass(&sc, 15);
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, c.server != NULL);
    client_release(&c);
    scene_fini(&sc);
}

/* Somebody leaves while the bad news is on its way to him. */
ENGINE_TEST(control, who_has_left_is_not_told)
{
    struct scene sc;
    struct client leaver, stayer;
    struct pool *p;

    scene_init(&sc, *variant, 1, "default_pool_size = 1; server_login_retry = \"1h\";");
    sc.script = SCENE_HANGS;
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&leaver, &sc, p, 0);
    client_acquire(&stayer, &sc, p, 0);
    SCENE_UNTIL(&sc, sc.n_hanging == 1);
    scene_answer(&sc, SCENE_REFUSES);
    client_leave(&leaver);
    SCENE_UNTIL(&sc, stayer.why != NULL);
    cr_assert_null(leaver.why);
    scene_fini(&sc);
}

/* The retry comes between the bad news and its reading: who waits gets the new attempt. */
ENGINE_TEST(control, news_that_are_out_of_date_are_not_told)
{
    struct scene sc;
    struct client c;
    struct pool *p;

    scene_init(&sc, *variant, 1, "server_login_retry = \"10ms\";");
    sc.script = SCENE_HANGS;
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, sc.n_hanging == 1);
    scene_answer(&sc, SCENE_REFUSES);
    for (sc.script = SCENE_ACCEPTS; scene_n_open(&sc) == 0;)
        scene_turn(&sc, scene_control(&sc)); /* the reactor sleeps */
    SCENE_UNTIL(&sc, c.server != NULL);
    client_release(&c);
    scene_fini(&sc);
}

ENGINE_TEST(control, where_servers_are_open_nobody_is_turned_away)
{
    struct scene sc;
    struct client holder, waiter;
    struct pool *p;

    scene_init(&sc, *variant, 1, "server_login_retry = \"1h\";");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&holder, &sc, p, 0);
    SCENE_UNTIL(&sc, holder.server != NULL);
    sc.script = SCENE_REFUSES;
    client_acquire(&waiter, &sc, p, 0);
    SCENE_UNTIL(&sc, pool_last_failure(p) != NULL);
    scene_let_pass(&sc, 5);
    cr_assert_null(waiter.why);
    client_release(&holder);
    cr_assert_not_null(waiter.server);
    client_release(&waiter);
    scene_fini(&sc);
}

/* Two attempts at once: one is refused, the other one does not get through. */
ENGINE_TEST(control, who_is_turned_away_is_told_the_reason_for_that)
{
    struct scene sc;
    struct client c[2], late;
    struct pool *p;

    scene_init(&sc, *variant, 1, "server_login_retry = \"1h\";");
    sc.script = SCENE_HANGS;
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&c[0], &sc, p, 0);
    client_acquire(&c[1], &sc, p, 0);
    SCENE_UNTIL(&sc, sc.n_hanging == 2);
    scene_answer(&sc, SCENE_REFUSES);
    scene_answer(&sc, SCENE_FAILS);
    client_acquire(&late, &sc, p, 0);
    SCENE_UNTIL(&sc, c[0].why != NULL && c[1].why != NULL && late.why != NULL);
    cr_assert_str_eq(c[0].why->sqlstate, "28P01");
    cr_assert_str_eq(c[1].why->sqlstate, "28P01");
    cr_assert_str_eq(late.why->sqlstate, "28P01");
    scene_fini(&sc);
}

ENGINE_TEST(control, fail_fast_tells_of_servers_that_cannot_be_reached)
{
    struct scene sc;
    struct client c;
    struct pool *p;

    scene_init(&sc, *variant, 1, "fail_fast = true; server_login_retry = \"1h\";");
    sc.script = SCENE_FAILS;
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, c.why != NULL);
    cr_assert_str_eq(c.why->sqlstate, "08001");
    scene_fini(&sc);
}

ENGINE_TEST(control, failures_that_are_alike_are_kept_once)
{
    struct scene sc;
    struct client c;
    struct pool *p;

    scene_init(&sc, *variant, 1, "server_login_retry = \"10ms\";");
    p = scene_pool(&sc, "db", "alice");
    sc.script = SCENE_FAILS;
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, sc.n_logins >= 4);
    cr_assert_eq(p->control->n_failures, 1);
    sc.script = SCENE_REFUSES;
    SCENE_UNTIL(&sc, c.why != NULL);
    cr_assert_eq(p->control->n_failures, 2);
    scene_fini(&sc);
}

/* ---- greetings ---- */

ENGINE_TEST(control, one_login_greets_all_who_wait_for_it)
{
    struct scene sc;
    struct client c[4];
    struct pool *p;

    scene_init(&sc, *variant, 2, "");
    p = scene_pool(&sc, "db", "alice");
    cr_assert_null(pool_greeting(p));
    for (unsigned i = 0; i < 4; i++)
        client_await_greeting(&c[i], &sc, p, i % 2);
    client_leave(&c[3]);
    for (unsigned i = 0; i < 3; i++)
        SCENE_UNTIL(&sc, c[i].greeted);
    cr_assert_eq(sc.n_logins, 1);
    cr_assert_not(c[3].greeted);
    cr_assert(span_equal(span_of(pool_greeting(p)->bytes, pool_greeting(p)->len), span_str("S")));
    cr_assert_eq(scene_count(p).n_idle, 1);
    client_await_greeting(&c[3], &sc, p, 1); /* it is known by now: told all the same */
    SCENE_UNTIL(&sc, c[3].greeted);
    cr_assert_eq(sc.n_logins, 1);
    scene_fini(&sc);
}

ENGINE_TEST(control, who_waits_for_a_greeting_is_told_of_a_refusal)
{
    struct scene sc;
    struct client c, late;
    struct pool *p;

    scene_init(&sc, *variant, 1, "server_login_retry = \"1h\";");
    sc.script = SCENE_REFUSES;
    p = scene_pool(&sc, "db", "alice");
    client_await_greeting(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, c.why != NULL);
    client_await_greeting(&late, &sc, p, 0);
    SCENE_UNTIL(&sc, late.why != NULL);
    cr_assert_eq(sc.n_logins, 1);
    scene_fini(&sc);
}

/* Whoever was given one may hold on to it, and a server that says something else each time does not
 * fill the memory. */
ENGINE_TEST(control, greetings_are_kept_and_bounded)
{
    static const char *const greetings[] = {"a", "b", "a", "c", "d", "e",
                                            "f", "g", "h", "i", "j", "a"};
    struct scene sc;
    struct client c;
    struct pool *p;
    const struct greeting *first = NULL;

    scene_init(&sc, *variant, 1, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    for (unsigned i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++) {
        sc.greeting = greetings[i];
        client_acquire(&c, &sc, p, 0);
        SCENE_UNTIL(&sc, c.server != NULL);
        if (i == 0)
            first = pool_greeting(p);
        client_discard(&c, true);
    }
    cr_assert_eq(p->control->n_greetings, POOL_KEPT_MAX);
    cr_assert_eq(pool_greeting(p), first);
    cr_assert_eq(first->bytes[0], 'a');
    scene_fini(&sc);
}

/* ---- reload and stop ---- */

ENGINE_TEST(control, servers_of_an_older_generation_go)
{
    struct scene sc;
    struct client used, idle, next;
    struct pool *p;

    scene_init(&sc, *variant, 1, "");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&used, &sc, p, 0);
    client_acquire(&idle, &sc, p, 0);
    SCENE_UNTIL(&sc, used.server != NULL && idle.server != NULL);
    client_release(&idle);
    control_renew(scene_control(&sc), p, "renewed");
    cr_assert_eq(scene_count(p).n_closing, 1); /* the shelved one at once */
    cr_assert_eq(scene_count(p).n_idle, 0);
    SCENE_UNTIL(&sc, scene_count(p).n_servers == 1);
    client_release(&used); /* the other one when it comes back */
    SCENE_UNTIL(&sc, scene_count(p).n_servers == 0);
    client_acquire(&next, &sc, p, 0);
    SCENE_UNTIL(&sc, next.server != NULL);
    cr_assert_eq(sc.n_logins, 3);
    client_release(&next);
    cr_assert_eq(scene_count(p).n_idle, 1);
    scene_fini(&sc);
}

ENGINE_TEST(control, a_login_begun_before_a_reload_is_not_used)
{
    struct scene sc;
    struct client c;
    struct pool *p;

    scene_init(&sc, *variant, 1, "default_pool_size = 1;");
    sc.limit = 1;
    sc.script = SCENE_HANGS;
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&c, &sc, p, 0);
    SCENE_UNTIL(&sc, sc.n_hanging == 1);
    control_renew(scene_control(&sc), p, "renewed");
    sc.script = SCENE_ACCEPTS;
    scene_answer(&sc, SCENE_ACCEPTS);
    SCENE_UNTIL(&sc, c.server != NULL);
    cr_assert_eq(sc.n_logins, 2);
    cr_assert_eq(c.server->id, 2);
    client_release(&c);
    scene_fini(&sc);
}

ENGINE_TEST(control, a_granted_server_of_an_older_generation_is_not_used)
{
    struct scene sc;
    struct client holder, waiter;
    struct pool *p;

    scene_init(&sc, *variant, 2, "default_pool_size = 1;");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&holder, &sc, p, 0);
    SCENE_UNTIL(&sc, holder.server != NULL);
    client_acquire(&waiter, &sc, p, 1);
    client_release(&holder);
    control_renew(scene_control(&sc), p, "renewed");
    SCENE_UNTIL(&sc, waiter.server != NULL);
    cr_assert_eq(waiter.server->id, 2);
    client_release(&waiter);
    scene_fini(&sc);
}

static void note_stop(void *ctx)
{
    ((struct scene *)ctx)->stopped = true;
}

ENGINE_TEST(control, a_stop_ends_logins_and_waits_for_what_is_in_use)
{
    struct scene sc;
    struct client used, idle, waiter;
    struct pool *p;

    scene_init(&sc, *variant, 1, "default_pool_size = 3;");
    p = scene_pool(&sc, "db", "alice");
    client_acquire(&used, &sc, p, 0);
    client_acquire(&idle, &sc, p, 0);
    SCENE_UNTIL(&sc, used.server != NULL && idle.server != NULL);
    sc.script = SCENE_HANGS;
    client_acquire(&waiter, &sc, p, 0);
    SCENE_UNTIL(&sc, sc.n_hanging == 1);
    client_release(&idle);
    SCENE_UNTIL(&sc, waiter.server != NULL);
    client_release(&waiter);
    pools_stop(sc.pools, note_stop, &sc);
    SCENE_UNTIL(&sc, scene_count(p).n_servers == 1);
    cr_assert_eq(sc.n_hanging, 0);
    cr_assert_not(sc.stopped);
    client_acquire(&waiter, &sc, p, 0); /* nothing is opened any more */
    scene_let_pass(&sc, 5);
    cr_assert_null(waiter.server);
    client_leave(&waiter);
    client_release(&used);
    SCENE_UNTIL(&sc, sc.stopped);
    cr_assert_eq(sc.n_logins, 3);
    scene_fini(&sc);
}
