#include <criterion/criterion.h>
#include <signal.h>

#include "weir/base/check.h"

Test(check, true_is_silent)
{
    int n = 1;

    ASSERT(n == 1);
    ASSERT_SLOW(n == 1);
}

Test(check, false_aborts, .signal = SIGABRT)
{
    int n = 1;

    ASSERT(n == 2);
}

struct outer {
    int before;
    int inner;
};

Test(check, container_of_finds_the_owner)
{
    struct outer o = {1, 2};

    cr_assert_eq(CONTAINER_OF(&o.inner, struct outer, inner), &o);
}
