/*
 * A cursor over bytes that were received. A read that finds too little sets failed and yields zero
 * or an empty span, and so does every read after it: a parser reads all its fields and asks once,
 * at the end. Spans that are handed out lie in the bytes the reader was made of.
 */
#ifndef PGWIRE_READER_H
#define PGWIRE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pgwire/span.h"

struct pgw_reader {
    const uint8_t *pos;
    const uint8_t *end;
    bool failed;
};

static inline struct pgw_reader pgw_reader_of(struct pgw_span bytes)
{
    return (struct pgw_reader){bytes.ptr, bytes.len > 0 ? bytes.ptr + bytes.len : bytes.ptr, false};
}

static inline size_t pgw_reader_left(const struct pgw_reader *r)
{
    return r->failed ? 0 : (size_t)(r->end - r->pos);
}

/* For a value that is there but cannot be right. */
static inline void pgw_reader_fail(struct pgw_reader *r)
{
    r->failed = true;
}

/* True if every read succeeded and nothing is left over: the end of a message with known fields. */
static inline bool pgw_reader_done(const struct pgw_reader *r)
{
    return !r->failed && r->pos == r->end;
}

uint8_t pgw_reader_u8(struct pgw_reader *r);
uint16_t pgw_reader_u16(struct pgw_reader *r);
uint32_t pgw_reader_u32(struct pgw_reader *r);
int32_t pgw_reader_i32(struct pgw_reader *r);
struct pgw_span pgw_reader_bytes(struct pgw_reader *r, size_t len);

/* Up to a NUL, which is read but not part of the span. */
struct pgw_span pgw_reader_string(struct pgw_reader *r);

/* All that is left. */
struct pgw_span pgw_reader_rest(struct pgw_reader *r);

#endif
