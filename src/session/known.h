/*
 * What servers have said about settings that clients brought: a value that was taken once is known
 * with the spelling in which it is reported (latin-1 is LATIN1), so only the first client that
 * brings it has to ask a server. Bounded: the oldest goes first. What was refused is not kept; the
 * next one asks again, and that costs no server.
 *
 * Known per pool: what is taken depends on the database and on who asks.
 * Threads: any; a mutex, at logins only.
 */
#ifndef WEIR_SESSION_KNOWN_H
#define WEIR_SESSION_KNOWN_H

#include <stdbool.h>

#include "weir/base/check.h"
#include "weir/base/hash.h"
#include "weir/base/span.h"

struct known;
struct pairs;
struct pool;

/* 0, -ENOMEM, or what hash_key_init() says. */
NODISCARD int known_new(struct known **out);
void known_free(struct known *k); /* NULL is fine */

/* Adds the pair as it is known to *out. False: it is not, or no memory. */
NODISCARD bool known_find(struct known *k, const struct pool *p, struct span name,
                          struct span value, struct pairs *out);

/* The value is taken and reported as `spelling`. Without memory nothing is known. */
void known_add(struct known *k, const struct pool *p, struct span name, struct span value,
               struct span spelling);

/* A server has refused it after all. */
void known_forget(struct known *k, const struct pool *p, struct span name, struct span value);

/* The key of the process for hashes of settings; read-only. */
const struct hash_key *known_hash_key(const struct known *k);

#endif
