/*
 * What relay.c and forward.c share: the two halves of the way from client to server.
 *
 * Runs on: the client's reactor.
 */
#ifndef WEIR_SESSION_FORWARD_H
#define WEIR_SESSION_FORWARD_H

#include <stdbool.h>

#include "client.h"
#include "pgwire/rule.h"

/* The phases in which a client's messages make sense. */
#define LOGGED_IN                                                                                  \
    (PGW_IN_IDLE | PGW_IN_SIMPLE | PGW_IN_FUNCTION | PGW_IN_EXTENDED | PGW_IN_COPY_IN |            \
     PGW_IN_COPY_OUT | PGW_IN_COPY_BOTH)

static const struct span forward_nothing = {NULL, 0};

/* Sends the messages of an active client to its server. Returns what it leaves of data: nothing, or
 * all from a message on that has to wait. The client may be gone then. */
struct span forward(struct client *c, struct span data);

/* The first byte of a Describe's body, which is still to come, says what will be answered. */
static inline bool forward_is_unclear(const struct pgw_piece *p)
{
    return p->type == PGW_F_DESCRIBE && pgw_piece_body(p).len == 0;
}

/* ---- relay.c ---- */

/* The client has gone, or is going. */
bool relay_is_over(const struct client *c);

/* Ends the client: 08P01 for the message that from_client stands at, and 53200. The former leaves
 * nothing of the bytes at hand. */
struct span relay_broke_protocol(struct client *c);
void relay_out_of_memory(struct client *c);

/* The pair cannot go on: the server is given up, and the client is told, unless that would come
 * between the bytes of a message. */
void relay_lose_server(struct client *c, const char *sqlstate, const char *message);

#endif
