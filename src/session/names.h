/*
 * The names that one client has given to statements: what PostgreSQL would keep in the backend of a
 * client that has one to itself. Names are compared by their first 63 bytes, as PostgreSQL does.
 *
 * Bounded: by their number, and what a client's names and statements take together by a part of the
 * store's memory, so that one that never closes any does not take it from all others. Names take
 * room in the store themselves.
 *
 * Allocates for a name that is new. Runs on: the client's reactor.
 */
#ifndef WEIR_SESSION_NAMES_H
#define WEIR_SESSION_NAMES_H

#include <stdint.h>

#include "weir/base/check.h"
#include "weir/base/map.h"
#include "weir/base/span.h"
#include "weir/pool/statements.h"

#define NAMES_MAX 16384

/* All zero: a client that has named nothing; costs no memory of its own then. */
struct names {
    struct name_table *table;
};

/* One name; the statement's reference is its. Stays where it is until it is removed. */
struct name {
    struct map_link link;
    struct statement *statement;
    uint64_t id_there; /* of what stood for it at a server the last time */
    bool is_pending;   /* the server has not answered its Parse */
    uint8_t len;
    char text[63];
};

/* NULL: no such name. */
NODISCARD struct name *names_find(const struct names *n, struct span name);

/* Is this the statement that the name means, or what stood for that? */
bool name_means(const struct name *name, uint64_t id);

/* One of those that mean this statement, NULL: none. Looks at all: for errors alone. */
NODISCARD struct name *names_find_id(const struct names *n, uint64_t id);

/* The name is not there; takes over the caller's reference of s. It is pending. NULL: there is no
 * room for it, or no memory; the reference is still the caller's. */
NODISCARD struct name *names_add(struct names *n, struct span name, struct statement *s,
                                 struct statements *ss, struct thread *self);

/* Takes it out of the map; it can be put back while no other of its name is there, or be freed. */
void names_detach(struct names *n, struct name *name);
void names_attach(struct names *n, struct name *name);

/* A detached one: puts its statement. */
void name_free(struct name *name, struct statements *ss, struct thread *self);

/* Is it the name's text, as far as that counts? */
bool name_is(const struct name *name, struct span text);

/* Frees those that are attached and not pending. */
void names_clear_settled(struct names *n, struct statements *ss, struct thread *self);

/* Frees all that are attached. */
void names_clear(struct names *n, struct statements *ss, struct thread *self);

/* The same, and the memory of its own. */
void names_fini(struct names *n, struct statements *ss, struct thread *self);
uint32_t names_count(const struct names *n);

#endif
