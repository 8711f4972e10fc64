/*
 * Texts and reader of an inspection; see leftovers.h. Sources: PostgreSQL documentation, 54 "System
 * Views", 9.26, 9.27; guc.c, prepare.c and namespace.c of PostgreSQL 15.
 */
#include "leftovers.h"

#include <string.h>

#include "pgwire/message_backend.h"
#include "pgwire/proto.h"
#include "weir/auth/wire.h"
#include "weir/pool/settable.h"
#include "weir/pool/statements.h"

#include "prepare_text.h"

#define STRINGIZED(x) #x
#define STRING(x) STRINGIZED(x)

/* Every row has three columns: a letter that says what it is, a name, a value. Values of settings
 * come as the hexadecimal of their bytes, so that client_encoding cannot change them. */
#define HEX(value)                                                                                 \
    "CASE WHEN pg_catalog.octet_length(" value ") OPERATOR(pg_catalog.<=) " STRING(                \
        LEFTOVERS_VALUE_MAX) " THEN "                                                              \
                             "pg_catalog.encode(pg_catalog.convert_to(" value                      \
                             ",pg_catalog.getdatabaseencoding()),'hex') END"
#define COUNT(letter) "SELECT '" letter "','',pg_catalog.count(*)::pg_catalog.text FROM "

#define FRAME_MAX 256 /* of a message, and what stands in front of and behind its parts */
#define NAME_MAX_LEN 128

static const char begin[] = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED,NOT DEFERRABLE;";

/* What is set in this session, then what is asked about by name. Extensions' own parameters are in
 * both; the second spells out units. */
static const char by_name_begin[] =
    "SELECT 's',a," HEX("b") " FROM (SELECT 'session_authorization'::pg_catalog.text AS "
                             "a,session_user::pg_catalog.text AS b"
                             " UNION ALL SELECT c,pg_catalog.current_setting(c,true) FROM (VALUES "
                             "('role'::pg_catalog.text)";
static const char by_name_end[] = ") AS d(c)) AS e WHERE b IS NOT NULL;";
static const char settings_question[] =
    "SELECT 's',name," HEX("setting") " FROM pg_catalog.pg_settings"
                                      " WHERE source OPERATOR(pg_catalog.=) 'session';";

/* Of the temporary schema, what depends on it is what DISCARD TEMP drops: an index knows that. */
static const char *const questions[STATE_N_KINDS] = {
    [STATE_SETTINGS] = settings_question,
    [STATE_STATEMENTS] =
        "SELECT 'p',name,CASE WHEN pg_catalog.octet_length(statement)"
        " OPERATOR(pg_catalog.<=) " STRING(
            LEFTOVERS_TEXT_MAX) " THEN statement END"
                                " FROM pg_catalog.pg_prepared_statements WHERE from_sql;",
    [STATE_TEMP] =
        COUNT("t") "pg_catalog.pg_depend WHERE refclassid OPERATOR(pg_catalog.=)"
                   " 'pg_catalog.pg_namespace'::pg_catalog.regclass"
                   " AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema();",
    [STATE_LOCKS] =
        COUNT("l") "pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory'"
                   " AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid();",
    [STATE_CHANNELS] = COUNT("c") "pg_catalog.pg_listening_channels();",
    [STATE_CURSORS] = COUNT("h") "pg_catalog.pg_cursors WHERE is_holdable;",
};

void leftovers_init(struct leftovers *l)
{
    *l = (struct leftovers){.found.statements.is_exact = true, .dropped.is_exact = true};
}

void leftovers_fini(struct leftovers *l)
{
    pairs_fini(&l->found.settings);
    pairs_fini(&l->found.statements);
    pairs_fini(&l->dropped);
}

/* ---- writing ---- */

static void write(struct pgw_writer *w, const char *text)
{
    pgw_writer_bytes(w, pgw_span_str(text));
}

/* Between quotes, which are doubled within. Neither quote is ever a part of a longer letter. */
static void write_quoted(struct pgw_writer *w, struct span text, uint8_t quote)
{
    pgw_writer_u8(w, quote);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == quote)
            pgw_writer_u8(w, quote);
        pgw_writer_u8(w, text.ptr[i]);
    }
    pgw_writer_u8(w, quote);
}

bool leftovers_can_ask(struct span name)
{
    if (name.len == 0 || name.len > NAME_MAX_LEN)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] <= ' ' || name.ptr[i] > '~' || name.ptr[i] == '\\' || name.ptr[i] == '\'')
            return false;
    return true;
}

static void write_names(struct pgw_writer *w, const struct pairs *set)
{
    struct pair pair;
    size_t at = 0;

    write(w, by_name_begin);
    while (pairs_next(set, &at, &pair)) {
        write(w, ",(");
        write_quoted(w, pair.name, '\'');
        write(w, ")");
    }
    write(w, by_name_end);
}

size_t leftovers_question_max(unsigned kinds, const struct pairs *names)
{
    size_t len = FRAME_MAX + sizeof(by_name_begin) + sizeof(by_name_end);
    struct pair pair;
    size_t at = 0;

    for (unsigned kind = 0; kind < STATE_N_KINDS; kind++)
        if ((kinds & LEFTOVERS_ASKED & STATE_BIT(kind)) != 0)
            len += strlen(questions[kind]);
    while (pairs_next(names, &at, &pair))
        len += pair.name.len + sizeof(",('')");
    return len;
}

void leftovers_ask(struct pgw_writer *w, unsigned kinds, const struct pairs *names)
{
    pgw_writer_begin(w, PGW_F_QUERY);
    write(w, begin);
    if ((kinds & STATE_BIT(STATE_SETTINGS)) != 0)
        write_names(w, names);
    for (unsigned kind = 0; kind < STATE_N_KINDS; kind++)
        if ((kinds & LEFTOVERS_ASKED & STATE_BIT(kind)) != 0)
            write(w, questions[kind]);
    pgw_writer_u8(w, '\0');
    pgw_writer_end(w);
}

static size_t names_max(const struct pairs *set)
{
    struct pair pair;
    size_t at = 0, len = 0;

    while (pairs_next(set, &at, &pair))
        len += 2 * pair.name.len + sizeof("DEALLOCATE \"\";");
    return len;
}

static void deallocate(struct pgw_writer *w, const struct pairs *set)
{
    struct pair pair;
    size_t at = 0;

    while (pairs_next(set, &at, &pair)) {
        write(w, "DEALLOCATE ");
        write_quoted(w, pair.name, '"');
        write(w, ";");
    }
}

/* In their order; settings come last, since that resets what the others need. */
static const char *const cleanings[STATE_N_KINDS] = {
    [STATE_TEMP] = "DISCARD TEMP;",
    [STATE_LOCKS] = "SELECT pg_catalog.pg_advisory_unlock_all();",
    [STATE_CHANNELS] = "UNLISTEN *;",
    [STATE_CURSORS] = "CLOSE ALL;",
    [STATE_SEQUENCES] = "DISCARD SEQUENCES;",
};

static const char guard[] = "SET exit_on_error=on;SET LOCAL statement_timeout=0;";
static const char reset_settings[] = "SET SESSION AUTHORIZATION DEFAULT;RESET ROLE;RESET ALL";

size_t leftovers_cleaning_max(const struct pairs *statements, const struct pairs *more)
{
    size_t len = FRAME_MAX + sizeof(guard) + sizeof(reset_settings);

    for (unsigned kind = 0; kind < STATE_N_KINDS; kind++)
        if (cleanings[kind] != NULL)
            len += strlen(cleanings[kind]);
    return len + names_max(statements) + names_max(more);
}

/* A cursor may be of a temporary table: cursors first. */
void leftovers_clean(struct pgw_writer *w, unsigned kinds, const struct pairs *statements,
                     const struct pairs *more)
{
    pgw_writer_begin(w, PGW_F_QUERY);
    write(w, guard);
    write(w, begin);
    for (unsigned i = STATE_N_KINDS; i-- > 0;)
        if ((kinds & STATE_BIT(i)) != 0 && cleanings[i] != NULL)
            write(w, cleanings[i]);
    if ((kinds & STATE_BIT(STATE_STATEMENTS)) != 0) {
        deallocate(w, statements);
        deallocate(w, more);
    }
    write(w, (kinds & STATE_BIT(STATE_SETTINGS)) != 0 ? reset_settings : "RESET exit_on_error");
    pgw_writer_u8(w, '\0');
    pgw_writer_end(w);
}

/* ---- reading ---- */

struct row {
    uint8_t letter;
    struct span name, value;
    bool is_null; /* the value: it is too long */
};

static bool has_nul(struct pgw_span s)
{
    return s.len > 0 && memchr(s.ptr, '\0', s.len) != NULL;
}

static bool read_row(struct pgw_span body, struct row *out)
{
    struct pgw_data_row row;
    struct pgw_value letter, name, value;

    if (pgw_read_data_row(body, &row) != PGW_READY || row.n_values != 3 ||
        !pgw_value_next(&row.values, &letter) || !pgw_value_next(&row.values, &name) ||
        !pgw_value_next(&row.values, &value))
        return false;
    if (letter.bytes.len != 1 || name.is_null || has_nul(name.bytes) || has_nul(value.bytes))
        return false;
    *out =
        (struct row){letter.bytes.ptr[0], span_in(name.bytes), span_in(value.bytes), value.is_null};
    return true;
}

static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* False: it is none, or would not fit. No value has a NUL. */
static bool read_hex(struct span text, uint8_t out[LEFTOVERS_VALUE_MAX], size_t *len)
{
    if (text.len % 2 != 0 || text.len / 2 > LEFTOVERS_VALUE_MAX)
        return false;
    for (size_t i = 0; i < text.len / 2; i++) {
        int high = digit(text.ptr[2 * i]), low = digit(text.ptr[2 * i + 1]);

        if (high < 0 || low < 0 || (high == 0 && low == 0))
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    *len = text.len / 2;
    return true;
}

static bool is(struct span name, const char *text)
{
    return pairs_compare(name, span_str(text)) == 0;
}

/* Is it there in every session? */
static bool is_as_at_login(struct span name, struct span value, struct span login)
{
    if (is(name, "role"))
        return span_equal(value, span_str("none"));
    if (is(name, "session_authorization"))
        return span_equal(value, login);
    return !settable_has(name) && !settable_is_of_pool(name) && !is(name, "exit_on_error");
}

static bool has_room(const struct pairs *set, struct span name, struct span value)
{
    return set->len + name.len + value.len <= LEFTOVERS_TOTAL_MAX;
}

static enum leftovers_taken take_setting(struct leftovers *l, const struct row *row,
                                         struct span login)
{
    struct inspect_found *f = &l->found;
    uint8_t bytes[LEFTOVERS_VALUE_MAX];
    struct span value;
    size_t len;

    if (!read_hex(row->value, bytes, &len))
        return LEFTOVERS_INVALID;
    value = span_of(bytes, len);
    if (is_as_at_login(row->name, value, login))
        return LEFTOVERS_TAKEN;
    f->found |= STATE_BIT(STATE_SETTINGS);
    if (!pairs_has(&f->settings, row->name))
        f->n[STATE_SETTINGS]++;
    if (row->is_null || is(row->name, "exit_on_error") || settable_is_of_pool(row->name) ||
        !has_room(&f->settings, row->name, value)) {
        l->must_reset = true;
        return LEFTOVERS_TAKEN;
    }
    return pairs_put(&f->settings, row->name, value) ? LEFTOVERS_TAKEN : LEFTOVERS_NO_MEMORY;
}

static enum leftovers_taken take_statement(struct leftovers *l, const struct row *row)
{
    struct inspect_found *f = &l->found;
    bool moves = !row->is_null && has_room(&f->statements, row->name, row->value) &&
                 prepare_text_is_single(row->value);

    if (row->name.len >= strlen(STATEMENT_NAME_PREFIX) &&
        memcmp(row->name.ptr, STATEMENT_NAME_PREFIX, strlen(STATEMENT_NAME_PREFIX)) == 0)
        return LEFTOVERS_OF_OURS;
    f->found |= STATE_BIT(STATE_STATEMENTS);
    if (++f->n[STATE_STATEMENTS] > LEFTOVERS_STATEMENTS_MAX)
        return LEFTOVERS_TOO_MANY;
    if (!pairs_put(moves ? &f->statements : &l->dropped, row->name,
                   moves ? row->value : span_str("")))
        return LEFTOVERS_NO_MEMORY;
    return LEFTOVERS_TAKEN;
}

static enum leftovers_taken take_count(struct leftovers *l, const struct row *row,
                                       enum state_kind kind)
{
    unsigned n = 0;

    if (row->is_null || row->value.len == 0 || row->value.len > 9)
        return LEFTOVERS_INVALID;
    for (size_t i = 0; i < row->value.len; i++) {
        int d = digit(row->value.ptr[i]);

        if (d < 0 || d > 9)
            return LEFTOVERS_INVALID;
        n = n * 10 + (unsigned)d;
    }
    l->found.n[kind] = n;
    if (n > 0)
        l->found.found |= STATE_BIT(kind);
    return LEFTOVERS_TAKEN;
}

enum leftovers_taken leftovers_take(struct leftovers *l, struct pgw_span body, struct span login)
{
    struct row row;

    if (!read_row(body, &row))
        return LEFTOVERS_INVALID;
    switch (row.letter) {
    case 's':
        return take_setting(l, &row, login);
    case 'p':
        return take_statement(l, &row);
    case 't':
        return take_count(l, &row, STATE_TEMP);
    case 'l':
        return take_count(l, &row, STATE_LOCKS);
    case 'c':
        return take_count(l, &row, STATE_CHANNELS);
    case 'h':
        return take_count(l, &row, STATE_CURSORS);
    default:
        return LEFTOVERS_INVALID;
    }
}
