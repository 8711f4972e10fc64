/*
 * What a client sends, message by message through its reader. The names alone must be the same as
 * those the reader finds, and be known from every beginning of the body that contains them. What is
 * read of Parse is the whole of it: built again it is the same message.
 */
#include "pgwire/message_frontend.h"

#include "check.h"
#include "pgwire/build.h"
#include "pgwire/frame.h"
#include "pgwire/names.h"

static void check_values(struct pgw_span list, uint16_t n, struct pgw_span body)
{
    struct pgw_value value;

    for (unsigned i = 0; i < n; i++) {
        CHECK(pgw_value_next(&list, &value));
        check_inside(value.bytes, body);
    }
    CHECK(list.len == 0);
}

/* The reader has found these; NULL for a name that its message lacks. */
static void check_names(const struct pgw_frame *f, struct pgw_span portal,
                        struct pgw_span statement)
{
    struct pgw_names names, early;
    enum pgw_answer answer = PGW_PARTIAL;

    CHECK(pgw_read_names(f->type, f->body, true, &names) == PGW_READY);
    CHECK(names.portal.ptr == portal.ptr && names.portal.len == portal.len);
    CHECK(names.statement.ptr == statement.ptr && names.statement.len == statement.len);
    for (size_t len = 0; answer == PGW_PARTIAL; len++) {
        CHECK(len <= f->body.len);
        answer = pgw_read_names(f->type, (struct pgw_span){f->body.ptr, len}, false, &early);
    }
    CHECK(answer == PGW_READY && early.portal.ptr == names.portal.ptr &&
          early.statement.len == names.statement.len);
}

static void check_parse(const struct pgw_frame *f)
{
    static uint32_t types[UINT16_MAX];
    struct pgw_parse m;

    if (pgw_read_parse(f->body, &m) != PGW_READY)
        return;
    check_names(f, (struct pgw_span){NULL, 0}, m.name);
    for (size_t i = 0; i < m.n_types; i++)
        types[i] = pgw_oid_at(m.types, i);

    uint8_t *buf = malloc(PGW_HEADER_LEN + f->body.len);
    struct pgw_writer w = pgw_writer_of(buf, PGW_HEADER_LEN + f->body.len);

    CHECK(buf != NULL);
    pgw_build_parse(&w, m.name, m.text, types, m.n_types);
    CHECK(!w.full && pgw_span_equal(pgw_span_skip(pgw_writer_span(&w), PGW_HEADER_LEN), f->body));
    free(buf);
}

static void check_bind(const struct pgw_frame *f)
{
    struct pgw_bind m;

    if (pgw_read_bind(f->body, &m) != PGW_READY)
        return;
    check_names(f, m.portal, m.statement);
    check_values(m.values, m.n_values, f->body);
    check_inside(m.formats, f->body);
    check_inside(m.results, f->body);
    CHECK(m.formats.len == 2 * (size_t)m.n_formats && m.results.len == 2 * (size_t)m.n_results);
}

static void check_target(const struct pgw_frame *f)
{
    const struct pgw_span none = {NULL, 0};
    struct pgw_target m;

    if (pgw_read_describe(f->body, &m) != PGW_READY)
        return;
    if (m.kind == PGW_TARGET_STATEMENT)
        check_names(f, none, m.name);
    else
        check_names(f, m.name, none);
}

static void check_execute(const struct pgw_frame *f)
{
    struct pgw_execute m;

    if (pgw_read_execute(f->body, &m) == PGW_READY)
        check_names(f, m.portal, (struct pgw_span){NULL, 0});
}

static void check_function_call(const struct pgw_frame *f)
{
    struct pgw_function_call m;

    if (pgw_read_function_call(f->body, &m) != PGW_READY)
        return;
    check_values(m.args, m.n_args, f->body);
    check_inside(m.formats, f->body);
}

static void check_password(const struct pgw_frame *f)
{
    struct pgw_sasl_initial_response m;
    struct pgw_span text;

    if (pgw_read_text(f->body, &text) == PGW_READY)
        CHECK(text.ptr == f->body.ptr && text.len + 1 == f->body.len);
    if (pgw_read_sasl_initial_response(f->body, &m) == PGW_READY) {
        check_inside(m.mechanism, f->body);
        check_inside(m.data.bytes, f->body);
        CHECK(m.mechanism.len + 1 + 4 + m.data.bytes.len == f->body.len);
    }
}

static void check_message(const struct pgw_frame *f)
{
    switch (f->type) {
    case PGW_F_PARSE:
        check_parse(f);
        break;
    case PGW_F_BIND:
        check_bind(f);
        break;
    case PGW_F_DESCRIBE:
    case PGW_F_CLOSE:
        check_target(f);
        break;
    case PGW_F_EXECUTE:
        check_execute(f);
        break;
    case PGW_F_FUNCTION_CALL:
        check_function_call(f);
        break;
    case PGW_F_QUERY:
    case PGW_F_COPY_FAIL:
    case PGW_F_PASSWORD:
        check_password(f);
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pgw_span in = {data, len};
    struct pgw_frame f;

    while (pgw_frame_next(pgw_frontend_rules, &in, &f) == PGW_READY) {
        check_inside(f.body, pgw_span_of(data, len));
        check_message(&f);
    }
    return 0;
}
