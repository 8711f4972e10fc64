/*
 * One walk over the rows that belong to weir and its arena.
 */
#include "weir/conf/show.h"

#include <stdio.h>

#include "value.h"
#include "weir/conf/schema.h"

/* The struct in a snapshot that the row's offset counts in. */
static const void *section_of(const struct conf *c, const struct schema_row *row)
{
    return (row->sections & SCHEMA_ARENA) != 0 ? (const void *)&c->weir.arena : &c->weir;
}

static bool is_shown(const struct schema_row *row)
{
    return (row->sections & (SCHEMA_WEIR | SCHEMA_ARENA)) != 0 && row->type != SCHEMA_GROUP;
}

static void print_key(const struct schema_row *row, char out[CONF_SHOW_KEY_SIZE])
{
    bool in_arena = (row->sections & SCHEMA_ARENA) != 0;

    snprintf(out, CONF_SHOW_KEY_SIZE, "%s%s", in_arena ? "arena." : "",
             schema_key(row, in_arena ? SCHEMA_ARENA : SCHEMA_WEIR));
}

/* The i-th row that is shown; NULL: there are no more. */
static const struct schema_row *shown_row(size_t i)
{
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);

    for (size_t row = 0; row < n_rows; row++) {
        if (is_shown(&rows[row]) && i-- == 0)
            return &rows[row];
    }
    return NULL;
}

bool conf_show(const struct conf *c, size_t i, struct conf_shown *out)
{
    const struct schema_row *row = shown_row(i);

    if (row == NULL)
        return false;
    print_key(row, out->key);
    value_text(row, section_of(c, row), out->value, sizeof(out->value));
    out->default_text = row->default_text;
    out->changeable = row->applies != SCHEMA_RESTART;
    return true;
}

bool conf_restart_key(const struct conf *old, const struct conf *new, size_t *i,
                      char key[CONF_SHOW_KEY_SIZE])
{
    const struct schema_row *row;

    while ((row = shown_row((*i)++)) != NULL) {
        if (row->applies == SCHEMA_RESTART &&
            !value_equal(row, section_of(old, row), section_of(new, row))) {
            print_key(row, key);
            return true;
        }
    }
    return false;
}
