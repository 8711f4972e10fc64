/*
 * Readers for what a server sends. Each takes the whole body of a message that pgw_frame_next() has
 * cut, answers READY or INVALID, and hands out spans into that body.
 *
 * Messages without a body need no reader: their row in rule.h fixes their length. ReadyForQuery is
 * in status.h.
 */
#ifndef PGWIRE_MESSAGE_BACKEND_H
#define PGWIRE_MESSAGE_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "pgwire/span.h"
#include "pgwire/value.h"

struct pgw_authentication {
    struct pgw_span data; /* salt of MD5; list of mechanisms of SASL; else what the method says */
    uint32_t code;        /* PGW_AUTH_*, or one that proto.h does not know */
};

struct pgw_backend_key {
    struct pgw_span key;
    uint32_t pid;
};

struct pgw_negotiation {
    struct pgw_span options; /* n_options that the server does not know: pgw_string_next() */
    uint32_t version;        /* the newest the server speaks, as PGW_VERSION() */
    uint32_t n_options;
};

/* ErrorResponse and NoticeResponse. Fields that the server left out are empty. */
struct pgw_report_fields {
    struct pgw_span all;      /* every field there is: pgw_field_next() */
    struct pgw_span severity; /* not translated where the server says so (since 9.6) */
    struct pgw_span sqlstate; /* five bytes or empty */
    struct pgw_span message;
};

struct pgw_field {
    struct pgw_span value;
    uint8_t code; /* PGW_FIELD_*; clients shall pass over those they do not know */
};

/* "INSERT 0 5": command INSERT, 5 rows. "CREATE TABLE": no rows. */
struct pgw_tag {
    struct pgw_span text;
    struct pgw_span command; /* text without its numbers */
    uint64_t n_rows;
    bool has_rows;
};

struct pgw_copy_response {
    struct pgw_span formats; /* n_columns Int16s */
    uint16_t n_columns;
    bool is_binary;
};

struct pgw_notification {
    struct pgw_span channel;
    struct pgw_span payload;
    uint32_t pid;
};

struct pgw_row_description {
    struct pgw_span columns; /* n_columns of them: pgw_column_next() */
    uint16_t n_columns;
};

struct pgw_column {
    struct pgw_span name;
    uint32_t table; /* OID, or 0 where the column is none of a table's */
    uint32_t type;  /* OID */
    int32_t type_modifier;
    int16_t attribute; /* number in its table, or 0 */
    int16_t type_len;
    uint16_t format; /* 0 text, 1 binary */
};

struct pgw_data_row {
    struct pgw_span values; /* n_values of them: pgw_value_next() */
    uint16_t n_values;
};

struct pgw_parameter_description {
    struct pgw_span types; /* n_types OIDs: pgw_oid_at() */
    uint16_t n_types;
};

/* Data is checked for the codes that proto.h knows: empty, a salt, at least one mechanism. */
PGW_NODISCARD enum pgw_answer pgw_read_authentication(struct pgw_span body,
                                                      struct pgw_authentication *out);
PGW_NODISCARD enum pgw_answer pgw_read_backend_key_data(struct pgw_span body,
                                                        struct pgw_backend_key *out);
PGW_NODISCARD enum pgw_answer pgw_read_negotiate_protocol_version(struct pgw_span body,
                                                                  struct pgw_negotiation *out);
PGW_NODISCARD enum pgw_answer pgw_read_parameter_status(struct pgw_span body,
                                                        struct pgw_param *out);
PGW_NODISCARD enum pgw_answer pgw_read_report(struct pgw_span body, struct pgw_report_fields *out);
PGW_NODISCARD enum pgw_answer pgw_read_command_complete(struct pgw_span body, struct pgw_tag *out);

/* CopyInResponse, CopyOutResponse and CopyBothResponse. */
PGW_NODISCARD enum pgw_answer pgw_read_copy_response(struct pgw_span body,
                                                     struct pgw_copy_response *out);
PGW_NODISCARD enum pgw_answer pgw_read_notification(struct pgw_span body,
                                                    struct pgw_notification *out);
PGW_NODISCARD enum pgw_answer pgw_read_row_description(struct pgw_span body,
                                                       struct pgw_row_description *out);
PGW_NODISCARD enum pgw_answer pgw_read_data_row(struct pgw_span body, struct pgw_data_row *out);
PGW_NODISCARD enum pgw_answer pgw_read_parameter_description(struct pgw_span body,
                                                             struct pgw_parameter_description *out);
PGW_NODISCARD enum pgw_answer pgw_read_function_call_response(struct pgw_span body,
                                                              struct pgw_value *out);

/* Step through a list, as the functions of value.h do. */
bool pgw_field_next(struct pgw_span *fields, struct pgw_field *out);
bool pgw_column_next(struct pgw_span *columns, struct pgw_column *out);

#endif
