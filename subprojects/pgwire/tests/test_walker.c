/*
 * However a stream is cut into buffers, the walker hands out the same bytes with the same messages
 * in them as pgw_frame_next() finds in the whole.
 */
#include "pgwire/walker.h"

#include <criterion/criterion.h>

#include "exact.h"
#include "messages.h"
#include "pgwire/frame.h"

#define MAX_STREAM 4096
#define MAX_PIECES 64

struct stream {
    uint8_t bytes[MAX_STREAM];
    size_t len;
    const struct pgw_rule *table;
};

static void stream_of(struct stream *s, const struct pgw_rule *table,
                      const struct message *messages, size_t n)
{
    *s = (struct stream){.table = table};
    for (size_t i = 0; i < n; i++) {
        cr_assert_leq(s->len + messages[i].len, sizeof(s->bytes));
        memcpy(s->bytes + s->len, messages[i].bytes, messages[i].len);
        s->len += messages[i].len;
    }
}

/* What has come out of a walker so far, checked against the stream as it comes. */
struct trace {
    const struct stream *stream;
    struct pgw_span rest;   /* of the stream, from the start of the message that comes next */
    struct pgw_frame frame; /* the message the walker is in */
    size_t n_out;           /* bytes handed out */
    size_t n_of_message;    /* of them, of this message */
    struct pgw_piece pieces[MAX_PIECES]; /* of the buffer being walked */
    size_t offsets[MAX_PIECES];          /* where in the stream they begin */
    size_t n_pieces;
};

static void check_piece(struct trace *t, const struct pgw_piece *p)
{
    if (p->starts) {
        cr_assert_eq(t->n_of_message, 0);
        cr_assert_eq(pgw_frame_next(t->stream->table, &t->rest, &t->frame), PGW_READY);
        cr_assert_eq(p->body_len, t->frame.body.len);
    } else {
        cr_assert_gt(t->n_of_message, 0);
        cr_assert_eq(p->held.len, 0);
    }
    cr_assert_eq(p->type, t->frame.type);
    cr_assert_gt(p->bytes.len, 0);
    cr_assert_lt(p->held.len, PGW_HEADER_LEN);
    cr_assert_lt(t->n_pieces, MAX_PIECES);
    t->offsets[t->n_pieces] = t->n_out;
    t->pieces[t->n_pieces++] = *p;

    /* The body's part of it is where the message as a whole says. */
    struct pgw_span body = pgw_piece_body(p);
    size_t n_before = p->starts ? 0 : t->n_of_message - PGW_HEADER_LEN;

    cr_assert_leq(n_before + body.len, t->frame.body.len);
    cr_assert(pgw_span_equal(body, (struct pgw_span){t->frame.body.ptr + n_before, body.len}));

    t->n_out += p->held.len + p->bytes.len;
    t->n_of_message += p->held.len + p->bytes.len;
    cr_assert_eq(p->ends, t->n_of_message == PGW_HEADER_LEN + t->frame.body.len);
    if (p->ends)
        t->n_of_message = 0;
}

/* Held bytes must still be there when the buffer has been walked to its end. */
static void check_bytes(struct trace *t)
{
    for (size_t i = 0; i < t->n_pieces; i++) {
        const struct pgw_piece *p = &t->pieces[i];
        const uint8_t *expected = t->stream->bytes + t->offsets[i];

        cr_assert(pgw_span_equal(p->held, (struct pgw_span){expected, p->held.len}));
        cr_assert(
            pgw_span_equal(p->bytes, (struct pgw_span){expected + p->held.len, p->bytes.len}));
    }
    t->n_pieces = 0;
}

static void walk_buffer(struct pgw_walker *w, struct trace *t, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = exact_copy(pgw_span_of(bytes, len));
    struct pgw_span in = {copy, len};
    struct pgw_piece piece;
    enum pgw_answer answer;

    while ((answer = pgw_walk(w, t->stream->table, &in, &piece)) == PGW_READY) {
        check_piece(t, &piece);
        cr_assert_eq(pgw_walker_handed_whole(w), piece.ends);
    }
    cr_assert_eq(answer, PGW_PARTIAL);
    cr_assert_eq(in.len, 0);
    check_bytes(t);
    free(copy);
}

static struct trace trace_of(const struct stream *s)
{
    return (struct trace){.stream = s, .rest = {s->bytes, s->len}};
}

static void check_end(const struct pgw_walker *w, const struct trace *t)
{
    cr_assert_eq(t->n_out, t->stream->len);
    cr_assert_eq(t->n_of_message, 0);
    cr_assert(pgw_walker_at_boundary(w));
}

static void check_split(const struct stream *s, size_t at)
{
    struct pgw_walker w = {0};
    struct trace t = trace_of(s);

    walk_buffer(&w, &t, s->bytes, at);
    cr_assert_eq(pgw_walker_at_boundary(&w), t.n_of_message == 0 && t.n_out == at);
    cr_assert_leq(at - t.n_out, 4);
    walk_buffer(&w, &t, s->bytes + at, s->len - at);
    check_end(&w, &t);
}

static void check_steps(const struct stream *s, size_t step)
{
    struct pgw_walker w = {0};
    struct trace t = trace_of(s);

    for (size_t at = 0; at < s->len; at += step)
        walk_buffer(&w, &t, s->bytes + at, s->len - at < step ? s->len - at : step);
    check_end(&w, &t);
}

/* Deterministic, so that a failure comes again. */
static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 16;
}

static void check_random(const struct stream *s, uint32_t seed)
{
    struct pgw_walker w = {0};
    struct trace t = trace_of(s);
    uint32_t state = seed;

    for (size_t at = 0; at < s->len;) {
        size_t len = next_random(&state) % 12;

        if (len > s->len - at)
            len = s->len - at;
        walk_buffer(&w, &t, s->bytes + at, len);
        at += len;
    }
    check_end(&w, &t);
}

static void check_stream(const struct stream *s)
{
    for (size_t at = 0; at <= s->len; at++)
        check_split(s, at);
    for (size_t step = 1; step <= 64; step++)
        check_steps(s, step);
    for (uint32_t seed = 1; seed <= 200; seed++)
        check_random(s, seed);
}

Test(walker, every_way_to_cut_a_clients_stream_gives_the_same)
{
    static struct stream s;

    stream_of(&s, pgw_frontend_rules, frontend_messages, n_frontend_messages);
    check_stream(&s);
}

Test(walker, every_way_to_cut_a_servers_stream_gives_the_same)
{
    static struct stream s;

    stream_of(&s, pgw_backend_rules, backend_messages, n_backend_messages);
    check_stream(&s);
}

struct bad_header {
    const char *what;
    uint8_t bytes[PGW_HEADER_LEN];
};

static const struct bad_header bad_headers[] = {
    {"unknown letter", {'Z', 0, 0, 0, 4}},
    {"letter zero", {0, 0, 0, 0, 4}},
    {"length 0", {'Q', 0, 0, 0, 0}},
    {"length 3", {'Q', 0, 0, 0, 3}},
    {"shorter than the format", {'B', 0, 0, 0, 11}},
    {"above the small limit", {'S', 0, 0, 0x27, 0x11}},
    {"above the large limit", {'Q', 0x3f, 0xff, 0xff, 0xff}},
    {"negative", {'d', 0xff, 0xff, 0xff, 0xff}},
};

/* Whole or cut anywhere: nothing of it is handed out, and asking again changes nothing. */
static void check_bad_header(const struct bad_header *bad, size_t at)
{
    struct pgw_walker w = {0};
    struct pgw_span first = {bad->bytes, at};
    struct pgw_span rest = {bad->bytes + at, PGW_HEADER_LEN - at};
    struct pgw_piece piece;

    cr_assert_eq(pgw_walk(&w, pgw_frontend_rules, &first, &piece), PGW_PARTIAL, "%s", bad->what);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(pgw_walk(&w, pgw_frontend_rules, &rest, &piece), PGW_INVALID, "%s at %zu",
                     bad->what, at);
        cr_assert_eq(rest.len, PGW_HEADER_LEN - at, "%s", bad->what);
        cr_assert_eq(w.type, bad->bytes[0], "%s", bad->what);
        cr_assert(pgw_walker_handed_whole(&w));
    }
}

Test(walker, a_bad_header_is_invalid_wherever_it_is_cut)
{
    for (size_t i = 0; i < sizeof(bad_headers) / sizeof(bad_headers[0]); i++) {
        for (size_t at = 0; at < PGW_HEADER_LEN; at++)
            check_bad_header(&bad_headers[i], at);
    }
}

Test(walker, a_body_of_a_gigabyte_streams_through)
{
    static const uint8_t header[] = {'d', 0x3f, 0xff, 0xff, 0xfe};
    static uint8_t chunk[1 << 16];
    const uint64_t body_len = 0x3ffffffe - 4;
    struct pgw_walker w = {0};
    struct pgw_span in = {header, sizeof(header)};
    struct pgw_piece piece;
    uint64_t n = 0;

    cr_assert_eq(pgw_walk(&w, pgw_frontend_rules, &in, &piece), PGW_READY);
    cr_assert_eq(piece.body_len, body_len);
    while (!piece.ends) {
        in = (struct pgw_span){chunk, sizeof(chunk)};
        cr_assert_eq(pgw_walk(&w, pgw_frontend_rules, &in, &piece), PGW_READY);
        n += piece.bytes.len;
    }
    cr_assert_eq(n, body_len);
    cr_assert_eq(in.len, sizeof(chunk) - body_len % sizeof(chunk));
    cr_assert(pgw_walker_at_boundary(&w));
}

Test(walker, an_empty_buffer_is_partial_in_every_state)
{
    const uint8_t message[] = "Q\0\0\0\6x\0";
    struct pgw_piece piece;

    for (size_t at = 0; at < sizeof(message) - 1; at++) {
        struct pgw_walker w = {0};
        struct pgw_span first = {message, at}, empty = {NULL, 0};

        while (pgw_walk(&w, pgw_frontend_rules, &first, &piece) == PGW_READY)
            ;

        struct pgw_walker before = w;

        cr_assert_eq(pgw_walk(&w, pgw_frontend_rules, &empty, &piece), PGW_PARTIAL);
        cr_assert(before.left == w.left && before.n_held == w.n_held && before.slot == w.slot);
    }
}
