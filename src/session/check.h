/*
 * Asking a server about the settings that a client brings, while it logs in: the first one that
 * brings a value has it set on one server, and PostgreSQL says how the value is reported, or
 * refuses it with its own words. What was taken is known from then on (known.h).
 *
 * Runs on: the client's reactor.
 */
#ifndef WEIR_SESSION_CHECK_H
#define WEIR_SESSION_CHECK_H

#include <stdbool.h>

#include "weir/base/check.h"

struct client;
struct server;

/* Is nothing to be asked? Then c->settings has every value as it will be reported. */
bool check_is_known(struct client *c);

/* CLIENT_COLD: asks s, as the pool served it, which becomes login->asked. Ends with login_checked()
 * or with a client that is refused, and in both cases without the server. */
void check_begin(struct client *c, struct server *s);

/* The client goes meanwhile. */
void check_abandon(struct client *c);

#endif
