#include "pgwire/value.h"

#include "pgwire/endian.h"

/* Length of a value that is NULL: -1 as an Int32. */
#define NULL_LENGTH UINT32_MAX

struct pgw_value pgw_reader_value(struct pgw_reader *r)
{
    uint32_t len = pgw_reader_u32(r);

    if (len == NULL_LENGTH)
        return (struct pgw_value){.is_null = true};
    return (struct pgw_value){.bytes = pgw_reader_bytes(r, len)};
}

struct pgw_span pgw_reader_values(struct pgw_reader *r, uint16_t n)
{
    const uint8_t *start = r->pos;

    for (unsigned i = 0; i < n && !r->failed; i++)
        (void)pgw_reader_value(r);
    return (struct pgw_span){start, r->failed ? 0 : (size_t)(r->pos - start)};
}

struct pgw_span pgw_reader_strings(struct pgw_reader *r)
{
    const uint8_t *start = r->pos;

    while (pgw_reader_string(r).len > 0)
        ;
    return (struct pgw_span){start, r->failed ? 0 : (size_t)(r->pos - start) - 1};
}

void pgw_writer_value(struct pgw_writer *w, const struct pgw_value *value)
{
    if (value->bytes.len >= NULL_LENGTH)
        w->full = true;
    pgw_writer_u32(w, value->is_null ? NULL_LENGTH : (uint32_t)value->bytes.len);
    if (!value->is_null)
        pgw_writer_bytes(w, value->bytes);
}

/* Moves *list to where r is; false if r has failed. */
static bool step(struct pgw_span *list, const struct pgw_reader *r)
{
    if (r->failed)
        return false;
    *list = (struct pgw_span){r->pos, (size_t)(r->end - r->pos)};
    return true;
}

bool pgw_value_next(struct pgw_span *list, struct pgw_value *out)
{
    struct pgw_reader r = pgw_reader_of(*list);
    struct pgw_value value = pgw_reader_value(&r);

    if (!step(list, &r))
        return false;
    *out = value;
    return true;
}

bool pgw_string_next(struct pgw_span *list, struct pgw_span *out)
{
    struct pgw_reader r = pgw_reader_of(*list);
    struct pgw_span text = pgw_reader_string(&r);

    if (text.len == 0 || !step(list, &r))
        return false;
    *out = text;
    return true;
}

bool pgw_param_next(struct pgw_span *list, struct pgw_param *out)
{
    struct pgw_reader r = pgw_reader_of(*list);
    struct pgw_span name = pgw_reader_string(&r);
    struct pgw_span value = pgw_reader_string(&r);

    if (name.len == 0 || !step(list, &r))
        return false;
    *out = (struct pgw_param){name, value};
    return true;
}

uint32_t pgw_oid_at(struct pgw_span list, size_t index)
{
    return pgw_load_u32(list.ptr + index * sizeof(uint32_t));
}
