#include "pgwire/writer.h"

#include <criterion/criterion.h>

#include "pgwire/proto.h"

#define SPAN(s) pgw_span_of(s, sizeof(s) - 1)

static void write_message(struct pgw_writer *w)
{
    pgw_writer_begin(w, 'Q');
    pgw_writer_u8(w, 1);
    pgw_writer_u16(w, 0x0203);
    pgw_writer_u32(w, 0x04050607);
    pgw_writer_string(w, pgw_span_str("hi"));
    pgw_writer_bytes(w, SPAN("\xff"));
    pgw_writer_end(w);
}

static const char message[] = "Q\0\0\0\x0f"
                              "\1\2\3\4\5\6\7hi\0\xff";

#define MESSAGE_LEN (sizeof(message) - 1)

Test(writer, writes_what_it_is_told)
{
    uint8_t buf[64];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));

    write_message(&w);
    cr_assert_not(w.full);
    cr_assert(pgw_span_equal(pgw_writer_span(&w), SPAN(message)));
}

Test(writer, keeps_whole_messages_only)
{
    for (size_t size = 0; size < 3 * MESSAGE_LEN + 2; size++) {
        uint8_t *buf = malloc(size + 1);
        struct pgw_writer w = pgw_writer_of(buf, size);
        size_t n_fit = size / MESSAGE_LEN < 3 ? size / MESSAGE_LEN : 3;

        for (int i = 0; i < 3; i++)
            write_message(&w);
        cr_assert_eq(w.len, n_fit * MESSAGE_LEN, "room for %zu", size);
        cr_assert_eq(w.full, n_fit < 3, "room for %zu", size);
        for (size_t i = 0; i < n_fit; i++)
            cr_assert_eq(memcmp(buf + i * MESSAGE_LEN, message, MESSAGE_LEN), 0);

        /* Full stays full, even for what would fit, until it is emptied. */
        pgw_writer_begin(&w, 'S');
        pgw_writer_end(&w);
        cr_assert_eq(w.full, n_fit < 3 || size < 3 * MESSAGE_LEN + PGW_HEADER_LEN);
        pgw_writer_clear(&w);
        pgw_writer_begin(&w, 'S');
        pgw_writer_end(&w);
        cr_assert_eq(w.full, size < PGW_HEADER_LEN);
        free(buf);
    }
}

Test(writer, refuses_a_nul_inside_a_string)
{
    uint8_t buf[64];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));

    pgw_writer_begin(&w, 'Q');
    pgw_writer_string(&w, SPAN("select 1\0; drop table t"));
    pgw_writer_end(&w);
    cr_assert(w.full);
    cr_assert_eq(w.len, 0);
}

Test(writer, untyped_packets_count_themselves)
{
    uint8_t buf[64];
    struct pgw_writer w = pgw_writer_of(buf, 8);

    pgw_writer_begin_untyped(&w);
    pgw_writer_u32(&w, PGW_CODE_SSL);
    pgw_writer_end_untyped(&w);
    cr_assert(pgw_span_equal(pgw_writer_span(&w), SPAN("\0\0\0\x08\x04\xd2\x16\x2f")));
    pgw_writer_begin_untyped(&w);
    pgw_writer_end_untyped(&w);
    cr_assert(w.full);
    cr_assert_eq(w.len, 8);
}
