/*
 * Numbered objects of one kind and size, for things that other threads or other processes name:
 * clients, servers, whatever a cancel key or a late completion refers to. An object has an index
 * for good and a generation that changes at each take and give, so a handle to a former user of
 * the same object is recognised.
 *
 * Address space for the hard maximum is reserved at start; memory is committed a step at a time as
 * higher indices come into use, and never goes back while the slab lives: looking at any object
 * that ever was is always safe.
 *
 * Invariants: an object is either free or taken by exactly one holder; a generation is odd while
 * its object is taken, even while it is free; the object given last is taken first.
 * Threads: all functions but slab_new and slab_free may be called from any thread. They take no
 * lock, but for a slab_take that has to commit more memory than was ever in use.
 */
#ifndef WEIR_BASE_SLAB_H
#define WEIR_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include "weir/base/check.h"

struct slab;

struct slab_config {
    size_t object_size;   /* bytes, 1 to 1 MiB */
    size_t shared_size;   /* of these, the first so many are shared, see slab_at(); may be 0 */
    uint32_t max_objects; /* 1 to 2^31 - 1 */
};

/* Names one use of an object. All zero names none. */
struct slab_handle {
    uint32_t index;
    uint32_t generation;
};

/* 0; -EINVAL; or -ENOMEM where there is no address space or memory for the tables. */
NODISCARD int slab_new(struct slab **out, const struct slab_config *config);

/* Every object must be back. NULL is fine. */
void slab_free(struct slab *s);

/* An object aligned to CACHE_LINE, or NULL when max_objects are taken or the machine has no memory
 * for one more. The shared bytes are as its last user left them (zero at first), the others
 * undefined. */
NODISCARD void *slab_take(struct slab *s);

/* What the caller wrote before is seen by whoever takes the object next. */
void slab_give(struct slab *s, void *object);

/* The handle of a taken object, valid until it is given. */
NODISCARD struct slab_handle slab_handle(const struct slab *s, const void *object);

/* The object that h names, or NULL if that use is over. For the holder's thread the answer stays
 * true until it gives the object; for any other thread it is a moment's. Takes any handle, also
 * one that somebody made up. */
NODISCARD void *slab_find(const struct slab *s, struct slab_handle h);

/* The object of this index, taken or not, or NULL if none ever was. Only its shared bytes may be
 * touched: atomics that say to any thread whose it is. The slab never writes there, and so they
 * outlive a give. Takes any index. */
NODISCARD void *slab_at(const struct slab *s, uint32_t index);

/* A moment's value: other threads move it. */
uint32_t slab_n_taken(const struct slab *s);
uint32_t slab_max_objects(const struct slab *s);

/* The same for people: how large objects are, how many are taken, how many there can be. */
struct slab_counts {
    size_t object_size;
    uint32_t n_taken;
    uint32_t max_objects;
};
struct slab_counts slab_count(const struct slab *s);

#endif
