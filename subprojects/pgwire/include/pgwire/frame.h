/*
 * Whole messages out of a buffer: for logins, consoles and tests. Who relays does not want to wait
 * for whole messages and uses walker.h instead.
 */
#ifndef PGWIRE_FRAME_H
#define PGWIRE_FRAME_H

#include <stdint.h>

#include "pgwire/rule.h"
#include "pgwire/span.h"

struct pgw_frame {
    struct pgw_span body; /* lies in the input */
    uint8_t type;
};

/*
 * Takes the first message out of *in; table is one of rule.h. PARTIAL: it is not whole yet.
 * INVALID: its letter is not in the table or its length does not fit, told as soon as the header is
 * there.
 */
PGW_NODISCARD enum pgw_answer pgw_frame_next(const struct pgw_rule *table, struct pgw_span *in,
                                             struct pgw_frame *out);

#endif
