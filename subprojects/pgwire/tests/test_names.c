#include "pgwire/names.h"

#include <criterion/criterion.h>

#include "exact.h"
#include "messages.h"

struct names_case {
    const char *message;
    uint8_t type;
    const char *portal; /* NULL: the message has none */
    const char *statement;
    size_t n_bytes; /* of the body that must be there to know */
};

static const struct names_case cases[] = {
    {"Parse", 'P', NULL, "s1", 3},
    {"Parse, unnamed", 'P', NULL, "", 1},
    {"Bind", 'B', "p1", "s1", 6},
    {"Bind, nothing given", 'B', "", "", 2},
    {"Describe statement", 'D', NULL, "s1", 4},
    {"Describe portal", 'D', "", NULL, 2},
    {"Close statement", 'C', NULL, "s1", 4},
    {"Close portal", 'C', "p1", NULL, 4},
    {"Execute", 'E', "p1", NULL, 3},
};

#define N_CASES (sizeof(cases) / sizeof(cases[0]))

static void check_name(struct pgw_span name, const char *expected, const struct names_case *c)
{
    if (expected == NULL) {
        cr_assert_null(name.ptr, "%s", c->message);
        return;
    }
    cr_assert(pgw_span_is(name, expected), "%s", c->message);
    cr_assert_eq(name.ptr[name.len], 0, "%s: a name lies in front of its NUL", c->message);
}

Test(names, are_found_as_soon_as_they_are_there)
{
    for (size_t i = 0; i < N_CASES; i++) {
        const struct names_case *c = &cases[i];
        struct pgw_span body = frontend_body(c->message);

        for (size_t len = 0; len <= body.len; len++) {
            uint8_t *copy = exact_copy(pgw_span_of(body.ptr, len));
            enum pgw_answer expected = len < c->n_bytes ? PGW_PARTIAL : PGW_READY;
            struct pgw_names names;

            cr_assert_eq(pgw_read_names(c->type, pgw_span_of(copy, len), false, &names), expected,
                         "%s, %zu bytes", c->message, len);
            if (expected == PGW_READY) {
                check_name(names.portal, c->portal, c);
                check_name(names.statement, c->statement, c);
            }
            free(copy);
        }
    }
}

Test(names, missing_from_a_whole_message_are_invalid)
{
    for (size_t i = 0; i < N_CASES; i++) {
        struct pgw_span body = frontend_body(cases[i].message);
        struct pgw_names names;

        for (size_t len = 0; len < cases[i].n_bytes; len++)
            cr_assert_eq(pgw_read_names(cases[i].type, pgw_span_of(body.ptr, len), true, &names),
                         PGW_INVALID, "%s, %zu bytes", cases[i].message, len);
        cr_assert_eq(pgw_read_names(cases[i].type, body, true, &names), PGW_READY);
    }
}

Test(names, a_wrong_target_is_invalid_at_once)
{
    struct pgw_names names;

    for (unsigned target = 0; target < 256; target++) {
        uint8_t byte = (uint8_t)target;
        enum pgw_answer expected = target == 'S' || target == 'P' ? PGW_PARTIAL : PGW_INVALID;

        cr_assert_eq(pgw_read_names('D', pgw_span_of(&byte, 1), false, &names), expected);
        cr_assert_eq(pgw_read_names('C', pgw_span_of(&byte, 1), false, &names), expected);
    }
}

Test(names, other_messages_have_none)
{
    struct pgw_names names;

    for (const char *type = "QSHFdcfXpZ"; *type != '\0'; type++)
        cr_assert_eq(pgw_read_names((uint8_t)*type, pgw_span_of("a", 2), true, &names),
                     PGW_INVALID);
}

Test(names, are_compared_by_63_bytes)
{
    char name[80];

    memset(name, 'x', sizeof(name));
    cr_assert_eq(pgw_name_clip(pgw_span_of(name, 62)).len, 62);
    cr_assert_eq(pgw_name_clip(pgw_span_of(name, 63)).len, 63);
    cr_assert_eq(pgw_name_clip(pgw_span_of(name, 64)).len, 63);
    cr_assert_eq(pgw_name_clip(pgw_span_of(name, 80)).ptr, (const uint8_t *)name);
}
