/* Sets of reactors in one word. */
#include <criterion/criterion.h>
#include <signal.h>

#include "weir/base/mask.h"

Test(mask, set_and_clear)
{
    struct mask m;

    mask_init(&m);
    cr_assert_eq(mask_read(&m), 0);
    mask_set(&m, 0);
    mask_set(&m, 63);
    mask_set(&m, 63);
    cr_assert_eq(mask_read(&m), UINT64_C(1) << 63 | 1);
    mask_clear(&m, 0);
    mask_clear(&m, 5);
    cr_assert_eq(mask_read(&m), UINT64_C(1) << 63);
}

Test(mask, pops_the_next_after_home_then_round)
{
    static const struct {
        uint64_t set;
        unsigned home, first, second;
    } rows[] = {
        {0x0f & ~0x02, 1, 2, 3},
        {0x0f & ~0x08, 3, 0, 1},
        {UINT64_C(1) << 63 | 1, 0, 63, 0},
        {UINT64_C(1) << 63 | 1, 63, 0, 63},
        {UINT64_C(1) << 62 | 2, 62, 1, 62},
        {UINT64_C(3) << 40, 20, 40, 41},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t set = rows[i].set;

        cr_expect_eq(mask_pop_after(&set, rows[i].home), rows[i].first, "row %zu", i);
        cr_expect_eq(mask_pop_after(&set, rows[i].home), rows[i].second, "row %zu", i);
    }
}

Test(mask, pops_every_one_once)
{
    for (unsigned home = 0; home < MASK_REACTORS_MAX; home++) {
        uint64_t set = UINT64_MAX;
        unsigned n = 0;

        for (; set != 0; n++)
            cr_assert_eq(mask_pop_after(&set, home), (home + 1 + n) % MASK_REACTORS_MAX);
        cr_assert_eq(n, MASK_REACTORS_MAX);
    }
}

Test(mask, refuses_a_reactor_too_many, .signal = SIGABRT)
{
    mask_bit(MASK_REACTORS_MAX);
}
