/*
 * Builders: each writes one message into a writer, whole or, where it does not fit, not at all
 * (writer.h). Spans given as strings may not contain a NUL.
 */
#ifndef PGWIRE_BUILD_H
#define PGWIRE_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include "pgwire/message_backend.h"
#include "pgwire/span.h"
#include "pgwire/status.h"
#include "pgwire/value.h"
#include "pgwire/writer.h"

struct pgw_startup;

/* ---- both directions ---- */

/*
 * A message without a body. From a server: ParseComplete, BindComplete, CloseComplete, NoData,
 * PortalSuspended, EmptyQueryResponse, CopyDone. From a client: Sync, Flush, Terminate, CopyDone.
 */
void pgw_build_bare(struct pgw_writer *w, uint8_t type);
void pgw_build_copy_data(struct pgw_writer *w, struct pgw_span data);

/* ---- what a server sends ---- */

/* AuthenticationOk, AuthenticationCleartextPassword and others that are only their code. */
void pgw_build_authentication(struct pgw_writer *w, uint32_t code);
void pgw_build_authentication_md5(struct pgw_writer *w, const uint8_t salt[4]);
void pgw_build_authentication_sasl(struct pgw_writer *w, const char *const *mechanisms, size_t n);

/* AuthenticationSASLContinue, AuthenticationSASLFinal, AuthenticationGSSContinue. */
void pgw_build_authentication_data(struct pgw_writer *w, uint32_t code, struct pgw_span data);

/* Names the version spoken from here on and every protocol option that s asks for as unknown. */
void pgw_build_negotiate_protocol_version(struct pgw_writer *w, uint32_t version,
                                          const struct pgw_startup *s);
void pgw_build_parameter_status(struct pgw_writer *w, struct pgw_span name, struct pgw_span value);
void pgw_build_backend_key_data(struct pgw_writer *w, uint32_t pid, struct pgw_span key);
void pgw_build_ready_for_query(struct pgw_writer *w, enum pgw_tx_status status);

/* What an error or notice says. NULL leaves a field out; the first three are required. */
struct pgw_report {
    const char *severity; /* "FATAL", "ERROR", "WARNING", "NOTICE", ... */
    const char *sqlstate;
    const char *message;
    const char *detail;
    const char *hint;
};

void pgw_build_error(struct pgw_writer *w, const struct pgw_report *report);
void pgw_build_notice(struct pgw_writer *w, const struct pgw_report *report);

/* The FATAL error for a first packet of kind PGW_STARTUP_REFUSED, in a form its sender can read. */
void pgw_build_refusal(struct pgw_writer *w, const struct pgw_startup *s);

void pgw_build_row_description(struct pgw_writer *w, const struct pgw_column *columns, uint16_t n);
void pgw_build_data_row(struct pgw_writer *w, const struct pgw_value *values, uint16_t n);
void pgw_build_command_complete(struct pgw_writer *w, struct pgw_span tag);
void pgw_build_parameter_description(struct pgw_writer *w, const uint32_t *types, uint16_t n);

/* A column of type text that belongs to no table, for rows that are made up. */
struct pgw_column pgw_column_text(const char *name);

/* ---- what a client sends ---- */

void pgw_build_startup(struct pgw_writer *w, uint32_t version, const struct pgw_param *params,
                       size_t n);

/* The same with more parameters behind, as they stand in a packet (pgw_startup.params). */
void pgw_build_startup_more(struct pgw_writer *w, uint32_t version, const struct pgw_param *params,
                            size_t n, struct pgw_span more);

/* SSLRequest, GSSENCRequest: PGW_CODE_SSL, PGW_CODE_GSSENC. */
void pgw_build_request(struct pgw_writer *w, uint32_t code);
void pgw_build_cancel(struct pgw_writer *w, uint32_t pid, struct pgw_span key);

void pgw_build_password(struct pgw_writer *w, struct pgw_span password);

/* data is NULL where the mechanism lets the server speak first. */
void pgw_build_sasl_initial_response(struct pgw_writer *w, struct pgw_span mechanism,
                                     const struct pgw_span *data);
void pgw_build_sasl_response(struct pgw_writer *w, struct pgw_span data);

void pgw_build_query(struct pgw_writer *w, struct pgw_span text);
void pgw_build_parse(struct pgw_writer *w, struct pgw_span name, struct pgw_span text,
                     const uint32_t *types, uint16_t n);

/* The unnamed portal; all parameters and results in text format. */
void pgw_build_bind(struct pgw_writer *w, struct pgw_span statement, const struct pgw_value *values,
                    uint16_t n);

/* kind is PGW_TARGET_STATEMENT or PGW_TARGET_PORTAL. */
void pgw_build_describe(struct pgw_writer *w, uint8_t kind, struct pgw_span name);
void pgw_build_close(struct pgw_writer *w, uint8_t kind, struct pgw_span name);

/* max_rows 0: all. */
void pgw_build_execute(struct pgw_writer *w, struct pgw_span portal, int32_t max_rows);
void pgw_build_copy_fail(struct pgw_writer *w, struct pgw_span reason);

#endif
