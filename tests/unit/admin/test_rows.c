/* Answers of rows: what a client reads is what was put in, whatever they grow to. */
#include "rows.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgwire/frame.h"
#include "pgwire/message_backend.h"
#include "pgwire/rule.h"
#include "pgwire/status.h"
#include "weir/base/clock.h"

static const struct rows_column columns[] = {
    {.name = "name", .type = ROWS_TEXT},
    {.name = "size", .type = ROWS_NUMBER},
    {.name = NULL},
};

static struct pgw_frame next_message(struct pgw_span *in, uint8_t type)
{
    struct pgw_frame frame;

    cr_assert_eq(pgw_frame_next(pgw_backend_rules, in, &frame), PGW_READY);
    cr_assert_eq(frame.type, type, "%c", frame.type);
    return frame;
}

static void expect_columns(struct pgw_span body)
{
    struct pgw_row_description d;
    struct pgw_column c;

    cr_assert_eq(pgw_read_row_description(body, &d), PGW_READY);
    cr_assert_eq(d.n_columns, 2);
    cr_assert(pgw_column_next(&d.columns, &c));
    cr_expect(pgw_span_is(c.name, "name") && c.type == 25 && c.type_len == -1);
    cr_assert(pgw_column_next(&d.columns, &c));
    cr_expect(pgw_span_is(c.name, "size") && c.type == 20 && c.type_len == 8);
}

static void expect_row(struct pgw_span body, const char *text, const char *number)
{
    struct pgw_data_row row;
    struct pgw_value v;

    cr_assert_eq(pgw_read_data_row(body, &row), PGW_READY);
    cr_assert_eq(row.n_values, 2);
    cr_assert(pgw_value_next(&row.values, &v));
    cr_expect(!v.is_null && pgw_span_is(v.bytes, text), "%.*s", (int)v.bytes.len, v.bytes.ptr);
    cr_assert(pgw_value_next(&row.values, &v));
    cr_expect(!v.is_null && pgw_span_is(v.bytes, number), "%.*s", (int)v.bytes.len, v.bytes.ptr);
}

static void add(struct rows *rs, const char *text, uint64_t number)
{
    struct row r = {.n = 0};

    row_text(&r, text);
    row_number(&r, number);
    rows_add(rs, &r);
}

/* As many as need the block to grow several times. */
Test(rows, many)
{
    enum { N = 20000 };
    struct rows rs = {.error = 0};
    char text[32];
    size_t len;

    rows_begin(&rs, columns);
    for (unsigned i = 0; i < N; i++) {
        snprintf(text, sizeof(text), "row %u", i);
        add(&rs, text, i);
    }
    rows_end(&rs, "SHOW");
    cr_assert_eq(rs.error, 0);

    struct rows_block *block = rows_take(&rs, &len);
    struct pgw_span in = pgw_span_of(block->bytes, len);
    struct pgw_tag tag;
    enum pgw_tx_status status;

    expect_columns(next_message(&in, PGW_B_ROW_DESCRIPTION).body);
    for (unsigned i = 0; i < N; i++) {
        char number[16];

        snprintf(text, sizeof(text), "row %u", i);
        snprintf(number, sizeof(number), "%u", i);
        expect_row(next_message(&in, PGW_B_DATA_ROW).body, text, number);
    }
    cr_assert_eq(pgw_read_command_complete(next_message(&in, PGW_B_COMMAND_COMPLETE).body, &tag),
                 PGW_READY);
    cr_expect(pgw_span_is(tag.text, "SHOW"));
    cr_assert_eq(pgw_read_ready_for_query(next_message(&in, PGW_B_READY_FOR_QUERY).body, &status),
                 PGW_READY);
    cr_expect_eq(status, PGW_TX_IDLE);
    cr_expect_eq(in.len, 0);
    free(block);
    rows_fini(&rs); /* nothing is left */
}

/* The end of an answer comes to lie at every place around the end of the block's first size: what
 * was built twice is there once. */
Test(rows, every_place_of_the_end)
{
    char text[128];

    for (size_t n = 0; n < sizeof(text); n++) {
        size_t row_len = 5 + 2 + 4 + n + 4 + 1;
        struct rows rs = {.error = 0};
        size_t len;

        memset(text, 'x', n);
        text[n] = '\0';
        rows_begin(&rs, columns);
        while (rs.w.size - rs.w.len >= row_len)
            add(&rs, text, 7);
        rows_end(&rs, "SHOW");
        cr_assert_eq(rs.error, 0);

        struct rows_block *block = rows_take(&rs, &len);
        struct pgw_span in = pgw_span_of(block->bytes, len);
        struct pgw_frame frame = next_message(&in, PGW_B_ROW_DESCRIPTION);

        while (pgw_frame_next(pgw_backend_rules, &in, &frame) == PGW_READY &&
               frame.type == PGW_B_DATA_ROW)
            expect_row(frame.body, text, "7");
        cr_expect_eq(frame.type, PGW_B_COMMAND_COMPLETE);
        (void)next_message(&in, PGW_B_READY_FOR_QUERY);
        cr_expect_eq(in.len, 0);
        free(block);
    }
}

Test(rows, too_large)
{
    static char text[1 << 20];
    struct rows rs = {.error = 0};

    memset(text, 'x', sizeof(text) - 1);
    rows_begin(&rs, columns);
    for (unsigned i = 0; i < 40; i++)
        add(&rs, text, i);
    cr_expect_eq(rs.error, -E2BIG);
    rows_end(&rs, "SHOW");
    cr_expect_eq(rs.error, -E2BIG);
    rows_fini(&rs);
}

static void expect_value(const struct row *r, size_t i, const char *text)
{
    struct pgw_span bytes = r->values[i].bytes;

    cr_expect(pgw_span_is(bytes, text), "%zu: \"%.*s\"", i, (int)bytes.len, bytes.ptr);
}

Test(rows, values)
{
    struct row r = {.n = 0};
    char now[CLOCK_TEXT_SIZE], a_minute_ago[CLOCK_TEXT_SIZE];

    row_text(&r, "");
    row_number(&r, 0);
    row_number(&r, UINT64_MAX);
    row_id(&r, 'c', 17);
    row_id(&r, 's', 0);
    row_id(&r, 's', UINT64_MAX);
    expect_value(&r, 0, "");
    expect_value(&r, 1, "0");
    expect_value(&r, 2, "18446744073709551615");
    expect_value(&r, 3, "c17");
    expect_value(&r, 4, "");
    expect_value(&r, 5, "s18446744073709551615");

    clock_text(clock_wall_ns() - 60 * NS_PER_S, a_minute_ago);
    row_time(&r, clock_now_ns() - 60 * NS_PER_S);
    clock_text(clock_wall_ns() - 59 * NS_PER_S, now);
    cr_expect_eq(r.n, 7);

    struct pgw_span time = r.values[6].bytes;

    cr_assert_eq(time.len, strlen(now));
    cr_expect(memcmp(time.ptr, a_minute_ago, time.len) >= 0);
    cr_expect(memcmp(time.ptr, now, time.len) <= 0);
}

Test(rows, as_many_columns_as_there_can_be)
{
    struct row r = {.n = 0};

    for (unsigned i = 0; i < ROWS_COLUMNS_MAX; i++)
        row_id(&r, 'c', UINT64_MAX);
    for (unsigned i = 0; i < ROWS_COLUMNS_MAX; i++)
        expect_value(&r, i, "c18446744073709551615");
}
