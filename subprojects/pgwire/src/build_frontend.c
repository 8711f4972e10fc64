/* Builders of what a client sends. */
#include "pgwire/build.h"

#include "pgwire/proto.h"

void pgw_build_startup(struct pgw_writer *w, uint32_t version, const struct pgw_param *params,
                       size_t n)
{
    pgw_build_startup_more(w, version, params, n, pgw_span_of(NULL, 0));
}

void pgw_build_startup_more(struct pgw_writer *w, uint32_t version, const struct pgw_param *params,
                            size_t n, struct pgw_span more)
{
    pgw_writer_begin_untyped(w);
    pgw_writer_u32(w, version);
    for (size_t i = 0; i < n; i++) {
        pgw_writer_string(w, params[i].name);
        pgw_writer_string(w, params[i].value);
    }
    pgw_writer_bytes(w, more);
    pgw_writer_u8(w, 0);
    pgw_writer_end_untyped(w);
}

void pgw_build_request(struct pgw_writer *w, uint32_t code)
{
    pgw_writer_begin_untyped(w);
    pgw_writer_u32(w, code);
    pgw_writer_end_untyped(w);
}

void pgw_build_cancel(struct pgw_writer *w, uint32_t pid, struct pgw_span key)
{
    pgw_writer_begin_untyped(w);
    pgw_writer_u32(w, PGW_CODE_CANCEL);
    pgw_writer_u32(w, pid);
    pgw_writer_bytes(w, key);
    pgw_writer_end_untyped(w);
}

/* A message that is one string. */
static void build_text(struct pgw_writer *w, uint8_t type, struct pgw_span text)
{
    pgw_writer_begin(w, type);
    pgw_writer_string(w, text);
    pgw_writer_end(w);
}

void pgw_build_password(struct pgw_writer *w, struct pgw_span password)
{
    build_text(w, PGW_F_PASSWORD, password);
}

void pgw_build_query(struct pgw_writer *w, struct pgw_span text)
{
    build_text(w, PGW_F_QUERY, text);
}

void pgw_build_copy_fail(struct pgw_writer *w, struct pgw_span reason)
{
    build_text(w, PGW_F_COPY_FAIL, reason);
}

void pgw_build_sasl_initial_response(struct pgw_writer *w, struct pgw_span mechanism,
                                     const struct pgw_span *data)
{
    struct pgw_value value = {.is_null = data == NULL};

    if (data != NULL)
        value.bytes = *data;
    pgw_writer_begin(w, PGW_F_PASSWORD);
    pgw_writer_string(w, mechanism);
    pgw_writer_value(w, &value);
    pgw_writer_end(w);
}

void pgw_build_sasl_response(struct pgw_writer *w, struct pgw_span data)
{
    pgw_writer_begin(w, PGW_F_PASSWORD);
    pgw_writer_bytes(w, data);
    pgw_writer_end(w);
}

void pgw_build_parse(struct pgw_writer *w, struct pgw_span name, struct pgw_span text,
                     const uint32_t *types, uint16_t n)
{
    pgw_writer_begin(w, PGW_F_PARSE);
    pgw_writer_string(w, name);
    pgw_writer_string(w, text);
    pgw_writer_u16(w, n);
    for (size_t i = 0; i < n; i++)
        pgw_writer_u32(w, types[i]);
    pgw_writer_end(w);
}

void pgw_build_bind(struct pgw_writer *w, struct pgw_span statement, const struct pgw_value *values,
                    uint16_t n)
{
    pgw_writer_begin(w, PGW_F_BIND);
    pgw_writer_u8(w, 0); /* the unnamed portal */
    pgw_writer_string(w, statement);
    pgw_writer_u16(w, 0); /* no formats: all parameters are text */
    pgw_writer_u16(w, n);
    for (size_t i = 0; i < n; i++)
        pgw_writer_value(w, &values[i]);
    pgw_writer_u16(w, 0); /* no formats: all results are text */
    pgw_writer_end(w);
}

static void build_target(struct pgw_writer *w, uint8_t type, uint8_t kind, struct pgw_span name)
{
    pgw_writer_begin(w, type);
    pgw_writer_u8(w, kind);
    pgw_writer_string(w, name);
    pgw_writer_end(w);
}

void pgw_build_describe(struct pgw_writer *w, uint8_t kind, struct pgw_span name)
{
    build_target(w, PGW_F_DESCRIBE, kind, name);
}

void pgw_build_close(struct pgw_writer *w, uint8_t kind, struct pgw_span name)
{
    build_target(w, PGW_F_CLOSE, kind, name);
}

void pgw_build_execute(struct pgw_writer *w, struct pgw_span portal, int32_t max_rows)
{
    pgw_writer_begin(w, PGW_F_EXECUTE);
    pgw_writer_string(w, portal);
    pgw_writer_u32(w, (uint32_t)max_rows);
    pgw_writer_end(w);
}
