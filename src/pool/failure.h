/*
 * Making the texts of failures. Pure functions.
 */
#ifndef WEIR_POOL_FAILURE_H
#define WEIR_POOL_FAILURE_H

#include <stdbool.h>

#include "weir/base/check.h"
#include "weir/pool/pool.h"

/* A text that is too long is cut. sqlstate: five characters. */
void failure_set(struct pool_failure *f, const char *sqlstate, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Does a server that refuses a login with this SQLSTATE go on refusing until somebody changes
 * something? */
bool failure_is_permanent(const char *sqlstate);

#endif
