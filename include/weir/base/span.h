/*
 * A view of bytes that belong to somebody else. Passed by value; whoever hands one out says how
 * long the bytes live.
 */
#ifndef WEIR_BASE_SPAN_H
#define WEIR_BASE_SPAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const uint8_t *ptr;
    size_t len;
};

static inline struct span span_of(const void *ptr, size_t len)
{
    return (struct span){(const uint8_t *)ptr, len};
}

/* The bytes of a NUL-terminated string, without the NUL. */
static inline struct span span_str(const char *s)
{
    return (struct span){(const uint8_t *)s, strlen(s)};
}

/* What is left of s after its first n bytes; n <= s.len. */
static inline struct span span_skip(struct span s, size_t n)
{
    return (struct span){s.ptr + n, s.len - n};
}

static inline int span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

#endif
