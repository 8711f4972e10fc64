#include "pgwire/message_frontend.h"

#include "pgwire/proto.h"
#include "pgwire/reader.h"

enum pgw_answer pgw_read_text(struct pgw_span body, struct pgw_span *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_span text = pgw_reader_string(&r);

    if (!pgw_reader_done(&r))
        return PGW_INVALID;
    *out = text;
    return PGW_READY;
}

enum pgw_answer pgw_read_parse(struct pgw_span body, struct pgw_parse *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_parse m = {0};

    m.name = pgw_reader_string(&r);
    m.text = pgw_reader_string(&r);
    m.n_types = pgw_reader_u16(&r);
    m.types = pgw_reader_bytes(&r, m.n_types * sizeof(uint32_t));
    if (!pgw_reader_done(&r))
        return PGW_INVALID;
    *out = m;
    return PGW_READY;
}

enum pgw_answer pgw_read_bind(struct pgw_span body, struct pgw_bind *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_bind m = {0};

    m.portal = pgw_reader_string(&r);
    m.statement = pgw_reader_string(&r);
    m.n_formats = pgw_reader_u16(&r);
    m.formats = pgw_reader_bytes(&r, m.n_formats * sizeof(uint16_t));
    m.n_values = pgw_reader_u16(&r);
    m.values = pgw_reader_values(&r, m.n_values);
    m.n_results = pgw_reader_u16(&r);
    m.results = pgw_reader_bytes(&r, m.n_results * sizeof(uint16_t));
    if (!pgw_reader_done(&r))
        return PGW_INVALID;
    *out = m;
    return PGW_READY;
}

enum pgw_answer pgw_read_describe(struct pgw_span body, struct pgw_target *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_target m = {0};

    m.kind = pgw_reader_u8(&r);
    m.name = pgw_reader_string(&r);
    if (m.kind != PGW_TARGET_STATEMENT && m.kind != PGW_TARGET_PORTAL)
        pgw_reader_fail(&r);
    if (!pgw_reader_done(&r))
        return PGW_INVALID;
    *out = m;
    return PGW_READY;
}

enum pgw_answer pgw_read_close(struct pgw_span body, struct pgw_target *out)
{
    return pgw_read_describe(body, out); /* the same format */
}

enum pgw_answer pgw_read_execute(struct pgw_span body, struct pgw_execute *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_execute m = {0};

    m.portal = pgw_reader_string(&r);
    m.max_rows = pgw_reader_i32(&r);
    if (!pgw_reader_done(&r))
        return PGW_INVALID;
    *out = m;
    return PGW_READY;
}

enum pgw_answer pgw_read_function_call(struct pgw_span body, struct pgw_function_call *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_function_call m = {0};

    m.function = pgw_reader_u32(&r);
    m.n_formats = pgw_reader_u16(&r);
    m.formats = pgw_reader_bytes(&r, m.n_formats * sizeof(uint16_t));
    m.n_args = pgw_reader_u16(&r);
    m.args = pgw_reader_values(&r, m.n_args);
    m.result_format = pgw_reader_u16(&r);
    if (!pgw_reader_done(&r))
        return PGW_INVALID;
    *out = m;
    return PGW_READY;
}

enum pgw_answer pgw_read_sasl_initial_response(struct pgw_span body,
                                               struct pgw_sasl_initial_response *out)
{
    struct pgw_reader r = pgw_reader_of(body);
    struct pgw_sasl_initial_response m = {0};

    m.mechanism = pgw_reader_string(&r);
    m.data = pgw_reader_value(&r);
    if (!pgw_reader_done(&r))
        return PGW_INVALID;
    *out = m;
    return PGW_READY;
}
