/*
 * server->settings: what a server was given, or reported, last, where somebody cared; names that
 * nobody can set (settable.h) as reported. Runs on: the thread that holds the server.
 */
#ifndef WEIR_POOL_SERVER_SETTINGS_H
#define WEIR_POOL_SERVER_SETTINGS_H

#include <stdbool.h>

#include "weir/base/check.h"
#include "weir/base/pairs.h"

struct server;

/* It was given these, and all else was reset. What it reports is as it was until it reports the
 * change: it does not where its default has become just that. False: no memory, and nothing has
 * changed. */
NODISCARD bool server_settings_put(struct server *s, const struct pairs *set);

/* Nothing is set on it any more. */
void server_settings_forget(struct server *s);

/* What it has reported, and nobody has set, must be what it told at its login. Else its defaults
 * have changed. set: all that is set on it, and its answers to that have come. */
bool server_settings_are_new(const struct server *s, const struct pairs *set);

#endif
