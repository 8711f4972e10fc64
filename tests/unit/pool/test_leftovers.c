/*
 * The texts of an inspection and the reader of its rows; what of it PostgreSQL must agree with is
 * in tests/postgres/inspected.py.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "../../../src/pool/leftovers.h"
#include "../../../src/pool/prepare_text.h"
#include "pgwire/build.h"
#include "pgwire/proto.h"

/* ---- texts ---- */

static const struct {
    const char *text;
    bool is_single;
} texts[] = {
    {"prepare a as select 1", true},
    {"  PREPARE a AS SELECT 1 ; ; \n", true},
    {"/* x /* ; */ */ -- ;\n PrePare\ta as select 1", true},
    {"prepare/**/a as select 1", true},
    {"prepare a as select ';'", true},
    {"prepare a as select 'it''s;'", true},
    {"prepare a as select \"x;\"\"y\" from t;", true},
    {"prepare a as select $$;$$ || $x$;$$;$x$;", true},
    {"prepare a(int) as select $1; -- ;", true},
    {"prepare a as select 1 -- ;", true},
    {"prepare a as select 1 /* ; */;", true},
    {"prepare a as select 1 /* ; */; /* ; */", true},
    {"prepare a as select E'\\''", true}, /* there is no semicolon to be mistaken for the end */
    {"prepare a as select $1::int; select 2", false},
    {"prepare a as select 1; prepare b as select 2", false},
    {"select 1; prepare a as select 1", false},
    {"prepare a as select x$$; select $$ from t", false}, /* x$$ is a name */
    {"prepare a as select $1$;$1$", false},
    {"prepare a as select '\\'; select 2 --'", false}, /* as it was with them escaping */
    {"prepare a as select E'\\';'", false},            /* conservative */
    {"prepare a as select ';x", false},
    {"prepare a as select $$;$", false},
    {"prepare a as select 1 /* ; x", false},
    {"/* never ends", false},
    {"prepared a;", false},
    {"prepare", false},
    {"", false},
    {";", false},
    {"execute a", false},
};

Test(leftovers, texts_that_may_be_run_again)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        cr_expect_eq(prepare_text_is_single(span_str(texts[i].text)), texts[i].is_single, "%s",
                     texts[i].text);
}

/* Nothing is read beyond the end, wherever that is. */
Test(leftovers, texts_that_are_cut)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        for (size_t len = 0; len < strlen(texts[i].text); len++) {
            uint8_t *cut = malloc(len + 1);

            cr_assert_not_null(cut);
            memcpy(cut, texts[i].text, len);
            (void)prepare_text_is_single(span_of(cut, len));
            free(cut);
        }
    }
}

static const char *text_of(const struct pgw_writer *w)
{
    cr_assert_not(w->full);
    cr_assert_eq(w->buf[0], PGW_F_QUERY);
    cr_assert_eq(w->buf[w->len - 1], '\0');
    return (const char *)w->buf + PGW_HEADER_LEN;
}

Test(leftovers, a_question_is_about_what_is_asked)
{
    static const char *const marks[STATE_N_KINDS] = {
        [STATE_SETTINGS] = "pg_settings",           [STATE_STATEMENTS] = "pg_prepared_statements",
        [STATE_TEMP] = "pg_my_temp_schema",         [STATE_LOCKS] = "pg_locks",
        [STATE_CHANNELS] = "pg_listening_channels", [STATE_CURSORS] = "pg_cursors",
    };
    struct pairs names = {0};
    uint8_t buf[8192];

    cr_assert(pairs_put(&names, span_str("app.x"), span_str("")));
    for (unsigned kinds = 0; kinds <= STATE_ALL; kinds++) {
        struct pgw_writer w = pgw_writer_of(buf, leftovers_question_max(kinds, &names));

        leftovers_ask(&w, kinds, &names);
        for (unsigned kind = 0; kind < STATE_N_KINDS; kind++)
            if (marks[kind] != NULL)
                cr_assert_eq(strstr(text_of(&w), marks[kind]) != NULL,
                             (kinds & STATE_BIT(kind)) != 0);
        cr_assert_eq(strstr(text_of(&w), ",('app.x')") != NULL,
                     (kinds & STATE_BIT(STATE_SETTINGS)) != 0);
    }
    pairs_fini(&names);
}

Test(leftovers, names_that_can_be_asked_about)
{
    cr_assert(leftovers_can_ask(span_str("app.tenant_id$1")));
    cr_assert(leftovers_can_ask(span_str("work_mem")));
    cr_assert_not(leftovers_can_ask(span_str("")));
    cr_assert_not(leftovers_can_ask(span_str("app.x'y")));
    cr_assert_not(leftovers_can_ask(span_str("app.x\\")));
    cr_assert_not(leftovers_can_ask(span_str("app.\xc3\xa9")));
    cr_assert_not(leftovers_can_ask(span_str("app.x y")));
}

static const struct {
    unsigned kinds;
    const char *text; /* between the guard and the end */
} cleanings[] = {
    {STATE_BIT(STATE_LOCKS), "SELECT pg_catalog.pg_advisory_unlock_all();RESET exit_on_error"},
    {STATE_BIT(STATE_TEMP) | STATE_BIT(STATE_CURSORS),
     "CLOSE ALL;DISCARD TEMP;RESET exit_on_error"},
    {STATE_BIT(STATE_STATEMENTS),
     "DEALLOCATE \"A b\";DEALLOCATE \"c\"\"\";DEALLOCATE \"d\";RESET exit_on_error"},
    {STATE_BIT(STATE_SETTINGS), "SET SESSION AUTHORIZATION DEFAULT;RESET ROLE;RESET ALL"},
    {STATE_ALL, "DISCARD SEQUENCES;CLOSE ALL;UNLISTEN *;SELECT pg_catalog.pg_advisory_unlock_all();"
                "DISCARD TEMP;DEALLOCATE \"A b\";DEALLOCATE \"c\"\"\";DEALLOCATE \"d\";"
                "SET SESSION AUTHORIZATION DEFAULT;RESET ROLE;RESET ALL"},
};

Test(leftovers, a_cleaning_has_what_is_needed_and_an_order)
{
    struct pairs dropped = {.is_exact = true}, moving = {.is_exact = true};
    uint8_t buf[8192];

    cr_assert(pairs_put(&dropped, span_str("A b"), span_str("")));
    cr_assert(pairs_put(&dropped, span_str("c\""), span_str("")));
    cr_assert(pairs_put(&moving, span_str("d"), span_str("prepare d as select 1")));
    for (size_t i = 0; i < sizeof(cleanings) / sizeof(cleanings[0]); i++) {
        struct pgw_writer w = pgw_writer_of(buf, leftovers_cleaning_max(&dropped, &moving));
        const char *text;

        leftovers_clean(&w, cleanings[i].kinds, &dropped, &moving);
        text = text_of(&w);
        cr_assert_eq(strncmp(text, "SET exit_on_error=on;", 21), 0);
        text = strstr(text, "DEFERRABLE;");
        cr_assert_not_null(text);
        cr_assert_str_eq(text + strlen("DEFERRABLE;"), cleanings[i].text);
    }
    pairs_fini(&dropped);
    pairs_fini(&moving);
}

/* ---- rows ---- */

static struct pgw_value value_of(const char *text)
{
    return text == NULL ? (struct pgw_value){.is_null = true}
                        : (struct pgw_value){.bytes = pgw_span_str(text)};
}

/* NULL: the column is. */
static enum leftovers_taken take(struct leftovers *l, const char *letter, const char *name,
                                 const char *value)
{
    const struct pgw_value values[] = {value_of(letter), value_of(name), value_of(value)};
    size_t size = 256 + strlen(name) + (value == NULL ? 0 : strlen(value));
    uint8_t *buf = malloc(size);
    struct pgw_writer w = pgw_writer_of(buf, size);
    enum leftovers_taken taken;

    cr_assert_not_null(buf);
    pgw_build_data_row(&w, values, 3);
    taken = leftovers_take(l, pgw_span_skip(pgw_writer_span(&w), PGW_HEADER_LEN), span_str("app"));
    free(buf);
    return taken;
}

static const struct {
    const char *letter, *name, *value;
    enum leftovers_taken taken;
    unsigned found; /* bits */
    unsigned n;     /* of the kind */
    bool must_reset;
} rows[] = {
    {"s", "work_mem", "3634", LEFTOVERS_TAKEN, STATE_BIT(STATE_SETTINGS), 1, false},
    {"s", "app.x", "", LEFTOVERS_TAKEN, STATE_BIT(STATE_SETTINGS), 1, false},
    {"s", "app.x", NULL, LEFTOVERS_TAKEN, STATE_BIT(STATE_SETTINGS), 1, true},
    {"s", "exit_on_error", "6f6e", LEFTOVERS_TAKEN, STATE_BIT(STATE_SETTINGS), 1, true},
    {"s", "transaction_isolation", "61", LEFTOVERS_TAKEN, 0, 0, false},
    {"s", "role", "6e6f6e65", LEFTOVERS_TAKEN, 0, 0, false},
    {"s", "role", "6e6f6e66", LEFTOVERS_TAKEN, STATE_BIT(STATE_SETTINGS), 1, false},
    {"s", "session_authorization", "617070", LEFTOVERS_TAKEN, 0, 0, false},
    {"s", "session_authorization", "617071", LEFTOVERS_TAKEN, STATE_BIT(STATE_SETTINGS), 1, false},
    {"s", "work_mem", "363", LEFTOVERS_INVALID, 0, 0, false},
    {"s", "work_mem", "6G", LEFTOVERS_INVALID, 0, 0, false},
    {"s", "work_mem", "00", LEFTOVERS_INVALID, 0, 0, false},
    {"p", "A", "prepare \"A\" as select 1", LEFTOVERS_TAKEN, STATE_BIT(STATE_STATEMENTS), 1, false},
    {"p", "A", NULL, LEFTOVERS_TAKEN, STATE_BIT(STATE_STATEMENTS), 1, false},
    {"p", "weir_7", "prepare weir_7 as select 1", LEFTOVERS_OF_OURS, 0, 0, false},
    {"t", "", "3", LEFTOVERS_TAKEN, STATE_BIT(STATE_TEMP), 3, false},
    {"l", "", "12", LEFTOVERS_TAKEN, STATE_BIT(STATE_LOCKS), 12, false},
    {"c", "", "1", LEFTOVERS_TAKEN, STATE_BIT(STATE_CHANNELS), 1, false},
    {"h", "", "999999999", LEFTOVERS_TAKEN, STATE_BIT(STATE_CURSORS), 999999999, false},
    {"h", "", "0", LEFTOVERS_TAKEN, 0, 0, false},
    {"h", "", "", LEFTOVERS_INVALID, 0, 0, false},
    {"h", "", "-1", LEFTOVERS_INVALID, 0, 0, false},
    {"h", "", "a", LEFTOVERS_INVALID, 0, 0, false},
    {"h", "", "1000000000", LEFTOVERS_INVALID, 0, 0, false},
    {"h", "", NULL, LEFTOVERS_INVALID, 0, 0, false},
    {"x", "", "1", LEFTOVERS_INVALID, 0, 0, false},
    {"ss", "work_mem", "36", LEFTOVERS_INVALID, 0, 0, false},
    {NULL, "work_mem", "36", LEFTOVERS_INVALID, 0, 0, false},
};

Test(leftovers, rows)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct leftovers l;
        unsigned n = 0;

        leftovers_init(&l);
        cr_expect_eq(take(&l, rows[i].letter, rows[i].name, rows[i].value), rows[i].taken, "%zu",
                     i);
        for (unsigned kind = 0; kind < STATE_N_KINDS; kind++)
            n += l.found.n[kind];
        cr_expect_eq(n, rows[i].n, "%zu", i);
        cr_expect_eq(l.found.found, rows[i].found, "%zu", i);
        cr_expect_eq(l.must_reset, rows[i].must_reset, "%zu", i);
        leftovers_fini(&l);
    }
}

Test(leftovers, names_of_statements_keep_their_case)
{
    struct leftovers l;
    struct span text;

    leftovers_init(&l);
    cr_assert_eq(take(&l, "p", "A", "prepare \"A\" as select 1"), LEFTOVERS_TAKEN);
    cr_assert_eq(take(&l, "p", "a", "prepare a as select 2"), LEFTOVERS_TAKEN);
    cr_assert_eq(take(&l, "p", "b", "prepare b as select 3; select 4"), LEFTOVERS_TAKEN);
    cr_assert(pairs_get(&l.found.statements, span_str("A"), &text));
    cr_assert(span_equal(text, span_str("prepare \"A\" as select 1")));
    cr_assert(pairs_has(&l.found.statements, span_str("a")));
    cr_assert(pairs_has(&l.dropped, span_str("b")));
    cr_assert_not(pairs_has(&l.found.statements, span_str("b")));
    leftovers_fini(&l);
}

/* What is by itself small enough, but too much in all. */
Test(leftovers, what_is_too_much_does_not_move)
{
    static const char prepare[] = "prepare a as select 1";
    static char value[2 * LEFTOVERS_VALUE_MAX + 1], text[LEFTOVERS_TEXT_MAX];
    struct leftovers l;

    leftovers_init(&l);
    memset(value, '6', sizeof(value) - 1);
    memset(text, ' ', sizeof(text) - 1);
    memcpy(text, prepare, sizeof(prepare) - 1);
    for (unsigned i = 0; i < 26; i++) {
        char name[] = {'a', '.', (char)('a' + i), '\0'};

        cr_assert_eq(take(&l, "s", name, value), LEFTOVERS_TAKEN);
        cr_assert_eq(take(&l, "p", name, text), LEFTOVERS_TAKEN);
    }
    cr_assert_eq(l.found.n[STATE_SETTINGS], 26);
    cr_assert_eq(l.found.n[STATE_STATEMENTS], 26);
    cr_assert(l.must_reset);
    cr_assert_lt(l.found.settings.len, LEFTOVERS_TOTAL_MAX + 16);
    cr_assert_gt(l.found.settings.len, LEFTOVERS_TOTAL_MAX - LEFTOVERS_VALUE_MAX - 16);
    cr_assert_lt(l.found.statements.len, LEFTOVERS_TOTAL_MAX + 16);
    cr_assert_gt(l.dropped.len, 0);
    leftovers_fini(&l);
}
