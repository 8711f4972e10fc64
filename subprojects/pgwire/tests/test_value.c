#include "pgwire/value.h"

#include <criterion/criterion.h>

#define SPAN(s) pgw_span_of(s, sizeof(s) - 1)

Test(value, lists_that_nobody_checked_end_where_they_break)
{
    struct pgw_span list = SPAN("\0\0\0\1a\0\0\0\5bcd"), before;
    struct pgw_value v;

    cr_assert(pgw_value_next(&list, &v));
    cr_assert(pgw_span_is(v.bytes, "a"));
    before = list;
    cr_assert_not(pgw_value_next(&list, &v));
    cr_assert_eq(list.ptr, before.ptr);
    cr_assert(pgw_span_is(v.bytes, "a"), "nothing is written");
}

Test(value, any_other_negative_length_is_no_null)
{
    struct pgw_reader r = pgw_reader_of(SPAN("\xff\xff\xff\xfe"));

    cr_assert_not(pgw_reader_value(&r).is_null);
    cr_assert(r.failed);
}

Test(value, strings)
{
    struct pgw_span list = SPAN("one\0two\0\0three\0"), s;

    cr_assert(pgw_string_next(&list, &s));
    cr_assert(pgw_span_is(s, "one"));
    cr_assert(pgw_string_next(&list, &s));
    cr_assert(pgw_span_is(s, "two"));
    cr_assert_not(pgw_string_next(&list, &s), "an empty string ends the list");

    list = SPAN("open");
    cr_assert_not(pgw_string_next(&list, &s));
    cr_assert_eq(list.len, 4);
}

Test(value, params)
{
    struct pgw_span list = SPAN("user\0joe\0options\0\0\0");
    struct pgw_param p;

    cr_assert(pgw_param_next(&list, &p));
    cr_assert(pgw_span_is(p.name, "user"));
    cr_assert(pgw_span_is(p.value, "joe"));
    cr_assert(pgw_param_next(&list, &p));
    cr_assert(pgw_span_is(p.name, "options"));
    cr_assert_eq(p.value.len, 0);
    cr_assert_not(pgw_param_next(&list, &p));
    cr_assert_eq(list.len, 1);

    list = SPAN("name\0value cut");
    cr_assert_not(pgw_param_next(&list, &p));
    cr_assert_eq(list.len, 14);
}
