/*
 * The arena: chunks of one size out of one mapping made at start. Everything that a slow peer can
 * make the daemon hold is made of these chunks, so memory is bounded by configuration.
 *
 * Invariants: n_used <= n_chunks; a chunk is either on the free list or owned by exactly one
 * holder; chunks are handed out last-in-first-out, so a quiet daemon touches few pages.
 * Threads: arena_get and arena_put may be called from any thread and take no lock.
 */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/base/check.h"

struct arena;

struct arena_config {
    size_t chunk_size; /* bytes, a power of two, 4 KiB to 1 MiB */
    size_t n_chunks;   /* 1 to 2^31 - 1 */
    bool prefault;     /* touch every page now instead of at first use */
};

/* 0; -EINVAL; or what mmap or madvise say, -ENOMEM where the machine cannot give (or, with
 * prefault, back) that much. */
NODISCARD int arena_new(struct arena **out, const struct arena_config *config);

/* Every chunk must be back. NULL is fine. */
void arena_free(struct arena *a);

/* A chunk of arena_chunk_size() bytes with undefined content, or NULL when all are in use. */
NODISCARD void *arena_get(struct arena *a);
void arena_put(struct arena *a, void *chunk);

size_t arena_chunk_size(const struct arena *a);
size_t arena_n_chunks(const struct arena *a);

/* A moment's value: other threads move it. */
size_t arena_n_used(const struct arena *a);

#endif
