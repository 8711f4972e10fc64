#include "pgwire/message_backend.h"

#include "pgwire/endian.h"
#include "pgwire/proto.h"
#include "pgwire/reader.h"

#define MD5_SALT_LEN 4

/* What must follow the code of an authentication request. */
static void check_authentication(struct pgw_reader *r, struct pgw_authentication *m)
{
    switch (m->code) {
    case PGW_AUTH_OK:
    case PGW_AUTH_KERBEROS_V5:
    case PGW_AUTH_CLEARTEXT_PASSWORD:
    case PGW_AUTH_SCM_CREDENTIAL:
    case PGW_AUTH_GSS:
    case PGW_AUTH_SSPI:
        break;
    case PGW_AUTH_MD5_PASSWORD:
        m->data = pgw_reader_bytes(r, MD5_SALT_LEN);
        break;
    case PGW_AUTH_SASL:
        m->data = pgw_reader_strings(r);
        if (m->data.len == 0)
            pgw_reader_fail(r);
        break;
    default:
        m->data = pgw_reader_rest(r);
        break;
    }
}

enum pgw_answer pgw_read_authentication(struct pgw_span body, struct pgw_authentication *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_authentication m = {0};

    m.code = pgw_reader_u32(&r);
    check_authentication(&r, &m);
    if (!pgw_reader_done(&r))
        return PGW_INVALID;
    *out = m;
    return PGW_READY;
}

enum pgw_answer pgw_read_backend_key_data(struct pgw_span body, struct pgw_backend_key *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_backend_key m = {0};

    m.pid = pgw_reader_u32(&r);
    m.key = pgw_reader_rest(&r);
    if (!pgw_reader_done(&r) || m.key.len < PGW_CANCEL_KEY_MIN || m.key.len > PGW_CANCEL_KEY_MAX)
        return PGW_INVALID;
    *out = m;
    return PGW_READY;
}

enum pgw_answer pgw_read_negotiate_protocol_version(struct pgw_span body,
                                                    struct pgw_negotiation *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_negotiation m = {0};

    m.version = pgw_reader_u32(&r);
    m.n_options = pgw_reader_u32(&r);

    const uint8_t *start = r.pos;

    for (uint32_t i = 0; i < m.n_options && !r.failed; i++) {
        if (pgw_reader_string(&r).len == 0)
            pgw_reader_fail(&r);
    }
    if (!pgw_reader_done(&r))
        return PGW_INVALID;
    m.options = (struct pgw_span){start, (size_t)(r.pos - start)};
    *out = m;
    return PGW_READY;
}

enum pgw_answer pgw_read_parameter_status(struct pgw_span body, struct pgw_param *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_param m = {0};

    m.name = pgw_reader_string(&r);
    m.value = pgw_reader_string(&r);
    if (!pgw_reader_done(&r) || m.name.len == 0)
        return PGW_INVALID;
    *out = m;
    return PGW_READY;
}

bool pgw_field_next(struct pgw_span *fields, struct pgw_field *out)
{
    struct pgw_reader r = pgw_reader_of(*fields);
    struct pgw_field field = {0};

    field.code = pgw_reader_u8(&r);
    field.value = pgw_reader_string(&r);
    if (r.failed || field.code == 0)
        return false;
    *fields = pgw_reader_rest(&r);
    *out = field;
    return true;
}

/* Of two severities the one that is not translated wins, whichever comes first. */
static void note_field(struct pgw_report_fields *m, const struct pgw_field *field)
{
    switch (field->code) {
    case PGW_FIELD_SEVERITY:
        m->severity = field->value;
        break;
    case PGW_FIELD_SEVERITY_LOCALIZED:
        if (m->severity.len == 0)
            m->severity = field->value;
        break;
    case PGW_FIELD_SQLSTATE:
        if (field->value.len == PGW_SQLSTATE_LEN)
            m->sqlstate = field->value;
        break;
    case PGW_FIELD_MESSAGE:
        m->message = field->value;
        break;
    default:
        break;
    }
}

enum pgw_answer pgw_read_report(struct pgw_span body, struct pgw_report_fields *out)
{
    struct pgw_report_fields m = {0};
    struct pgw_span left = body;
    struct pgw_field field;

    while (pgw_field_next(&left, &field))
        note_field(&m, &field);
    if (left.len != 1 || left.ptr[0] != 0)
        return PGW_INVALID;
    m.all = (struct pgw_span){body.ptr, body.len - 1};
    *out = m;
    return PGW_READY;
}

/*
 * Cuts the last word off text if it is a number that fits; a tag's numbers come last. What is left
 * over is returned through text, the number through out.
 */
static bool cut_number(struct pgw_span *text, uint64_t *out)
{
    size_t start = text->len;
    uint64_t n = 0;

    while (start > 0 && text->ptr[start - 1] >= '0' && text->ptr[start - 1] <= '9')
        start--;
    if (start == text->len || start == 0 || text->ptr[start - 1] != ' ')
        return false;
    for (size_t i = start; i < text->len; i++) {
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, text->ptr[i] - (unsigned)'0', &n))
            return false;
    }
    text->len = start - 1;
    *out = n;
    return true;
}

enum pgw_answer pgw_read_command_complete(struct pgw_span body, struct pgw_tag *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_tag m = {0};
    uint64_t oid;

    m.text = pgw_reader_string(&r);
    if (!pgw_reader_done(&r))
        return PGW_INVALID;
    m.command = m.text;
    m.has_rows = cut_number(&m.command, &m.n_rows);
    (void)cut_number(&m.command, &oid); /* INSERT has an OID in front of the rows */
    *out = m;
    return PGW_READY;
}

enum pgw_answer pgw_read_copy_response(struct pgw_span body, struct pgw_copy_response *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_copy_response m = {0};
    uint8_t format = pgw_reader_u8(&r);

    m.is_binary = format == 1;
    m.n_columns = pgw_reader_u16(&r);
    m.formats = pgw_reader_bytes(&r, m.n_columns * sizeof(uint16_t));
    if (!pgw_reader_done(&r) || format > 1)
        return PGW_INVALID;
    *out = m;
    return PGW_READY;
}

enum pgw_answer pgw_read_notification(struct pgw_span body, struct pgw_notification *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_notification m = {0};

    m.pid = pgw_reader_u32(&r);
    m.channel = pgw_reader_string(&r);
    m.payload = pgw_reader_string(&r);
    if (!pgw_reader_done(&r))
        return PGW_INVALID;
    *out = m;
    return PGW_READY;
}

static struct pgw_column read_column(struct pgw_reader *r)
{
    struct pgw_column column = {0};

    column.name = pgw_reader_string(r);
    column.table = pgw_reader_u32(r);
    column.attribute = (int16_t)pgw_reader_u16(r);
    column.type = pgw_reader_u32(r);
    column.type_len = (int16_t)pgw_reader_u16(r);
    column.type_modifier = pgw_reader_i32(r);
    column.format = pgw_reader_u16(r);
    return column;
}

bool pgw_column_next(struct pgw_span *columns, struct pgw_column *out)
{
    struct pgw_reader r = pgw_reader_of(*columns);
    struct pgw_column column = read_column(&r);

    if (r.failed)
        return false;
    *columns = pgw_reader_rest(&r);
    *out = column;
    return true;
}

enum pgw_answer pgw_read_row_description(struct pgw_span body, struct pgw_row_description *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_row_description m = {0};

    m.n_columns = pgw_reader_u16(&r);

    const uint8_t *start = r.pos;

    for (unsigned i = 0; i < m.n_columns && !r.failed; i++)
        (void)read_column(&r);
    if (!pgw_reader_done(&r))
        return PGW_INVALID;
    m.columns = (struct pgw_span){start, (size_t)(r.pos - start)};
    *out = m;
    return PGW_READY;
}

enum pgw_answer pgw_read_data_row(struct pgw_span body, struct pgw_data_row *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_data_row m = {0};

    m.n_values = pgw_reader_u16(&r);
    m.values = pgw_reader_values(&r, m.n_values);
    if (!pgw_reader_done(&r))
        return PGW_INVALID;
    *out = m;
    return PGW_READY;
}

enum pgw_answer pgw_read_parameter_description(struct pgw_span body,
                                               struct pgw_parameter_description *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_parameter_description m = {0};

    m.n_types = pgw_reader_u16(&r);
    m.types = pgw_reader_bytes(&r, m.n_types * sizeof(uint32_t));
    if (!pgw_reader_done(&r))
        return PGW_INVALID;
    *out = m;
    return PGW_READY;
}

enum pgw_answer pgw_read_function_call_response(struct pgw_span body, struct pgw_value *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_value value = pgw_reader_value(&r);

    if (!pgw_reader_done(&r))
        return PGW_INVALID;
    *out = value;
    return PGW_READY;
}
