/*
 * A map by name, salt and iterations, and a list by age: the front is what was not asked for
 * longest, and makes room.
 *
 * Invariant: an entry is in the map and on the list, or nowhere.
 */
#include "weir/auth/keys.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "weir/base/hash.h"
#include "weir/base/list.h"
#include "weir/base/map.h"
#include "weir/conf/conf.h"

/* What keys are found by. Without padding, and zero where unused: it is compared as bytes. Names
 * have no NUL, so theirs needs no length. */
struct key_name {
    uint32_t iterations;
    uint32_t salt_len;
    uint8_t salt[SCRAM_SALT_MAX];
    char user[CONF_NAME_MAX + 1];
};

_Static_assert(sizeof(struct key_name) == 8 + SCRAM_SALT_MAX + CONF_NAME_MAX + 1, "no padding");

struct entry {
    struct map_link by_name;
    struct list_link by_age;
    struct key_name name;
    struct key_pair pair;
};

struct keys {
    pthread_mutex_t mutex; /* covers map, ages and all entries */
    struct map map;
    struct list ages;
    struct hash_key hash;
};

static bool entry_is(const struct map_link *link, const void *key)
{
    const struct entry *e = MAP_ITEM_CONST(link, struct entry, by_name);

    return memcmp(&e->name, key, sizeof(e->name)) == 0;
}

int keys_new(struct keys **out, unsigned max_keys)
{
    struct keys *ks = aligned_alloc(_Alignof(struct keys), sizeof(*ks));
    int failed;

    ASSERT(max_keys >= 1);
    if (ks == NULL)
        return -ENOMEM;
    failed = hash_key_init(&ks->hash);
    if (failed) {
        free(ks);
        return failed;
    }
    pthread_mutex_init(&ks->mutex, NULL);
    map_init(&ks->map, entry_is, max_keys);
    list_init(&ks->ages);
    *out = ks;
    return 0;
}

/* Takes an entry out of everything. */
static void entry_remove(struct keys *ks, struct entry *e)
{
    map_remove(&ks->map, &e->by_name);
    list_remove(&e->by_age);
}

static void entry_free(struct entry *e)
{
    digest_wipe(e, sizeof(*e));
    free(e);
}

void keys_free(struct keys *ks)
{
    if (ks == NULL)
        return;
    LIST_FOREACH (link, &ks->ages) {
        struct entry *e = LIST_ITEM(link, struct entry, by_age);

        entry_remove(ks, e);
        entry_free(e);
    }
    map_fini(&ks->map);
    pthread_mutex_destroy(&ks->mutex);
    free(ks);
}

static struct key_name name_of(struct span user, const struct scram_verifier *v)
{
    struct key_name name = {v->iterations, v->salt_len, {0}, {0}};

    ASSERT(user.len <= CONF_NAME_MAX && v->salt_len <= SCRAM_SALT_MAX);
    memcpy(name.salt, v->salt, v->salt_len);
    memcpy(name.user, user.ptr, user.len);
    return name;
}

static uint64_t hash_of(const struct keys *ks, const struct key_name *name)
{
    return hash64(&ks->hash, span_of(name, sizeof(*name)));
}

/* The entry of this name, or NULL. Called with the mutex held. */
static struct entry *entry_find(const struct keys *ks, const struct key_name *name)
{
    struct map_link *link = map_find(&ks->map, hash_of(ks, name), name);

    return link == NULL ? NULL : MAP_ITEM(link, struct entry, by_name);
}

/* Now the last one to make room. */
static void entry_touch(struct keys *ks, struct entry *e)
{
    list_remove(&e->by_age);
    list_push_back(&ks->ages, &e->by_age);
}

bool keys_find(struct keys *ks, struct span user, const struct scram_verifier *v,
               struct key_pair *out)
{
    struct key_name name = name_of(user, v);
    struct entry *e;

    pthread_mutex_lock(&ks->mutex);
    e = entry_find(ks, &name);
    if (e != NULL) {
        entry_touch(ks, e);
        *out = e->pair;
    }
    pthread_mutex_unlock(&ks->mutex);
    return e != NULL;
}

/* Memory for one more, if need be the oldest entry's; in nothing yet. NULL: no memory. */
static struct entry *entry_get(struct keys *ks)
{
    struct entry *oldest;

    if (ks->map.n_items < ks->map.max_items)
        return calloc(1, sizeof(struct entry));
    oldest = LIST_ITEM(list_first(&ks->ages), struct entry, by_age);
    entry_remove(ks, oldest);
    return oldest;
}

static struct entry *entry_insert(struct keys *ks, const struct key_name *name)
{
    struct entry *e = entry_get(ks);
    bool inserted;

    if (e == NULL)
        return NULL;
    e->name = *name;
    inserted = map_insert(&ks->map, hash_of(ks, name), &e->by_name);
    ASSERT(inserted);
    list_push_back(&ks->ages, &e->by_age);
    return e;
}

void keys_put(struct keys *ks, struct span user, const struct scram_verifier *v,
              const struct key_pair *pair)
{
    struct key_name name = name_of(user, v);
    struct entry *e;

    pthread_mutex_lock(&ks->mutex);
    e = entry_find(ks, &name);
    if (e != NULL)
        entry_touch(ks, e);
    else
        e = entry_insert(ks, &name);
    if (e != NULL)
        e->pair = *pair;
    pthread_mutex_unlock(&ks->mutex);
}

void keys_drop(struct keys *ks, struct span user, const struct scram_verifier *v)
{
    struct key_name name = name_of(user, v);
    struct entry *e;

    pthread_mutex_lock(&ks->mutex);
    e = entry_find(ks, &name);
    if (e != NULL)
        entry_remove(ks, e);
    pthread_mutex_unlock(&ks->mutex);
    if (e != NULL)
        entry_free(e);
}
