/*
 * Threads that read a snapshot and give it back, in no order: whoever is last frees it, and no
 * read of another comes after that (TSan watches). Each thread loads its own snapshots too, so
 * loads meet in the library.
 */
#include <string.h>

#include "race.h"
#include "weir/conf/conf.h"
#include "weir/conf/pool.h"

#define N_THREADS 4
#define N_ROUNDS 200

static const char text[] = "weir = { auth_file = \"users\"; admin_users = \"a, b\"; };\n"
                           "databases = ( { name = \"app\"; host = \"h\"; pool_size = 3; } );\n"
                           "users = ( { name = \"u\"; pool_mode = \"session\"; } );";

struct worker {
    struct conf *shared; /* a reference of its own */
    struct random random;
    uint64_t n_gets;
};

static struct conf *load(void)
{
    struct conf_error error;
    struct conf *c = NULL;

    RACE_CHECK(conf_load_text("/w/weir.conf", span_str(text), &c, &error) == 0);
    return c;
}

static void read_all(const struct conf *c)
{
    struct conf_pool p;

    RACE_CHECK(strcmp(c->weir.auth_file, "/w/users") == 0);
    RACE_CHECK(c->weir.admin_users.n_items == 2);
    RACE_CHECK(conf_pool_find(c, "app", "u", &p));
    RACE_CHECK(strcmp(p.host, "h") == 0 && p.policy.pool_size == 3);
}

static void work(void *arg)
{
    struct worker *w = arg;

    for (uint64_t i = 0; i < w->n_gets; i++) {
        struct conf *c = conf_get(w->shared);

        read_all(c);
        conf_put(c);
        if (random_below(&w->random, 4) == 0)
            race_yield();
    }
    conf_put(load());
    read_all(w->shared);
    conf_put(w->shared);
}

int main(void)
{
    struct race race = race_begin("conf");

    for (uint64_t round = 0; round < N_ROUNDS * race.factor; round++) {
        struct conf *c = load();
        struct worker workers[N_THREADS];

        for (unsigned i = 0; i < N_THREADS; i++) {
            workers[i].shared = conf_get(c);
            workers[i].random = race_random(&race, i);
            workers[i].n_gets = random_below(&workers[i].random, 20);
        }
        conf_put(c);
        race_run(&race, N_THREADS, work, workers, sizeof(workers[0]));
    }
    return 0;
}
