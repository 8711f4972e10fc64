#include "scratch.h"

#include <errno.h>
#include <stdlib.h>

#include "weir/base/poison.h"

#define OWN_SIZE ((size_t)64 << 10)

static void use_own_block(struct scratch *s)
{
    s->next = s->own;
    s->end = s->own + OWN_SIZE;
    poison(s->own, OWN_SIZE);
}

int scratch_init(struct scratch *s, struct arena *a)
{
    *s = (struct scratch){.arena = a};
    s->own = aligned_alloc(SCRATCH_ALIGN, OWN_SIZE);
    if (s->own == NULL)
        return -ENOMEM;
    use_own_block(s);
    return 0;
}

void scratch_fini(struct scratch *s)
{
    if (s->own == NULL)
        return;
    scratch_reset(s);
    unpoison(s->own, OWN_SIZE);
    free(s->own);
    s->own = NULL;
}

size_t scratch_max(const struct scratch *s)
{
    return arena_chunk_size(s->arena) - SCRATCH_ALIGN;
}

static void *get_from_new_block(struct scratch *s, size_t len)
{
    char *block = arena_get(s->arena);

    if (block == NULL)
        return NULL;
    *(void **)(void *)block = s->extra_blocks;
    s->extra_blocks = block;
    s->next = block + SCRATCH_ALIGN + len;
    s->end = block + arena_chunk_size(s->arena);
    return block + SCRATCH_ALIGN;
}

void *scratch_get(struct scratch *s, size_t len)
{
    char *piece = s->next;

    if (len > scratch_max(s))
        return NULL;
    len = (len + SCRATCH_ALIGN - 1) & ~(size_t)(SCRATCH_ALIGN - 1);
    if (len > (size_t)(s->end - s->next))
        return get_from_new_block(s, len);
    s->next += len;
    unpoison(piece, len);
    return piece;
}

void scratch_reset(struct scratch *s)
{
    while (s->extra_blocks != NULL) {
        void *block = s->extra_blocks;

        s->extra_blocks = *(void **)block;
        arena_put(s->arena, block);
    }
    use_own_block(s);
}
