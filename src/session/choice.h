/*
 * What a client chooses for itself when it comes: the settings in its startup packet, as parameters
 * and in "options". PostgreSQL takes the options first, so a parameter of the same name counts.
 *
 * Only settings that a SET can change can follow a client from server to server; others are refused
 * as PostgreSQL refuses them in a SET. Pure: no state. Sources: PostgreSQL documentation, 20.1.2
 * and 55.2.1; guc.c and postgres.c of PostgreSQL 15.
 */
#ifndef WEIR_SESSION_CHOICE_H
#define WEIR_SESSION_CHOICE_H

#include <stdbool.h>

#include "pgwire/startup.h"
#include "weir/base/check.h"
#include "weir/base/pairs.h"

enum choice {
    CHOICE_MADE,
    CHOICE_REFUSED, /* *refusal is set */
    CHOICE_NO_MEMORY,
};

struct choice_refusal {
    const char *sqlstate;
    char message[256];
};

/* s is of kind PGW_STARTUP_SESSION; *out is empty before. */
NODISCARD enum choice choice_read(const struct pgw_startup *s, struct pairs *out,
                                  struct choice_refusal *refusal);

/* Is the value sure to be taken by any server, in the spelling given? */
bool choice_is_plain(struct span name, struct span value);

#endif
