#include <criterion/criterion.h>
#include <stdint.h>

#include "weir/base/counter.h"

Test(counter, adds)
{
    struct counter c = {0};

    cr_assert_eq(counter_read(&c), 0);
    counter_add(&c, 1);
    counter_add(&c, 0);
    counter_add(&c, UINT64_C(1) << 40);
    cr_assert_eq(counter_read(&c), (UINT64_C(1) << 40) + 1);
}

Test(counter, wraps)
{
    struct counter c = {0};

    counter_add(&c, UINT64_MAX);
    counter_add(&c, 3);
    cr_assert_eq(counter_read(&c), 2);
}

Test(counter, is_one_word)
{
    cr_assert_eq(sizeof(struct counter), sizeof(uint64_t));
}
