/* A map by name, made when the first name is given; its hash key is its own. */
#include "names.h"

#include <stdlib.h>

#include "weir/base/hash.h"

#define NAME_MAX_LEN sizeof(((struct name *)NULL)->text)

/* What a name takes, with malloc's overhead and its share of the table. */
#define NAME_SIZE (sizeof(struct name) + 16 + 2 * sizeof(void *))

/* A client's part of the store is this one at most. */
#define PART_OF_STORE 2

struct name_table {
    struct map map;
    size_t n_bytes; /* of the names that are attached, and of their statements */
    struct hash_key key;
};

/* The part that counts. */
static struct span cut(struct span name)
{
    return span_of(name.ptr, name.len < NAME_MAX_LEN ? name.len : NAME_MAX_LEN);
}

bool name_is(const struct name *name, struct span text)
{
    return span_equal(span_of(name->text, name->len), cut(text));
}

static bool is_key(const struct map_link *link, const void *key)
{
    const struct span *wanted = key;

    return name_is(MAP_ITEM_CONST(link, struct name, link), *wanted);
}

static struct name_table *table_new(void)
{
    struct name_table *t = aligned_alloc(_Alignof(struct name_table), sizeof(*t));

    if (t == NULL)
        return NULL;
    if (hash_key_init(&t->key) != 0) {
        free(t);
        return NULL;
    }
    map_init(&t->map, is_key, UINT32_MAX); /* what is put back has its place */
    t->n_bytes = 0;
    return t;
}

struct name *names_find(const struct names *n, struct span name)
{
    struct span wanted = cut(name);
    struct map_link *link;

    if (n->table == NULL)
        return NULL;
    link = map_find(&n->table->map, hash64(&n->table->key, wanted), &wanted);
    return link == NULL ? NULL : MAP_ITEM(link, struct name, link);
}

bool name_means(const struct name *name, uint64_t id)
{
    return name->statement->id == id || name->id_there == id;
}

struct name *names_find_id(const struct names *n, uint64_t id)
{
    if (n->table == NULL)
        return NULL;
    MAP_FOREACH(link, &n->table->map)
    {
        struct name *name = MAP_ITEM(link, struct name, link);

        if (name_means(name, id))
            return name;
    }
    return NULL;
}

/* A statement that others have, too, counts in full: they may leave it to this one. */
static size_t size_of(const struct statement *s)
{
    return NAME_SIZE + s->len;
}

static struct name *name_new(struct span text, struct statement *s, struct statements *ss,
                             struct thread *self)
{
    struct name *n;

    if (!statements_get_room(ss, self, NAME_SIZE))
        return NULL;
    n = malloc(sizeof(*n));
    if (n == NULL) {
        statements_put_room(ss, NAME_SIZE);
        return NULL;
    }
    n->statement = s;
    n->id_there = s->id;
    n->is_pending = true;
    n->len = (uint8_t)text.len;
    memcpy(n->text, text.ptr, text.len);
    return n;
}

static bool is_full(const struct name_table *t, const struct statement *s,
                    const struct statements *ss)
{
    return t->map.n_items >= NAMES_MAX ||
           t->n_bytes + size_of(s) > statements_max_bytes(ss) / PART_OF_STORE;
}

struct name *names_add(struct names *n, struct span name, struct statement *s,
                       struct statements *ss, struct thread *self)
{
    struct span text = cut(name);
    struct name *added;

    if (n->table == NULL)
        n->table = table_new();
    if (n->table == NULL || is_full(n->table, s, ss))
        return NULL;
    added = name_new(text, s, ss, self);
    if (added == NULL)
        return NULL;
    added->link.hash = hash64(&n->table->key, text);
    names_attach(n, added);
    return added;
}

void names_detach(struct names *n, struct name *name)
{
    map_remove(&n->table->map, &name->link);
    n->table->n_bytes -= size_of(name->statement);
}

void names_attach(struct names *n, struct name *name)
{
    /* The link has kept its hash. */
    bool attached = map_insert(&n->table->map, name->link.hash, &name->link);

    ASSERT(attached);
    n->table->n_bytes += size_of(name->statement);
}

void name_free(struct name *name, struct statements *ss, struct thread *self)
{
    statements_put_room(ss, NAME_SIZE);
    statement_put(ss, self, name->statement);
    free(name);
}

static void clear(struct names *n, bool all, struct statements *ss, struct thread *self)
{
    if (n->table == NULL)
        return;
    MAP_FOREACH(link, &n->table->map)
    {
        struct name *name = MAP_ITEM(link, struct name, link);

        if (all || !name->is_pending) {
            names_detach(n, name);
            name_free(name, ss, self);
        }
    }
}

void names_clear_settled(struct names *n, struct statements *ss, struct thread *self)
{
    clear(n, false, ss, self);
}

void names_clear(struct names *n, struct statements *ss, struct thread *self)
{
    clear(n, true, ss, self);
}

void names_fini(struct names *n, struct statements *ss, struct thread *self)
{
    if (n->table == NULL)
        return;
    names_clear(n, ss, self);
    map_fini(&n->table->map);
    free(n->table);
    n->table = NULL;
}

uint32_t names_count(const struct names *n)
{
    return n->table == NULL ? 0 : (uint32_t)n->table->map.n_items;
}
