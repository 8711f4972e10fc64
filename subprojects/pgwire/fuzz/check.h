/* A property that must hold for every input: when it does not, the fuzzer keeps the input. */
#ifndef PGWIRE_FUZZ_CHECK_H
#define PGWIRE_FUZZ_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "pgwire/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len); /* NOLINT: libFuzzer's name */

#define CHECK(expr)                                                                                \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "%s:%d: \"%s\" does not hold\n", __FILE__, __LINE__, #expr);           \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* What is handed out lies in the input; an absent span has no bytes. */
static inline void check_inside(struct pgw_span part, struct pgw_span whole)
{
    CHECK(part.len == 0 || (part.ptr >= whole.ptr && part.len <= whole.len &&
                            (size_t)(part.ptr - whole.ptr) <= whole.len - part.len));
}

#endif
