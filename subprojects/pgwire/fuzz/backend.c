/*
 * What a server sends, message by message through its reader. What is read of a RowDescription or
 * DataRow is the whole of it: built again it is the same message.
 */
#include "pgwire/message_backend.h"

#include "check.h"
#include "pgwire/build.h"
#include "pgwire/frame.h"

#define MAX_LIST 4096

/* The message just built must have this body. */
static void check_same(const struct pgw_writer *w, struct pgw_span body)
{
    CHECK(!w->full && pgw_span_equal(pgw_span_skip(pgw_writer_span(w), PGW_HEADER_LEN), body));
}

static void check_row_description(struct pgw_span body, struct pgw_writer *w)
{
    static struct pgw_column columns[MAX_LIST];
    struct pgw_row_description m;
    size_t n = 0;

    if (pgw_read_row_description(body, &m) != PGW_READY || m.n_columns > MAX_LIST)
        return;
    while (n < MAX_LIST && pgw_column_next(&m.columns, &columns[n]))
        n++;
    CHECK(n == m.n_columns && m.columns.len == 0);
    pgw_build_row_description(w, columns, m.n_columns);
    check_same(w, body);
}

static void check_data_row(struct pgw_span body, struct pgw_writer *w)
{
    static struct pgw_value values[MAX_LIST];
    struct pgw_data_row m;
    size_t n = 0;

    if (pgw_read_data_row(body, &m) != PGW_READY || m.n_values > MAX_LIST)
        return;
    while (n < MAX_LIST && pgw_value_next(&m.values, &values[n]))
        n++;
    CHECK(n == m.n_values && m.values.len == 0);
    pgw_build_data_row(w, values, m.n_values);
    check_same(w, body);
}

static void check_parameter_description(struct pgw_span body, struct pgw_writer *w)
{
    static uint32_t types[UINT16_MAX];
    struct pgw_parameter_description m;

    if (pgw_read_parameter_description(body, &m) != PGW_READY)
        return;
    for (size_t i = 0; i < m.n_types; i++)
        types[i] = pgw_oid_at(m.types, i);
    pgw_build_parameter_description(w, types, m.n_types);
    check_same(w, body);
}

static void check_authentication(struct pgw_span body)
{
    struct pgw_authentication m;
    struct pgw_span mechanism;

    if (pgw_read_authentication(body, &m) != PGW_READY)
        return;
    check_inside(m.data, body);
    if (m.code != PGW_AUTH_SASL)
        return;
    CHECK(m.data.len > 0);
    while (pgw_string_next(&m.data, &mechanism))
        check_inside(mechanism, body);
    CHECK(m.data.len == 0);
}

static void check_negotiation(struct pgw_span body)
{
    struct pgw_negotiation m;
    struct pgw_span option;
    uint32_t n = 0;

    if (pgw_read_negotiate_protocol_version(body, &m) != PGW_READY)
        return;
    while (pgw_string_next(&m.options, &option))
        n++;
    CHECK(n == m.n_options && m.options.len == 0);
}

static void check_tag(struct pgw_span body)
{
    struct pgw_tag m;

    if (pgw_read_command_complete(body, &m) != PGW_READY)
        return;
    CHECK(m.text.len + 1 == body.len && m.command.len <= m.text.len);
    CHECK(m.has_rows || (m.n_rows == 0 && m.command.len == m.text.len));
}

static void check_pair(struct pgw_span body, struct pgw_writer *w)
{
    struct pgw_param m;

    if (pgw_read_parameter_status(body, &m) != PGW_READY)
        return;
    pgw_build_parameter_status(w, m.name, m.value);
    check_same(w, body);
}

static void check_small(uint8_t type, struct pgw_span body)
{
    enum pgw_tx_status status;
    struct pgw_backend_key key;
    struct pgw_copy_response copy;
    struct pgw_notification note;
    struct pgw_value value;

    if (type == PGW_B_READY_FOR_QUERY && pgw_read_ready_for_query(body, &status) == PGW_READY)
        CHECK(body.ptr[0] == status);
    if (type == PGW_B_BACKEND_KEY_DATA)
        CHECK(pgw_read_backend_key_data(body, &key) == PGW_READY); /* its row says all */
    if (pgw_read_copy_response(body, &copy) == PGW_READY)
        CHECK(copy.formats.len == 2 * (size_t)copy.n_columns);
    if (pgw_read_notification(body, &note) == PGW_READY)
        CHECK(note.channel.len + note.payload.len + 4 + 2 == body.len);
    if (pgw_read_function_call_response(body, &value) == PGW_READY)
        check_inside(value.bytes, body);
}

static void check_message(const struct pgw_frame *f, struct pgw_writer *w)
{
    switch (f->type) {
    case PGW_B_ROW_DESCRIPTION:
        check_row_description(f->body, w);
        break;
    case PGW_B_DATA_ROW:
        check_data_row(f->body, w);
        break;
    case PGW_B_PARAMETER_DESCRIPTION:
        check_parameter_description(f->body, w);
        break;
    case PGW_B_PARAMETER_STATUS:
        check_pair(f->body, w);
        break;
    case PGW_B_AUTHENTICATION:
        check_authentication(f->body);
        break;
    case PGW_B_NEGOTIATE_PROTOCOL_VERSION:
        check_negotiation(f->body);
        break;
    case PGW_B_COMMAND_COMPLETE:
        check_tag(f->body);
        break;
    default:
        check_small(f->type, f->body);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pgw_span in = {data, len};
    struct pgw_frame f;

    while (pgw_frame_next(pgw_backend_rules, &in, &f) == PGW_READY) {
        uint8_t *buf = malloc(PGW_HEADER_LEN + f.body.len);
        struct pgw_writer w = pgw_writer_of(buf, PGW_HEADER_LEN + f.body.len);

        CHECK(buf != NULL);
        check_inside(f.body, pgw_span_of(data, len));
        check_message(&f, &w);
        free(buf);
    }
    return 0;
}
