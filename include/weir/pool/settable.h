/*
 * Which parameters a SET can change in a session, and a RESET undo: those that can follow a client
 * from server to server. As far as it is known without asking a server; what is not listed here
 * counts as settable. Pure. Source: guc.c of PostgreSQL 15.
 */
#ifndef WEIR_POOL_SETTABLE_H
#define WEIR_POOL_SETTABLE_H

#include <stdbool.h>

#include "weir/base/span.h"

/* What the server tells about itself; what is of one transaction; and what would change what
 * happens to those who come after. Names are compared without regard to case. */
bool settable_is_fixed(struct span name);

/* Of the start of a server process (context backend or superuser-backend). */
bool settable_is_of_backend(struct span name);

/* About connections that clients share: it would end them while others have them, or nobody. */
bool settable_is_of_pool(struct span name);

/* None of them. */
bool settable_has(struct span name);

#endif
