/*
 * What must hold for every row of the schema, so that a new row cannot be half of one.
 */
#include "conf_case.h"

#include <ctype.h>

#include "value.h"
#include "weir/conf/schema.h"

#define ALL_SECTIONS (SCHEMA_WEIR | SCHEMA_ARENA | SCHEMA_DATABASES | SCHEMA_USERS)

static const enum schema_section sections[] = {SCHEMA_WEIR, SCHEMA_ARENA, SCHEMA_DATABASES,
                                               SCHEMA_USERS};

static size_t n_rows;

static const struct schema_row *all_rows(void)
{
    return schema_rows(&n_rows);
}

Test(schema, rows_are_complete)
{
    const struct schema_row *rows = all_rows();

    for (size_t i = 0; i < n_rows; i++) {
        const struct schema_row *row = &rows[i];
        size_t help_len = strlen(row->help);

        cr_assert(row->sections != 0 && (row->sections & ~ALL_SECTIONS) == 0, "%s", row->key);
        cr_assert(row->min <= row->max, "%s", row->key);
        cr_assert(help_len > 10 && row->help[help_len - 1] == '.', "%s", row->key);
        cr_assert(isupper((unsigned char)row->help[0]), "%s", row->key);
        cr_assert_null(strchr(row->help, '|'), "%s: breaks the manual's table", row->key);
        cr_assert_eq(row->choices != NULL, row->type == SCHEMA_ENUM, "%s", row->key);
        cr_assert_eq(row->default_text == NULL, row->required || row->type == SCHEMA_GROUP, "%s",
                     row->key);
        cr_assert(row->step == 0 || row->type == SCHEMA_DURATION, "%s", row->key);
        cr_assert(!row->power_of_two || row->type == SCHEMA_SIZE, "%s", row->key);
        cr_assert_leq(row->max, INT64_MAX - 1, "%s: an integer that saturates must be too large",
                      row->key);
    }
}

/* A key that two sections have must be one row, or at least take the same. */
Test(schema, a_key_is_one_row_in_a_section)
{
    const struct schema_row *rows = all_rows();

    for (size_t s = 0; s < sizeof(sections) / sizeof(sections[0]); s++) {
        for (size_t i = 0; i < n_rows; i++) {
            if ((rows[i].sections & sections[s]) != 0)
                cr_assert_eq(schema_find(sections[s], schema_key(&rows[i], sections[s])), &rows[i],
                             "%s is there twice", rows[i].key);
        }
    }
}

Test(schema, fields_are_distinct)
{
    const struct schema_row *rows = all_rows();

    for (size_t i = 0; i < n_rows; i++) {
        for (size_t j = 0; j < i; j++)
            cr_assert(rows[i].offset != rows[j].offset ||
                          (rows[i].sections & rows[j].sections) == 0,
                      "%s and %s", rows[i].key, rows[j].key);
    }
}

Test(schema, policy_rows_stand_together)
{
    const struct schema_row *rows = all_rows();
    uint64_t all = 0;
    bool over = false;

    for (size_t i = 0; i < n_rows; i++) {
        if (!rows[i].policy) {
            over = over || all != 0;
            continue;
        }
        cr_assert(!over, "%s stands apart", rows[i].key);
        cr_assert_eq(all & schema_policy_bit(&rows[i]), 0, "%s", rows[i].key);
        all |= schema_policy_bit(&rows[i]);
        cr_assert(rows[i].offset >= offsetof(struct conf_policy, pool_mode) &&
                      rows[i].offset < sizeof(struct conf_policy),
                  "%s", rows[i].key);
        cr_assert_neq(rows[i].sections & SCHEMA_WEIR, 0, "%s has no value to inherit", rows[i].key);
    }
}

/* So that what SHOW CONFIG says of a value and of its default looks alike. */
Test(schema, defaults_are_written_as_they_are_shown)
{
    const struct schema_row *rows = all_rows();
    static struct conf_weir space; /* as large as any section */
    struct conf_block *memory = NULL;
    struct value_target target = {&space, &memory, ""};
    char text[100];

    for (size_t i = 0; i < n_rows; i++) {
        if (rows[i].default_text == NULL)
            continue;
        cr_assert_eq(value_store_default(&rows[i], &target), 0);
        value_text(&rows[i], &space, text, sizeof(text));
        cr_assert_str_eq(text, rows[i].default_text, "%s", rows[i].key);
    }
    memory_free(memory);
}

Test(schema, suggestions)
{
    cr_assert_str_eq(schema_suggest(SCHEMA_WEIR, "listen_prot"), "listen_port");
    cr_assert_str_eq(schema_suggest(SCHEMA_WEIR, "max_client_con"), "max_client_conn");
    cr_assert_str_eq(schema_suggest(SCHEMA_WEIR, "log_file"), "logfile");
    cr_assert_str_eq(schema_suggest(SCHEMA_ARENA, "chunksize"), "chunk_size");
    cr_assert_str_eq(schema_suggest(SCHEMA_DATABASES, "prot"), "port");
    cr_assert_null(schema_suggest(SCHEMA_DATABASES, "pr"));
    cr_assert_null(schema_suggest(SCHEMA_WEIR, "zzzzzzzz"));
    cr_assert_null(schema_suggest(SCHEMA_WEIR, ""));
    cr_assert_str_eq(schema_other_name(SCHEMA_WEIR, "pool_size"), "default_pool_size");
    cr_assert_str_eq(schema_other_name(SCHEMA_USERS, "default_pool_size"), "pool_size");
    cr_assert_null(schema_other_name(SCHEMA_ARENA, "pool_size"));
    cr_assert_null(schema_other_name(SCHEMA_WEIR, "listen_port"));
}
