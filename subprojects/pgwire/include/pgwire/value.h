/*
 * What messages are made of beyond integers: lists of length-prefixed values (parameters of Bind,
 * columns of DataRow, arguments of FunctionCall), of strings, of name and value pairs, of OIDs.
 *
 * A message's reader checks a list once and keeps it as a span; the functions here then step
 * through it. They move *list past the item, answer false at its end, and also where a list that
 * nobody has checked breaks off. What they hand out lies in the list.
 */
#ifndef PGWIRE_VALUE_H
#define PGWIRE_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "pgwire/reader.h"
#include "pgwire/span.h"
#include "pgwire/writer.h"

struct pgw_value {
    struct pgw_span bytes; /* empty for NULL */
    bool is_null;
};

struct pgw_param {
    struct pgw_span name;
    struct pgw_span value;
};

bool pgw_value_next(struct pgw_span *list, struct pgw_value *out);

/* A list that ends with its bytes or with an empty string. */
bool pgw_string_next(struct pgw_span *list, struct pgw_span *out);

/* A list that ends with its bytes or with an empty name. */
bool pgw_param_next(struct pgw_span *list, struct pgw_param *out);

/* The item at this index of a list of Int32s that has more than index of them. */
uint32_t pgw_oid_at(struct pgw_span list, size_t index);

/* Reads one value, or checks n of them and yields the bytes they take together; writes one. */
struct pgw_value pgw_reader_value(struct pgw_reader *r);
struct pgw_span pgw_reader_values(struct pgw_reader *r, uint16_t n);

void pgw_writer_value(struct pgw_writer *w, const struct pgw_value *value);

/* Checks a list of strings that ends with an empty one and yields it without that one. */
struct pgw_span pgw_reader_strings(struct pgw_reader *r);

#endif
