/*
 * Is a query's text a DEALLOCATE and nothing else? Drivers send that for statements they have
 * prepared by the protocol. Pure.
 */
#ifndef WEIR_SESSION_DEALLOCATE_H
#define WEIR_SESSION_DEALLOCATE_H

#include <stdbool.h>
#include <stddef.h>

#include "pgwire/span.h"
#include "weir/base/check.h"
#include "weir/conf/conf.h"

enum deallocate {
    DEALLOCATE_NONE, /* it is something else */
    DEALLOCATE_NAME, /* of one statement */
    DEALLOCATE_ALL,  /* of all, or DISCARD ALL */
};

/* A longer text, with its NUL, is left to the server. */
#define DEALLOCATE_TEXT_MAX 256

/* text: with its NUL. DEALLOCATE_NAME: name has the len bytes of the statement's name, as
 * PostgreSQL understands it: folded to lower case unless it is quoted, and cut to 63 bytes.
 * Comments in it are not understood, and it is then left to the server. Source: DEALLOCATE,
 * DISCARD and 4.1.1 "Identifiers and Key Words" of PostgreSQL's documentation. */
NODISCARD enum deallocate deallocate_read(struct pgw_span text, char name[CONF_NAME_MAX],
                                          size_t *len);

#endif
