/*
 * An answer being put together: DataRow messages in one growing block of bounded size, in front of
 * them a RowDescription, behind them CommandComplete and ReadyForQuery.
 *
 * Runs on: one thread at a time; a round carries it from one to the next.
 */
#ifndef WEIR_ADMIN_ROWS_H
#define WEIR_ADMIN_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "pgwire/value.h"
#include "pgwire/writer.h"
#include "weir/base/check.h"
#include "weir/pool/thread.h"

enum rows_type { ROWS_TEXT, ROWS_NUMBER }; /* PostgreSQL's text and int8 */

struct rows_column {
    const char *name; /* NULL: the end of a list */
    enum rows_type type;
    /* For rows that are made from the table: the struct that has the number, and where. */
    unsigned source;
    size_t offset;
};

#define ROWS_COLUMNS_MAX 48
#define ROWS_SIZE_MAX ((size_t)32 << 20)

/* What rows are built in. */
struct rows_block {
    struct letter letter; /* for whoever has taken the block */
    uint8_t bytes[];
};

/* Zeroed: nothing yet. */
struct rows {
    struct rows_block *block;
    struct pgw_writer w; /* into the block */
    int error;           /* -ENOMEM, or -E2BIG: over ROWS_SIZE_MAX; what was built is of no use */
};

/* One row: values in the order of the columns. Texts live until rows_add(). Zeroed: empty. */
struct row {
    struct pgw_value values[ROWS_COLUMNS_MAX];
    uint16_t n;
    uint16_t n_text;
    char text[ROWS_COLUMNS_MAX * 24]; /* of numbers, ids and times */
};

void rows_begin(struct rows *rs, const struct rows_column *columns);
void rows_add(struct rows *rs, const struct row *r);
void rows_end(struct rows *rs, const char *tag);

/* Hands what was built, *len bytes, to the caller, who frees it with free(). Not after an error. */
NODISCARD struct rows_block *rows_take(struct rows *rs, size_t *len);

void rows_fini(struct rows *rs);

void row_text(struct row *r, const char *text);
void row_number(struct row *r, uint64_t number);

/* An id as the log writes it, "c17"; empty where it is 0. */
void row_id(struct row *r, char kind, uint64_t id);

/* The time of day of a moment of CLOCK_MONOTONIC. */
void row_time(struct row *r, uint64_t at_ns);

#endif
