#include "pgwire/reader.h"

#include <string.h>

#include "pgwire/endian.h"

struct pgw_span pgw_reader_bytes(struct pgw_reader *r, size_t len)
{
    struct pgw_span bytes = {r->pos, len};

    if (r->failed || (size_t)(r->end - r->pos) < len) {
        r->failed = true;
        return (struct pgw_span){NULL, 0};
    }
    if (len > 0)
        r->pos += len;
    return bytes;
}

struct pgw_span pgw_reader_rest(struct pgw_reader *r)
{
    return pgw_reader_bytes(r, pgw_reader_left(r));
}

uint8_t pgw_reader_u8(struct pgw_reader *r)
{
    struct pgw_span b = pgw_reader_bytes(r, sizeof(uint8_t));

    return b.len > 0 ? b.ptr[0] : 0;
}

uint16_t pgw_reader_u16(struct pgw_reader *r)
{
    struct pgw_span b = pgw_reader_bytes(r, sizeof(uint16_t));

    return b.len > 0 ? pgw_load_u16(b.ptr) : 0;
}

uint32_t pgw_reader_u32(struct pgw_reader *r)
{
    struct pgw_span b = pgw_reader_bytes(r, sizeof(uint32_t));

    return b.len > 0 ? pgw_load_u32(b.ptr) : 0;
}

int32_t pgw_reader_i32(struct pgw_reader *r)
{
    return (int32_t)pgw_reader_u32(r);
}

struct pgw_span pgw_reader_string(struct pgw_reader *r)
{
    size_t left = pgw_reader_left(r);
    const uint8_t *nul = left > 0 ? memchr(r->pos, 0, left) : NULL;

    if (nul == NULL) {
        r->failed = true;
        return (struct pgw_span){NULL, 0};
    }

    struct pgw_span text = {r->pos, (size_t)(nul - r->pos)};

    r->pos = nul + 1;
    return text;
}
