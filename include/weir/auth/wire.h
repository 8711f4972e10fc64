/*
 * From pgwire's spans to weir's and back: the same two words, but pgwire stands alone and knows
 * nothing of weir's headers.
 */
#ifndef WEIR_AUTH_WIRE_H
#define WEIR_AUTH_WIRE_H

#include "pgwire/span.h"
#include "weir/base/span.h"

static inline struct span span_in(struct pgw_span s)
{
    return span_of(s.ptr, s.len);
}

static inline struct pgw_span span_out(struct span s)
{
    return pgw_span_of(s.ptr, s.len);
}

#endif
