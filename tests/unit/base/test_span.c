#include <criterion/criterion.h>
#include <stdint.h>

#include "weir/base/span.h"

Test(span, of_bytes_and_of_strings)
{
    static const uint8_t bytes[] = {1, 0, 2};
    struct span s = span_of(bytes, sizeof(bytes));

    cr_assert_eq(s.ptr, bytes);
    cr_assert_eq(s.len, 3);
    cr_assert_eq(span_str("abc").len, 3);
    cr_assert_eq(span_str("").len, 0);
}

Test(span, skip)
{
    struct span s = span_str("select 1");

    cr_assert(span_equal(span_skip(s, 0), s));
    cr_assert(span_equal(span_skip(s, 7), span_str("1")));
    cr_assert_eq(span_skip(s, 8).len, 0);
    cr_assert_eq(span_skip(s, 8).ptr, s.ptr + 8);
}

Test(span, equal)
{
    static const struct {
        struct span a, b;
        bool equal;
    } cases[] = {
        {{NULL, 0}, {NULL, 0}, true},
        {{NULL, 0}, {(const uint8_t *)"", 0}, true},
        {{NULL, 0}, {(const uint8_t *)"a", 1}, false},
        {{(const uint8_t *)"ab", 2}, {(const uint8_t *)"ab", 2}, true},
        {{(const uint8_t *)"ab", 2}, {(const uint8_t *)"aB", 2}, false},
        {{(const uint8_t *)"ab", 2}, {(const uint8_t *)"abc", 3}, false},
        {{(const uint8_t *)"ab", 1}, {(const uint8_t *)"ac", 1}, true},
        {{(const uint8_t *)"a\0b", 3}, {(const uint8_t *)"a\0b", 3}, true},
        {{(const uint8_t *)"a\0b", 3}, {(const uint8_t *)"a\0c", 3}, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(span_equal(cases[i].a, cases[i].b), cases[i].equal, "case %zu", i);
        cr_assert_eq(span_equal(cases[i].b, cases[i].a), cases[i].equal, "case %zu", i);
    }
}
