#include <criterion/criterion.h>
#include <stdio.h>

#include "weir/base/pairs.h"

static void put(struct pairs *p, const char *name, const char *value)
{
    cr_assert(pairs_put(p, span_str(name), span_str(value)));
}

/* "name=value;" of each pair, in their order. */
static const char *text_of(const struct pairs *p, char out[256])
{
    struct pair pair;
    size_t at = 0, n = 0;

    out[0] = '\0';
    while (pairs_next(p, &at, &pair))
        n += (size_t)snprintf(out + n, 256 - n, "%s=%s;", (const char *)pair.name.ptr,
                              (const char *)pair.value.ptr);
    return out;
}

static void is(const struct pairs *p, const char *expected)
{
    char text[256];

    cr_assert_str_eq(text_of(p, text), expected);
}

Test(pairs, an_empty_set_has_nothing)
{
    struct pairs p = {0};
    struct span value;

    is(&p, "");
    cr_assert(!pairs_has(&p, span_str("a")));
    cr_assert(!pairs_get(&p, span_str(""), &value));
    pairs_remove(&p, span_str("a"));
    cr_assert(pairs_equal(&p, &p));
    pairs_fini(&p);
}

Test(pairs, names_are_in_order_and_in_small_letters)
{
    struct pairs p = {0};

    put(&p, "TimeZone", "UTC");
    put(&p, "DateStyle", "ISO");
    put(&p, "timezon", "");
    put(&p, "zz", "9");
    put(&p, "a.B", "b");
    is(&p, "a.b=b;datestyle=ISO;timezon=;timezone=UTC;zz=9;");
    pairs_fini(&p);
    is(&p, "");
}

Test(pairs, a_name_is_found_in_any_case)
{
    struct pairs p = {0};
    struct span value;

    put(&p, "TimeZone", "UTC");
    cr_assert(pairs_get(&p, span_str("TIMEZONE"), &value));
    cr_assert(span_equal(value, span_str("UTC")));
    cr_assert(!pairs_has(&p, span_str("timezon")));
    cr_assert(!pairs_has(&p, span_str("timezone2")));
    cr_assert(!pairs_has(&p, span_str("utc")));
    pairs_fini(&p);
}

/* The first, one within and the last, with values that are shorter, longer and as long. */
Test(pairs, values_are_replaced_in_place)
{
    static const char *const names[] = {"a", "m", "z"};
    static const char *const values[] = {"", "1", "22", "a long value, longer than all"};

    for (size_t n = 0; n < 3; n++) {
        for (size_t v = 0; v < 4; v++) {
            struct pairs p = {0};
            char expected[256];

            for (size_t i = 0; i < 3; i++)
                put(&p, names[i], "00");
            put(&p, names[n], values[v]);
            snprintf(expected, sizeof(expected), "a=%s;m=%s;z=%s;", n == 0 ? values[v] : "00",
                     n == 1 ? values[v] : "00", n == 2 ? values[v] : "00");
            is(&p, expected);
            pairs_fini(&p);
        }
    }
}

Test(pairs, pairs_are_removed)
{
    struct pairs p = {0};

    put(&p, "a", "1");
    put(&p, "b", "2");
    put(&p, "c", "3");
    pairs_remove(&p, span_str("B"));
    is(&p, "a=1;c=3;");
    pairs_remove(&p, span_str("c"));
    is(&p, "a=1;");
    pairs_remove(&p, span_str("a"));
    is(&p, "");
    put(&p, "d", "4");
    is(&p, "d=4;");
    pairs_fini(&p);
}

Test(pairs, equal_is_what_has_the_same_names_and_values)
{
    struct pairs a = {0}, b = {0};

    put(&a, "x", "1");
    put(&a, "Y", "2");
    put(&b, "y", "2");
    cr_assert(!pairs_equal(&a, &b));
    put(&b, "X", "1");
    cr_assert(pairs_equal(&a, &b));
    put(&b, "x", "3");
    cr_assert(!pairs_equal(&a, &b));
    cr_assert(pairs_copy(&b, &a));
    cr_assert(pairs_equal(&a, &b));
    pairs_clear(&a);
    cr_assert(pairs_copy(&b, &a));
    is(&b, "");
    pairs_fini(&a);
    pairs_fini(&b);
}

Test(pairs, what_is_too_much_is_not_taken)
{
    struct pairs p = {0};
    const struct span long_one = {(const uint8_t *)"", (size_t)1 << 30};

    put(&p, "a", "1");
    cr_assert(!pairs_put(&p, span_str("b"), long_one));
    is(&p, "a=1;");
    pairs_fini(&p);
}

Test(pairs, exact)
{
    struct pairs p = {.is_exact = true}, copy = {.is_exact = true};
    struct span value;

    cr_assert(pairs_put(&p, span_str("b"), span_str("1")));
    cr_assert(pairs_put(&p, span_str("B"), span_str("2")));
    cr_assert(pairs_put(&p, span_str("Ba"), span_str("3")));
    cr_assert(pairs_put(&p, span_str(""), span_str("4")));
    cr_assert(pairs_get(&p, span_str("b"), &value) && span_equal(value, span_str("1")));
    cr_assert(pairs_get(&p, span_str("B"), &value) && span_equal(value, span_str("2")));
    cr_assert(pairs_get(&p, span_str("Ba"), &value) && span_equal(value, span_str("3")));
    cr_assert(pairs_get(&p, span_str(""), &value) && span_equal(value, span_str("4")));
    cr_assert_not(pairs_has(&p, span_str("ba")));
    cr_assert(pairs_copy(&copy, &p) && pairs_equal(&copy, &p));
    pairs_remove(&p, span_str("b"));
    cr_assert(pairs_has(&p, span_str("B")));
    pairs_fini(&p);
    cr_assert(p.is_exact);
    pairs_fini(&copy);
}
