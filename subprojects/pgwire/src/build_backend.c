/* Builders of what a server sends, and of what both sides send. */
#include "pgwire/build.h"

#include "pgwire/proto.h"
#include "pgwire/startup.h"

#define TYPE_TEXT 25 /* the OID that text has in every PostgreSQL */
#define MD5_SALT_LEN 4

void pgw_build_bare(struct pgw_writer *w, uint8_t type)
{
    pgw_writer_begin(w, type);
    pgw_writer_end(w);
}

void pgw_build_copy_data(struct pgw_writer *w, struct pgw_span data)
{
    pgw_writer_begin(w, PGW_B_COPY_DATA);
    pgw_writer_bytes(w, data);
    pgw_writer_end(w);
}

void pgw_build_authentication_data(struct pgw_writer *w, uint32_t code, struct pgw_span data)
{
    pgw_writer_begin(w, PGW_B_AUTHENTICATION);
    pgw_writer_u32(w, code);
    pgw_writer_bytes(w, data);
    pgw_writer_end(w);
}

void pgw_build_authentication(struct pgw_writer *w, uint32_t code)
{
    pgw_build_authentication_data(w, code, (struct pgw_span){NULL, 0});
}

void pgw_build_authentication_md5(struct pgw_writer *w, const uint8_t salt[4])
{
    pgw_build_authentication_data(w, PGW_AUTH_MD5_PASSWORD, pgw_span_of(salt, MD5_SALT_LEN));
}

void pgw_build_authentication_sasl(struct pgw_writer *w, const char *const *mechanisms, size_t n)
{
    pgw_writer_begin(w, PGW_B_AUTHENTICATION);
    pgw_writer_u32(w, PGW_AUTH_SASL);
    for (size_t i = 0; i < n; i++)
        pgw_writer_string(w, pgw_span_str(mechanisms[i]));
    pgw_writer_u8(w, 0);
    pgw_writer_end(w);
}

void pgw_build_negotiate_protocol_version(struct pgw_writer *w, uint32_t version,
                                          const struct pgw_startup *s)
{
    struct pgw_span left = s->params;
    struct pgw_param param;

    pgw_writer_begin(w, PGW_B_NEGOTIATE_PROTOCOL_VERSION);
    pgw_writer_u32(w, version);
    pgw_writer_u32(w, s->n_protocol_options);
    while (pgw_param_next(&left, &param)) {
        if (pgw_is_protocol_option(param.name))
            pgw_writer_string(w, param.name);
    }
    pgw_writer_end(w);
}

void pgw_build_parameter_status(struct pgw_writer *w, struct pgw_span name, struct pgw_span value)
{
    pgw_writer_begin(w, PGW_B_PARAMETER_STATUS);
    pgw_writer_string(w, name);
    pgw_writer_string(w, value);
    pgw_writer_end(w);
}

void pgw_build_backend_key_data(struct pgw_writer *w, uint32_t pid, struct pgw_span key)
{
    pgw_writer_begin(w, PGW_B_BACKEND_KEY_DATA);
    pgw_writer_u32(w, pid);
    pgw_writer_bytes(w, key);
    pgw_writer_end(w);
}

void pgw_build_ready_for_query(struct pgw_writer *w, enum pgw_tx_status status)
{
    pgw_writer_begin(w, PGW_B_READY_FOR_QUERY);
    pgw_writer_u8(w, (uint8_t)status);
    pgw_writer_end(w);
}

static void write_field(struct pgw_writer *w, uint8_t code, const char *value)
{
    if (value == NULL)
        return;
    pgw_writer_u8(w, code);
    pgw_writer_string(w, pgw_span_str(value));
}

static void build_report(struct pgw_writer *w, uint8_t type, const struct pgw_report *report)
{
    pgw_writer_begin(w, type);
    write_field(w, PGW_FIELD_SEVERITY_LOCALIZED, report->severity);
    write_field(w, PGW_FIELD_SEVERITY, report->severity);
    write_field(w, PGW_FIELD_SQLSTATE, report->sqlstate);
    write_field(w, PGW_FIELD_MESSAGE, report->message);
    write_field(w, PGW_FIELD_DETAIL, report->detail);
    write_field(w, PGW_FIELD_HINT, report->hint);
    pgw_writer_u8(w, 0);
    pgw_writer_end(w);
}

void pgw_build_error(struct pgw_writer *w, const struct pgw_report *report)
{
    build_report(w, PGW_B_ERROR_RESPONSE, report);
}

void pgw_build_notice(struct pgw_writer *w, const struct pgw_report *report)
{
    build_report(w, PGW_B_NOTICE_RESPONSE, report);
}

void pgw_build_refusal(struct pgw_writer *w, const struct pgw_startup *s)
{
    if (PGW_VERSION_MAJOR(s->version) < PGW_VERSION_MAJOR(PGW_VERSION_3_0)) {
        /* Protocol 2 has no lengths and no fields: a letter and a line of text. */
        pgw_writer_u8(w, PGW_B_ERROR_RESPONSE);
        pgw_writer_bytes(w, pgw_span_str("FATAL:  "));
        pgw_writer_bytes(w, pgw_span_str(s->refusal.message));
        pgw_writer_string(w, pgw_span_str("\n"));
        return;
    }
    pgw_build_error(w, &(struct pgw_report){.severity = "FATAL",
                                            .sqlstate = s->refusal.sqlstate,
                                            .message = s->refusal.message});
}

void pgw_build_row_description(struct pgw_writer *w, const struct pgw_column *columns, uint16_t n)
{
    pgw_writer_begin(w, PGW_B_ROW_DESCRIPTION);
    pgw_writer_u16(w, n);
    for (size_t i = 0; i < n; i++) {
        pgw_writer_string(w, columns[i].name);
        pgw_writer_u32(w, columns[i].table);
        pgw_writer_u16(w, (uint16_t)columns[i].attribute);
        pgw_writer_u32(w, columns[i].type);
        pgw_writer_u16(w, (uint16_t)columns[i].type_len);
        pgw_writer_u32(w, (uint32_t)columns[i].type_modifier);
        pgw_writer_u16(w, columns[i].format);
    }
    pgw_writer_end(w);
}

void pgw_build_data_row(struct pgw_writer *w, const struct pgw_value *values, uint16_t n)
{
    pgw_writer_begin(w, PGW_B_DATA_ROW);
    pgw_writer_u16(w, n);
    for (size_t i = 0; i < n; i++)
        pgw_writer_value(w, &values[i]);
    pgw_writer_end(w);
}

void pgw_build_command_complete(struct pgw_writer *w, struct pgw_span tag)
{
    pgw_writer_begin(w, PGW_B_COMMAND_COMPLETE);
    pgw_writer_string(w, tag);
    pgw_writer_end(w);
}

void pgw_build_parameter_description(struct pgw_writer *w, const uint32_t *types, uint16_t n)
{
    pgw_writer_begin(w, PGW_B_PARAMETER_DESCRIPTION);
    pgw_writer_u16(w, n);
    for (size_t i = 0; i < n; i++)
        pgw_writer_u32(w, types[i]);
    pgw_writer_end(w);
}

struct pgw_column pgw_column_text(const char *name)
{
    return (struct pgw_column){
        .name = pgw_span_str(name),
        .type = TYPE_TEXT,
        .type_modifier = -1,
        .type_len = -1,
    };
}
