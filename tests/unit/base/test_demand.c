/* The demand word: every step of its two halves. Who calls them at once: tests/race. */
#include <criterion/criterion.h>
#include <signal.h>

#include "weir/base/demand.h"

static void expect(const struct demand *d, uint32_t unclaimed, uint32_t promised)
{
    cr_expect_eq(demand_unclaimed(d), unclaimed, "unclaimed %u", demand_unclaimed(d));
    cr_expect_eq(demand_promised(d), promised, "promised %u", demand_promised(d));
}

Test(demand, a_waiter_is_claimed_once)
{
    struct demand d;

    demand_init(&d);
    cr_assert_not(demand_claim(&d), "nobody waits");
    demand_set(&d, 1);
    expect(&d, 1, 0);
    cr_assert(demand_claim(&d));
    expect(&d, 0, 1);
    cr_assert_not(demand_claim(&d), "the one waiter is promised a server");
    demand_arrived(&d, 0);
    expect(&d, 0, 0);
}

Test(demand, a_client_leaves_while_a_grant_is_under_way)
{
    struct demand d;

    demand_init(&d);
    demand_set(&d, 1);
    cr_assert(demand_claim(&d));
    demand_set(&d, 0); /* it leaves: the promise stays until the server is here */
    expect(&d, 0, 1);
    demand_arrived(&d, 0);
    expect(&d, 0, 0);
}

Test(demand, served_at_home_and_the_next_client_comes_before_the_grant)
{
    struct demand d;

    demand_init(&d);
    demand_set(&d, 1);
    cr_assert(demand_claim(&d));
    demand_set(&d, 0);
    demand_set(&d, 1); /* the next one: the server under way is for it */
    expect(&d, 0, 1);
    demand_set(&d, 2); /* and one more: that one is unclaimed */
    expect(&d, 1, 1);
    demand_arrived(&d, 1);
    expect(&d, 1, 0);
}

Test(demand, a_dead_grant_makes_its_waiter_unclaimed_again)
{
    struct demand d;

    demand_init(&d);
    demand_set(&d, 1);
    cr_assert(demand_claim(&d));
    demand_arrived(&d, 1); /* nobody leaves the queue */
    expect(&d, 1, 0);
}

Test(demand, more_promises_than_waiters_never_wrap)
{
    struct demand d;

    demand_init(&d);
    demand_set(&d, 3);
    for (int i = 0; i < 3; i++)
        cr_assert(demand_claim(&d));
    demand_set(&d, 1);
    expect(&d, 0, 3);
    demand_arrived(&d, 0);
    demand_arrived(&d, 0);
    expect(&d, 0, 1);
    demand_set(&d, UINT32_MAX);
    expect(&d, UINT32_MAX - 1, 1);
}

Test(demand, an_arrival_without_a_claim_is_a_bug, .signal = SIGABRT)
{
    struct demand d;

    demand_init(&d);
    demand_arrived(&d, 0);
}
