/*
 * Cancel requests to PostgreSQL: each on a short connection of its own, made by control, before
 * anything else that control has to do and bounded in number.
 *
 * PostgreSQL acts on a request some time before it closes that connection. So a server must not be
 * given on before: the request would hit the query of whoever has it next.
 */
#ifndef WEIR_POOL_CANCEL_H
#define WEIR_POOL_CANCEL_H

#include "weir/base/check.h"
#include "weir/pool/server.h"

/* Connections at a time; further requests wait their turn. */
#define CANCELS_IN_FLIGHT_MAX 64

/* On the reactor that owns s, which is SERVER_ACTIVE: asks PostgreSQL to stop what s is doing, and
 * counts it in s->n_cancels. Once that connection is over, however it ended (it is given
 * server_connect_timeout at most), n_cancels is taken down and s->cancelled() called on this
 * thread, unless the server has been discarded meanwhile. False, and nothing was done: one is under
 * way already, PostgreSQL gave no key, or there is no memory. */
bool pool_cancel(struct thread *self, struct server *s);

#endif
