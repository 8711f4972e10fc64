/* Splitting of startup options; what PostgreSQL 15 answers to the odd ones was tried. */
#include "pgwire/options.h"

#include <criterion/criterion.h>

#include "exact.h"

#define MAX_OPTIONS 4

struct expected_option {
    enum pgw_option answer;
    const char *name;
    const char *value;
};

struct options_case {
    const char *options;
    struct expected_option expected[MAX_OPTIONS];
};

#define SET(name, value)                                                                           \
    {                                                                                              \
        PGW_OPTION_SET, name, value                                                                \
    }
#define SWITCH(word)                                                                               \
    {                                                                                              \
        PGW_OPTION_SWITCH, word, NULL                                                              \
    }
#define INVALID(word)                                                                              \
    {                                                                                              \
        PGW_OPTION_INVALID, word, NULL                                                             \
    }
#define END                                                                                        \
    {                                                                                              \
        PGW_OPTION_END, NULL, NULL                                                                 \
    }

/* clang-format off */
static const struct options_case cases[] = {
    {"", {END}},
    {" \t\n\v\f\r", {END}},
    {"-c a=b", {SET("a", "b"), END}},
    {"-ca=b", {SET("a", "b"), END}},
    {"--a=b", {SET("a", "b"), END}},
    {"  -c   a=b  --c=d ", {SET("a", "b"), SET("c", "d"), END}},
    {"-c a=", {SET("a", ""), END}},
    {"-c a=b=c", {SET("a", "b=c"), END}},
    {"--work-mem=1-2", {SET("work_mem", "1-2"), END}},
    {"-c search_path=a\\ b,\\\\c", {SET("search_path", "a b,\\c"), END}},
    {"-c a=\\b", {SET("a", "b"), END}},
    {"-c a=b\\", {SET("a", "b"), END}},
    {"\\-c a=b", {SET("a", "b"), END}},
    {"-c -c=x", {SET("_c", "x"), END}},
    {"-c myapp.user-id=7", {SET("myapp.user_id", "7"), END}},
    {"-c", {INVALID("-c")}},
    {"-c a", {INVALID("a")}},
    {"-ca", {INVALID("-ca")}},
    {"--a", {INVALID("--a")}},
    {"-c =b", {INVALID("=b")}},
    {"-c \\ ", {INVALID(" ")}},
    {"--=b", {INVALID("--=b")}},
    {"word", {INVALID("word")}},
    {"-", {INVALID("-")}},
    {"-c a=b word", {SET("a", "b"), INVALID("word")}},
    {"--", {END}},
    {"-- ", {END}},
    {"-- word", {INVALID("--")}},
    {"-- \\", {INVALID("--")}},
    {"-e", {SWITCH("-e"), END}},
    {"-fs -c a=b", {SWITCH("-fs"), SET("a", "b"), END}},
};
/* clang-format on */

static bool ends(enum pgw_option answer)
{
    return answer == PGW_OPTION_END || answer == PGW_OPTION_INVALID;
}

static void check_option(const struct options_case *c, const struct expected_option *e,
                         struct pgw_span *in, uint8_t *buf)
{
    struct pgw_param p = {0};

    cr_assert_eq(pgw_options_next(in, buf, strlen(c->options), &p), e->answer, "%s", c->options);
    if (e->name != NULL)
        cr_assert(pgw_span_is(p.name, e->name), "%s", c->options);
    if (e->value != NULL)
        cr_assert(pgw_span_is(p.value, e->value), "%s", c->options);
}

Test(options, are_split_as_postgresql_does)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct options_case *c = &cases[i];
        uint8_t *copy = exact_copy(pgw_span_str(c->options));
        uint8_t *buf = exact_copy(pgw_span_str(c->options));
        struct pgw_span in = {copy, strlen(c->options)};
        const struct expected_option *e = c->expected;

        for (;; e++) {
            check_option(c, e, &in, buf);
            if (ends(e->answer))
                break;
        }
        free(copy);
        free(buf);
    }
}

Test(options, a_word_too_long_for_the_buffer_consumes_nothing)
{
    uint8_t buf[8];
    struct pgw_span in = pgw_span_str("-c abcd=efgh -c x=y"), start = in;
    struct pgw_param p;

    for (size_t size = 0; size < 8; size++) {
        cr_assert_eq(pgw_options_next(&in, buf, size, &p), PGW_OPTION_NO_ROOM);
        cr_assert_eq(in.ptr, start.ptr);
    }
    cr_assert_eq(pgw_options_next(&in, buf, sizeof(buf), &p), PGW_OPTION_NO_ROOM, "9 are needed");
}
