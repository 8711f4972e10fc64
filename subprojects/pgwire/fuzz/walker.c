/*
 * A stream in buffers of all sizes through the walker, and the whole of it through
 * pgw_frame_next(): both must see the same messages and stop at the same byte. The first byte of
 * the input chooses the direction, the second how the rest is cut.
 */
#include "pgwire/walker.h"

#include "check.h"
#include "pgwire/frame.h"

struct reference {
    struct pgw_span rest; /* from the message that comes next */
    const struct pgw_rule *table;
    uint8_t type;       /* of the message whose piece came last */
    uint32_t body_left; /* of it, still to be handed out */
};

/* The walker says that a message starts: so must the whole stream, even if that is cut short. */
static void start_message(struct reference *ref, const struct pgw_piece *p)
{
    struct pgw_span in = ref->rest;
    struct pgw_frame f;

    CHECK(ref->body_left == 0);
    if (pgw_frame_next(ref->table, &in, &f) == PGW_READY) {
        CHECK(f.type == p->type && f.body.len == p->body_len);
    } else {
        CHECK(in.len >= PGW_HEADER_LEN && in.ptr[0] == p->type);
        CHECK(pgw_load_u32(in.ptr + PGW_TYPE_LEN) == p->body_len + PGW_LENGTH_LEN);
    }
    ref->type = p->type;
    ref->body_left = p->body_len;
}

static void check_piece(struct reference *ref, const struct pgw_piece *p)
{
    size_t n = p->held.len + p->bytes.len;

    if (p->starts)
        start_message(ref, p);
    CHECK(p->bytes.len > 0 && n <= ref->rest.len && p->type == ref->type);
    CHECK(p->held.len == 0 || memcmp(ref->rest.ptr, p->held.ptr, p->held.len) == 0);
    CHECK(memcmp(ref->rest.ptr + p->held.len, p->bytes.ptr, p->bytes.len) == 0);
    ref->rest = pgw_span_skip(ref->rest, n);
    ref->body_left -= (uint32_t)pgw_piece_body(p).len;
    CHECK(p->ends == (ref->body_left == 0));
}

/* Walks one buffer, which is a copy of its own; false when the stream is found invalid. */
static bool walk_buffer(struct pgw_walker *w, struct reference *ref, struct pgw_span buffer)
{
    uint8_t *copy = malloc(buffer.len + 1);
    struct pgw_span in = {copy, buffer.len};
    struct pgw_piece piece;
    enum pgw_answer answer;

    CHECK(copy != NULL);
    if (buffer.len > 0)
        memcpy(copy, buffer.ptr, buffer.len);
    while ((answer = pgw_walk(w, ref->table, &in, &piece)) == PGW_READY)
        check_piece(ref, &piece);
    CHECK(answer == PGW_INVALID || in.len == 0);
    free(copy);
    return answer == PGW_PARTIAL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2)
        return 0;

    struct pgw_span stream = {data + 2, len - 2}, left = stream;
    struct reference ref = {.rest = stream,
                            .table = data[0] & 1 ? pgw_backend_rules : pgw_frontend_rules};
    struct pgw_walker w = {0};
    struct pgw_frame f;
    uint32_t seed = data[1];
    bool is_valid = true;

    while (is_valid && left.len > 0) {
        seed = seed * 1103515245 + 12345;

        size_t n = data[1] == 0 ? left.len : (seed >> 16) % (data[1] + 1U);

        n = n < left.len ? n : left.len;
        is_valid = walk_buffer(&w, &ref, (struct pgw_span){left.ptr, n});
        left = pgw_span_skip(left, n);
    }

    /* Where the walker stopped, the next message of the whole stream is no message, or is not
     * whole. */
    if (ref.body_left > 0) {
        CHECK(ref.rest.len == 0);
        return 0;
    }
    CHECK(pgw_frame_next(ref.table, &ref.rest, &f) == (is_valid ? PGW_PARTIAL : PGW_INVALID));
    CHECK(!is_valid || ref.rest.len == w.n_held);
    return 0;
}
