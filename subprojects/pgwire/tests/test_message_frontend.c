#include "pgwire/message_frontend.h"

#include <criterion/criterion.h>

#include "messages.h"
#include "pgwire/endian.h"
#include "pgwire/proto.h"

Test(message_frontend, texts)
{
    struct pgw_span text;

    cr_assert_eq(pgw_read_text(frontend_body("Query"), &text), PGW_READY);
    cr_assert(pgw_span_is(text, "select 1"));
    cr_assert_eq(pgw_read_text(frontend_body("Query, empty"), &text), PGW_READY);
    cr_assert(pgw_span_is(text, ""));
    cr_assert_eq(pgw_read_text(frontend_body("CopyFail"), &text), PGW_READY);
    cr_assert(pgw_span_is(text, "enough"));
    cr_assert_eq(pgw_read_text(frontend_body("PasswordMessage"), &text), PGW_READY);
    cr_assert(pgw_span_is(text, "secret"));
}

Test(message_frontend, parse)
{
    struct pgw_parse m;

    cr_assert_eq(pgw_read_parse(frontend_body("Parse"), &m), PGW_READY);
    cr_assert(pgw_span_is(m.name, "s1"));
    cr_assert(pgw_span_is(m.text, "select $1"));
    cr_assert_eq(m.n_types, 2);
    cr_assert_eq(pgw_oid_at(m.types, 0), 23);
    cr_assert_eq(pgw_oid_at(m.types, 1), 0);

    cr_assert_eq(pgw_read_parse(frontend_body("Parse, unnamed"), &m), PGW_READY);
    cr_assert(pgw_span_is(m.name, ""));
    cr_assert_eq(m.n_types, 0);
}

Test(message_frontend, bind)
{
    struct pgw_bind m;
    struct pgw_value v;

    cr_assert_eq(pgw_read_bind(frontend_body("Bind"), &m), PGW_READY);
    cr_assert(pgw_span_is(m.portal, "p1"));
    cr_assert(pgw_span_is(m.statement, "s1"));
    cr_assert_eq(m.n_formats, 1);
    cr_assert_eq(pgw_load_u16(m.formats.ptr), 1);
    cr_assert_eq(m.n_results, 1);
    cr_assert_eq(pgw_load_u16(m.results.ptr), 0);
    cr_assert_eq(m.n_values, 3);

    cr_assert(pgw_value_next(&m.values, &v));
    cr_assert_not(v.is_null);
    cr_assert_eq(v.bytes.len, 4);
    cr_assert_eq(pgw_load_u32(v.bytes.ptr), 7);
    cr_assert(pgw_value_next(&m.values, &v));
    cr_assert(v.is_null);
    cr_assert(pgw_value_next(&m.values, &v));
    cr_assert_not(v.is_null);
    cr_assert_eq(v.bytes.len, 0);
    cr_assert_not(pgw_value_next(&m.values, &v));
}

Test(message_frontend, describe_and_close)
{
    struct pgw_target m;

    cr_assert_eq(pgw_read_describe(frontend_body("Describe statement"), &m), PGW_READY);
    cr_assert_eq(m.kind, PGW_TARGET_STATEMENT);
    cr_assert(pgw_span_is(m.name, "s1"));
    cr_assert_eq(pgw_read_describe(frontend_body("Describe portal"), &m), PGW_READY);
    cr_assert_eq(m.kind, PGW_TARGET_PORTAL);
    cr_assert(pgw_span_is(m.name, ""));
    cr_assert_eq(pgw_read_close(frontend_body("Close portal"), &m), PGW_READY);
    cr_assert_eq(m.kind, PGW_TARGET_PORTAL);
    cr_assert(pgw_span_is(m.name, "p1"));
}

Test(message_frontend, execute)
{
    struct pgw_execute m;

    cr_assert_eq(pgw_read_execute(frontend_body("Execute"), &m), PGW_READY);
    cr_assert(pgw_span_is(m.portal, "p1"));
    cr_assert_eq(m.max_rows, 100);
}

Test(message_frontend, function_call)
{
    struct pgw_function_call m;
    struct pgw_value v;

    cr_assert_eq(pgw_read_function_call(frontend_body("FunctionCall"), &m), PGW_READY);
    cr_assert_eq(m.function, 1234);
    cr_assert_eq(m.n_formats, 1);
    cr_assert_eq(m.n_args, 2);
    cr_assert(pgw_value_next(&m.args, &v));
    cr_assert(pgw_span_is(v.bytes, "42"));
    cr_assert(pgw_value_next(&m.args, &v));
    cr_assert(v.is_null);
    cr_assert_eq(m.result_format, 1);
}

Test(message_frontend, sasl_initial_response)
{
    struct pgw_sasl_initial_response m;

    cr_assert_eq(pgw_read_sasl_initial_response(frontend_body("SASLInitialResponse"), &m),
                 PGW_READY);
    cr_assert(pgw_span_is(m.mechanism, "SCRAM-SHA-256"));
    cr_assert(pgw_span_is(m.data.bytes, "n,,n=,r"));
    cr_assert_eq(
        pgw_read_sasl_initial_response(frontend_body("SASLInitialResponse without data"), &m),
        PGW_READY);
    cr_assert(pgw_span_is(m.mechanism, "PLAIN"));
    cr_assert(m.data.is_null);
}

Test(message_frontend, nothing_is_written_unless_ready)
{
    struct pgw_parse parse = {.n_types = 77};
    struct pgw_span text = {NULL, 77};

    cr_assert_eq(pgw_read_parse(pgw_span_of("a", 1), &parse), PGW_INVALID);
    cr_assert_eq(parse.n_types, 77);
    cr_assert_eq(pgw_read_text(pgw_span_of("a\0b", 3), &text), PGW_INVALID);
    cr_assert_eq(text.len, 77);
}
