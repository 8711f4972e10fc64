/*
 * What control does for clients that want a server of their own (weir/pool/own.h). Runs on:
 * control.
 */
#ifndef WEIR_POOL_OWN_PRIVATE_H
#define WEIR_POOL_OWN_PRIVATE_H

#include <stdbool.h>

#include "weir/base/check.h"
#include "weir/base/span.h"

struct own;
struct pool;
struct pool_failure;
struct server;
struct thread;

/* Why a server is closed. */
#define OWN_MAKE_ROOM "a replication client needs its place"

/* Answers those whose clients have gone. */
void own_end_dropped(struct pool *p);

/* Control opens no more servers: answers those who wait for their turn. */
void own_stop(struct pool *p);

/* Does one wait for its turn? Did the first one come before all other waiters of the pool? */
NODISCARD bool own_is_waiting(const struct pool *p);
NODISCARD bool own_is_first(const struct pool *p);

/* There is no room for a server of p: has one closed that is idle, or the next one given back. */
void own_make_room(struct thread *control, struct pool *p);

/* The first one's turn has come: s is being opened for it, or there is no memory for that. */
void own_begin(struct pool *p, struct server *s);
void own_no_memory(struct pool *p);

/* As control_opened() and control_open_failed(), which call them, for a server of a client's own.
 */
void own_opened(struct thread *control, struct server *s, struct span greeting);
void own_open_failed(struct server *s, const struct pool_failure *why);

#endif
