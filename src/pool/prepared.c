/*
 * A map by id and a list by use, least recent first. What is taken out is kept for the next id: a
 * server's set fills once and then only turns over.
 *
 * Invariant: an entry is in the map and in `used`, or in `spare`.
 */
#include "weir/pool/prepared.h"

#include <errno.h>
#include <stdlib.h>

#include "weir/base/list.h"
#include "weir/base/map.h"

struct entry {
    struct map_link by_id;
    struct list_link link;
    uint64_t id;
    uint32_t epoch; /* 0: not known */
};

struct prepared {
    struct map map;
    struct list used, spare;
};

/* Ids are the store's numbers, nobody else's choice, so this needs no key (Fibonacci hashing, Knuth
 * volume 3, 6.4). */
static uint64_t hash_of(uint64_t id)
{
    return id * UINT64_C(0x9e3779b97f4a7c15) >> 32;
}

static bool entry_is(const struct map_link *link, const void *key)
{
    return MAP_ITEM_CONST(link, struct entry, by_id)->id == *(const uint64_t *)key;
}

int prepared_new(struct prepared **out)
{
    struct prepared *p = malloc(sizeof(*p));

    if (p == NULL)
        return -ENOMEM;
    map_init(&p->map, entry_is, UINT32_MAX);
    list_init(&p->used);
    list_init(&p->spare);
    *out = p;
    return 0;
}

void prepared_free(struct prepared *p)
{
    if (p == NULL)
        return;
    list_splice_back(&p->spare, &p->used);
    LIST_FOREACH (link, &p->spare) {
        free(LIST_ITEM(link, struct entry, link));
    }
    map_fini(&p->map);
    free(p);
}

/* NULL: it is not there. */
static struct entry *entry_find(const struct prepared *p, uint64_t id)
{
    struct map_link *link = map_find(&p->map, hash_of(id), &id);

    return link == NULL ? NULL : MAP_ITEM(link, struct entry, by_id);
}

static void entry_remove(struct prepared *p, struct entry *e)
{
    map_remove(&p->map, &e->by_id);
    list_remove(&e->link);
    list_push_front(&p->spare, &e->link);
}

bool prepared_use(struct prepared *p, uint64_t id)
{
    struct entry *e = entry_find(p, id);

    if (e == NULL)
        return false;
    list_remove(&e->link);
    list_push_back(&p->used, &e->link);
    return true;
}

/* A spare one or a new one, in nothing. NULL: no memory. */
static struct entry *entry_get(struct prepared *p)
{
    struct list_link *link = list_pop_front(&p->spare);

    return link == NULL ? calloc(1, sizeof(struct entry)) : LIST_ITEM(link, struct entry, link);
}

bool prepared_add(struct prepared *p, uint64_t id)
{
    struct entry *e = entry_get(p);

    if (e == NULL)
        return false;
    ASSERT_SLOW(entry_find(p, id) == NULL);
    e->id = id;
    e->epoch = 0;
    if (!map_insert(&p->map, hash_of(id), &e->by_id)) {
        list_push_front(&p->spare, &e->link);
        return false;
    }
    list_push_back(&p->used, &e->link);
    return true;
}

void prepared_date(struct prepared *p, uint64_t id, uint32_t epoch)
{
    struct entry *e = entry_find(p, id);

    if (e != NULL)
        e->epoch = epoch;
}

bool prepared_is_of(const struct prepared *p, uint64_t id, uint32_t epoch)
{
    const struct entry *e = entry_find(p, id);

    return e != NULL && e->epoch == epoch;
}

uint64_t prepared_oldest(const struct prepared *p)
{
    const struct list_link *first = list_first(&p->used);

    return first == NULL ? 0 : CONTAINER_OF_CONST(first, struct entry, link)->id;
}

uint64_t prepared_make_room(struct prepared *p, uint32_t max)
{
    struct list_link *first = list_first(&p->used);
    struct entry *e;

    if (first == NULL || prepared_count(p) < max)
        return 0;
    e = LIST_ITEM(first, struct entry, link);
    entry_remove(p, e);
    return e->id;
}

void prepared_remove(struct prepared *p, uint64_t id)
{
    struct entry *e = entry_find(p, id);

    if (e != NULL)
        entry_remove(p, e);
}

void prepared_clear(struct prepared *p)
{
    LIST_FOREACH (link, &p->used) {
        entry_remove(p, LIST_ITEM(link, struct entry, link));
    }
}

uint32_t prepared_count(const struct prepared *p)
{
    return (uint32_t)p->map.n_items;
}
