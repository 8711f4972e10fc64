/*
 * Builders against the bytes of messages.c, which were written from the documentation; and back
 * through the readers for what is too long to write by hand.
 */
#include "pgwire/build.h"

#include <criterion/criterion.h>

#include "messages.h"
#include "pgwire/frame.h"
#include "pgwire/message_frontend.h"
#include "pgwire/startup.h"

#define SPAN(s) pgw_span_of(s, sizeof(s) - 1)

static const struct message *find(const struct message *messages, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(messages[i].name, name) == 0)
            return &messages[i];
    }
    cr_assert_fail("no message is called %s", name);
    return NULL;
}

/* What was written must be the message of that name; the writer is empty again. */
static void expect(struct pgw_writer *w, const struct message *messages, size_t n, const char *name)
{
    cr_assert_not(w->full, "%s", name);
    cr_assert(pgw_span_equal(pgw_writer_span(w), message_span(find(messages, n, name))), "%s",
              name);
    pgw_writer_clear(w);
}

static void expect_backend(struct pgw_writer *w, const char *name)
{
    expect(w, backend_messages, n_backend_messages, name);
}

static void expect_frontend(struct pgw_writer *w, const char *name)
{
    expect(w, frontend_messages, n_frontend_messages, name);
}

struct bare {
    uint8_t type;
    const char *name;
};

Test(build, messages_without_a_body)
{
    uint8_t buf[64];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    const struct bare backend[] = {{'1', "ParseComplete"},     {'2', "BindComplete"},
                                   {'3', "CloseComplete"},     {'n', "NoData"},
                                   {'s', "PortalSuspended"},   {'c', "CopyDone"},
                                   {'I', "EmptyQueryResponse"}};
    const struct bare frontend[] = {
        {'S', "Sync"}, {'H', "Flush"}, {'X', "Terminate"}, {'c', "CopyDone"}};

    for (size_t i = 0; i < sizeof(backend) / sizeof(backend[0]); i++) {
        pgw_build_bare(&w, backend[i].type);
        expect_backend(&w, backend[i].name);
    }
    for (size_t i = 0; i < sizeof(frontend) / sizeof(frontend[0]); i++) {
        pgw_build_bare(&w, frontend[i].type);
        expect_frontend(&w, frontend[i].name);
    }
}

Test(build, login_of_a_server)
{
    uint8_t buf[256];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    const char *mechanisms[] = {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"};

    pgw_build_authentication(&w, PGW_AUTH_OK);
    expect_backend(&w, "AuthenticationOk");
    pgw_build_authentication(&w, PGW_AUTH_CLEARTEXT_PASSWORD);
    expect_backend(&w, "AuthenticationCleartextPassword");
    pgw_build_authentication_md5(&w, (const uint8_t *)"\1\2\3\4");
    expect_backend(&w, "AuthenticationMD5Password");
    pgw_build_authentication_sasl(&w, mechanisms, 2);
    expect_backend(&w, "AuthenticationSASL");
    pgw_build_authentication_data(&w, PGW_AUTH_SASL_CONTINUE, pgw_span_str("r=abcd"));
    expect_backend(&w, "AuthenticationSASLContinue");
    pgw_build_authentication_data(&w, PGW_AUTH_SASL_FINAL, pgw_span_str("v=ab"));
    expect_backend(&w, "AuthenticationSASLFinal");
    pgw_build_parameter_status(&w, pgw_span_str("TimeZone"), pgw_span_str("Etc/UTC"));
    expect_backend(&w, "ParameterStatus");
    pgw_build_backend_key_data(&w, 0x1234, SPAN("\xde\xad\xbe\xef"));
    expect_backend(&w, "BackendKeyData");
    pgw_build_backend_key_data(&w, 0x1234, pgw_span_str("0123456789abcdef0123456789abcdef"));
    expect_backend(&w, "BackendKeyData of protocol 3.2");
    pgw_build_ready_for_query(&w, PGW_TX_IDLE);
    expect_backend(&w, "ReadyForQuery, idle");
    pgw_build_ready_for_query(&w, PGW_TX_OPEN);
    expect_backend(&w, "ReadyForQuery, in a transaction");
    pgw_build_ready_for_query(&w, PGW_TX_FAILED);
    expect_backend(&w, "ReadyForQuery, failed");
}

Test(build, rows)
{
    uint8_t buf[256];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    const struct pgw_column columns[] = {
        {.name = pgw_span_str("id"),
         .table = 0x4001,
         .attribute = 1,
         .type = 23,
         .type_len = 4,
         .type_modifier = -1},
        {.name = pgw_span_str("a"), .type = 25, .type_len = -1, .type_modifier = -1, .format = 1},
    };
    const struct pgw_value values[] = {
        {.bytes = pgw_span_str("1")}, {.is_null = true}, {.bytes = pgw_span_str("")}};
    const uint32_t types[] = {23, 25};

    pgw_build_row_description(&w, columns, 2);
    expect_backend(&w, "RowDescription");
    pgw_build_data_row(&w, values, 3);
    expect_backend(&w, "DataRow");
    pgw_build_command_complete(&w, pgw_span_str("INSERT 0 5"));
    expect_backend(&w, "CommandComplete");
    pgw_build_parameter_description(&w, types, 2);
    expect_backend(&w, "ParameterDescription");
    pgw_build_copy_data(&w, pgw_span_str("1\t2\n"));
    expect_backend(&w, "CopyData");

    struct pgw_column text = pgw_column_text("name");

    cr_assert(pgw_span_is(text.name, "name"));
    cr_assert_eq(text.type, 25);
    cr_assert_eq(text.type_len, -1);
    cr_assert_eq(text.type_modifier, -1);
    cr_assert_eq(text.format, 0);
}

Test(build, errors_and_notices)
{
    uint8_t buf[256];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    const struct pgw_report report = {"FATAL", "53300", "too many", NULL, "wait"};

    pgw_build_error(&w, &report);
    cr_assert(pgw_span_equal(pgw_writer_span(&w), SPAN("E\0\0\0\x2a"
                                                       "SFATAL\0"
                                                       "VFATAL\0"
                                                       "C53300\0"
                                                       "Mtoo many\0"
                                                       "Hwait\0"
                                                       "\0")));
    pgw_writer_clear(&w);
    pgw_build_notice(&w, &(struct pgw_report){"WARNING", "01000", "mind", "a detail", NULL});
    cr_assert(pgw_span_equal(pgw_writer_span(&w), SPAN("N\0\0\0\x2e"
                                                       "SWARNING\0"
                                                       "VWARNING\0"
                                                       "C01000\0"
                                                       "Mmind\0"
                                                       "Da detail\0"
                                                       "\0")));
}

Test(build, what_a_client_sends)
{
    uint8_t buf[256];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    const uint32_t types[] = {23, 0};
    const struct pgw_span data = pgw_span_str("n,,n=,r");

    pgw_build_query(&w, pgw_span_str("select 1"));
    expect_frontend(&w, "Query");
    pgw_build_parse(&w, pgw_span_str("s1"), pgw_span_str("select $1"), types, 2);
    expect_frontend(&w, "Parse");
    pgw_build_bind(&w, pgw_span_str(""), NULL, 0);
    expect_frontend(&w, "Bind, nothing given");
    pgw_build_describe(&w, PGW_TARGET_STATEMENT, pgw_span_str("s1"));
    expect_frontend(&w, "Describe statement");
    pgw_build_describe(&w, PGW_TARGET_PORTAL, pgw_span_str(""));
    expect_frontend(&w, "Describe portal");
    pgw_build_close(&w, PGW_TARGET_PORTAL, pgw_span_str("p1"));
    expect_frontend(&w, "Close portal");
    pgw_build_execute(&w, pgw_span_str("p1"), 100);
    expect_frontend(&w, "Execute");
    pgw_build_copy_data(&w, SPAN("a\t\0\xff\\n"));
    expect_frontend(&w, "CopyData");
    pgw_build_copy_fail(&w, pgw_span_str("enough"));
    expect_frontend(&w, "CopyFail");
    pgw_build_password(&w, pgw_span_str("secret"));
    expect_frontend(&w, "PasswordMessage");
    pgw_build_sasl_initial_response(&w, pgw_span_str("SCRAM-SHA-256"), &data);
    expect_frontend(&w, "SASLInitialResponse");
    pgw_build_sasl_initial_response(&w, pgw_span_str("PLAIN"), NULL);
    expect_frontend(&w, "SASLInitialResponse without data");
    pgw_build_sasl_response(&w, pgw_span_str("c=biw"));
    expect_frontend(&w, "SASLResponse");
}

Test(build, bind_with_values_comes_back)
{
    uint8_t buf[256];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    const struct pgw_value values[] = {{.bytes = pgw_span_str("17")}, {.is_null = true}};
    struct pgw_bind m;
    struct pgw_value v;

    pgw_build_bind(&w, pgw_span_str("s1"), values, 2);

    struct pgw_span in = pgw_writer_span(&w);
    struct pgw_frame f;

    cr_assert_eq(pgw_frame_next(pgw_frontend_rules, &in, &f), PGW_READY);
    cr_assert_eq(pgw_read_bind(f.body, &m), PGW_READY);
    cr_assert(pgw_span_is(m.portal, ""));
    cr_assert(pgw_span_is(m.statement, "s1"));
    cr_assert(pgw_value_next(&m.values, &v));
    cr_assert(pgw_span_is(v.bytes, "17"));
    cr_assert(pgw_value_next(&m.values, &v));
    cr_assert(v.is_null);
}

Test(build, first_packets)
{
    uint8_t buf[256];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    const struct pgw_param params[] = {{pgw_span_str("user"), pgw_span_str("joe")},
                                       {pgw_span_str("database"), pgw_span_str("")}};

    pgw_build_startup(&w, PGW_VERSION_3_2, params, 2);
    cr_assert(pgw_span_equal(pgw_writer_span(&w), SPAN("\0\0\0\x1c"
                                                       "\0\3\0\2"
                                                       "user\0joe\0"
                                                       "database\0\0"
                                                       "\0")));
    pgw_writer_clear(&w);
    pgw_build_startup_more(&w, PGW_VERSION_3_0, params, 1, SPAN("options\0\0a\0b\0"));
    cr_assert(pgw_span_equal(pgw_writer_span(&w), SPAN("\0\0\0\x1f"
                                                       "\0\3\0\0"
                                                       "user\0joe\0"
                                                       "options\0\0a\0b\0"
                                                       "\0")));
    pgw_writer_clear(&w);
    pgw_build_request(&w, PGW_CODE_SSL);
    cr_assert(pgw_span_equal(pgw_writer_span(&w), SPAN("\0\0\0\x08\x04\xd2\x16\x2f")));
    pgw_writer_clear(&w);
    pgw_build_request(&w, PGW_CODE_GSSENC);
    cr_assert(pgw_span_equal(pgw_writer_span(&w), SPAN("\0\0\0\x08\x04\xd2\x16\x30")));
    pgw_writer_clear(&w);
    pgw_build_cancel(&w, 0x1234, SPAN("\xde\xad\xbe\xef"));
    cr_assert(pgw_span_equal(pgw_writer_span(&w), SPAN("\0\0\0\x10\x04\xd2\x16\x2e"
                                                       "\0\0\x12\x34"
                                                       "\xde\xad\xbe\xef")));
}

Test(build, negotiation_names_every_protocol_option)
{
    static const uint8_t packet[] = "\0\0\0\x30"
                                    "\0\3\0\x07"
                                    "user\0joe\0"
                                    "_pq_.a\0on\0"
                                    "TimeZone\0UTC\0"
                                    "_pq_.\0\0";
    uint8_t buf[256];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    struct pgw_span in = {packet, sizeof(packet)};
    struct pgw_startup s;

    cr_assert_eq(pgw_startup_next(&in, &s), PGW_READY);
    cr_assert_eq(s.kind, PGW_STARTUP_SESSION);
    pgw_build_negotiate_protocol_version(&w, PGW_VERSION_3_2, &s);
    cr_assert(pgw_span_equal(pgw_writer_span(&w), SPAN("v\0\0\0\x19"
                                                       "\0\3\0\2"
                                                       "\0\0\0\2"
                                                       "_pq_.a\0"
                                                       "_pq_.\0")));
}

Test(build, nothing_is_written_that_does_not_fit)
{
    uint8_t buf[16];

    for (size_t size = 0; size < 13; size++) {
        struct pgw_writer w = pgw_writer_of(buf, size);

        pgw_build_query(&w, pgw_span_str("select"));
        cr_assert_eq(w.full, size < 12);
        cr_assert_eq(w.len, size < 12 ? 0 : 12);
    }
}
