#include "slots.h"

#include <errno.h>
#include <sys/mman.h>

int slots_init(struct slots *t)
{
    void *mem = mmap(NULL, SLOTS_MAX * sizeof(struct slot), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (mem == MAP_FAILED)
        return -errno;
    *t = (struct slots){.slots = mem};
    return 0;
}

void slots_fini(struct slots *t)
{
    if (t->slots != NULL)
        munmap(t->slots, SLOTS_MAX * sizeof(struct slot));
    t->slots = NULL;
}

uint32_t slots_get(struct slots *t, uint8_t kind, void *object)
{
    uint32_t index = t->free;

    if (index != 0)
        t->free = t->slots[index].next_free;
    else if (t->n_used_ever + 1 < SLOTS_MAX)
        index = ++t->n_used_ever;
    else
        return 0;
    t->slots[index].object = object;
    t->slots[index].kind = kind;
    t->slots[index].cancelled = false;
    return index;
}

void slots_put(struct slots *t, uint32_t index)
{
    struct slot *slot = &t->slots[index];

    ASSERT(index != 0);
    slot->generation++;
    slot->next_free = t->free;
    t->free = index;
}
