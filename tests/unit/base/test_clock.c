#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "weir/base/clock.h"

Test(clock, now_never_goes_back)
{
    uint64_t last = clock_now_ns();

    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_now_ns();

        cr_assert_geq(now, last);
        last = now;
    }
}

Test(clock, now_is_the_monotonic_clock)
{
    struct timespec ts;
    uint64_t before = clock_now_ns();

    cr_assert_eq(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
    uint64_t between = (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;

    cr_assert_leq(before, between);
    cr_assert_geq(clock_now_ns(), between);
}

Test(clock, add_saturates)
{
    static const struct {
        uint64_t now, delay, sum;
    } cases[] = {
        {0, 0, 0},
        {1, 2, 3},
        {5, CLOCK_NEVER, CLOCK_NEVER},
        {CLOCK_NEVER, 0, CLOCK_NEVER},
        {CLOCK_NEVER, 1, CLOCK_NEVER},
        {CLOCK_NEVER - 5, 4, CLOCK_NEVER - 1},
        {CLOCK_NEVER - 5, 5, CLOCK_NEVER},
        {CLOCK_NEVER - 5, 6, CLOCK_NEVER},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_assert_eq(clock_add_ns(cases[i].now, cases[i].delay), cases[i].sum, "case %zu", i);
}

Test(clock, text)
{
    static const struct {
        uint64_t seconds;
        uint32_t ns;
        const char *text;
    } cases[] = {
        {0, 0, "1970-01-01 00:00:00.000 UTC"},
        {0, 999999, "1970-01-01 00:00:00.000 UTC"},
        {0, 1000000, "1970-01-01 00:00:00.001 UTC"},
        {951782399, 999999999, "2000-02-28 23:59:59.999 UTC"},
        {951782400, 0, "2000-02-29 00:00:00.000 UTC"},
        {1769903999, 123456789, "2026-01-31 23:59:59.123 UTC"},
        {18446744073, 709551615, "2554-07-21 23:34:33.709 UTC"}, /* UINT64_MAX */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[CLOCK_TEXT_SIZE];
        unsigned len = clock_text(cases[i].seconds * NS_PER_S + cases[i].ns, text);

        cr_assert_str_eq(text, cases[i].text);
        cr_assert_eq(len, strlen(text));
    }
}

Test(clock, text_ignores_the_time_zone)
{
    char text[CLOCK_TEXT_SIZE];

    setenv("TZ", "Asia/Tokyo", 1);
    tzset();
    clock_text(0, text);
    cr_assert_str_eq(text, "1970-01-01 00:00:00.000 UTC");
}

Test(clock, wall_text_is_the_wall_clock)
{
    char before[CLOCK_TEXT_SIZE], now[CLOCK_TEXT_SIZE], after[CLOCK_TEXT_SIZE];

    clock_text((uint64_t)time(NULL) * NS_PER_S, before); /* whole seconds: not above now */
    unsigned len = clock_wall_text(now);

    clock_text(((uint64_t)time(NULL) + 2) * NS_PER_S, after);
    cr_assert_eq(len, strlen(now));
    cr_assert_leq(strcmp(before, now), 0, "%s, %s", before, now);
    cr_assert_leq(strcmp(now, after), 0, "%s, %s", now, after);
}
