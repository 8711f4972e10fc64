/*
 * The names inside Parse, Bind, Describe, Close and Execute, and where they lie, so that a relay
 * can put another name in their place without touching the rest of the message. All of them come
 * first in their message: a relay need not wait for the rest.
 */
#ifndef PGWIRE_NAMES_H
#define PGWIRE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "pgwire/proto.h"
#include "pgwire/span.h"

/* Spans lie in the message, each followed by its NUL. ptr is NULL for what the message lacks. */
struct pgw_names {
    struct pgw_span portal;    /* of Bind and Execute, and of Describe and Close of a portal */
    struct pgw_span statement; /* of Parse and Bind, and of Describe and Close of a statement */
};

/*
 * Finds the names in the first bytes of a body of this frontend type; whole says that these are all
 * its bytes. PARTIAL: the names are not all there yet. INVALID: they never will be, or the type is
 * none of the five. Only the names are looked at, not what follows them.
 */
PGW_NODISCARD enum pgw_answer pgw_read_names(uint8_t type, struct pgw_span bytes, bool whole,
                                             struct pgw_names *out);

/* What PostgreSQL keeps of a name: its first 63 bytes. */
static inline struct pgw_span pgw_name_clip(struct pgw_span name)
{
    return (struct pgw_span){name.ptr, name.len < PGW_NAME_MAX ? name.len : PGW_NAME_MAX};
}

#endif
