/*
 * Chains of links in a table of 2^k buckets. The table is doubled before it holds more items than
 * buckets, so a chain is seldom longer than three; a few items live in one chain without a table.
 * Rejected: open addressing. It saves nothing here, since a hit has to look into the object either
 * way, and it would make inserts fail.
 */
#include "weir/base/map.h"

#include <errno.h>
#include <stdlib.h>

/* So few items are found by comparing hashes down one chain. */
#define SINGLE_CHAIN_MAX 8
#define N_BUCKETS_MIN 16

void map_init(struct map *m, map_equal_fn *equal, size_t max_items)
{
    *m = (struct map){.equal = equal, .max_items = max_items, .buckets = &m->single};
}

static void table_free(struct map *m)
{
    if (m->buckets != &m->single)
        free(m->buckets);
}

void map_fini(struct map *m)
{
    table_free(m);
    map_init(m, m->equal, m->max_items);
}

static struct map_link **bucket_of(const struct map *m, uint64_t hash)
{
    return &m->buckets[hash & m->mask];
}

static void link_push(struct map_link **bucket, struct map_link *link)
{
    link->next = *bucket;
    *bucket = link;
}

/* Moves all links to a table of n_buckets, a power of two. 0, or -ENOMEM with nothing changed. */
static int table_resize(struct map *m, size_t n_buckets)
{
    struct map_link **buckets = calloc(n_buckets, sizeof(struct map_link *));

    if (buckets == NULL)
        return -ENOMEM;
    MAP_FOREACH(link, m)
    {
        link_push(&buckets[link->hash & (n_buckets - 1)], link);
    }
    table_free(m);
    m->buckets = buckets;
    m->mask = n_buckets - 1;
    return 0;
}

static size_t buckets_for(size_t n_items)
{
    size_t n_buckets = N_BUCKETS_MIN;

    while (n_buckets < n_items && n_buckets <= SIZE_MAX / 2)
        n_buckets *= 2;
    return n_buckets;
}

int map_reserve(struct map *m, size_t n_items)
{
    size_t n_buckets = buckets_for(n_items);

    ASSERT(n_items <= m->max_items);
    return n_buckets - 1 > m->mask ? table_resize(m, n_buckets) : 0;
}

struct map_link *map_find(const struct map *m, uint64_t hash, const void *key)
{
    struct map_link *link = *bucket_of(m, hash);

    while (link != NULL && (link->hash != hash || !m->equal(link, key)))
        link = link->next;
    return link;
}

bool map_insert(struct map *m, uint64_t hash, struct map_link *link)
{
    if (m->n_items == m->max_items)
        return false;
    /* Where there is no memory for a larger table, the chains grow. */
    if (m->n_items >= SINGLE_CHAIN_MAX && m->n_items > m->mask)
        (void)table_resize(m, buckets_for(m->n_items + 1));
    link->hash = hash;
    link_push(bucket_of(m, hash), link);
    m->n_items++;
    return true;
}

void map_remove(struct map *m, struct map_link *link)
{
    struct map_link **at = bucket_of(m, link->hash);

    while (*at != link) {
        ASSERT(*at != NULL); /* not in the map */
        at = &(*at)->next;
    }
    *at = link->next;
    link->next = NULL;
    m->n_items--;
}

struct map_link *map_next(const struct map *m, const struct map_link *link)
{
    if (link != NULL && link->next != NULL)
        return link->next;
    for (size_t i = link == NULL ? 0 : (link->hash & m->mask) + 1; i <= m->mask; i++)
        if (m->buckets[i] != NULL)
            return m->buckets[i];
    return NULL;
}
