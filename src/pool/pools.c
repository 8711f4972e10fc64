/*
 * The table of pools: (database, user) to pool, insert-only, so a look-up takes no lock and a
 * pointer stays good. Pools are made under a mutex by whoever comes first; how many is bounded by
 * max_pools, and so is the table.
 */
#include "weir/pool/pools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "weir/auth/users.h"

#include "control.h"
#include "own.h"
#include "pools.h"

/* The two names as one key: "database\0user". */
struct names {
    size_t len;
    uint8_t bytes[2 * CONF_NAME_MAX + 1];
};

/* ---- the table ---- */

static bool name_fits(struct span name)
{
    return name.len <= CONF_NAME_MAX && (name.len == 0 || memchr(name.ptr, 0, name.len) == NULL);
}

static _Atomic(struct pool *) *bucket_of(const struct pools *ps, struct span database,
                                         struct span user)
{
    struct names key = {.len = 0};

    memcpy(key.bytes, database.ptr, database.len);
    memcpy(key.bytes + database.len + 1, user.ptr, user.len);
    key.len = database.len + 1 + user.len;
    return &ps->buckets[hash64(&ps->hash_key, span_of(key.bytes, key.len)) & (ps->n_buckets - 1)];
}

static struct pool *find_in(_Atomic(struct pool *) *bucket, struct span database, struct span user)
{
    /* acquire: the pool is whole; pairs with the release in hang_in() */
    struct pool *p = atomic_load_explicit(bucket, memory_order_acquire);

    while (p != NULL &&
           !(span_equal(span_str(p->database), database) && span_equal(span_str(p->user), user)))
        p = p->next;
    return p;
}

static unsigned n_pools(const struct pools *ps)
{
    return atomic_load_explicit(&ps->n_pools, memory_order_acquire); /* pairs with hang_in() */
}

/* Under the mutex. */
static void hang_in(struct pools *ps, _Atomic(struct pool *) *bucket, struct pool *p)
{
    unsigned n = n_pools(ps);

    p->next = atomic_load_explicit(bucket, memory_order_relaxed); /* written under the mutex */
    ps->by_index[n] = p;
    /* release: pairs with the acquires in n_pools() and find_in() */
    atomic_store_explicit(&ps->n_pools, n + 1, memory_order_release);
    atomic_store_explicit(bucket, p, memory_order_release);
}

struct pool *pools_at(struct pools *ps, unsigned index)
{
    return index < n_pools(ps) ? ps->by_index[index] : NULL;
}

void pools_count_memory(const struct pools *ps, struct slab_counts *servers)
{
    *servers = slab_count(ps->servers);
}

/* ---- making ---- */

/* Under the mutex. NULL: no memory. */
static struct limit *limit_find_or_make(struct pools *ps, bool of_user, const char *name,
                                        unsigned max)
{
    struct limit *limit;

    LIST_FOREACH (link, &ps->limits) {
        limit = LIST_ITEM(link, struct limit, link);
        if (limit->of_user == of_user && strcmp(limit->name, name) == 0)
            return limit;
    }
    limit = calloc(1, sizeof(*limit));
    if (limit == NULL)
        return NULL;
    limit->of_user = of_user;
    limit->max = max;
    memcpy(limit->name, name, strnlen(name, CONF_NAME_MAX)); /* the rest is zero */
    list_push_back(&ps->limits, &limit->link);
    return limit;
}

static bool find_limits(struct pools *ps, struct pool *p)
{
    struct limit **limits = p->control->limits;
    const struct conf_policy *policy = &p->conf.policy;

    if (policy->max_db_connections != 0) {
        limits[0] = limit_find_or_make(ps, false, p->database, policy->max_db_connections);
        if (limits[0] == NULL)
            return false;
    }
    if (policy->max_user_connections != 0) {
        limits[1] = limit_find_or_make(ps, true, p->conf.user, policy->max_user_connections);
        if (limits[1] == NULL)
            return false;
    }
    return true;
}

static struct pool_control *control_new(struct pool *p)
{
    struct pool_control *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->pool = p;
    list_init(&c->servers);
    list_init(&c->own_waiting);
    list_init(&c->own_opening);
    return c;
}

static void control_free(struct pool_control *c)
{
    if (c == NULL)
        return;
    for (unsigned i = 0; i < c->n_failures; i++)
        free(c->failures[i]);
    for (unsigned i = 0; i < c->n_greetings; i++)
        free(c->greetings[i]);
    free(c);
}

static void pool_free(struct pool *p)
{
    for (unsigned r = 0; r < p->crew->n_reactors; r++)
        if (pool_part(p, r) != NULL)
            free(pool_part(p, r));
    for (unsigned i = 0; i < POOL_BLOCKS; i++)
        free(atomic_load_explicit(&p->blocks[i], memory_order_relaxed)); /* nobody else runs */
    control_free(p->control);
    free(p);
}

/* Zero but for its names and what it knows of the crew. NULL: no memory. */
static struct pool *pool_new(struct pools *ps, struct span database, struct span user)
{
    unsigned n_reactors = ps->config.crew->n_reactors;
    size_t size = sizeof(struct pool) + n_reactors * sizeof(_Atomic(struct shelf *));
    struct pool *p;

    size = (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    p = aligned_alloc(CACHE_LINE, size);
    if (p == NULL)
        return NULL;
    memset(p, 0, size);
    p->pools = ps;
    p->crew = ps->config.crew;
    memcpy(p->database, database.ptr, database.len);
    memcpy(p->user, user.ptr, user.len);
    p->ask.open = control_asked;
    mask_init(&p->has_waiters);
    mask_init(&p->awaiting);
    shelves_init(&p->shelves, n_reactors, p->each);
    return p;
}

/* Under the mutex. */
static enum pools_result make(struct pools *ps, struct span database, struct span user,
                              struct pool **out)
{
    struct pool *p;

    p = pool_new(ps, database, user);
    if (p == NULL)
        return POOLS_NO_MEMORY;
    if (!conf_pool_find(ps->config.conf, p->database, p->user, &p->conf)) {
        pool_free(p);
        return POOLS_NO_DATABASE;
    }
    if (n_pools(ps) >= ps->max_pools) {
        pool_free(p);
        return POOLS_FULL;
    }
    audit_init(p);
    p->control = control_new(p);
    if (p->control == NULL || !find_limits(ps, p)) {
        pool_free(p);
        return POOLS_NO_MEMORY;
    }
    *out = p;
    return POOLS_FOUND;
}

enum pools_result pools_find(struct pools *ps, struct span database, struct span user,
                             struct pool **out)
{
    enum pools_result result = POOLS_FOUND;
    _Atomic(struct pool *) *bucket;
    struct pool *p;

    if (!name_fits(database) || !name_fits(user))
        return POOLS_NO_DATABASE; /* the configuration has no such names */
    bucket = bucket_of(ps, database, user);
    p = find_in(bucket, database, user);
    if (p == NULL) {
        pthread_mutex_lock(&ps->mutex);
        p = find_in(bucket, database, user); /* somebody may have been faster */
        if (p == NULL) {
            result = make(ps, database, user, &p);
            if (result == POOLS_FOUND)
                hang_in(ps, bucket, p);
        }
        pthread_mutex_unlock(&ps->mutex);
    }
    if (result == POOLS_FOUND)
        *out = p;
    return result;
}

/* ---- all of them ---- */

static int make_tables(struct pools *ps)
{
    /* All shared bytes, so that a slot's atomics may be read at any time. */
    struct slab_config servers = {
        .object_size = sizeof(struct server),
        .shared_size = offsetof(struct server, pool),
        .max_objects = POOLS_SERVERS_MAX,
    };
    size_t state_size = (ps->config.crew->n_reactors + 1) * sizeof(struct state_counters);
    int error;

    ps->max_pools = ps->config.conf->weir.max_pools;
    ps->n_buckets = 64;
    while (ps->n_buckets < ps->max_pools)
        ps->n_buckets *= 2;
    ps->buckets = calloc(ps->n_buckets, sizeof(*ps->buckets));
    ps->by_index = calloc(ps->max_pools, sizeof(struct pool *));
    ps->state = aligned_alloc(CACHE_LINE, state_size);
    if (ps->buckets == NULL || ps->by_index == NULL || ps->state == NULL)
        return -ENOMEM;
    memset(ps->state, 0, state_size);
    error = hash_key_init(&ps->hash_key);
    return error != 0 ? error : slab_new(&ps->servers, &servers);
}

int pools_new(struct pools **out, const struct pools_config *config)
{
    struct pools *ps = aligned_alloc(_Alignof(struct pools), sizeof(*ps));
    int error;

    if (ps == NULL)
        return -ENOMEM;
    memset(ps, 0, sizeof(*ps));
    ps->config = *config;
    conf_get(ps->config.conf);
    if (ps->config.users != NULL)
        users_get(ps->config.users);
    pthread_mutex_init(&ps->mutex, NULL);
    list_init(&ps->limits);
    list_init(&ps->listed);
    ps->second.fire = limits_tick;
    cancels_init(&ps->cancels);
    error = make_tables(ps);
    if (error != 0) {
        pools_free(ps);
        return error;
    }
    *out = ps;
    return 0;
}

void pools_free(struct pools *ps)
{
    if (ps == NULL)
        return;
    for (unsigned i = 0; i < n_pools(ps); i++)
        pool_free(ps->by_index[i]);
    LIST_FOREACH (link, &ps->limits)
        free(LIST_ITEM(link, struct limit, link));
    slab_free(ps->servers);
    free(ps->state);
    free(ps->by_index);
    free(ps->buckets);
    pthread_mutex_destroy(&ps->mutex);
    users_put(ps->config.users);
    conf_put(ps->config.conf);
    free(ps);
}

void pool_visit_servers(struct pool *p, void (*visit)(void *ctx, const struct server *s), void *ctx)
{
    LIST_FOREACH (link, &p->control->servers)
        visit(ctx, LIST_ITEM(link, struct server, link));
}

static void stop_pool(struct pool *p, struct thread *control)
{
    loop_timer_clear(control->loop, &p->control->retry);
    loop_timer_clear(control->loop, &p->control->sweep);
    audit_stop(p);
    limits_unlist(p);
    own_stop(p);
    LIST_FOREACH (link, &p->control->servers) {
        struct server *s = LIST_ITEM(link, struct server, link);

        if (server_phase(s) == SERVER_CONNECTING || server_phase(s) == SERVER_LOGIN)
            login_abort(control, s);
    }
    control_renew(control, p, "stopping");
}

void pools_look_stopped(struct pools *ps)
{
    void (*stopped)(void *ctx) = ps->stopped;

    if (stopped == NULL || ps->n_servers > 0 || !cancels_idle(&ps->cancels))
        return;
    ps->stopped = NULL;
    stopped(ps->stopped_ctx);
}

void pools_stop(struct pools *ps, void (*done)(void *ctx), void *ctx)
{
    struct thread *control = crew_control(ps->config.crew);
    struct pool *p;

    ps->stopping = true;
    loop_timer_clear(control->loop, &ps->second);
    cancels_stop(ps);
    for (unsigned i = 0; (p = pools_at(ps, i)) != NULL; i++)
        stop_pool(p, control);
    ps->stopped = done; /* from here on, so that it is answered once */
    ps->stopped_ctx = ctx;
    pools_look_stopped(ps);
}
