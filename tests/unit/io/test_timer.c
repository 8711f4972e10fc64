/* Timers: none early, none late by much, in order, set and cleared from anywhere; and no turns
 * while nothing happens. */
#include <stdlib.h>
#include <unistd.h>

#include "lib/random.h"
#include "rig.h"
#include "weir/base/clock.h"

static const struct loop_config defaults;

enum { N_TIMERS = 1000 };

struct alarm {
    struct wheel_timer timer;
    struct rig *rig;
    uint64_t due_ns, fired_ns;
    unsigned n_fired, *n_left;
};

static void ring(struct wheel_timer *t)
{
    struct alarm *a = CONTAINER_OF(t, struct alarm, timer);

    a->fired_ns = clock_now_ns();
    a->n_fired++;
    --*a->n_left;
}

ENGINE_TEST(timer, none_early_none_late)
{
    struct alarm *alarms = calloc(N_TIMERS, sizeof(*alarms));
    unsigned n_left = N_TIMERS;
    struct random random = {8675309};
    uint64_t worst_ns = 0;
    struct rig r;

    cr_assert_not_null(alarms);
    rig_init(&r, *variant, defaults);
    for (int i = 0; i < N_TIMERS; i++) {
        uint64_t delay_ns = random_below(&random, (200 * NS_PER_MS));

        alarms[i] = (struct alarm){.timer.fire = ring, .n_left = &n_left};
        alarms[i].due_ns = loop_now_ns(r.loop) + delay_ns;
        loop_timer_set(r.loop, &alarms[i].timer, delay_ns);
    }
    RIG_UNTIL(&r, n_left == 0);
    for (int i = 0; i < N_TIMERS; i++) {
        cr_assert_eq(alarms[i].n_fired, 1);
        cr_assert_geq(alarms[i].fired_ns, alarms[i].due_ns);
        if (alarms[i].fired_ns - alarms[i].due_ns > worst_ns)
            worst_ns = alarms[i].fired_ns - alarms[i].due_ns;
    }
    cr_assert_lt(worst_ns, 200 * NS_PER_MS, "%ju us late", (uintmax_t)(worst_ns / NS_PER_US));
    rig_fini(&r);
    free(alarms);
}

/* The typical timer is never late: of many, one at a time, most come within two ticks. */
ENGINE_TEST(timer, is_close_to_its_deadline)
{
    enum { N = 50 };
    struct rig r;
    unsigned n_close = 0;

    rig_init(&r, *variant, defaults);
    for (int i = 0; i < N; i++) {
        unsigned n_left = 1;
        struct alarm a = {.timer.fire = ring, .n_left = &n_left};
        uint64_t start_ns = clock_now_ns();

        loop_timer_set(r.loop, &a.timer, 3 * NS_PER_MS);
        RIG_UNTIL(&r, n_left == 0);
        n_close += a.fired_ns - start_ns < 7 * NS_PER_MS;
    }
    cr_assert_geq(n_close, N / 2, "%u of %d", n_close, N);
    rig_fini(&r);
}

static void ring_again(struct wheel_timer *t)
{
    struct alarm *a = CONTAINER_OF(t, struct alarm, timer);

    if (++a->n_fired < 20)
        loop_timer_set(a->rig->loop, t, NS_PER_MS);
    else
        --*a->n_left;
}

ENGINE_TEST(timer, sets_itself_again)
{
    struct rig r;
    unsigned n_left = 1;
    struct alarm a = {.timer.fire = ring_again, .rig = &r, .n_left = &n_left};

    rig_init(&r, *variant, defaults);
    loop_timer_set(r.loop, &a.timer, 0);
    RIG_UNTIL(&r, n_left == 0);
    rig_fini(&r);
}

ENGINE_TEST(timer, cleared_does_not_fire)
{
    struct rig r;
    unsigned n_left = 9;
    struct alarm a = {.timer.fire = ring, .n_left = &n_left};

    rig_init(&r, *variant, defaults);
    loop_timer_set(r.loop, &a.timer, NS_PER_MS);
    loop_timer_clear(r.loop, &a.timer);
    loop_timer_clear(r.loop, &a.timer);
    rig_let_pass(&r, 10);
    cr_assert_eq(a.n_fired, 0);
    loop_timer_set(r.loop, &a.timer, 3600 * NS_PER_S);
    loop_timer_set(r.loop, &a.timer, NS_PER_MS); /* moved nearer */
    RIG_UNTIL(&r, a.n_fired == 1);
    rig_fini(&r);
}

/* A waiting loop costs nothing: one turn for the deadline that ends the test, and the few in which
 * the wheel moves far timers nearer. */
ENGINE_TEST(timer, no_turns_while_nothing_happens)
{
    struct rig r;
    struct end e[20] = {{.n_received = 0}};
    struct peer p[20];
    unsigned n_left = 9;
    struct alarm far = {.timer.fire = ring, .n_left = &n_left};
    uint64_t n_turns;

    rig_init(&r, *variant, defaults);
    for (int i = 0; i < 20; i++) {
        int fds[2];

        rig_pair(RIG_UNIX, fds);
        end_open(&e[i], &r, fds[0]);
        sock_receive(&e[i].sock);
        peer_init(&p[i], &r, fds[1]);
    }
    loop_timer_set(r.loop, &far.timer, 3600 * NS_PER_S);
    end_send(&e[0], 1000000); /* more than fits: waits for a peer that does not read */
    rig_let_pass(&r, 10);
    n_turns = counter_read(&loop_stats(r.loop)->n_turns);
    rig_let_pass(&r, 300);
    n_turns = counter_read(&loop_stats(r.loop)->n_turns) - n_turns;
    cr_assert_leq(n_turns, 8, "%s: %ju turns", rig_name(*variant), (uintmax_t)n_turns);
    loop_timer_clear(r.loop, &far.timer);
    for (int i = 0; i < 20; i++) {
        end_close(&e[i]);
        peer_fini(&p[i]);
        RIG_UNTIL(&r, e[i].n_closed == 1);
    }
    rig_fini(&r);
}

/* Memory of a turn is free again in the next, also while the loop runs by itself. */
static void use_scratch(struct wheel_timer *t)
{
    struct alarm *a = CONTAINER_OF(t, struct alarm, timer);

    for (int i = 0; i < 10; i++)
        cr_assert_not_null(loop_scratch(a->rig->loop, 16000));
    if (++a->n_fired < 100)
        loop_timer_set(a->rig->loop, t, 0);
    else
        loop_stop(a->rig->loop);
}

ENGINE_TEST(timer, scratch_is_free_again_in_the_next_turn)
{
    static const struct arena_config few = {.chunk_size = 65536, .n_chunks = 8};
    struct loop_config config = {0};
    struct rig r;
    struct alarm a = {.timer.fire = use_scratch, .rig = &r};

    cr_assert_eq(arena_new(&config.arena, &few), 0);
    rig_init(&r, *variant, config);
    loop_timer_set(r.loop, &a.timer, 0);
    cr_assert_eq(loop_run(r.loop), 0);
    rig_fini(&r);
    arena_free(config.arena);
}

static void stop_now(struct wheel_timer *t)
{
    loop_stop(CONTAINER_OF(t, struct alarm, timer)->rig->loop);
}

ENGINE_TEST(timer, run_ends_at_stop)
{
    struct rig r;
    struct alarm a = {.timer.fire = stop_now, .rig = &r};
    uint64_t start_ns;

    rig_init(&r, *variant, defaults);
    start_ns = clock_now_ns();
    loop_timer_set(r.loop, &a.timer, 20 * NS_PER_MS);
    cr_assert_eq(loop_run(r.loop), 0);
    cr_assert_geq(clock_now_ns() - start_ns, 19 * NS_PER_MS);
    rig_fini(&r);
}
