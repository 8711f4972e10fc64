#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/random.h"
#include "weir/base/clock.h"
#include "weir/base/wheel.h"

#define START_NS (1000 * NS_PER_S + 400 * NS_PER_US) /* not on a tick's edge */

/* A timer that counts how often it fired. */
struct probe {
    struct wheel_timer timer;
    unsigned n_fired;
};

static void probe_fire(struct wheel_timer *t)
{
    CONTAINER_OF(t, struct probe, timer)->n_fired++;
}

static struct wheel wheel;
static struct probe probe;

static void setup(void)
{
    wheel_init(&wheel, START_NS);
    probe = (struct probe){.timer.fire = probe_fire};
}

TestSuite(wheel, .init = setup);

/* Invariants of wheel.c, walked. */
static void wheel_check(const struct wheel *w)
{
    unsigned n = 0;

    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++) {
            const struct list *l = &w->slots[level][slot];
            bool bit = w->occupied[level] >> slot & 1;

            cr_assert_eq(bit, !list_empty(l), "level %u slot %u", level, slot);
            for (const struct list_link *at = l->head.next; at != &l->head; at = at->next)
                n++;
        }
    }
    cr_assert_eq(n, w->n_timers);
}

Test(wheel, nothing_armed)
{
    cr_assert_eq(wheel_next_ns(&wheel), CLOCK_NEVER);
    wheel_clear(&wheel, &probe.timer);
    wheel_advance(&wheel, START_NS + 1000 * NS_PER_S);
    wheel_check(&wheel);
    cr_assert_not(wheel_armed(&probe.timer));
}

Test(wheel, fires_in_the_first_tick_after_its_deadline)
{
    static const uint64_t delays[] = {
        1,
        NS_PER_US,
        599 * NS_PER_US,
        600 * NS_PER_US,
        600 * NS_PER_US + 1,
        NS_PER_MS,
        62 * NS_PER_MS,
        63 * NS_PER_MS,
        64 * NS_PER_MS,
        65 * NS_PER_MS,
        4095 * NS_PER_MS,
        4096 * NS_PER_MS,
        4097 * NS_PER_MS,
        262144 * NS_PER_MS,
        86400 * NS_PER_S,
        UINT64_C(100) * 365 * 86400 * NS_PER_S,
        CLOCK_NEVER - START_NS - 2 * NS_PER_MS,
    };

    for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
        setup();
        uint64_t deadline = START_NS + delays[i];
        uint64_t tick = (deadline + NS_PER_MS - 1) / NS_PER_MS * NS_PER_MS;

        wheel_set(&wheel, &probe.timer, deadline);
        cr_assert(wheel_armed(&probe.timer));
        cr_assert_leq(wheel_next_ns(&wheel), tick);
        wheel_advance(&wheel, tick - 1);
        wheel_check(&wheel);
        cr_assert_eq(probe.n_fired, 0, "delay %zu too early", i);
        wheel_advance(&wheel, tick);
        cr_assert_eq(probe.n_fired, 1, "delay %zu", i);
        cr_assert_not(wheel_armed(&probe.timer));
        cr_assert_eq(wheel_next_ns(&wheel), CLOCK_NEVER);
        wheel_advance(&wheel, tick + 1000 * NS_PER_MS);
        cr_assert_eq(probe.n_fired, 1, "delay %zu twice", i);
    }
}

Test(wheel, past_deadline_fires_at_the_next_advance)
{
    static const uint64_t deadlines[] = {0, START_NS, START_NS - 1, START_NS - 400 * NS_PER_US, 1};

    for (size_t i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++) {
        wheel_set(&wheel, &probe.timer, deadlines[i]);
        cr_assert_leq(wheel_next_ns(&wheel), START_NS);
        wheel_advance(&wheel, START_NS); /* the same tick again */
        cr_assert_eq(probe.n_fired, i + 1);
    }
}

Test(wheel, clock_going_back_fires_nothing_new)
{
    wheel_set(&wheel, &probe.timer, START_NS + NS_PER_MS);
    wheel_advance(&wheel, START_NS - 500 * NS_PER_MS);
    cr_assert_eq(probe.n_fired, 0);
    wheel_advance(&wheel, START_NS + 2 * NS_PER_MS);
    cr_assert_eq(probe.n_fired, 1);
    wheel_advance(&wheel, START_NS - 500 * NS_PER_MS);
    wheel_set(&wheel, &probe.timer, START_NS); /* has been */
    wheel_advance(&wheel, START_NS - 400 * NS_PER_MS);
    cr_assert_eq(probe.n_fired, 2);
    wheel_check(&wheel);
}

Test(wheel, set_again_moves)
{
    wheel_set(&wheel, &probe.timer, START_NS + 5 * NS_PER_MS);
    wheel_set(&wheel, &probe.timer, START_NS + 500 * NS_PER_MS);
    cr_assert_eq(wheel.n_timers, 1);
    wheel_advance(&wheel, START_NS + 400 * NS_PER_MS);
    cr_assert_eq(probe.n_fired, 0);
    wheel_set(&wheel, &probe.timer, START_NS + 401 * NS_PER_MS);
    wheel_advance(&wheel, START_NS + 402 * NS_PER_MS);
    cr_assert_eq(probe.n_fired, 1);
    wheel_check(&wheel);
}

Test(wheel, never_clears)
{
    wheel_set(&wheel, &probe.timer, START_NS + 5 * NS_PER_MS);
    wheel_set(&wheel, &probe.timer, CLOCK_NEVER);
    cr_assert_not(wheel_armed(&probe.timer));
    cr_assert_eq(wheel_next_ns(&wheel), CLOCK_NEVER);
    wheel_check(&wheel);
}

Test(wheel, end_of_time)
{
    wheel_set(&wheel, &probe.timer, CLOCK_NEVER - 1);
    cr_assert_leq(wheel_next_ns(&wheel), CLOCK_NEVER);
    wheel_advance(&wheel, CLOCK_NEVER - 2);
    cr_assert_eq(probe.n_fired, 0);
    cr_assert_eq(wheel_next_ns(&wheel), CLOCK_NEVER);
    wheel_clear(&wheel, &probe.timer);
    wheel_check(&wheel);
}

Test(wheel, unset_callback_aborts, .signal = SIGABRT)
{
    struct wheel_timer t = {0};

    wheel_set(&wheel, &t, START_NS);
}

/* A deadline a day away costs a few early calls, not one per tick. */
Test(wheel, few_wake_ups)
{
    uint64_t deadline = START_NS + 86400 * NS_PER_S;
    unsigned n = 0;

    wheel_set(&wheel, &probe.timer, deadline);
    while (probe.n_fired == 0) {
        uint64_t next = wheel_next_ns(&wheel);

        cr_assert_leq(next, deadline + NS_PER_MS);
        wheel_advance(&wheel, next);
        n++;
    }
    cr_assert_leq(n, WHEEL_LEVELS);
}

/* A callback that does something to a second timer. */
struct actor {
    struct wheel_timer timer;
    struct wheel_timer *other;
    uint64_t other_deadline_ns;
    unsigned n_fired;
};

static void actor_fire(struct wheel_timer *t)
{
    struct actor *a = CONTAINER_OF(t, struct actor, timer);

    a->n_fired++;
    wheel_set(&wheel, a->other, a->other_deadline_ns);
}

Test(wheel, callback_clears_one_due_in_the_same_advance)
{
    struct actor a = {
        .timer.fire = actor_fire, .other = &probe.timer, .other_deadline_ns = CLOCK_NEVER};

    /* of a later tick, then of the same one */
    for (unsigned i = 0; i < 2; i++) {
        wheel_set(&wheel, &a.timer, START_NS + NS_PER_MS);
        wheel_set(&wheel, &probe.timer, START_NS + (2 - i) * NS_PER_MS);
        wheel_advance(&wheel, START_NS + 10 * NS_PER_MS);
        cr_assert_eq(a.n_fired, i + 1);
        cr_assert_eq(probe.n_fired, 0);
        wheel_check(&wheel);
    }
}

Test(wheel, callback_postpones_one_due_in_the_same_advance)
{
    struct actor a = {.timer.fire = actor_fire,
                      .other = &probe.timer,
                      .other_deadline_ns = START_NS + 100 * NS_PER_MS};

    wheel_set(&wheel, &a.timer, START_NS + NS_PER_MS);
    wheel_set(&wheel, &probe.timer, START_NS + 2 * NS_PER_MS);
    wheel_advance(&wheel, START_NS + 99 * NS_PER_MS);
    cr_assert_eq(probe.n_fired, 0);
    wheel_advance(&wheel, START_NS + 101 * NS_PER_MS);
    cr_assert_eq(probe.n_fired, 1);
    wheel_check(&wheel);
}

/* Its own timer, to a time before the advance's now: at most once in each advance. */
Test(wheel, callback_that_rearms_itself_does_not_hold_the_thread)
{
    struct actor a = {.timer.fire = actor_fire, .other_deadline_ns = START_NS + 3 * NS_PER_MS};

    a.other = &a.timer;
    wheel_set(&wheel, &a.timer, START_NS + NS_PER_MS);
    for (unsigned i = 1; i <= 5; i++) {
        wheel_advance(&wheel, START_NS + 100000 * NS_PER_MS);
        cr_assert_eq(a.n_fired, i);
        cr_assert_leq(wheel_next_ns(&wheel), START_NS + 100000 * NS_PER_MS);
    }
    wheel_check(&wheel);
}

static void free_fire(struct wheel_timer *t)
{
    free(CONTAINER_OF(t, struct probe, timer));
}

Test(wheel, callback_may_free_its_own)
{
    for (unsigned i = 0; i < 10; i++) {
        struct probe *p = calloc(1, sizeof(*p));

        p->timer.fire = free_fire;
        wheel_set(&wheel, &p->timer, START_NS + i / 2 * NS_PER_MS);
    }
    wheel_advance(&wheel, START_NS + NS_PER_S);
    wheel_check(&wheel);
}

/*
 * Random operations against a model: for each timer the tick in which it must fire, and the order
 * of setting. Time is virtual.
 */
#define N_MODEL_TIMERS 500
#define N_MODEL_STEPS 1000000

struct model_timer {
    struct wheel_timer timer;
    bool armed;
    uint64_t tick;
    uint64_t set_as; /* number of the set, decides within a tick */
    bool in_firing;  /* due in the advance under way, not fired yet */
};

static struct {
    struct random random;
    struct model_timer timers[N_MODEL_TIMERS];
    uint64_t now_ns;
    uint64_t n_sets;
    uint64_t last_tick, last_set; /* what fired before, in this advance */
    uint64_t n_fired;
    bool advancing;
} model;

/* From a part of a tick to about a century, which every level but the top one sees. */
static uint64_t random_delay_ns(void)
{
    static const uint64_t scales_ms[] = {2, 70, 5000, 300000, 20000000, UINT64_C(1) << 41};

    return random_below(&model.random, scales_ms[random_below(&model.random, 6)] * NS_PER_MS);
}

/* Mostly small steps, some of up to 10 days: the whole test takes less than 10 years. */
static uint64_t random_step_ns(void)
{
    uint64_t scale_ms = random_below(&model.random, 50) == 0 ? 864000000 : 1000;

    return random_below(&model.random, scale_ms * NS_PER_MS);
}

static void model_set(struct model_timer *m)
{
    uint64_t deadline = model.now_ns + random_delay_ns();

    if (random_below(&model.random, 8) == 0)
        deadline = model.now_ns - random_below(&model.random, 10 * NS_PER_MS);
    m->armed = true;
    m->in_firing = false;
    m->tick =
        deadline > model.now_ns ? (deadline + NS_PER_MS - 1) / NS_PER_MS : model.now_ns / NS_PER_MS;
    m->set_as = ++model.n_sets;
    wheel_set(&wheel, &m->timer, deadline);
}

static void model_clear(struct model_timer *m)
{
    m->armed = m->in_firing = false;
    wheel_clear(&wheel, &m->timer);
}

static void model_touch_one(void)
{
    struct model_timer *m = &model.timers[random_below(&model.random, N_MODEL_TIMERS)];

    cr_assert_eq(wheel_armed(&m->timer), m->armed);
    if (random_below(&model.random, 3) == 0)
        model_clear(m);
    else
        model_set(m);
}

static void model_fire(struct wheel_timer *t)
{
    struct model_timer *m = CONTAINER_OF(t, struct model_timer, timer);

    cr_assert(model.advancing && m->armed && m->in_firing);
    cr_assert(m->tick > model.last_tick ||
              (m->tick == model.last_tick && m->set_as > model.last_set));
    model.last_tick = m->tick;
    model.last_set = m->set_as;
    model.n_fired++;
    m->armed = m->in_firing = false;
    if (random_below(&model.random, 4) == 0)
        model_touch_one();
    if (random_below(&model.random, 4) == 0)
        model_set(m);
}

static void model_advance(uint64_t now_ns)
{
    uint64_t earliest = UINT64_MAX;

    model.now_ns = now_ns;
    for (unsigned i = 0; i < N_MODEL_TIMERS; i++) {
        struct model_timer *m = &model.timers[i];

        if (m->armed && m->tick < earliest)
            earliest = m->tick;
        m->in_firing = m->armed && m->tick <= now_ns / NS_PER_MS;
    }
    cr_assert_leq(wheel_next_ns(&wheel),
                  earliest == UINT64_MAX ? CLOCK_NEVER : earliest * NS_PER_MS);
    if (earliest == UINT64_MAX)
        cr_assert_eq(wheel_next_ns(&wheel), CLOCK_NEVER);

    model.last_tick = model.last_set = 0;
    model.advancing = true;
    wheel_advance(&wheel, now_ns);
    model.advancing = false;
    for (unsigned i = 0; i < N_MODEL_TIMERS; i++)
        cr_assert_not(model.timers[i].in_firing, "a due timer did not fire");
}

Test(wheel, random_operations_match_a_model, .timeout = 60)
{
    model.random.state = 20260131;
    model.now_ns = START_NS;
    for (unsigned i = 0; i < N_MODEL_TIMERS; i++)
        model.timers[i].timer.fire = model_fire;

    for (unsigned step = 0; step < N_MODEL_STEPS; step++) {
        model_touch_one();
        if (random_below(&model.random, 50) == 0) {
            uint64_t next = wheel_next_ns(&wheel);

            if (next != CLOCK_NEVER && next > model.now_ns && random_below(&model.random, 2) == 0)
                model_advance(next);
            else
                model_advance(model.now_ns + random_step_ns());
        }
        if (step % 1000 == 0)
            wheel_check(&wheel);
    }
    cr_assert_gt(model.n_fired, N_MODEL_STEPS / 20, "seed 20260131 fired only %lu", model.n_fired);
}
