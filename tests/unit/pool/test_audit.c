/*
 * Audits of idle servers by control: who is asked when, and what becomes of a find.
 */
#include "play.h"

#include <string.h>
#include <sys/socket.h>

#include "weir/base/clock.h"
#include "weir/pool/inspect.h"

#define INTERVAL_NS (60 * NS_PER_MS)

static bool rests(const struct play *p)
{
    return atomic_load_explicit(&p->pool->audit_rests, memory_order_seq_cst);
}

static uint64_t n_undetected(const struct play *p)
{
    struct inspect_counts counts;
    uint64_t n = 0;

    inspect_count(p->sc.pools, &counts);
    for (unsigned kind = 0; kind < STATE_N_KINDS; kind++)
        n += counts.undetected[kind];
    return n;
}

/* Used and given back, at the time of a turn that begins now. */
static void use(struct play *p)
{
    play_turn(p);
    play_acquire(p);
    p->server = p->client.server;
    p->n_in = 0;
    client_release(&p->client);
}

static void audit_answered(struct play *p, struct pgw_span question)
{
    struct words words;

    cr_assert_not_null(strstr(play_asked(p), "pg_settings"));
    cr_assert_eq(scene_count(p->pool).n_idle, 0);
    play_say(p, question);
    cr_assert_not_null(strstr(play_asked(p), "DISCARD SEQUENCES"));
    play_say(p, words_cleaned(&words));
    PLAY_UNTIL(p, server_phase(p->server) == SERVER_IDLE);
    cr_assert_eq(scene_count(p->pool).n_idle, 1);
}

#define TRANSACTIONS "pool_mode = \"transaction\"; default_pool_size = 2; "

ENGINE_TEST(audit, who_was_used_is_asked_once)
{
    struct words words;
    struct play p;

    play_begin(&p, *variant, TRANSACTIONS, INTERVAL_NS);
    cr_assert(rests(&p));
    use(&p);
    audit_answered(&p, words_nothing(&words));
    PLAY_UNTIL(&p, rests(&p));
    cr_assert_not(wheel_armed(&p.pool->control->audit)); /* nothing to wake up for */
    rig_let_pass(&p.sc.rigs[1], 2 * INTERVAL_NS / NS_PER_MS);
    cr_assert_eq(recv(play_peer(&p), p.in, sizeof(p.in), MSG_DONTWAIT), -1);
    use(&p);
    audit_answered(&p, words_nothing(&words));
    cr_assert_eq(n_undetected(&p), 0);
    play_end(&p);
}

ENGINE_TEST(audit, what_nobody_accounts_for_is_a_find)
{
    struct words words;
    struct play p;

    play_begin(&p, *variant, TRANSACTIONS, INTERVAL_NS);
    use(&p);
    audit_answered(&p, words_all_kinds(&words));
    cr_assert_eq(n_undetected(&p), 3);
    play_turn(&p); /* or it would be used before it was asked */
    play_acquire(&p);
    p.server = p.client.server;
    cr_assert(pairs_put(&p.server->settings, span_str("work_mem"), span_str("64MB")));
    cr_assert(pairs_put(&p.server->sql_prepared, span_str("a"), span_str("prepare a ...")));
    client_release(&p.client);
    words_begin(&words);
    words_row(&words, "s", "work_mem", "3634");
    words_row(&words, "p", "a", "prepare a as select 1");
    audit_answered(&p, words_ready(&words));
    cr_assert_eq(n_undetected(&p), 3);
    cr_assert(pairs_has(&p.server->settings, span_str("work_mem")));
    cr_assert(pairs_has(&p.server->sql_prepared, span_str("a")));
    play_end(&p);
}

/* Else servers of a kind that refuses would be opened anew all the time. */
ENGINE_TEST(audit, who_refuses_to_tell_stays)
{
    struct words words;
    struct play p;

    play_begin(&p, *variant, TRANSACTIONS, INTERVAL_NS);
    use(&p);
    (void)play_asked(&p);
    words_begin(&words);
    words_row(&words, "l", "", "1");
    words_error(&words, "ERROR");
    play_say(&p, words_ready(&words));
    PLAY_UNTIL(&p, rests(&p));
    cr_assert_eq(scene_count(p.pool).n_idle, 1);
    cr_assert_eq(n_undetected(&p), 0);
    cr_assert_eq(recv(play_peer(&p), p.in, sizeof(p.in), MSG_DONTWAIT), -1);
    play_end(&p);
}

/* A client that comes meanwhile has the other one, or waits no longer than for the answer. */
ENGINE_TEST(audit, a_waiting_client_is_served_when_it_ends)
{
    struct words words;
    struct client c;
    struct play p;

    play_begin(&p, *variant, "pool_mode = \"transaction\"; default_pool_size = 1;", INTERVAL_NS);
    use(&p);
    (void)play_asked(&p);
    client_acquire(&c, &p.sc, p.pool, 0);
    play_turn(&p);
    cr_assert_null(c.server);
    play_say(&p, words_nothing(&words));
    (void)play_asked(&p);
    play_say(&p, words_cleaned(&words));
    PLAY_UNTIL(&p, c.server != NULL);
    cr_assert_eq(c.server, p.server);
    client_release(&c);
    play_end(&p);
}

ENGINE_TEST(audit, who_dies_or_is_to_go_meanwhile)
{
    for (unsigned stops = 0; stops < 2; stops++) {
        struct words words;
        struct play p;

        play_begin(&p, *variant, TRANSACTIONS, INTERVAL_NS);
        use(&p);
        (void)play_asked(&p);
        if (stops == 0) {
            scene_kill(&p.sc, p.server);
            SCENE_UNTIL(&p.sc, scene_count(p.pool).n_servers == 0);
            cr_assert(rests(&p));
        } else {
            control_renew(scene_control(&p.sc), p.pool, "test");
            play_say(&p, words_nothing(&words));
            (void)play_asked(&p);
            play_say(&p, words_cleaned(&words));
            SCENE_UNTIL(&p.sc, scene_count(p.pool).n_servers == 0);
            cr_assert_eq(p.sc.n_terminates, 1);
        }
        play_end(&p);
    }
}

ENGINE_TEST(audit, where_there_is_none)
{
    static const char *const settings[] = {
        "pool_mode = \"session\";",
        "pool_mode = \"transaction\"; reset = \"never\";",
        "pool_mode = \"transaction\"; reset = \"always\";",
    };

    for (unsigned i = 0; i < 3; i++) {
        struct play p;

        play_begin(&p, *variant, settings[i], INTERVAL_NS);
        use(&p);
        rig_let_pass(&p.sc.rigs[1], INTERVAL_NS / NS_PER_MS / 4);
        cr_assert_not(rests(&p));
        cr_assert_not(wheel_armed(&p.pool->control->audit));
        play_end(&p);
    }
}
