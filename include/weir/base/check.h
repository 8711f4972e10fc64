/*
 * Assertions about our own state.
 *
 * ASSERT stays on in release builds and checks in O(1); ASSERT_SLOW walks structures and is
 * compiled in only with -Dslow_asserts=true. Neither is ever applied to what a peer sent, to an
 * allocation or to the result of a system call: those are errors, not bugs.
 */
#ifndef WEIR_BASE_CHECK_H
#define WEIR_BASE_CHECK_H

#include <stddef.h>

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* Size of what no two threads should share: adjacent-line prefetch fetches lines in pairs. */
#define CACHE_LINE 128

#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define CONTAINER_OF_CONST(ptr, type, member)                                                      \
    ((const type *)(const void *)((const char *)(ptr)-offsetof(type, member)))

/* Writes the failed check and a stack trace to standard error, then aborts. Any thread. */
__attribute__((noreturn, cold)) void check_failed(const char *expr, const char *file, int line,
                                                  const char *func);

#define ASSERT(expr)                                                                               \
    do {                                                                                           \
        if (__builtin_expect(!(expr), 0))                                                          \
            check_failed(#expr, __FILE__, __LINE__, __func__);                                     \
    } while (0)

#ifdef WEIR_SLOW_ASSERTS
#define ASSERT_SLOW(expr) ASSERT(expr)
#else
#define ASSERT_SLOW(expr)                                                                          \
    do {                                                                                           \
        (void)sizeof(expr);                                                                        \
    } while (0)
#endif

#endif
