/*
 * Statements that SQL has prepared follow their client: what PREPARE has left on a server was asked
 * of it (leave.h), and is prepared again by the same text on the next server that lacks it, in
 * front of the client's first message. What others have left there is deallocated. Where two
 * clients have prepared the same there is nothing to do.
 *
 * A text that a server refuses, because a table is gone, is forgotten: its EXECUTE fails then.
 *
 * Runs on: the client's reactor.
 */
#ifndef WEIR_SESSION_SQL_PREPARED_H
#define WEIR_SESSION_SQL_PREPARED_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/base/check.h"
#include "weir/base/pairs.h"

struct client;
struct inspect_found;

/* The cookies of our Queries' replies: that of a DEALLOCATE, and from the next on those of PREPAREs
 * in the order of their names. */
#define SQL_PREPARED_COOKIE UINT32_C(0xc0000000)
#define SQL_PREPARED_MAX 256 /* of one client */

/* A server was linked. Where there is no memory, c->short_of_memory is set. */
void sql_prepared_apply(struct client *c);

/* Is it the cookie of such a Query? */
static inline bool sql_prepared_has(uint32_t cookie)
{
    return cookie >= SQL_PREPARED_COOKIE && cookie <= SQL_PREPARED_COOKIE + SQL_PREPARED_MAX;
}

/* It was answered by an error. */
void sql_prepared_failed(struct client *c, uint32_t cookie);

/* DEALLOCATE ALL or DISCARD ALL was carried out. */
void sql_prepared_forget(struct client *c);

/* What its server said of them. False: no memory. */
NODISCARD bool sql_prepared_learn(struct client *c, const struct inspect_found *found);

#endif
