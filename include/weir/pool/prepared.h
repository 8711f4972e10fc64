/*
 * Which statements a server has prepared, by their ids, least recently used first: a bounded set.
 * Plain data that travels with the server. It allocates as it grows and never on finding; it never
 * shrinks but when it is freed.
 */
#ifndef WEIR_POOL_PREPARED_H
#define WEIR_POOL_PREPARED_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/base/check.h"

struct prepared;

/* 0 or -ENOMEM. An empty set. */
NODISCARD int prepared_new(struct prepared **out);
void prepared_free(struct prepared *p); /* NULL is fine */

/* True if it is there; it counts as used now. */
bool prepared_use(struct prepared *p, uint64_t id);

/* Adds an id that is not there, as used now; nobody knows of when it is. False: no memory. */
NODISCARD bool prepared_add(struct prepared *p, uint64_t id);

/* Not there: no effect. The id is there and was prepared in this epoch (statements.h), which is not
 * 0; or is it so? */
void prepared_date(struct prepared *p, uint64_t id, uint32_t epoch);
bool prepared_is_of(const struct prepared *p, uint64_t id, uint32_t epoch);

/* The least recently used one; 0: there is none. */
uint64_t prepared_oldest(const struct prepared *p);

/* Takes the least recently used one out if there are max or more; 0: there was room (ids are never
 * 0). To be called until it returns 0 before one is added. */
uint64_t prepared_make_room(struct prepared *p, uint32_t max);

/* Not there: no effect. */
void prepared_remove(struct prepared *p, uint64_t id);
void prepared_clear(struct prepared *p);
uint32_t prepared_count(const struct prepared *p);

#endif
