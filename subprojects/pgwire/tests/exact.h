/* A copy of bytes on the heap that is exactly as long as they are: ASan sees a read beyond them. */
#ifndef PGWIRE_TESTS_EXACT_H
#define PGWIRE_TESTS_EXACT_H

#include <stdlib.h>
#include <string.h>

#include "pgwire/span.h"

static inline uint8_t *exact_copy(struct pgw_span s)
{
    uint8_t *copy = malloc(s.len > 0 ? s.len : 1);

    if (copy == NULL)
        abort();
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

#endif
