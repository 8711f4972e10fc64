/*
 * Values of one key: from the file into the snapshot, and from the snapshot into text.
 */
#ifndef WEIR_CONF_VALUE_H
#define WEIR_CONF_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "weir/base/check.h"
#include "weir/conf/schema.h"

enum value_kind { VALUE_BOOL, VALUE_INTEGER, VALUE_FLOAT, VALUE_TEXT, VALUE_TEXTS, VALUE_OTHER };

/* A value as a file gives it. */
struct value {
    enum value_kind kind;
    int64_t integer;    /* of VALUE_INTEGER, and of VALUE_BOOL */
    const char *text;   /* of VALUE_TEXT */
    const char **texts; /* of VALUE_TEXTS: n_texts of them */
    size_t n_texts;
};

/* Where accepted values go. */
struct value_target {
    void *section;              /* the struct that the row's offset counts in */
    struct conf_block **memory; /* for texts */
    const char *folder;         /* that relative files count from; ends with '/' */
};

/* Checks a value and stores it. 0, -EINVAL if the row does not accept it, or -ENOMEM. */
NODISCARD int value_store(const struct schema_row *row, const struct value *value,
                          const struct value_target *target);

/* Stores the row's default. 0 or -ENOMEM. */
NODISCARD int value_store_default(const struct schema_row *row, const struct value_target *target);

/* As snprintf: what value_store() would accept, as an English phrase; with examples of how to
 * write it, or without. */
size_t value_accepted(const struct schema_row *row, bool examples, char *out, size_t size);

/* As snprintf: the value in the section's struct, as value_store() would accept it, without the
 * quotes. */
size_t value_text(const struct schema_row *row, const void *section, char *out, size_t size);

/* Whether the text of a value must stand in quotes in a file. */
bool value_is_quoted(const struct schema_row *row);

/* The value of a row that holds a bool, number or enum, as it lies in the section's struct. */
uint64_t value_number(const struct schema_row *row, const void *section);
void value_put_number(const struct schema_row *row, void *section, uint64_t number);

bool value_equal(const struct schema_row *row, const void *a, const void *b);

#endif
