/* Buckets of tokens: how many each key gets, and that no key gets another's. */
#include <criterion/criterion.h>

#include "weir/base/clock.h"
#include "weir/base/throttle.h"

#define N_TOKENS 5
#define INTERVAL_NS NS_PER_S

static struct span key_of(const uint64_t *number)
{
    return span_of(number, sizeof(*number));
}

/* Takes all there are; returns how many. */
static unsigned drain(struct throttle *t, uint64_t number, uint64_t now_ns)
{
    unsigned n = 0;

    while (throttle_allows(t, key_of(&number), now_ns)) {
        bool was_last = throttle_charge(t, key_of(&number), now_ns);

        n++;
        cr_assert_leq(n, N_TOKENS);
        cr_assert_eq(was_last, !throttle_allows(t, key_of(&number), now_ns));
    }
    cr_assert_not(throttle_charge(t, key_of(&number), now_ns), "there was none to take");
    return n;
}

Test(throttle, fills_up_with_time)
{
    static const struct {
        uint64_t after_ns;
        unsigned n;
    } rows[] = {{0, N_TOKENS},        {1, 0},
                {INTERVAL_NS - 2, 0}, {1, 1},
                {2 * INTERVAL_NS, 2}, {1000 * INTERVAL_NS, N_TOKENS}};
    struct throttle *t;
    uint64_t now_ns = 0;

    cr_assert_eq(throttle_new(&t, N_TOKENS, INTERVAL_NS), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        now_ns += rows[i].after_ns;
        cr_expect_eq(drain(t, 1, now_ns), rows[i].n, "row %zu", i);
    }
    throttle_free(t);
}

/* Each of them has its own, whatever the others did. */
Test(throttle, keys_do_not_share)
{
    struct throttle *t;

    cr_assert_eq(throttle_new(&t, N_TOKENS, INTERVAL_NS), 0);
    for (uint64_t number = 0; number < 500; number++)
        cr_assert_eq(drain(t, number, NS_PER_S), N_TOKENS, "%lu", (unsigned long)number);
    for (uint64_t number = 0; number < 500; number++)
        cr_assert_eq(drain(t, number, NS_PER_S), 0, "%lu", (unsigned long)number);
    throttle_free(t);
}

/* More keys than there is room for do not get more than the buckets hold, in whatever order. */
Test(throttle, all_keys_together_are_bounded)
{
    enum { N_KEYS = 40000, N_BUCKETS = 8192 };
    struct throttle *t;
    unsigned n = 0;

    cr_assert_eq(throttle_new(&t, N_TOKENS, INTERVAL_NS), 0);
    for (unsigned round = 0; round < 2; round++)
        for (uint64_t number = 0; number < N_KEYS; number++)
            n += drain(t, number, NS_PER_S);
    cr_assert_eq(n, N_BUCKETS * N_TOKENS);
    for (uint64_t number = 0; number < N_KEYS; number++)
        n -= drain(t, number, 2 * NS_PER_S);
    cr_assert_eq(n, N_BUCKETS * (N_TOKENS - 1));
    throttle_free(t);
}

Test(throttle, a_single_token)
{
    struct throttle *t;

    cr_assert_eq(throttle_new(&t, 1, INTERVAL_NS), 0);
    cr_assert_eq(drain(t, 1, NS_PER_S), 1);
    cr_assert_eq(drain(t, 1, 2 * NS_PER_S - 1), 0);
    cr_assert_eq(drain(t, 1, 2 * NS_PER_S), 1);
    throttle_free(t);
}
