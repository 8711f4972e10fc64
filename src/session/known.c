/* What servers have said about settings that clients brought; see known.h. */
#include "known.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "weir/base/list.h"
#include "weir/base/map.h"
#include "weir/base/pairs.h"

#define KNOWN_MAX 4096
/* Longer ones are asked for each time: all together are to be small. */
#define LENGTH_MAX 1024

struct fact {
    struct map_link link;
    struct list_link age; /* oldest first */
    const struct pool *pool;
    uint32_t name_len, value_len, spelling_len;
    uint8_t bytes[]; /* the three */
};

struct known {
    pthread_mutex_t mutex;
    struct map map;
    struct list facts;
    struct hash_key key;
};

struct question {
    const struct pool *pool;
    struct span name, value;
};

static struct span name_of(const struct fact *f)
{
    return span_of(f->bytes, f->name_len);
}

static struct span value_of(const struct fact *f)
{
    return span_of(f->bytes + f->name_len, f->value_len);
}

static struct span spelling_of(const struct fact *f)
{
    return span_of(f->bytes + f->name_len + f->value_len, f->spelling_len);
}

static bool is_answer(const struct map_link *link, const void *key)
{
    const struct fact *f = MAP_ITEM_CONST(link, struct fact, link);
    const struct question *q = key;

    return f->pool == q->pool && span_equal(name_of(f), q->name) &&
           span_equal(value_of(f), q->value);
}

static uint64_t hash_of(const struct known *k, const struct question *q)
{
    return hash64_u64(&k->key, (uint64_t)(uintptr_t)q->pool) ^ hash64(&k->key, q->name) ^
           hash64_u64(&k->key, hash64(&k->key, q->value));
}

int known_new(struct known **out)
{
    struct known *k = aligned_alloc(_Alignof(struct known), sizeof(*k));
    int error;

    if (k == NULL)
        return -ENOMEM;
    error = hash_key_init(&k->key);
    if (error != 0) {
        free(k);
        return error;
    }
    pthread_mutex_init(&k->mutex, NULL);
    map_init(&k->map, is_answer, KNOWN_MAX);
    list_init(&k->facts);
    *out = k;
    return 0;
}

static void drop(struct known *k, struct fact *f)
{
    map_remove(&k->map, &f->link);
    list_remove(&f->age);
    free(f);
}

static void drop_oldest(struct known *k)
{
    drop(k, LIST_ITEM(list_first(&k->facts), struct fact, age));
}

void known_free(struct known *k)
{
    if (k == NULL)
        return;
    while (!list_empty(&k->facts))
        drop_oldest(k);
    map_fini(&k->map);
    pthread_mutex_destroy(&k->mutex);
    free(k);
}

/* Under the mutex. */
static struct fact *find(const struct known *k, const struct question *q)
{
    struct map_link *link = map_find(&k->map, hash_of(k, q), q);

    return link == NULL ? NULL : MAP_ITEM(link, struct fact, link);
}

bool known_find(struct known *k, const struct pool *p, struct span name, struct span value,
                struct pairs *out)
{
    const struct question q = {p, name, value};
    const struct fact *f;
    bool found;

    pthread_mutex_lock(&k->mutex);
    f = find(k, &q);
    found = f != NULL && pairs_put(out, name, spelling_of(f));
    pthread_mutex_unlock(&k->mutex);
    return found;
}

static struct fact *fact_new(const struct question *q, struct span spelling)
{
    struct fact *f = malloc(sizeof(*f) + q->name.len + q->value.len + spelling.len);

    if (f == NULL)
        return NULL;
    *f = (struct fact){.pool = q->pool,
                       .name_len = (uint32_t)q->name.len,
                       .value_len = (uint32_t)q->value.len,
                       .spelling_len = (uint32_t)spelling.len};
    memcpy(f->bytes, q->name.ptr, q->name.len);
    memcpy(f->bytes + q->name.len, q->value.ptr, q->value.len);
    memcpy(f->bytes + q->name.len + q->value.len, spelling.ptr, spelling.len);
    return f;
}

void known_add(struct known *k, const struct pool *p, struct span name, struct span value,
               struct span spelling)
{
    const struct question q = {p, name, value};
    struct fact *f = NULL;

    if (name.len + value.len + spelling.len <= LENGTH_MAX)
        f = fact_new(&q, spelling);
    if (f == NULL)
        return;
    pthread_mutex_lock(&k->mutex);

    struct fact *old = find(k, &q);

    if (old != NULL)
        drop(k, old);
    else if (k->map.n_items == KNOWN_MAX)
        drop_oldest(k);
    if (map_insert(&k->map, hash_of(k, &q), &f->link))
        list_push_back(&k->facts, &f->age);
    else
        free(f);
    pthread_mutex_unlock(&k->mutex);
}

void known_forget(struct known *k, const struct pool *p, struct span name, struct span value)
{
    const struct question q = {p, name, value};
    struct fact *f;

    pthread_mutex_lock(&k->mutex);
    f = find(k, &q);
    if (f != NULL)
        drop(k, f);
    pthread_mutex_unlock(&k->mutex);
}

const struct hash_key *known_hash_key(const struct known *k)
{
    return &k->key;
}
