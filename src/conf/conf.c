/*
 * The life of a snapshot, and the view of it that one pool has.
 */
#include "weir/conf/conf.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "weir/conf/schema.h"

struct conf *conf_get(struct conf *c)
{
    /* relaxed: the caller has a reference already, nothing is published by this one */
    uint32_t n = atomic_fetch_add_explicit(&c->n_refs, 1, memory_order_relaxed);

    ASSERT(n > 0 && n < UINT32_MAX);
    return c;
}

void conf_put(struct conf *c)
{
    if (c == NULL)
        return;

    /* release: our reads of the snapshot come before its end; pairs with the acquire below */
    uint32_t n = atomic_fetch_sub_explicit(&c->n_refs, 1, memory_order_release);

    ASSERT(n > 0);
    if (n > 1)
        return;
    atomic_thread_fence(memory_order_acquire); /* pairs with the release of the other putters */
    memory_free(c->memory);
    free(c);
}

/* bsearch would need a comparison per type; the arrays are sorted by strcmp. */
static const struct conf_database *find_database(const struct conf *c, const char *name)
{
    size_t low = 0, high = c->n_databases;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, c->databases[middle].name);

        if (order == 0)
            return &c->databases[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static const struct conf_user *find_user(const struct conf *c, const char *name)
{
    size_t low = 0, high = c->n_users;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, c->users[middle].name);

        if (order == 0)
            return &c->users[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static size_t field_size(const struct schema_row *row)
{
    switch (row->type) {
    case SCHEMA_BOOL:
        return sizeof(bool);
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        return sizeof(uint64_t);
    case SCHEMA_INTEGER:
    case SCHEMA_MODE:
    case SCHEMA_ENUM:
        return sizeof(uint32_t);
    case SCHEMA_STRING:
    case SCHEMA_FILE:
        return sizeof(const char *);
    case SCHEMA_NAMES:
    case SCHEMA_ADDRESSES:
        return sizeof(struct conf_list);
    case SCHEMA_GROUP:
        break;
    }
    return 0;
}

/* Puts what was given at a level over what is there. */
static void policy_overlay(struct conf_policy *policy, const struct conf_policy *level)
{
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);

    for (size_t i = 0; level->given != 0 && i < n_rows; i++) {
        if (rows[i].policy && (level->given & schema_policy_bit(&rows[i])) != 0)
            memcpy((char *)policy + rows[i].offset, (const char *)level + rows[i].offset,
                   field_size(&rows[i]));
    }
    policy->given |= level->given;
}

bool conf_pool_find(const struct conf *c, const char *database, const char *user,
                    struct conf_pool *out)
{
    const struct conf_database *d = find_database(c, database);

    if (d == NULL)
        d = find_database(c, "*");
    if (d == NULL)
        return false;

    const struct conf_user *u;

    *out = (struct conf_pool){
        .host = d->host,
        .port = d->port,
        .dbname = d->dbname[0] != '\0' ? d->dbname : database,
        .user = d->user[0] != '\0' ? d->user : user,
        .password = d->password,
        .policy = c->weir.policy,
    };
    u = find_user(c, out->user);
    policy_overlay(&out->policy, &d->policy);
    if (u != NULL)
        policy_overlay(&out->policy, &u->policy);
    if (out->policy.min_pool_size > out->policy.pool_size)
        out->policy.min_pool_size = out->policy.pool_size;
    return true;
}
