/*
 * What every header here needs: a view of bytes and the three answers of a parser.
 *
 * A span never owns its bytes; whoever hands one out says how long they live.
 */
#ifndef PGWIRE_SPAN_H
#define PGWIRE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PGW_NODISCARD __attribute__((warn_unused_result))

struct pgw_span {
    const uint8_t *ptr;
    size_t len;
};

/* A parser consumes nothing and writes no result unless it answers PGW_READY. */
enum pgw_answer {
    PGW_READY,   /* the result is set, the input has moved past what was read */
    PGW_PARTIAL, /* right so far: come back with more bytes */
    PGW_INVALID, /* the peer broke the protocol; more bytes do not help */
};

static inline struct pgw_span pgw_span_of(const void *ptr, size_t len)
{
    return (struct pgw_span){(const uint8_t *)ptr, len};
}

/* The bytes of a NUL-terminated string, without the NUL. */
static inline struct pgw_span pgw_span_str(const char *s)
{
    return (struct pgw_span){(const uint8_t *)s, strlen(s)};
}

/* What is left of s after its first n bytes; n <= s.len. */
static inline struct pgw_span pgw_span_skip(struct pgw_span s, size_t n)
{
    return (struct pgw_span){n > 0 ? s.ptr + n : s.ptr, s.len - n};
}

static inline bool pgw_span_equal(struct pgw_span a, struct pgw_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool pgw_span_is(struct pgw_span a, const char *s)
{
    return pgw_span_equal(a, pgw_span_str(s));
}

#endif
