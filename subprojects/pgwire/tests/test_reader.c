#include "pgwire/reader.h"

#include <criterion/criterion.h>

Test(reader, reads_what_is_there)
{
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 0xff, 0xff, 0xff, 0xfe, 'h', 'i', 0, 9, 8};
    struct pgw_reader r = pgw_reader_of(pgw_span_of(bytes, sizeof(bytes)));

    cr_assert_eq(pgw_reader_u8(&r), 1);
    cr_assert_eq(pgw_reader_u16(&r), 0x0203);
    cr_assert_eq(pgw_reader_u32(&r), 0x04050607);
    cr_assert_eq(pgw_reader_i32(&r), -2);
    cr_assert(pgw_span_is(pgw_reader_string(&r), "hi"));
    cr_assert_eq(pgw_reader_left(&r), 2);
    cr_assert_not(pgw_reader_done(&r));
    cr_assert_eq(pgw_reader_rest(&r).len, 2);
    cr_assert(pgw_reader_done(&r));
    cr_assert_eq(pgw_reader_bytes(&r, 0).len, 0);
    cr_assert(pgw_reader_done(&r), "nothing can be read at the end");
}

typedef void read_one(struct pgw_reader *r);

static void read_u8(struct pgw_reader *r)
{
    cr_assert_eq(pgw_reader_u8(r), 0);
}

static void read_u16(struct pgw_reader *r)
{
    cr_assert_eq(pgw_reader_u16(r), 0);
}

static void read_u32(struct pgw_reader *r)
{
    cr_assert_eq(pgw_reader_u32(r), 0);
}

static void read_bytes(struct pgw_reader *r)
{
    cr_assert_eq(pgw_reader_bytes(r, 5).len, 0);
}

static void read_string(struct pgw_reader *r)
{
    cr_assert_eq(pgw_reader_string(r).len, 0);
}

static void read_rest(struct pgw_reader *r)
{
    cr_assert_eq(pgw_reader_rest(r).len, 0);
}

Test(reader, a_failure_sticks)
{
    static const uint8_t bytes[] = {1, 2, 3, 4};
    read_one *const reads[] = {read_u8, read_u16, read_u32, read_bytes, read_string, read_rest};
    const size_t too_few[] = {0, 1, 3, 4, 4};

    for (size_t i = 0; i < sizeof(too_few) / sizeof(too_few[0]); i++) {
        struct pgw_reader r = pgw_reader_of(pgw_span_of(bytes, too_few[i]));

        reads[i](&r);
        cr_assert(r.failed, "read %zu", i);
        for (size_t k = 0; k < sizeof(reads) / sizeof(reads[0]); k++)
            reads[k](&r);
        cr_assert_eq(pgw_reader_left(&r), 0);
        cr_assert_not(pgw_reader_done(&r));
    }
}

Test(reader, of_nothing_is_at_its_end)
{
    struct pgw_reader r = pgw_reader_of((struct pgw_span){NULL, 0});

    cr_assert(pgw_reader_done(&r));
    cr_assert_eq(pgw_reader_rest(&r).len, 0);
    cr_assert(pgw_reader_done(&r));
    pgw_reader_fail(&r);
    cr_assert_not(pgw_reader_done(&r));
}
