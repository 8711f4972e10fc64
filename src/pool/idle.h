/*
 * What a server says while nobody uses it. PostgreSQL may speak at any time: a notification, a
 * notice, a parameter that a reload of its configuration has changed, its last words. Nothing is
 * armed on an idle server, so all that lies in its socket until somebody looks.
 */
#ifndef WEIR_SRC_POOL_IDLE_H
#define WEIR_SRC_POOL_IDLE_H

#include "weir/pool/server.h"

/* Any thread that has s, which is idle, in its hand: why s cannot be used, a literal for the log;
 * NULL: it can. Where nothing has come that is one look at the socket. Else what is there is read:
 * notices and notifications are meant for clients that have gone, so they are logged, counted and
 * dropped; anything else ends the server. */
NODISCARD const char *idle_fault(struct server *s);

#endif
