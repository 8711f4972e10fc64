/*
 * The view of one pool. Precedence is user over database over weir, as in PgBouncer; the user is
 * the one at the server, because that is whose pool it is, however many clients share it.
 */
#include "weir/conf/pool.h"

#include <stdlib.h>
#include <string.h>

#include "value.h"
#include "weir/base/hash.h"
#include "weir/conf/schema.h"

static int compare_database(const void *name, const void *entry)
{
    return strcmp(name, ((const struct conf_database *)entry)->name);
}

static int compare_user(const void *name, const void *entry)
{
    return strcmp(name, ((const struct conf_user *)entry)->name);
}

static const struct conf_database *find_database(const struct conf *c, const char *name)
{
    if (c->n_databases == 0)
        return NULL;
    return bsearch(name, c->databases, c->n_databases, sizeof(*c->databases), compare_database);
}

static const struct conf_user *find_user(const struct conf *c, const char *name)
{
    if (c->n_users == 0)
        return NULL;
    return bsearch(name, c->users, c->n_users, sizeof(*c->users), compare_user);
}

/* Puts what was given at a level over what is there. */
static void policy_overlay(struct conf_policy *policy, const struct conf_policy *level)
{
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);

    for (size_t i = 0; level->given != 0 && i < n_rows; i++) {
        if (rows[i].policy && (level->given & schema_policy_bit(&rows[i])) != 0)
            value_put_number(&rows[i], policy, value_number(&rows[i], level));
    }
    policy->given |= level->given;
}

bool conf_pool_find(const struct conf *c, const char *database, const char *user,
                    struct conf_pool *out)
{
    const struct conf_database *d = find_database(c, database);
    const struct conf_user *u;

    if (d == NULL)
        d = find_database(c, "*");
    if (d == NULL)
        return false;
    *out = (struct conf_pool){
        .host = d->host,
        .port = d->port,
        .dbname = d->dbname[0] != '\0' ? d->dbname : database,
        .user = d->user[0] != '\0' ? d->user : user,
        .password = d->password,
        .policy = c->weir.policy,
    };
    policy_overlay(&out->policy, &d->policy);
    u = find_user(c, out->user);
    if (u != NULL)
        policy_overlay(&out->policy, &u->policy);
    if (out->policy.min_pool_size > out->policy.pool_size)
        out->policy.min_pool_size = out->policy.pool_size;
    return true;
}

/* The state after one more field. Each field is hashed by itself first, so that no two sequences
 * of fields are the same bytes. */
static uint64_t mix(const struct hash_key *key, uint64_t state, struct span field)
{
    uint64_t pair[] = {state, hash64(key, field)};

    return hash64(key, span_of(pair, sizeof(pair)));
}

uint64_t conf_pool_link_hash(const struct conf_pool *p)
{
    struct hash_key key;
    uint64_t state = 0;

    hash_key_fixed(&key, 0);
    state = mix(&key, state, span_str(p->host));
    state = mix(&key, state, span_of(&p->port, sizeof(p->port)));
    state = mix(&key, state, span_str(p->dbname));
    return mix(&key, state, span_str(p->user));
}

uint64_t conf_pool_policy_hash(const struct conf_pool *p)
{
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);
    struct hash_key key;
    uint64_t state = 0;

    hash_key_fixed(&key, 0);
    for (size_t i = 0; i < n_rows; i++) {
        uint64_t number;

        if (!rows[i].policy)
            continue;
        number = value_number(&rows[i], &p->policy);
        state = mix(&key, state, span_of(&number, sizeof(number)));
    }
    return state;
}
