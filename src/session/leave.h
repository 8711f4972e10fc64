/*
 * A client leaves a server on which it may have left more than data. The server is asked
 * (pool/inspect.h) before anybody else gets it: what can move comes to the client, and goes to its
 * next server; the rest is cleaned. Meanwhile the client is CLIENT_PARTING: what it sends is held.
 *
 * If what the session had set cannot be learned the client is ended: it would go on with other
 * settings than it believes to have.
 *
 * Runs on: the client's reactor.
 */
#ifndef WEIR_SESSION_LEAVE_H
#define WEIR_SESSION_LEAVE_H

#include <stdbool.h>

struct client;

/* The client's server is at rest and free. Is it to be asked before it is given back? */
bool leave_is_due(const struct client *c);

/* It is: parts them. CLIENT_PARTING, or later if a cancel request is still open: then
 * relay_settle() is called again. */
void leave_begin(struct client *c);

/* A client that is parting goes. */
void leave_abandon(struct client *c);

/* The server of a lost client, which is at rest and free, is cleaned and given back. */
void leave_lost(struct client *c);

#endif
