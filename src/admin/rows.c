/*
 * A message that does not fit is left out by the writer as a whole; so the block grows and the
 * message is built again.
 */
#include "rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "pgwire/build.h"
#include "weir/base/clock.h"

#define SIZE_MIN ((size_t)8 << 10)

/* OIDs of pg_type */
#define TYPE_INT8 20

/* Sets error where it cannot. */
static void grow(struct rows *rs)
{
    size_t size = rs->w.size > 0 ? 2 * rs->w.size : SIZE_MIN;
    struct rows_block *block;

    if (size > ROWS_SIZE_MAX) {
        rs->error = -E2BIG;
        return;
    }
    block = realloc(rs->block, sizeof(*block) + size);
    if (block == NULL) {
        rs->error = -ENOMEM;
        return;
    }
    rs->block = block;
    rs->w.buf = block->bytes;
    rs->w.size = size;
    rs->w.full = false;
}

static void build_description(struct pgw_writer *w, const void *of)
{
    const struct rows_column *columns = of;
    struct pgw_column out[ROWS_COLUMNS_MAX];
    uint16_t n = 0;

    for (; columns[n].name != NULL; n++) {
        ASSERT(n < ROWS_COLUMNS_MAX);
        out[n] = pgw_column_text(columns[n].name);
        if (columns[n].type == ROWS_NUMBER) {
            out[n].type = TYPE_INT8;
            out[n].type_len = sizeof(int64_t);
        }
    }
    pgw_build_row_description(w, out, n);
}

static void build_row(struct pgw_writer *w, const void *of)
{
    const struct row *r = of;

    pgw_build_data_row(w, r->values, r->n);
}

static void build_end(struct pgw_writer *w, const void *of)
{
    pgw_build_command_complete(w, pgw_span_str(of));
    pgw_build_ready_for_query(w, PGW_TX_IDLE);
}

/* Tries until it fits. What a try has built of several messages is taken back. */
static void build(struct rows *rs, void (*message)(struct pgw_writer *w, const void *of),
                  const void *of)
{
    size_t len = rs->w.len;

    if (rs->w.size == 0)
        grow(rs);
    while (rs->error == 0) {
        message(&rs->w, of);
        if (!rs->w.full)
            return;
        rs->w.len = len;
        grow(rs);
    }
}

void rows_begin(struct rows *rs, const struct rows_column *columns)
{
    build(rs, build_description, columns);
}

void rows_add(struct rows *rs, const struct row *r)
{
    build(rs, build_row, r);
}

void rows_end(struct rows *rs, const char *tag)
{
    build(rs, build_end, tag);
}

struct rows_block *rows_take(struct rows *rs, size_t *len)
{
    struct rows_block *block = rs->block;

    ASSERT(rs->error == 0 && block != NULL);
    *len = rs->w.len;
    *rs = (struct rows){0};
    return block;
}

void rows_fini(struct rows *rs)
{
    free(rs->block);
    *rs = (struct rows){0};
}

static void add_value(struct row *r, struct pgw_span bytes)
{
    ASSERT(r->n < ROWS_COLUMNS_MAX);
    r->values[r->n++] = (struct pgw_value){.bytes = bytes};
}

void row_text(struct row *r, const char *text)
{
    add_value(r, pgw_span_str(text));
}

/* Text that the row keeps itself: at most 20 digits and a letter, or a time. */
static void PRINTF_LIKE(2, 3) add_printed(struct row *r, const char *format, ...)
{
    char *at = r->text + r->n_text;
    size_t room = sizeof(r->text) - r->n_text;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(at, room, format, args);
    va_end(args);
    ASSERT(n >= 0 && (size_t)n < room);
    r->n_text = (uint16_t)(r->n_text + n);
    add_value(r, pgw_span_of(at, (size_t)n));
}

void row_number(struct row *r, uint64_t number)
{
    add_printed(r, "%" PRIu64, number);
}

void row_id(struct row *r, char kind, uint64_t id)
{
    if (id == 0)
        row_text(r, "");
    else
        add_printed(r, "%c%" PRIu64, kind, id);
}

void row_time(struct row *r, uint64_t at_ns)
{
    char text[CLOCK_TEXT_SIZE];

    clock_text(clock_wall_ns() - (clock_now_ns() - at_ns), text);
    add_printed(r, "%s", text);
}
