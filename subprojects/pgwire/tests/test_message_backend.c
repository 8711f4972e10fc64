#include "pgwire/message_backend.h"

#include <criterion/criterion.h>

#include "messages.h"
#include "pgwire/endian.h"
#include "pgwire/proto.h"

static struct pgw_authentication authentication(const char *name)
{
    struct pgw_authentication m = {0};

    cr_assert_eq(pgw_read_authentication(backend_body(name), &m), PGW_READY, "%s", name);
    return m;
}

Test(message_backend, authentication)
{
    struct pgw_authentication m = authentication("AuthenticationSASL");
    struct pgw_span mechanism;

    cr_assert_eq(m.code, PGW_AUTH_SASL);
    cr_assert(pgw_string_next(&m.data, &mechanism));
    cr_assert(pgw_span_is(mechanism, "SCRAM-SHA-256-PLUS"));
    cr_assert(pgw_string_next(&m.data, &mechanism));
    cr_assert(pgw_span_is(mechanism, "SCRAM-SHA-256"));
    cr_assert_not(pgw_string_next(&m.data, &mechanism));

    cr_assert_eq(authentication("AuthenticationOk").code, PGW_AUTH_OK);
    cr_assert_eq(authentication("AuthenticationCleartextPassword").code,
                 PGW_AUTH_CLEARTEXT_PASSWORD);
    m = authentication("AuthenticationMD5Password");
    cr_assert_eq(m.code, PGW_AUTH_MD5_PASSWORD);
    cr_assert(pgw_span_is(m.data, "\1\2\3\4"));
    m = authentication("AuthenticationSASLContinue");
    cr_assert_eq(m.code, PGW_AUTH_SASL_CONTINUE);
    cr_assert(pgw_span_is(m.data, "r=abcd"));
    m = authentication("AuthenticationSASLFinal");
    cr_assert_eq(m.code, PGW_AUTH_SASL_FINAL);
    cr_assert(pgw_span_is(m.data, "v=ab"));
}

struct auth_body {
    const char *what;
    struct pgw_span body;
    enum pgw_answer answer;
};

#define BODY(s)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(s), sizeof(s) - 1                                                        \
    }

Test(message_backend, authentication_data_must_fit_its_code)
{
    const struct auth_body bodies[] = {
        {"Ok with data", BODY("\0\0\0\0x"), PGW_INVALID},
        {"short salt", BODY("\0\0\0\5abc"), PGW_INVALID},
        {"long salt", BODY("\0\0\0\5abcde"), PGW_INVALID},
        {"no mechanism", BODY("\0\0\0\x0a\0"), PGW_INVALID},
        {"no end of mechanisms", BODY("\0\0\0\x0aSCRAM-SHA-256\0"), PGW_INVALID},
        {"a code of the future", BODY("\0\0\0\x63whatever"), PGW_READY},
    };

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct pgw_authentication m;

        cr_assert_eq(pgw_read_authentication(bodies[i].body, &m), bodies[i].answer, "%s",
                     bodies[i].what);
    }
}

Test(message_backend, backend_key_data)
{
    struct pgw_backend_key m;
    uint8_t body[4 + PGW_CANCEL_KEY_MAX + 1] = {0};

    cr_assert_eq(pgw_read_backend_key_data(backend_body("BackendKeyData"), &m), PGW_READY);
    cr_assert_eq(m.pid, 0x1234);
    cr_assert_eq(m.key.len, 4);
    cr_assert_eq(pgw_load_u32(m.key.ptr), 0xdeadbeef);
    cr_assert_eq(pgw_read_backend_key_data(pgw_span_of(body, sizeof(body) - 1), &m), PGW_READY);
    cr_assert_eq(m.key.len, PGW_CANCEL_KEY_MAX);
    cr_assert_eq(pgw_read_backend_key_data(pgw_span_of(body, sizeof(body)), &m), PGW_INVALID);
    cr_assert_eq(pgw_read_backend_key_data(pgw_span_of(body, 7), &m), PGW_INVALID);
}

Test(message_backend, negotiate_protocol_version)
{
    struct pgw_negotiation m;
    struct pgw_span option;

    cr_assert_eq(pgw_read_negotiate_protocol_version(backend_body("NegotiateProtocolVersion"), &m),
                 PGW_READY);
    cr_assert_eq(m.version, PGW_VERSION_3_0);
    cr_assert_eq(m.n_options, 2);
    cr_assert(pgw_string_next(&m.options, &option));
    cr_assert(pgw_span_is(option, "_pq_.a"));
    cr_assert(pgw_string_next(&m.options, &option));
    cr_assert(pgw_span_is(option, "b"));
    cr_assert_not(pgw_string_next(&m.options, &option));
}

Test(message_backend, parameter_status)
{
    struct pgw_param m;

    cr_assert_eq(pgw_read_parameter_status(backend_body("ParameterStatus"), &m), PGW_READY);
    cr_assert(pgw_span_is(m.name, "TimeZone"));
    cr_assert(pgw_span_is(m.value, "Etc/UTC"));
}

Test(message_backend, report)
{
    struct pgw_report_fields m;
    struct pgw_field field;
    static const char codes[] = "SVCMP";

    cr_assert_eq(pgw_read_report(backend_body("ErrorResponse"), &m), PGW_READY);
    cr_assert(pgw_span_is(m.severity, "ERROR")); /* not FEHLER, which came first */
    cr_assert(pgw_span_is(m.sqlstate, "42P01"));
    cr_assert(pgw_span_is(m.message, "no table \"t\""));
    for (size_t i = 0; i < sizeof(codes) - 1; i++) {
        cr_assert(pgw_field_next(&m.all, &field));
        cr_assert_eq(field.code, (uint8_t)codes[i]);
    }
    cr_assert(pgw_span_is(field.value, "15"));
    cr_assert_not(pgw_field_next(&m.all, &field));

    cr_assert_eq(pgw_read_report(backend_body("NoticeResponse"), &m), PGW_READY);
    cr_assert(pgw_span_is(m.severity, "WARNING"));
    cr_assert_eq(m.sqlstate.len, 0);
}

Test(message_backend, a_severity_not_translated_wins_wherever_it_stands)
{
    static const char body[] = "VERROR\0SFEHLER\0C1234\0";
    struct pgw_report_fields m;

    cr_assert_eq(pgw_read_report(pgw_span_of(body, sizeof(body)), &m), PGW_READY);
    cr_assert(pgw_span_is(m.severity, "ERROR"));
    cr_assert_eq(m.sqlstate.len, 0, "four letters are no SQLSTATE");
}

struct tag_case {
    const char *text;
    const char *command;
    bool has_rows;
    uint64_t n_rows;
};

Test(message_backend, command_complete)
{
    const struct tag_case cases[] = {
        {"INSERT 0 5", "INSERT", true, 5},
        {"UPDATE 17", "UPDATE", true, 17},
        {"SELECT 0", "SELECT", true, 0},
        {"CREATE TABLE", "CREATE TABLE", false, 0},
        {"BEGIN", "BEGIN", false, 0},
        {"", "", false, 0},
        {"5", "5", false, 0},
        {"COPY 18446744073709551615", "COPY", true, UINT64_MAX},
        {"COPY 18446744073709551616", "COPY 18446744073709551616", false, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct tag_case *c = &cases[i];
        struct pgw_tag m;

        cr_assert_eq(pgw_read_command_complete(pgw_span_of(c->text, strlen(c->text) + 1), &m),
                     PGW_READY);
        cr_assert(pgw_span_is(m.text, c->text), "%s", c->text);
        cr_assert(pgw_span_is(m.command, c->command), "%s", c->text);
        cr_assert_eq(m.has_rows, c->has_rows, "%s", c->text);
        cr_assert_eq(m.n_rows, c->n_rows, "%s", c->text);
    }
}

Test(message_backend, copy_responses)
{
    struct pgw_copy_response m;

    cr_assert_eq(pgw_read_copy_response(backend_body("CopyInResponse"), &m), PGW_READY);
    cr_assert_not(m.is_binary);
    cr_assert_eq(m.n_columns, 2);
    cr_assert_eq(m.formats.len, 4);
    cr_assert_eq(pgw_read_copy_response(backend_body("CopyOutResponse"), &m), PGW_READY);
    cr_assert(m.is_binary);
    cr_assert_eq(pgw_load_u16(m.formats.ptr), 1);
    cr_assert_eq(pgw_read_copy_response(backend_body("CopyBothResponse"), &m), PGW_READY);
    cr_assert_eq(m.n_columns, 0);
}

Test(message_backend, notification)
{
    struct pgw_notification m;

    cr_assert_eq(pgw_read_notification(backend_body("NotificationResponse"), &m), PGW_READY);
    cr_assert_eq(m.pid, 0x1234);
    cr_assert(pgw_span_is(m.channel, "news"));
    cr_assert(pgw_span_is(m.payload, "hot"));
}

Test(message_backend, row_description)
{
    struct pgw_row_description m;
    struct pgw_column c;

    cr_assert_eq(pgw_read_row_description(backend_body("RowDescription"), &m), PGW_READY);
    cr_assert_eq(m.n_columns, 2);
    cr_assert(pgw_column_next(&m.columns, &c));
    cr_assert(pgw_span_is(c.name, "id"));
    cr_assert_eq(c.table, 0x4001);
    cr_assert_eq(c.attribute, 1);
    cr_assert_eq(c.type, 23);
    cr_assert_eq(c.type_len, 4);
    cr_assert_eq(c.type_modifier, -1);
    cr_assert_eq(c.format, 0);
    cr_assert(pgw_column_next(&m.columns, &c));
    cr_assert(pgw_span_is(c.name, "a"));
    cr_assert_eq(c.type, 25);
    cr_assert_eq(c.type_len, -1);
    cr_assert_eq(c.format, 1);
    cr_assert_not(pgw_column_next(&m.columns, &c));
}

Test(message_backend, data_row)
{
    struct pgw_data_row m;
    struct pgw_value v;

    cr_assert_eq(pgw_read_data_row(backend_body("DataRow"), &m), PGW_READY);
    cr_assert_eq(m.n_values, 3);
    cr_assert(pgw_value_next(&m.values, &v));
    cr_assert(pgw_span_is(v.bytes, "1"));
    cr_assert(pgw_value_next(&m.values, &v));
    cr_assert(v.is_null);
    cr_assert(pgw_value_next(&m.values, &v));
    cr_assert_not(v.is_null);
    cr_assert_eq(v.bytes.len, 0);
    cr_assert_not(pgw_value_next(&m.values, &v));
}

Test(message_backend, parameter_description)
{
    struct pgw_parameter_description m;

    cr_assert_eq(pgw_read_parameter_description(backend_body("ParameterDescription"), &m),
                 PGW_READY);
    cr_assert_eq(m.n_types, 2);
    cr_assert_eq(pgw_oid_at(m.types, 0), 23);
    cr_assert_eq(pgw_oid_at(m.types, 1), 25);
}

Test(message_backend, function_call_response)
{
    struct pgw_value m;

    cr_assert_eq(pgw_read_function_call_response(backend_body("FunctionCallResponse"), &m),
                 PGW_READY);
    cr_assert(pgw_span_is(m.bytes, "ok"));
    cr_assert_eq(pgw_read_function_call_response(backend_body("FunctionCallResponse, NULL"), &m),
                 PGW_READY);
    cr_assert(m.is_null);
}
