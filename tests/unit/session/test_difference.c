#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "difference.h"
#include "pgwire/endian.h"
#include "pgwire/proto.h"
#include "weir/pool/pool.h"

/* A pair each: name, value, name, value, NULL. */
static void fill(struct pairs *p, const char *const *list)
{
    *p = (struct pairs){0};
    for (; *list != NULL; list += 2)
        cr_assert(pairs_put(p, span_str(list[0]), span_str(list[1])));
}

static const struct {
    size_t len;
    uint8_t bytes[64];
} reports = {44, "S\0\0\0\x11TimeZone\0UTC\0S\0\0\0\x19"
                 "client_encoding\0UTF8\0"};

/* The text of the Query, NUL-terminated; the caller frees it. */
static char *text_of(const struct difference *d, bool guarded)
{
    size_t size = difference_max_len(d);
    uint8_t *buf = malloc(size);
    struct pgw_writer w = pgw_writer_of(buf, size);

    cr_assert_not_null(buf);
    difference_build(&w, *d, guarded);
    cr_assert(!w.full);
    cr_assert_eq(buf[0], PGW_F_QUERY);
    cr_assert_eq(pgw_load_u32(buf + 1), w.len - 1);
    memmove(buf, buf + PGW_HEADER_LEN, w.len - PGW_HEADER_LEN);
    return (char *)buf;
}

struct difference_case {
    const char *wanted[9], *there[9];
    bool doubted;
    const char *text; /* not guarded */
};

static const struct difference_case cases[] = {
    {{NULL}, {NULL}, false, ""},
    {{NULL}, {NULL}, true, ""},
    {{"a", "1"}, {NULL}, false, "SET \"a\"=E'1';"},
    {{"a", "1"}, {"a", "1"}, false, ""},
    {{"a", "1"}, {"a", "2"}, false, "SET \"a\"=E'1';"},
    {{NULL}, {"a", "1"}, false, "RESET \"a\";"},
    {{"a", "1", "c", "3"},
     {"b", "2", "c", "4"},
     false,
     "SET \"a\"=E'1';RESET \"b\";SET \"c\"=E'3';"},
    {{"b", "1"}, {"a", "2", "c", "4"}, false, "RESET \"a\";SET \"b\"=E'1';RESET \"c\";"},
    /* who the session is comes last, and is undone before the rest is set */
    {{"role", "r"}, {NULL}, false, "SET \"role\"=E'r';"},
    {{NULL}, {"role", "r"}, false, "RESET \"role\";"},
    {{"role", "r"}, {"role", "q"}, false, "SET \"role\"=E'r';"},
    {{"role", "r"}, {"role", "r"}, false, ""},
    {{"z", "1"},
     {"role", "r"},
     false,
     "RESET SESSION AUTHORIZATION;RESET ROLE;SET \"z\"=E'1';RESET \"role\";"},
    {{"role", "r", "z", "1"},
     {"role", "r", "a", "1"},
     false,
     "RESET SESSION AUTHORIZATION;RESET ROLE;RESET \"a\";SET \"z\"=E'1';SET \"role\"=E'r';"},
    {{"role", "r", "session_authorization", "s", "z", "1"},
     {NULL},
     false,
     "SET \"z\"=E'1';SET \"session_authorization\"=E's';SET \"role\"=E'r';"},
    {{NULL}, {"session_authorization", "s"}, false, "RESET \"session_authorization\";"},
    /* and a timeout first */
    {{"z", "1"},
     {"statement_timeout", "1"},
     false,
     "SET statement_timeout=0;SET \"z\"=E'1';RESET \"statement_timeout\";"},
    {{"statement_timeout", "1", "role", "r"},
     {"statement_timeout", "1"},
     false,
     "SET statement_timeout=0;SET \"role\"=E'r';SET \"statement_timeout\"=E'1';"},
    {{"statement_timeout", "1"}, {"statement_timeout", "1"}, false, ""},
    {{NULL}, {"statement_timeout", "1"}, false, "RESET \"statement_timeout\";"},
    /* what is not reported may have been changed by a SET that nobody saw */
    {{"a", "1"}, {"a", "1"}, true, "SET \"a\"=E'1';"},
    {{NULL}, {"a", "1"}, true, "RESET \"a\";"},
    {{"timezone", "GMT"}, {"timezone", "GMT"}, true, ""},
    /* what it told at its login it has by itself */
    {{"timezone", "UTC"}, {NULL}, false, ""},
    {{"timezone", "UTC"}, {NULL}, true, ""},
    {{"timezone", "GMT"}, {NULL}, false, "SET \"timezone\"=E'GMT';"},
    {{"timezone", "UTC"}, {"timezone", "GMT"}, false, "SET \"timezone\"=E'UTC';"},
    {{NULL}, {"timezone", "UTC"}, false, ""},
    {{NULL}, {"timezone", "GMT"}, false, "RESET \"timezone\";"},
    /* nobody can set it back */
    {{NULL}, {"is_superuser", "on"}, false, ""},
    /* names and values */
    {{"a.b.c", ""}, {NULL}, false, "SET \"a\".\"b\".\"c\"=E'';"},
    {{NULL}, {"a\"b", ""}, false, "RESET \"a\"\"b\";"},
    {{"a", "it's \\ \n"}, {NULL}, false, "SET \"a\"=E'it''s \\\\ \n';"},
    {{"a", "\xe8\xa1\xa8\x95\\\x80\xff"},
     {NULL},
     false,
     "SET \"a\"=E'\\xE8\\xA1\\xA8\\x95\\\\\\x80\\xFF';"},
    {{"search_path", "a, \"b's\""},
     {NULL},
     false,
     "SELECT pg_catalog.set_config(E'search_path',E'a, \"b''s\"',false);"},
    {{NULL}, {"search_path", "a"}, false, "RESET \"search_path\";"},
};

#define N_CASES (sizeof(cases) / sizeof(cases[0]))

static struct difference open_case(const struct difference_case *c, struct pairs *wanted,
                                   struct pairs *there)
{
    fill(wanted, c->wanted);
    fill(there, c->there);
    return (struct difference){.wanted = wanted,
                               .there = there,
                               .greeting = (const struct greeting *)&reports,
                               .doubted = c->doubted};
}

Test(difference, texts)
{
    for (size_t i = 0; i < N_CASES; i++) {
        struct pairs wanted, there;
        struct difference d = open_case(&cases[i], &wanted, &there);
        char *text = text_of(&d, false), *guarded = text_of(&d, true), expected[256];

        cr_assert_str_eq(text, cases[i].text);
        snprintf(expected, sizeof(expected), "SET exit_on_error=on;%sRESET exit_on_error",
                 cases[i].text);
        cr_assert_str_eq(guarded, expected);
        free(text);
        free(guarded);
        pairs_fini(&wanted);
        pairs_fini(&there);
    }
}

/* Nothing is known of a server that told nothing. */
Test(difference, without_a_greeting)
{
    static const char *const list[] = {"timezone", "UTC", NULL};
    struct pairs wanted, none = {0};
    struct difference d = {.wanted = &wanted, .there = &none};
    char *text;

    fill(&wanted, list);
    text = text_of(&d, false);
    cr_assert_str_eq(text, "SET \"timezone\"=E'UTC';");
    free(text);
    pairs_fini(&wanted);
}

/* However much has to be escaped, the room that was asked for is enough: text_of() asserts it. */
Test(difference, room)
{
    static const char *const bytes[] = {"'", "\\", "\xff", "a"};

    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
        for (size_t len = 0; len <= 1000; len += 250) {
            struct pairs wanted = {0}, there = {0};
            struct difference d = {.wanted = &wanted, .there = &there};
            char value[1000], name[] = "a.b";

            memset(value, bytes[i][0], sizeof(value));
            for (; name[2] < 'z'; name[2]++) {
                cr_assert(pairs_put(&wanted, span_str(name), span_of(value, len)));
                name[0] = 'x';
                cr_assert(pairs_put(&there, span_str(name), span_of(value, len)));
                name[0] = 'a';
            }
            free(text_of(&d, true));
            pairs_fini(&wanted);
            pairs_fini(&there);
        }
    }
}

/* Which change a refused statement is. */
Test(difference, nth)
{
    const char *const list[] = {"role", "r", "session_authorization", "s", "a", "1", "z",
                                "2",    NULL};
    const char *const order[] = {"a", "z", "session_authorization", "role"};
    struct pairs changes;
    struct pair pair;

    fill(&changes, list);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert(difference_nth(&changes, i, &pair));
        cr_expect(span_equal(pair.name, span_str(order[i])), "%u", i);
    }
    cr_expect_not(difference_nth(&changes, 4, &pair));
    pairs_fini(&changes);
}
