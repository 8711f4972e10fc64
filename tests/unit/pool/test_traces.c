/* What texts and tags may leave behind, whole and cut at every byte. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "weir/pool/traces.h"

#define TEMP STATE_BIT(STATE_TEMP)
#define LOCKS STATE_BIT(STATE_LOCKS)
#define CURSORS STATE_BIT(STATE_CURSORS)
#define SETTINGS STATE_BIT(STATE_SETTINGS)
#define CONFIG (SETTINGS | TEMP | TRACE_SETS | TRACE_NAMES)
#define SET (TRACE_SETS | TRACE_NAMES)
#define HIDDEN (LOCKS | CONFIG | TRACE_SEQUENCES)

static const struct {
    const char *text;
    unsigned traces;
} texts[] = {
    {"", 0},
    {"select 1", 0},
    {"select tempt, settle, pg_advisory_xact_lock(1), a_set, set_, \"setter\", do1 from reset", 0},
    {"update t set a = 1", 0},
    {"update t\n  set a = 1", 0},
    {"insert into readings (temp) values (1)", 0},
    {"create table t (temp int)", 0},
    {"select hold from t", 0},
    {"set a = 1", SET},
    {"SET a = 1", SET},
    {" \t\n\f\v\rSeT\ta=1", SET},
    {"select 1;set a=1", SET},
    {";;;set a=1", SET},
    {"/* x */ set a = 1", SET},
    {"/* a /* b */ c */set a = 1", SET},
    {"-- x\nset a = 1", SET},
    {"-- x\rset a = 1", SET},
    {"--\n--\nset a = 1", SET},
    {"/*/ set */ set a = 1", SET},
    {"select '/*'; set a = 1", SET},
    {"reset all", TRACE_SETS | TRACE_RESETS},
    {"discard all", TRACE_SETS | TRACE_RESETS},
    {"do $$ begin end $$", TRACE_SETS},
    {"call p()", TRACE_SETS},
    {"begin; call p()", TRACE_SETS},
    {"select set_config('a', 'b', false)", CONFIG},
    {"select pg_catalog.SET_CONFIG('a', 'b', false)", CONFIG},
    {"select \"set_config\"('a', 'b', false)", CONFIG},
    {"select pg_advisory_lock(1)", LOCKS},
    {"select PG_ADVISORY_LOCK_SHARED(1, 2)", LOCKS},
    {"select pg_try_advisory_lock(1)", LOCKS},
    {"select pg_try_advisory_lock_shared(1)", LOCKS},
    {"select pg_try_advisory_lock_sharedx(1)", 0},
    {"create temp table a ()", TEMP},
    {"CREATE TEMPORARY VIEW a AS select 1", TEMP},
    {"create or replace\n temp view a as select 1", TEMP},
    {"create local temp table a ()", TEMP},
    {"create global temporary table a ()", TEMP},
    {"select 1 into temp a", TEMP},
    {"create /* x */ temp table a ()", TEMP},
    {"create -- x\n temp table a ()", TEMP},
    {"create table pg_temp.a ()", TEMP},
    {"create table \"pg_temp\".a ()", TEMP},
    {"create table pg_temp_17.a ()", TEMP},
    {"declare a cursor with hold for select 1", CURSORS},
    {"declare a cursor with/**/hold for select 1", CURSORS},
    {"prepare a as select 1", TRACE_PREPARES},
    {"explain execute a", TRACE_EXECUTES},
    {"select lastval()", TRACE_SEQUENCES},
    {"select currval('s'), nextval('s')", TRACE_SEQUENCES},
    {"prepare a as select set_config('a', $1, false)", TRACE_PREPARES | CONFIG},
    {"create table U&\"pg\\005ftemp\".a ()", HIDDEN},
    {"select(u&\"lastva\\006c\"())", HIDDEN},
    {"select u & 1, a.u, menu&1, u+1, au&1", 0},
    {"create temp table a (); select pg_advisory_lock(1); set a = 1", TEMP | LOCKS | SET},
};

static struct span text_of(const char *text)
{
    return span_of(text, strlen(text) + 1);
}

Test(traces, texts)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        cr_expect_eq(traces_of_text(text_of(texts[i].text)), texts[i].traces, "%s: %x",
                     texts[i].text, traces_of_text(text_of(texts[i].text)));
}

Test(traces, texts_in_pieces)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct span all = text_of(texts[i].text);
        struct traces by_byte = {0};

        for (size_t at = 0; at <= all.len; at++) {
            struct traces t = {0};

            traces_scan(&t, span_of(all.ptr, at));
            traces_scan(&t, span_skip(all, at));
            cr_expect_eq(t.found, texts[i].traces, "%s, cut at %zu", texts[i].text, at);
            if (at < all.len)
                traces_scan(&by_byte, span_of(all.ptr + at, 1));
        }
        cr_expect_eq(by_byte.found, texts[i].traces, "%s, byte by byte", texts[i].text);
    }
}

Test(traces, tags)
{
    static const struct {
        const char *tag;
        unsigned traces;
    } cases[] = {
        {"SET", SETTINGS},
        {"RESET", SETTINGS},
        {"LISTEN", STATE_BIT(STATE_CHANNELS)},
        {"PREPARE", STATE_BIT(STATE_STATEMENTS)},
        {"DEALLOCATE", STATE_BIT(STATE_STATEMENTS)},
        {"DO", STATE_ALL & ~STATE_BIT(STATE_SEQUENCES)},
        {"CALL", STATE_ALL & ~STATE_BIT(STATE_SEQUENCES)},
        {"SET CONSTRAINTS", 0},
        {"DEALLOCATE ALL", 0},
        {"SELECT 1", 0},
        {"", 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(traces_of_tag(text_of(cases[i].tag)), cases[i].traces, "%s", cases[i].tag);
    cr_expect_eq(traces_of_tag(span_of("SE", 2)), 0);
}

Test(traces, calls)
{
    static const struct {
        uint32_t from, to;
        unsigned traces;
    } cases[] = {
        {0, 0, HIDDEN},       {1, 1574, 0},    {1575, 1575, TRACE_SEQUENCES}, {1576, 2077, 0},
        {2078, 2078, CONFIG}, {2079, 2558, 0}, {2559, 2559, TRACE_SEQUENCES}, {2560, 2879, 0},
        {2880, 2883, LOCKS},  {2884, 2885, 0}, {2886, 2889, LOCKS},           {2890, 20000, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (uint32_t oid = cases[i].from; oid <= cases[i].to; oid++)
            cr_expect_eq(traces_of_call(oid), cases[i].traces, "%u", oid);
}

Test(traces, one_set)
{
    static const struct {
        const char *text, *name; /* "": local; NULL: none */
    } cases[] = {
        {"set application_name = 'x'", "application_name"},
        {" SET\nSESSION TimeZone TO 'x' ; ", "TimeZone"},
        {"set time zone 'x'", "timezone"},
        {"set session time zone 'x'", "timezone"},
        {"set time = 1", "time"},
        {"set names 'x'", "client_encoding"},
        {"set local a = 1", ""},
        {"set transaction read only", ""},
        {"set constraints all deferred", ""},
        {"set session characteristics as transaction read only", "characteristics"},
        {"set session authorization x", "authorization"},
        {"set a = 'x;y'", NULL},
        {"set local a = 1; set b = 1", NULL},
        {"set local a = 1;/**/", NULL},
        {"set", NULL},
        {"set \"TimeZone\" = 'x'", NULL},
        {"/**/ set local a = 1", NULL},
        {"select 1", NULL},
        {"", NULL},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct span name = span_str("");
        enum traces_set set = traces_of_set(text_of(cases[i].text), &name);

        cr_expect_eq(set,
                     cases[i].name == NULL      ? TRACES_NO_SET
                     : cases[i].name[0] == '\0' ? TRACES_LOCAL
                                                : TRACES_NAME,
                     "%s: %d", cases[i].text, (int)set);
        if (set == TRACES_NAME)
            cr_expect(span_equal(name, span_str(cases[i].name)), "%s", cases[i].text);
    }
}

/* The names, each with a space behind it. */
static bool names_are(const struct pairs *p, const char *wanted)
{
    char got[256] = "";
    struct pair pair;

    for (size_t at = 0; pairs_next(p, &at, &pair);) {
        strncat(got, (const char *)pair.name.ptr, pair.name.len);
        strncat(got, " ", 2);
    }
    return strcmp(got, wanted) == 0;
}

Test(traces, names)
{
    static const struct {
        const char *text, *names;
        bool all;
    } cases[] = {
        {"set a = 1", "", true},
        {"set App.Tenant = 1", "app.tenant ", true},
        {"set session a . b to 1; set local c.d = 2", "a.b c.d ", true},
        {"set local.x = 1; set session.y = 1", "local.x session.y ", true},
        {"set \"a\".\"B c\" = 1", "a.b c ", true},
        {"set \"a\"\"b\".c = 1", "", false},
        {"set \"a.b", "", false},
        {"set /**/ a.b = 1", "", false},
        {"update t set a = b.c", "", true},
        {"update t set (a, b) = (1, 2)", "", false},
        {"select set_config('a.b', $1, true), set_config ( 'c.d' , 'x', false)", "a.b c.d ", true},
        {"select set_config('search_path', 'x', false)", "", true},
        {"select set_config($1, $2, false)", "", false},
        {"select set_config('a' || '.b', 'x', false)", "", false},
        {"select set_config(E'a.b', 'x', false)", "", false},
        {"select set_config('a''.b', 'x', false)", "", false},
        {"select set_config", "", false},
        {"select set_config('a.b", "", false},
        {"set", "", false},
        {"select U&\"set\\005fconfig\"('a.b', 'x', false)", "", false},
        {"set a.b = U&'x'", "a.b ", false},
        {"select set_config('a.b', u, false)", "a.b ", true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pairs names = {0};

        cr_expect_eq(traces_names(text_of(cases[i].text), &names), cases[i].all, "%s",
                     cases[i].text);
        cr_expect(names_are(&names, cases[i].names), "%s: %.*s", cases[i].text, (int)names.len,
                  (char *)names.bytes);
        pairs_fini(&names);
    }
}

/* There is a bound on what one text makes us remember. */
Test(traces, many_names)
{
    struct pairs names = {0};
    char text[20000];
    size_t len = 0;

    for (unsigned i = 0; i < 1000; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "set a.n%u=1;", i);
    cr_expect_not(traces_names(text_of(text), &names));
    cr_expect_leq(names.len, 4096);
    pairs_fini(&names);
}
