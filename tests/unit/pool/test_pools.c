/*
 * The table of pools.
 */
#include "scene.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define EPOLL RIG_EPOLL

static enum pools_result find(struct scene *sc, const char *database, const char *user,
                              struct pool **out)
{
    return pools_find(sc->pools, span_str(database), span_str(user), out);
}

Test(pools, are_found_again)
{
    struct scene sc;
    struct pool *a, *b, *again;

    scene_init(&sc, EPOLL, 1, "");
    cr_assert_eq(find(&sc, "ab", "c", &a), POOLS_FOUND);
    cr_assert_eq(find(&sc, "a", "bc", &b), POOLS_FOUND);
    cr_assert_neq(a, b);
    cr_assert_eq(find(&sc, "ab", "c", &again), POOLS_FOUND);
    cr_assert_eq(again, a);
    cr_assert_str_eq(pool_database(a), "ab");
    cr_assert_str_eq(pool_user(a), "c");
    cr_assert_eq(pools_at(sc.pools, 0), a);
    cr_assert_eq(pools_at(sc.pools, 1), b);
    cr_assert_null(pools_at(sc.pools, 2));
    scene_fini(&sc);
}

Test(pools, know_where_their_servers_are)
{
    struct scene sc;
    struct pool *p;

    scene_init(&sc, EPOLL, 1, "default_pool_size = 7;");
    cr_assert_eq(find(&sc, "db", "alice", &p), POOLS_FOUND);
    cr_assert_str_eq(p->conf.host, "127.0.0.1");
    cr_assert_str_eq(p->conf.dbname, "db");
    cr_assert_str_eq(p->conf.user, "alice");
    cr_assert_eq(pool_policy(p)->pool_size, 7);
    scene_fini(&sc);
}

Test(pools, are_bounded)
{
    struct scene sc;
    struct pool *p, *first;

    scene_init(&sc, EPOLL, 1, "max_pools = 2;");
    cr_assert_eq(find(&sc, "1", "alice", &first), POOLS_FOUND);
    cr_assert_eq(find(&sc, "2", "alice", &p), POOLS_FOUND);
    p = NULL;
    cr_assert_eq(find(&sc, "3", "alice", &p), POOLS_FULL);
    cr_assert_null(p);
    cr_assert_eq(find(&sc, "1", "alice", &p), POOLS_FOUND);
    cr_assert_eq(p, first);
    scene_fini(&sc);
}

Test(pools, names_that_no_configuration_has_are_refused)
{
    char name[CONF_NAME_MAX + 2] = {0};
    struct scene sc;
    struct pool *p = NULL;

    memset(name, 'n', CONF_NAME_MAX + 1);
    scene_init(&sc, EPOLL, 1, "");
    cr_assert_eq(find(&sc, name, "alice", &p), POOLS_NO_DATABASE);
    cr_assert_eq(find(&sc, "db", name, &p), POOLS_NO_DATABASE);
    cr_assert_eq(pools_find(sc.pools, span_of("a\0b", 3), span_str("alice"), &p),
                 POOLS_NO_DATABASE);
    cr_assert_null(p);
    cr_assert_eq(find(&sc, name + 1, name + 1, &p), POOLS_FOUND); /* as long as may be */
    scene_fini(&sc);
}

/* ---- many threads ---- */

#define N_THREADS 4
#define N_NAMES 200

struct finder {
    struct scene *scene;
    unsigned first;
    struct pool *found[N_NAMES];
};

static void *find_all(void *arg)
{
    struct finder *f = arg;

    for (unsigned i = 0; i < N_NAMES; i++) {
        unsigned n = (f->first + i) % N_NAMES;
        char name[16];

        snprintf(name, sizeof(name), "db%u", n);
        if (find(f->scene, name, "alice", &f->found[n]) != POOLS_FOUND)
            f->found[n] = NULL;
    }
    return NULL;
}

Test(pools, all_threads_find_the_same)
{
    struct scene sc;
    struct finder finders[N_THREADS];
    pthread_t threads[N_THREADS];

    scene_init(&sc, EPOLL, 1, "max_pools = 200;");
    for (unsigned i = 0; i < N_THREADS; i++) {
        finders[i] = (struct finder){.scene = &sc, .first = i * N_NAMES / N_THREADS};
        cr_assert_eq(pthread_create(&threads[i], NULL, find_all, &finders[i]), 0);
    }
    for (unsigned i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < N_NAMES; i++) {
        cr_assert_not_null(finders[0].found[i]);
        for (unsigned t = 1; t < N_THREADS; t++)
            cr_assert_eq(finders[t].found[i], finders[0].found[i]);
    }
    scene_fini(&sc);
}

struct visit {
    unsigned n;
    uint64_t last_id;
};

static void visit(void *ctx, const struct server *s)
{
    struct visit *v = ctx;

    cr_assert_gt(s->id, v->last_id);
    v->last_id = s->id;
    v->n++;
}

Test(pools, servers_are_visited_in_the_order_of_opening)
{
    struct scene sc;
    struct client c[3];
    struct visit v = {0, 0};
    struct pool *p;

    scene_init(&sc, EPOLL, 1, "");
    p = scene_pool(&sc, "db", "alice");
    for (unsigned i = 0; i < 3; i++)
        client_acquire(&c[i], &sc, p, 0);
    for (unsigned i = 0; i < 3; i++)
        SCENE_UNTIL(&sc, c[i].server != NULL);
    pool_visit_servers(p, visit, &v);
    cr_assert_eq(v.n, 3);
    for (unsigned i = 0; i < 3; i++)
        client_release(&c[i]);
    scene_fini(&sc);
}
