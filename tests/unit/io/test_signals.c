/* Signals as callbacks of the loop. */
#include <signal.h>
#include <unistd.h>

#include "rig.h"
#include "weir/io/signals.h"

static const struct loop_config defaults;

struct alarm_clock {
    struct signals signals; /* first */
    unsigned n_usr1, n_usr2;
    bool closes;
};

static void raised(struct signals *s, int signo)
{
    struct alarm_clock *c = CONTAINER_OF(s, struct alarm_clock, signals);

    cr_assert(signo == SIGUSR1 || signo == SIGUSR2);
    if (signo == SIGUSR1)
        c->n_usr1++;
    else
        c->n_usr2++;
    if (c->closes)
        signals_close(s);
}

static void alarm_init(struct alarm_clock *c, struct rig *r)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    *c = (struct alarm_clock){.signals.raised = raised};
    cr_assert_eq(signals_open(&c->signals, r->loop, &set), 0);
}

ENGINE_TEST(signals, arrive_as_callbacks)
{
    struct alarm_clock c;
    struct rig r;

    rig_init(&r, *variant, defaults);
    alarm_init(&c, &r);
    for (unsigned i = 1; i <= 10; i++) {
        cr_assert_eq(kill(getpid(), SIGUSR1), 0);
        cr_assert_eq(kill(getpid(), SIGUSR2), 0);
        RIG_UNTIL(&r, c.n_usr1 == i && c.n_usr2 == i);
    }
    signals_close(&c.signals);
    signals_close(&c.signals);
    cr_assert_eq(kill(getpid(), SIGUSR1), 0); /* blocked: kills nobody */
    rig_let_pass(&r, 2);
    cr_assert_eq(c.n_usr1, 10);
    rig_fini(&r);
}

ENGINE_TEST(signals, closed_by_the_first)
{
    struct alarm_clock c;
    struct rig r;

    rig_init(&r, *variant, defaults);
    alarm_init(&c, &r);
    c.closes = true;
    cr_assert_eq(kill(getpid(), SIGUSR1), 0);
    cr_assert_eq(kill(getpid(), SIGUSR2), 0);
    RIG_UNTIL(&r, c.n_usr1 + c.n_usr2 == 1);
    rig_let_pass(&r, 2);
    cr_assert_eq(c.n_usr1 + c.n_usr2, 1);
    rig_fini(&r);
}
