/* Names of operations: a name is found until its slot is put back and never again. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "../../../src/io/slots.h"

static struct slots t;

static void setup(void)
{
    cr_assert_eq(slots_init(&t), 0);
}

static void teardown(void)
{
    slots_fini(&t);
}

TestSuite(slots, .init = setup, .fini = teardown);

Test(slots, a_name_lives_as_long_as_its_slot)
{
    int object;
    uint32_t first = slots_get(&t, 3, &object);
    uint64_t name = slots_name(&t, first);
    uint32_t second;

    cr_assert_neq(first, 0);
    cr_assert_eq(slots_find(&t, name), first);
    cr_assert_eq(slots_at(&t, first)->object, &object);
    cr_assert_eq(slots_at(&t, first)->kind, 3);
    slots_put(&t, first);
    cr_assert_eq(slots_find(&t, name), 0);
    second = slots_get(&t, 4, NULL);
    cr_assert_eq(second, first, "what was used last is in the cache");
    cr_assert_eq(slots_find(&t, name), 0);
    cr_assert_eq(slots_find(&t, slots_name(&t, second)), second);
    cr_assert_not(slots_at(&t, second)->cancelled);
}

Test(slots, names_nobody_gave)
{
    cr_assert_eq(slots_find(&t, 0), 0);
    cr_assert_eq(slots_find(&t, 1), 0);
    cr_assert_eq(slots_find(&t, UINT32_MAX), 0);
    cr_assert_eq(slots_find(&t, UINT64_MAX), 0);
}

Test(slots, all_different_until_none_is_left)
{
    uint32_t last = 0;

    for (uint32_t i = 1; i < SLOTS_MAX; i++) {
        uint32_t index = slots_get(&t, 0, NULL);

        cr_assert_eq(index, i);
        last = index;
    }
    cr_assert_eq(slots_get(&t, 0, NULL), 0);
    slots_put(&t, last / 2);
    cr_assert_eq(slots_get(&t, 0, NULL), last / 2);
    cr_assert_eq(slots_get(&t, 0, NULL), 0);
}
