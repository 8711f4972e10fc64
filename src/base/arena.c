/*
 * One mapping cut into chunks, and a free list of their numbers. The mapping counts as committed
 * memory from the start (no MAP_NORESERVE): a machine that cannot back it says so now and not
 * under load; its pages become real at first use.
 * Threads: any; see freelist.h.
 */
#include "weir/base/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "weir/base/poison.h"

#include "freelist.h"

#define CHUNK_SIZE_MIN ((size_t)4 << 10)
#define CHUNK_SIZE_MAX ((size_t)1 << 20)
#define N_CHUNKS_MAX ((size_t)INT32_MAX)

_Static_assert(N_CHUNKS_MAX <= FREELIST_MAX, "every chunk has an index");
_Static_assert(N_CHUNKS_MAX <= SIZE_MAX / CHUNK_SIZE_MAX, "the total size fits");

struct arena {
    struct freelist free_chunks;
    uint8_t *base; /* the mapping; NULL until there is one */
    size_t size;   /* of the mapping, bytes */
    unsigned chunk_shift;
};

static bool config_valid(const struct arena_config *c)
{
    return c->chunk_size >= CHUNK_SIZE_MIN && c->chunk_size <= CHUNK_SIZE_MAX &&
           (c->chunk_size & (c->chunk_size - 1)) == 0 && c->n_chunks >= 1 &&
           c->n_chunks <= N_CHUNKS_MAX;
}

static int arena_map(struct arena *a, bool prefault)
{
    void *base = mmap(NULL, a->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED)
        return -errno;
    a->base = base;
    /* Not MAP_POPULATE: that does not tell when the machine ran out of pages (mmap(2)). */
    if (prefault && madvise(base, a->size, MADV_POPULATE_WRITE) != 0)
        return -errno;
    poison(base, a->size);
    return 0;
}

int arena_new(struct arena **out, const struct arena_config *config)
{
    if (!config_valid(config))
        return -EINVAL;

    struct arena *a = aligned_alloc(_Alignof(struct arena), sizeof(*a));

    if (a == NULL)
        return -ENOMEM;
    memset(a, 0, sizeof(*a));
    a->size = config->n_chunks * config->chunk_size;
    a->chunk_shift = (unsigned)__builtin_ctzll(config->chunk_size);

    int err = arena_map(a, config->prefault);

    if (err == 0)
        err = freelist_init(&a->free_chunks, (uint32_t)config->n_chunks);
    if (err != 0) {
        arena_free(a);
        return err;
    }
    freelist_open(&a->free_chunks, (uint32_t)config->n_chunks);
    *out = a;
    return 0;
}

void arena_free(struct arena *a)
{
    if (a == NULL)
        return;
    ASSERT(arena_n_used(a) == 0);
    if (a->base != NULL) {
        unpoison(a->base, a->size);
        (void)munmap(a->base, a->size);
    }
    freelist_fini(&a->free_chunks);
    free(a);
}

void *arena_get(struct arena *a)
{
    uint32_t index = freelist_take(&a->free_chunks);

    if (index == FREELIST_NONE)
        return NULL;

    uint8_t *chunk = a->base + ((size_t)index << a->chunk_shift);

    unpoison(chunk, arena_chunk_size(a));
    return chunk;
}

void arena_put(struct arena *a, void *chunk)
{
    /* A pointer below base wraps to a number beyond the mapping. */
    size_t offset = (uintptr_t)chunk - (uintptr_t)a->base;

    ASSERT(offset < a->size);
    ASSERT((offset & (arena_chunk_size(a) - 1)) == 0);
    poison(chunk, arena_chunk_size(a));
    freelist_give(&a->free_chunks, (uint32_t)(offset >> a->chunk_shift));
}

size_t arena_chunk_size(const struct arena *a)
{
    return (size_t)1 << a->chunk_shift;
}

size_t arena_n_chunks(const struct arena *a)
{
    return a->free_chunks.n;
}

size_t arena_n_used(const struct arena *a)
{
    return freelist_n_taken(&a->free_chunks);
}
