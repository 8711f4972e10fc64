/*
 * Tells AddressSanitizer which bytes of memory that we manage ourselves nobody may touch; nothing
 * in other builds.
 */
#ifndef WEIR_BASE_POISON_H
#define WEIR_BASE_POISON_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define POISON_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON_ASAN 1
#endif
#endif

#ifdef POISON_ASAN
#include <sanitizer/asan_interface.h>

static inline void poison(const void *ptr, size_t len)
{
    __asan_poison_memory_region(ptr, len);
}

static inline void unpoison(const void *ptr, size_t len)
{
    __asan_unpoison_memory_region(ptr, len);
}
#else
static inline void poison(const void *ptr, size_t len)
{
    (void)ptr, (void)len;
}

static inline void unpoison(const void *ptr, size_t len)
{
    (void)ptr, (void)len;
}
#endif

#endif
