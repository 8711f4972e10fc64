/*
 * A reserved range of addresses cut into objects, a free list of their numbers and a table of their
 * generations. The range is mapped without access, which costs no memory and no commit charge; an
 * index is opened in the free list when its object's bytes have been made writable.
 * A free object's bytes are closed to AddressSanitizer; with slow asserts they are also overwritten
 * and looked at again at the next take, which finds late writers in every build.
 * Threads: any; see freelist.h.
 */
#include "weir/base/slab.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "weir/base/poison.h"
#include "weir/base/yield.h"

#include "freelist.h"

#define OBJECT_SIZE_MAX ((size_t)1 << 20)
#define MAX_OBJECTS_MAX ((uint32_t)INT32_MAX)
#define COMMIT_STEP ((size_t)1 << 20)
#define FREE_BYTE 0xdb

_Static_assert(MAX_OBJECTS_MAX <= FREELIST_MAX, "every object has an index");
_Static_assert(OBJECT_SIZE_MAX <= COMMIT_STEP, "each step makes room for one object at least");
_Static_assert(MAX_OBJECTS_MAX <= SIZE_MAX / (2 * OBJECT_SIZE_MAX), "the total size fits");

struct slab {
    struct freelist free_objects;
    /* never change: */
    uint8_t *base;   /* the reserved range; NULL until there is one */
    size_t reserved; /* bytes */
    size_t stride;   /* from object to object */
    size_t object_size;
    size_t shared_size;
    _Atomic uint32_t *generations; /* one for each object; its holder writes it */
    /* shared: */
    pthread_mutex_t grow_lock; /* covers committed and freelist_open(); no lock is taken under it */
    size_t committed;          /* bytes that are writable */
};

static bool config_valid(const struct slab_config *c)
{
    return c->object_size >= 1 && c->object_size <= OBJECT_SIZE_MAX &&
           c->shared_size <= c->object_size && c->max_objects >= 1 &&
           c->max_objects <= MAX_OBJECTS_MAX;
}

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static int slab_reserve(struct slab *s)
{
    void *base =
        mmap(NULL, s->reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED)
        return -ENOMEM;
    s->base = base;
    return 0;
}

static int slab_init(struct slab *s, const struct slab_config *config)
{
    s->stride = round_up(config->object_size, CACHE_LINE);
    s->reserved = round_up(s->stride * config->max_objects, COMMIT_STEP);
    s->object_size = config->object_size;
    s->shared_size = config->shared_size;

    int err = slab_reserve(s);

    if (err != 0)
        return err;
    s->generations = calloc(config->max_objects, sizeof(*s->generations));
    return s->generations == NULL ? -ENOMEM : freelist_init(&s->free_objects, config->max_objects);
}

int slab_new(struct slab **out, const struct slab_config *config)
{
    if (!config_valid(config))
        return -EINVAL;

    struct slab *s = aligned_alloc(_Alignof(struct slab), sizeof(*s));

    if (s == NULL)
        return -ENOMEM;
    memset(s, 0, sizeof(*s));
    pthread_mutex_init(&s->grow_lock, NULL);

    int err = slab_init(s, config);

    if (err != 0) {
        slab_free(s);
        return err;
    }
    *out = s;
    return 0;
}

void slab_free(struct slab *s)
{
    if (s == NULL)
        return;
    ASSERT(slab_n_taken(s) == 0);
    if (s->base != NULL) {
        unpoison(s->base, s->committed);
        (void)munmap(s->base, s->reserved);
    }
    freelist_fini(&s->free_objects);
    free(s->generations);
    pthread_mutex_destroy(&s->grow_lock);
    free(s);
}

static void *object_of(const struct slab *s, uint32_t index)
{
    return s->base + index * s->stride;
}

static uint32_t index_of(const struct slab *s, const void *object)
{
    /* A pointer below base wraps to a number beyond the range. */
    size_t offset = (uintptr_t)object - (uintptr_t)s->base;
    size_t index = offset / s->stride;

    ASSERT(index < s->free_objects.n);
    ASSERT(offset % s->stride == 0);
    return (uint32_t)index;
}

/* How many objects lie whole in the first so many bytes of the range. */
static uint32_t objects_in(const struct slab *s, size_t size)
{
    size_t n = size / s->stride;

    return n < s->free_objects.n ? (uint32_t)n : s->free_objects.n;
}

/* Makes room for more objects, unless another thread has done so since n_open was read. False: all
 * are in use, or the machine has no memory. */
static bool slab_grow(struct slab *s, uint32_t n_open)
{
    bool grown = false;

    YIELD_POINT(YIELD_SLAB_NONE_OPEN);
    pthread_mutex_lock(&s->grow_lock);
    if (n_open != freelist_n_open(&s->free_objects)) {
        grown = true;
    } else if (s->committed < s->reserved &&
               mprotect(s->base + s->committed, COMMIT_STEP, PROT_READ | PROT_WRITE) == 0) {
        poison(s->base + s->committed, COMMIT_STEP);
        s->committed += COMMIT_STEP;
        freelist_open(&s->free_objects, objects_in(s, s->committed));
        grown = true;
    }
    pthread_mutex_unlock(&s->grow_lock);
    return grown;
}

/* A use of an object begins or ends. Its holder only. */
static void generation_move(struct slab *s, uint32_t index)
{
    uint32_t old = atomic_load_explicit(&s->generations[index], memory_order_relaxed);

    /* release: who sees the new generation sees the object's bytes opened and the shared ones as
     * they are; pairs with the acquire in generation_of() */
    atomic_store_explicit(&s->generations[index], old + 1, memory_order_release);
}

static uint32_t generation_of(const struct slab *s, uint32_t index)
{
    return atomic_load_explicit(&s->generations[index], memory_order_acquire);
}

static bool is_taken(uint32_t generation)
{
    return generation % 2 != 0;
}

/* The bytes of an object that are its holder's alone. */
static uint8_t *private_bytes(const struct slab *s, void *object)
{
    return (uint8_t *)object + s->shared_size;
}

static size_t private_size(const struct slab *s)
{
    return s->object_size - s->shared_size;
}

#ifdef WEIR_SLOW_ASSERTS
static void mark_free(const struct slab *s, void *object)
{
    memset(private_bytes(s, object), FREE_BYTE, private_size(s));
}

/* Nobody has written to the object since it was given. */
static void check_free(const struct slab *s, void *object)
{
    const uint8_t *bytes = private_bytes(s, object);

    for (size_t i = 0; i < private_size(s); i++)
        ASSERT(bytes[i] == FREE_BYTE);
}
#else
static void mark_free(const struct slab *s, void *object)
{
    (void)s, (void)object;
}

static void check_free(const struct slab *s, void *object)
{
    (void)s, (void)object;
}
#endif

void *slab_take(struct slab *s)
{
    uint32_t n_open, index;

    do {
        n_open = freelist_n_open(&s->free_objects);
        index = freelist_take(&s->free_objects);
        if (index == FREELIST_NONE && !slab_grow(s, n_open))
            return NULL;
    } while (index == FREELIST_NONE);

    void *object = object_of(s, index);

    unpoison(object, s->object_size);
    if (generation_of(s, index) != 0) /* not the first use */
        check_free(s, object);
    generation_move(s, index);
    return object;
}

void slab_give(struct slab *s, void *object)
{
    uint32_t index = index_of(s, object);

    ASSERT(is_taken(generation_of(s, index))); /* given twice */
    generation_move(s, index);
    mark_free(s, object);
    poison(private_bytes(s, object), private_size(s));
    freelist_give(&s->free_objects, index);
}

struct slab_handle slab_handle(const struct slab *s, const void *object)
{
    uint32_t index = index_of(s, object);
    uint32_t generation = generation_of(s, index);

    ASSERT(is_taken(generation));
    return (struct slab_handle){index, generation};
}

void *slab_find(const struct slab *s, struct slab_handle h)
{
    if (h.index >= slab_max_objects(s) || !is_taken(h.generation) ||
        h.generation != generation_of(s, h.index))
        return NULL;
    return object_of(s, h.index);
}

void *slab_at(const struct slab *s, uint32_t index)
{
    if (index >= slab_max_objects(s) || generation_of(s, index) == 0)
        return NULL;
    return object_of(s, index);
}

uint32_t slab_n_taken(const struct slab *s)
{
    return freelist_n_taken(&s->free_objects);
}

uint32_t slab_max_objects(const struct slab *s)
{
    return s->free_objects.n;
}

struct slab_counts slab_count(const struct slab *s)
{
    return (struct slab_counts){
        .object_size = s->object_size,
        .n_taken = slab_n_taken(s),
        .max_objects = slab_max_objects(s),
    };
}
