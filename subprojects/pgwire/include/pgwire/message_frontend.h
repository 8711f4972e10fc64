/*
 * Readers for what a client sends after its startup packet. Each takes the whole body of a message
 * that pgw_frame_next() has cut, answers READY or INVALID, and hands out spans into that body.
 *
 * They check what PostgreSQL checks of the format: every field there, nothing left over. For the
 * names alone, or before a message is whole, see names.h.
 */
#ifndef PGWIRE_MESSAGE_FRONTEND_H
#define PGWIRE_MESSAGE_FRONTEND_H

#include <stdbool.h>
#include <stdint.h>

#include "pgwire/span.h"
#include "pgwire/value.h"

struct pgw_parse {
    struct pgw_span name; /* empty: the unnamed statement */
    struct pgw_span text;
    struct pgw_span types; /* n_types OIDs: pgw_oid_at() */
    uint16_t n_types;
};

struct pgw_bind {
    struct pgw_span portal; /* empty: the unnamed portal */
    struct pgw_span statement;
    struct pgw_span formats; /* n_formats Int16s: 0 text, 1 binary */
    struct pgw_span values;  /* n_values of them: pgw_value_next() */
    struct pgw_span results; /* n_results Int16s, formats of the result's columns */
    uint16_t n_formats;
    uint16_t n_values;
    uint16_t n_results;
};

struct pgw_target {
    struct pgw_span name;
    uint8_t kind; /* PGW_TARGET_STATEMENT or PGW_TARGET_PORTAL */
};

struct pgw_execute {
    struct pgw_span portal;
    int32_t max_rows; /* 0 or less: all */
};

struct pgw_function_call {
    struct pgw_span formats;
    struct pgw_span args; /* n_args of them: pgw_value_next() */
    uint32_t function;
    uint16_t n_formats;
    uint16_t n_args;
    uint16_t result_format;
};

struct pgw_sasl_initial_response {
    struct pgw_span mechanism;
    struct pgw_value data; /* NULL: the client sent none */
};

/* Query, CopyFail, PasswordMessage: one string. */
PGW_NODISCARD enum pgw_answer pgw_read_text(struct pgw_span body, struct pgw_span *out);

PGW_NODISCARD enum pgw_answer pgw_read_parse(struct pgw_span body, struct pgw_parse *out);
PGW_NODISCARD enum pgw_answer pgw_read_bind(struct pgw_span body, struct pgw_bind *out);
PGW_NODISCARD enum pgw_answer pgw_read_describe(struct pgw_span body, struct pgw_target *out);
PGW_NODISCARD enum pgw_answer pgw_read_close(struct pgw_span body, struct pgw_target *out);
PGW_NODISCARD enum pgw_answer pgw_read_execute(struct pgw_span body, struct pgw_execute *out);
PGW_NODISCARD enum pgw_answer pgw_read_function_call(struct pgw_span body,
                                                     struct pgw_function_call *out);

/* The first PasswordMessage after AuthenticationSASL. The body of every later one is its data. */
PGW_NODISCARD enum pgw_answer pgw_read_sasl_initial_response(struct pgw_span body,
                                                             struct pgw_sasl_initial_response *out);

#endif
