/*
 * Hash map from keys of any kind to objects that carry a link. The caller hashes (base/hash.h) and
 * says what equal means; the map holds no keys. It never allocates but to make its table larger,
 * and where that fails its chains grow longer and it works on: no insert fails for want of memory,
 * and a map of a few objects has no table at all.
 *
 * Invariants: n_items <= max_items; an object is in the bucket that its hash names, once.
 * Thread: the map belongs to one.
 */
#ifndef WEIR_BASE_MAP_H
#define WEIR_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/base/check.h"

/* Embedded in the object; the map's while the object is in it. */
struct map_link {
    struct map_link *next; /* of the bucket */
    uint64_t hash;         /* of the object's key */
};

/* Is this the key of the object that carries the link? Called where the hashes are equal. */
typedef bool map_equal_fn(const struct map_link *link, const void *key);

/* Not to be copied or moved: buckets may point into it. */
struct map {
    map_equal_fn *equal;
    struct map_link **buckets; /* mask + 1 of them, a power of two */
    struct map_link *single;   /* the one bucket of a map that has no table */
    size_t mask;
    size_t n_items;
    size_t max_items;
};

void map_init(struct map *m, map_equal_fn *equal, size_t max_items);

/* Gives the table back and forgets the objects, which are their owners'. The map is empty then. */
void map_fini(struct map *m);

/* Makes the table large enough for n items, so that the inserts until then neither allocate nor
 * move anything. 0 or -ENOMEM. For start and reload. */
NODISCARD int map_reserve(struct map *m, size_t n_items);

/* The object with this key, or NULL. Never allocates. */
NODISCARD struct map_link *map_find(const struct map *m, uint64_t hash, const void *key);

/* Adds an object whose key is not in the map. False: the map is full. Doubles the table, and moves
 * all links, whenever the items outnumber the buckets: a caller that cannot have that pause
 * reserves first. */
NODISCARD bool map_insert(struct map *m, uint64_t hash, struct map_link *link);

/* Takes out an object that is in the map. Never allocates. */
void map_remove(struct map *m, struct map_link *link);

/* The object after this one, in no order; the first one after NULL; NULL after the last. */
NODISCARD struct map_link *map_next(const struct map *m, const struct map_link *link);

/* The body may remove the current object (and no other), and must not insert. */
/* NOLINTBEGIN(bugprone-macro-parentheses): link is a name that the loop declares */
#define MAP_FOREACH(link, m)                                                                       \
    for (struct map_link *link = map_next(m, NULL), *link##_next;                                  \
         link != NULL && (link##_next = map_next(m, link), true); link = link##_next)
/* NOLINTEND(bugprone-macro-parentheses) */

#define MAP_ITEM(link, type, member) CONTAINER_OF(link, type, member)
#define MAP_ITEM_CONST(link, type, member) CONTAINER_OF_CONST(link, type, member)

#endif
