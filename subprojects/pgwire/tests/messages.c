#include "messages.h"

#include <stdlib.h>
#include <string.h>

#include "pgwire/message_backend.h"
#include "pgwire/message_frontend.h"
#include "pgwire/status.h"

/* Readers that step through all they are handed, so that a sanitizer sees every byte be read. */

static void touch(struct pgw_span s)
{
    volatile uint8_t sum = 0;

    for (size_t i = 0; i < s.len; i++)
        sum = (uint8_t)(sum + s.ptr[i]);
}

static void touch_values(struct pgw_span list)
{
    struct pgw_value value;

    while (pgw_value_next(&list, &value))
        touch(value.bytes);
}

static enum pgw_answer read_text(struct pgw_span body)
{
    struct pgw_span text;
    enum pgw_answer answer = pgw_read_text(body, &text);

    if (answer == PGW_READY)
        touch(text);
    return answer;
}

static enum pgw_answer read_parse(struct pgw_span body)
{
    struct pgw_parse m;
    enum pgw_answer answer = pgw_read_parse(body, &m);

    if (answer != PGW_READY)
        return answer;
    touch(m.name);
    touch(m.text);
    for (size_t i = 0; i < m.n_types; i++)
        (void)pgw_oid_at(m.types, i);
    return answer;
}

static enum pgw_answer read_bind(struct pgw_span body)
{
    struct pgw_bind m;
    enum pgw_answer answer = pgw_read_bind(body, &m);

    if (answer != PGW_READY)
        return answer;
    touch(m.portal);
    touch(m.statement);
    touch(m.formats);
    touch_values(m.values);
    touch(m.results);
    return answer;
}

static enum pgw_answer read_target(struct pgw_span body)
{
    struct pgw_target m;
    enum pgw_answer answer = pgw_read_describe(body, &m);

    if (answer == PGW_READY)
        touch(m.name);
    return answer;
}

static enum pgw_answer read_execute(struct pgw_span body)
{
    struct pgw_execute m;
    enum pgw_answer answer = pgw_read_execute(body, &m);

    if (answer == PGW_READY)
        touch(m.portal);
    return answer;
}

static enum pgw_answer read_function_call(struct pgw_span body)
{
    struct pgw_function_call m;
    enum pgw_answer answer = pgw_read_function_call(body, &m);

    if (answer != PGW_READY)
        return answer;
    touch(m.formats);
    touch_values(m.args);
    return answer;
}

static enum pgw_answer read_sasl_initial(struct pgw_span body)
{
    struct pgw_sasl_initial_response m;
    enum pgw_answer answer = pgw_read_sasl_initial_response(body, &m);

    if (answer != PGW_READY)
        return answer;
    touch(m.mechanism);
    touch(m.data.bytes);
    return answer;
}

static enum pgw_answer read_authentication(struct pgw_span body)
{
    struct pgw_authentication m;
    struct pgw_span mechanism;
    enum pgw_answer answer = pgw_read_authentication(body, &m);

    if (answer != PGW_READY)
        return answer;
    touch(m.data);
    while (m.code == PGW_AUTH_SASL && pgw_string_next(&m.data, &mechanism))
        touch(mechanism);
    return answer;
}

static enum pgw_answer read_key(struct pgw_span body)
{
    struct pgw_backend_key m;
    enum pgw_answer answer = pgw_read_backend_key_data(body, &m);

    if (answer == PGW_READY)
        touch(m.key);
    return answer;
}

static enum pgw_answer read_negotiation(struct pgw_span body)
{
    struct pgw_negotiation m;
    struct pgw_span option;
    enum pgw_answer answer = pgw_read_negotiate_protocol_version(body, &m);

    while (answer == PGW_READY && pgw_string_next(&m.options, &option))
        touch(option);
    return answer;
}

static enum pgw_answer read_ready(struct pgw_span body)
{
    enum pgw_tx_status status;

    return pgw_read_ready_for_query(body, &status);
}

static enum pgw_answer read_parameter_status(struct pgw_span body)
{
    struct pgw_param m;
    enum pgw_answer answer = pgw_read_parameter_status(body, &m);

    if (answer != PGW_READY)
        return answer;
    touch(m.name);
    touch(m.value);
    return answer;
}

static enum pgw_answer read_report(struct pgw_span body)
{
    struct pgw_report_fields m;
    struct pgw_field field;
    enum pgw_answer answer = pgw_read_report(body, &m);

    if (answer != PGW_READY)
        return answer;
    touch(m.severity);
    touch(m.sqlstate);
    touch(m.message);
    while (pgw_field_next(&m.all, &field))
        touch(field.value);
    return answer;
}

static enum pgw_answer read_tag(struct pgw_span body)
{
    struct pgw_tag m;
    enum pgw_answer answer = pgw_read_command_complete(body, &m);

    if (answer != PGW_READY)
        return answer;
    touch(m.text);
    touch(m.command);
    return answer;
}

static enum pgw_answer read_copy(struct pgw_span body)
{
    struct pgw_copy_response m;
    enum pgw_answer answer = pgw_read_copy_response(body, &m);

    if (answer == PGW_READY)
        touch(m.formats);
    return answer;
}

static enum pgw_answer read_notification(struct pgw_span body)
{
    struct pgw_notification m;
    enum pgw_answer answer = pgw_read_notification(body, &m);

    if (answer != PGW_READY)
        return answer;
    touch(m.channel);
    touch(m.payload);
    return answer;
}

static enum pgw_answer read_row_description(struct pgw_span body)
{
    struct pgw_row_description m;
    struct pgw_column column;
    enum pgw_answer answer = pgw_read_row_description(body, &m);

    while (answer == PGW_READY && pgw_column_next(&m.columns, &column))
        touch(column.name);
    return answer;
}

static enum pgw_answer read_data_row(struct pgw_span body)
{
    struct pgw_data_row m;
    enum pgw_answer answer = pgw_read_data_row(body, &m);

    if (answer == PGW_READY)
        touch_values(m.values);
    return answer;
}

static enum pgw_answer read_parameter_description(struct pgw_span body)
{
    struct pgw_parameter_description m;
    enum pgw_answer answer = pgw_read_parameter_description(body, &m);

    for (size_t i = 0; answer == PGW_READY && i < m.n_types; i++)
        (void)pgw_oid_at(m.types, i);
    return answer;
}

static enum pgw_answer read_function_result(struct pgw_span body)
{
    struct pgw_value m;
    enum pgw_answer answer = pgw_read_function_call_response(body, &m);

    if (answer == PGW_READY)
        touch(m.bytes);
    return answer;
}

enum pgw_answer message_read(const struct message *m, struct pgw_span body)
{
    if (m->read != NULL)
        return m->read(body);
    touch(body);
    return PGW_READY;
}

#define BYTES(s) s, sizeof(s) - 1

/* clang-format off */
const struct message frontend_messages[] = {
    {"Query", BYTES("Q\0\0\0\x0d" "select 1\0"), "tttttttti", read_text, 0},
    {"Query, empty", BYTES("Q\0\0\0\x05" "\0"), "i", read_text, 0},
    {"FunctionCall", BYTES("F\0\0\0\x1a" "\0\0\x04\xd2" "\0\1" "\0\0" "\0\2"
                           "\0\0\0\2" "42" "\xff\xff\xff\xff" "\0\1"),
     "...." "ii" ".." "ii" "iiii" ".." "iiii" "..", read_function_call, 0},
    {"Parse", BYTES("P\0\0\0\x1b" "s1\0" "select $1\0" "\0\2" "\0\0\0\x17" "\0\0\0\0"),
     "tt?" "ttttttttt?" "ii" "...." "....", read_parse, 0},
    {"Parse, unnamed", BYTES("P\0\0\0\x09" "\0" ";\0" "\0\0"), "?" "t?" "ii", read_parse, 0},
    {"Bind", BYTES("B\0\0\0\x24" "p1\0" "s1\0" "\0\1" "\0\1" "\0\3" "\0\0\0\4" "\0\0\0\x07"
                   "\xff\xff\xff\xff" "\0\0\0\0" "\0\1" "\0\0"),
     "tt?" "tt?" "i?" ".." "ii" "iiii" "...." "iiii" "iii?" "ii" "..", read_bind, 0},
    {"Bind, nothing given", BYTES("B\0\0\0\x0c" "\0" "\0" "\0\0" "\0\0" "\0\0"),
     "?" "?" "ii" "ii" "ii", read_bind, 0},
    {"Describe statement", BYTES("D\0\0\0\x08" "S" "s1\0"), "?" "tt" "i", read_target, 0},
    {"Describe portal", BYTES("D\0\0\0\x06" "P" "\0"), "?" "i", read_target, 0},
    {"Close statement", BYTES("C\0\0\0\x08" "S" "s1\0"), "?" "tt" "i", read_target, 0},
    {"Close portal", BYTES("C\0\0\0\x08" "P" "p1\0"), "?" "tt" "i", read_target, 0},
    {"Execute", BYTES("E\0\0\0\x0b" "p1\0" "\0\0\0\x64"), "tt" "?" "....", read_execute, 0},
    {"Sync", BYTES("S\0\0\0\x04"), "", NULL, 0},
    {"Flush", BYTES("H\0\0\0\x04"), "", NULL, 0},
    {"CopyData", BYTES("d\0\0\0\x0a" "a\t\0\xff\\n"), "......", NULL, 0},
    {"CopyDone", BYTES("c\0\0\0\x04"), "", NULL, 0},
    {"CopyFail", BYTES("f\0\0\0\x0b" "enough\0"), "tttttti", read_text, 0},
    {"PasswordMessage", BYTES("p\0\0\0\x0b" "secret\0"), "tttttti", read_text, 0},
    {"SASLInitialResponse", BYTES("p\0\0\0\x1d" "SCRAM-SHA-256\0" "\0\0\0\x07" "n,,n=,r"),
     "ttttttttttttt" "i" "iiii" ".......", read_sasl_initial, 0},
    {"SASLInitialResponse without data", BYTES("p\0\0\0\x0e" "PLAIN\0" "\xff\xff\xff\xff"),
     "ttttt" "i" "iiii", read_sasl_initial, 0},
    {"SASLResponse", BYTES("p\0\0\0\x09" "c=biw"), ".....", NULL, 0},
    {"Terminate", BYTES("X\0\0\0\x04"), "", NULL, 0},
};
const size_t n_frontend_messages = sizeof(frontend_messages) / sizeof(frontend_messages[0]);

const struct message backend_messages[] = {
    {"AuthenticationOk", BYTES("R\0\0\0\x08" "\0\0\0\0"), "???" "?", read_authentication, 0},
    {"AuthenticationCleartextPassword", BYTES("R\0\0\0\x08" "\0\0\0\3"), "???" "?",
     read_authentication, 0},
    {"AuthenticationMD5Password", BYTES("R\0\0\0\x0c" "\0\0\0\5" "\1\2\3\4"), "???" "?" "....",
     read_authentication, 0},
    {"AuthenticationSASL", BYTES("R\0\0\0\x2a" "\0\0\0\x0a" "SCRAM-SHA-256-PLUS\0"
                                 "SCRAM-SHA-256\0" "\0"),
     "???" "?" "??????????????????" "?" "?????????????" "?" "i", read_authentication, 0},
    {"AuthenticationSASLContinue", BYTES("R\0\0\0\x0e" "\0\0\0\x0b" "r=abcd"), "???" "?" "......",
     read_authentication, 4},
    {"AuthenticationSASLFinal", BYTES("R\0\0\0\x0c" "\0\0\0\x0c" "v=ab"), "???" "?" "....",
     read_authentication, 4},
    {"AuthenticationGSSContinue", BYTES("R\0\0\0\x0a" "\0\0\0\x08" "\x60\x82"), "???" "?" "..",
     read_authentication, 4},
    {"NegotiateProtocolVersion", BYTES("v\0\0\0\x15" "\0\3\0\0" "\0\0\0\2" "_pq_.a\0" "b\0"),
     "...." "iiii" "tttttt" "i" "t" "i", read_negotiation, 0},
    {"BackendKeyData", BYTES("K\0\0\0\x0c" "\0\0\x12\x34" "\xde\xad\xbe\xef"), "...." "....",
     read_key, 0},
    {"BackendKeyData of protocol 3.2",
     BYTES("K\0\0\0\x28" "\0\0\x12\x34" "0123456789abcdef" "0123456789abcdef"),
     "...." "................" "................", read_key, 8},
    {"ReadyForQuery, idle", BYTES("Z\0\0\0\5I"), "?", read_ready, 0},
    {"ReadyForQuery, in a transaction", BYTES("Z\0\0\0\5T"), "?", read_ready, 0},
    {"ReadyForQuery, failed", BYTES("Z\0\0\0\5E"), "?", read_ready, 0},
    {"ParameterStatus", BYTES("S\0\0\0\x15" "TimeZone\0" "Etc/UTC\0"), "tttttttt" "?" "ttttttt" "i",
     read_parameter_status, 0},
    {"ParseComplete", BYTES("1\0\0\0\4"), "", NULL, 0},
    {"BindComplete", BYTES("2\0\0\0\4"), "", NULL, 0},
    {"CloseComplete", BYTES("3\0\0\0\4"), "", NULL, 0},
    {"NoData", BYTES("n\0\0\0\4"), "", NULL, 0},
    {"PortalSuspended", BYTES("s\0\0\0\4"), "", NULL, 0},
    {"EmptyQueryResponse", BYTES("I\0\0\0\4"), "", NULL, 0},
    {"ParameterDescription", BYTES("t\0\0\0\x0e" "\0\2" "\0\0\0\x17" "\0\0\0\x19"),
     "ii" "...." "....", read_parameter_description, 0},
    {"RowDescription", BYTES("T\0\0\0\x2f" "\0\2" "id\0" "\0\0\x40\1" "\0\1" "\0\0\0\x17" "\0\4"
                             "\xff\xff\xff\xff" "\0\0" "a\0" "\0\0\0\0" "\0\0" "\0\0\0\x19"
                             "\xff\xff" "\xff\xff\xff\xff" "\0\1"),
     "ii" "tt?" "...." ".." "...." ".." "...." ".." "t?" "...." ".." "...." ".." "...." "..",
     read_row_description, 0},
    {"DataRow", BYTES("D\0\0\0\x13" "\0\3" "\0\0\0\1" "1" "\xff\xff\xff\xff" "\0\0\0\0"),
     "ii" "iiii" "." "iiii" "iiii", read_data_row, 0},
    {"CommandComplete", BYTES("C\0\0\0\x0f" "INSERT 0 5\0"), "tttttttttti", read_tag, 0},
    {"FunctionCallResponse", BYTES("V\0\0\0\x0a" "\0\0\0\2" "ok"), "iiii" "..",
     read_function_result, 0},
    {"FunctionCallResponse, NULL", BYTES("V\0\0\0\x08" "\xff\xff\xff\xff"), "iiii",
     read_function_result, 0},
    {"CopyInResponse", BYTES("G\0\0\0\x0b" "\0" "\0\2" "\0\0" "\0\0"), "?" "ii" "....",
     read_copy, 0},
    {"CopyOutResponse", BYTES("H\0\0\0\x09" "\1" "\0\1" "\0\1"), "?" "ii" "..", read_copy, 0},
    {"CopyBothResponse", BYTES("W\0\0\0\7" "\0" "\0\0"), "?" "ii", read_copy, 0},
    {"CopyData", BYTES("d\0\0\0\x08" "1\t2\n"), "....", NULL, 0},
    {"CopyDone", BYTES("c\0\0\0\4"), "", NULL, 0},
    {"ErrorResponse", BYTES("E\0\0\0\x2d" "SFEHLER\0" "VERROR\0" "C42P01\0" "Mno table \"t\"\0"
                            "P15\0" "\0"),
     "t" "??????" "?" "t" "?????" "?" "t" "?????" "?" "t" "????????????" "?" "t" "??" "?" "i",
     read_report, 0},
    {"NoticeResponse", BYTES("N\0\0\0\x17" "SWARNING\0" "Mcareful\0" "\0"),
     "t" "???????" "?" "t" "???????" "?" "i", read_report, 0},
    {"NotificationResponse", BYTES("A\0\0\0\x11" "\0\0\x12\x34" "news\0" "hot\0"),
     "...." "tttt" "?" "ttt" "i", read_notification, 0},
};
/* clang-format on */
const size_t n_backend_messages = sizeof(backend_messages) / sizeof(backend_messages[0]);

static struct pgw_span body_named(const struct message *messages, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(messages[i].name, name) == 0)
            return message_body(&messages[i]);
    }
    abort();
}

struct pgw_span frontend_body(const char *name)
{
    return body_named(frontend_messages, n_frontend_messages, name);
}

struct pgw_span backend_body(const char *name)
{
    return body_named(backend_messages, n_backend_messages, name);
}
