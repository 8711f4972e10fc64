/* Every message: its valid bytes, the same with one byte wrong, and cut at every length. */
#include "pgwire/frame.h"

#include <criterion/criterion.h>

#include "exact.h"
#include "messages.h"
#include "pgwire/endian.h"

static const uint8_t wrong_bytes[] = {0, 1, 2, ' ', '0', 'A', 'Z', 'a', 0x7f, 0x80, 0xfe, 0xff};

#define N_WRONG (sizeof(wrong_bytes) / sizeof(wrong_bytes[0]))

typedef void message_check(const struct pgw_rule *table, const struct message *m);

static void for_every_message(message_check *check)
{
    for (size_t i = 0; i < n_frontend_messages; i++)
        check(pgw_frontend_rules, &frontend_messages[i]);
    for (size_t i = 0; i < n_backend_messages; i++)
        check(pgw_backend_rules, &backend_messages[i]);
}

/* The answer for the body of a message, read from a copy of exactly its length. */
static enum pgw_answer read_exact(const struct message *m, struct pgw_span body)
{
    uint8_t *copy = exact_copy(body);
    enum pgw_answer answer = message_read(m, pgw_span_of(copy, body.len));

    free(copy);
    return answer;
}

static void check_valid(const struct pgw_rule *table, const struct message *m)
{
    uint8_t *copy = exact_copy(message_span(m));
    struct pgw_span in = {copy, m->len};
    struct pgw_frame f;

    cr_assert_eq(strlen(m->map), m->len - PGW_HEADER_LEN, "%s: map", m->name);
    cr_assert_eq(pgw_frame_next(table, &in, &f), PGW_READY, "%s", m->name);
    cr_assert_eq(f.type, (uint8_t)m->bytes[0], "%s", m->name);
    cr_assert_eq(f.body.ptr, copy + PGW_HEADER_LEN, "%s", m->name);
    cr_assert(pgw_span_equal(f.body, message_body(m)), "%s", m->name);
    cr_assert_eq(in.len, 0, "%s", m->name);
    cr_assert_eq(message_read(m, f.body), PGW_READY, "%s", m->name);
    free(copy);
}

Test(frame, valid_messages_are_cut_and_read)
{
    for_every_message(check_valid);
}

static void check_cut(const struct pgw_rule *table, const struct message *m)
{
    for (size_t len = 0; len < m->len; len++) {
        uint8_t *copy = exact_copy(pgw_span_of(m->bytes, len));
        struct pgw_span in = {copy, len};
        struct pgw_frame f;

        cr_assert_eq(pgw_frame_next(table, &in, &f), PGW_PARTIAL, "%s at %zu", m->name, len);
        cr_assert_eq(in.ptr, copy, "%s at %zu", m->name, len);
        cr_assert_eq(in.len, len, "%s at %zu", m->name, len);
        free(copy);
    }
}

Test(frame, cut_messages_are_partial_and_consume_nothing)
{
    for_every_message(check_cut);
}

/* The frame is right, the body ends early or goes on: as if the length word were wrong. */
static void check_body_len(const struct pgw_rule *table, const struct message *m)
{
    struct pgw_span body = message_body(m);
    uint8_t longer[256] = {0};

    (void)table;
    for (size_t len = 0; len < body.len && m->read != NULL; len++) {
        bool is_opaque = m->opaque_from > 0 && len >= m->opaque_from;
        /* The key of a BackendKeyData has a shortest length, which the row of the table checks. */
        bool is_ready = is_opaque && (m->bytes[0] != PGW_B_BACKEND_KEY_DATA || len >= 8);

        cr_assert_eq(read_exact(m, pgw_span_of(body.ptr, len)), is_ready ? PGW_READY : PGW_INVALID,
                     "%s with a body of %zu", m->name, len);
    }
    memcpy(longer, body.ptr, body.len);
    if (m->read != NULL && m->opaque_from == 0 && m->bytes[0] != PGW_B_BACKEND_KEY_DATA)
        cr_assert_eq(read_exact(m, pgw_span_of(longer, body.len + 1)), PGW_INVALID,
                     "%s with a byte too many", m->name);
}

Test(frame, bodies_that_end_early_or_go_on_are_invalid)
{
    for_every_message(check_body_len);
}

static void check_wrong_type(const struct pgw_rule *table, const struct message *m)
{
    for (unsigned type = 0; type < PGW_N_TYPES; type++) {
        uint8_t *copy = exact_copy(message_span(m));
        struct pgw_span in = {copy, m->len};
        struct pgw_frame f;
        bool fits = pgw_rule_fits(&table[type], (uint32_t)m->len - PGW_TYPE_LEN);

        copy[0] = (uint8_t)type;
        cr_assert_eq(pgw_frame_next(table, &in, &f), fits ? PGW_READY : PGW_INVALID, "%s as 0x%02x",
                     m->name, type);
        free(copy);
    }
}

Test(frame, a_wrong_letter_is_invalid_unless_the_length_fits_it_too)
{
    for_every_message(check_wrong_type);
}

static void check_wrong_length_byte(const struct pgw_rule *table, const struct message *m,
                                    size_t at, uint8_t wrong)
{
    uint8_t *copy = exact_copy(message_span(m));
    struct pgw_span in = {copy, m->len};
    struct pgw_frame f;

    copy[at] = wrong;

    uint32_t length = pgw_load_u32(copy + PGW_TYPE_LEN);
    enum pgw_answer expected = PGW_READY;

    if (!pgw_rule_fits(&table[(uint8_t)m->bytes[0]], length))
        expected = PGW_INVALID;
    else if (length > m->len - PGW_TYPE_LEN)
        expected = PGW_PARTIAL;
    cr_assert_eq(pgw_frame_next(table, &in, &f), expected, "%s byte %zu 0x%02x", m->name, at,
                 wrong);
    if (expected == PGW_READY && length < m->len - PGW_TYPE_LEN && m->opaque_from == 0 &&
        m->read != NULL)
        cr_assert_eq(message_read(m, f.body), PGW_INVALID, "%s cut to %u", m->name, length);
    free(copy);
}

static void check_wrong_length(const struct pgw_rule *table, const struct message *m)
{
    for (size_t at = PGW_TYPE_LEN; at < PGW_HEADER_LEN; at++) {
        for (size_t i = 0; i < N_WRONG; i++)
            check_wrong_length_byte(table, m, at, wrong_bytes[i]);
    }
}

Test(frame, a_wrong_length_is_invalid_or_partial_or_spoils_the_body)
{
    for_every_message(check_wrong_length);
}

static void check_wrong_body_byte(const struct message *m, size_t at, uint8_t wrong)
{
    struct pgw_span body = message_body(m);
    uint8_t *copy = exact_copy(body);
    uint8_t right = body.ptr[at];

    copy[at] = wrong;

    enum pgw_answer answer = message_read(m, pgw_span_of(copy, body.len));
    char kind = m->map[at];

    free(copy);
    cr_assert_neq(answer, PGW_PARTIAL, "%s", m->name);
    if (wrong == right || kind == '?')
        return;

    bool is_ready = kind == '.' || (kind == 't' && wrong != 0);

    cr_assert_eq(answer, is_ready ? PGW_READY : PGW_INVALID, "%s, byte %zu of the body is 0x%02x",
                 m->name, at, wrong);
}

static void check_wrong_body(const struct pgw_rule *table, const struct message *m)
{
    (void)table;
    for (size_t at = 0; at < m->len - PGW_HEADER_LEN; at++) {
        for (size_t i = 0; i < N_WRONG; i++)
            check_wrong_body_byte(m, at, wrong_bytes[i]);
        for (unsigned bit = 0; bit < 8; bit++)
            check_wrong_body_byte(m, at,
                                  (uint8_t)((uint8_t)m->bytes[PGW_HEADER_LEN + at] ^ 1U << bit));
    }
}

Test(frame, one_wrong_byte_of_a_body_does_what_the_map_says)
{
    for_every_message(check_wrong_body);
}

Test(frame, every_letter_has_a_message_here)
{
    bool frontend[PGW_N_TYPES] = {0}, backend[PGW_N_TYPES] = {0};

    for (size_t i = 0; i < n_frontend_messages; i++)
        frontend[(uint8_t)frontend_messages[i].bytes[0]] = true;
    for (size_t i = 0; i < n_backend_messages; i++)
        backend[(uint8_t)backend_messages[i].bytes[0]] = true;
    for (unsigned type = 0; type < PGW_N_TYPES; type++) {
        cr_assert_eq(frontend[type], pgw_frontend_rules[type].name != NULL, "0x%02x", type);
        cr_assert_eq(backend[type], pgw_backend_rules[type].name != NULL, "0x%02x", type);
    }
}

Test(frame, messages_follow_each_other)
{
    static const uint8_t bytes[] = "1\0\0\0\4"
                                   "2\0\0\0\4"
                                   "Z\0\0\0\5I"
                                   "Z\0\0";
    struct pgw_span in = {bytes, sizeof(bytes) - 1};
    struct pgw_frame f;

    for (const char *type = "12Z"; *type != '\0'; type++) {
        cr_assert_eq(pgw_frame_next(pgw_backend_rules, &in, &f), PGW_READY);
        cr_assert_eq(f.type, (uint8_t)*type);
    }
    cr_assert_eq(pgw_frame_next(pgw_backend_rules, &in, &f), PGW_PARTIAL);
    cr_assert_eq(in.len, 3);
}
