/*
 * Reading what a server told at its login: its ParameterStatus messages, which say what a parameter
 * is where nobody sets it, and which parameters are reported at all.
 */
#ifndef WEIR_POOL_GREETINGS_H
#define WEIR_POOL_GREETINGS_H

#include <stdbool.h>

#include "pgwire/value.h"
#include "weir/base/span.h"

struct greeting;

/* All of it; what greeting_next() steps through. NULL has none. */
struct pgw_span greeting_all(const struct greeting *g);

/* The next parameter of *left, which moves past it; false at the end. */
bool greeting_next(struct pgw_span *left, struct pgw_param *out);

/* False: it does not report that name. Names are compared without regard to case. */
bool greeting_get(const struct greeting *g, struct span name, struct span *value);
bool greeting_has(const struct greeting *g, struct span name);

#endif
