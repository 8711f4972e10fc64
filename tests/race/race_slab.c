/*
 * Threads that take objects, publish their handles, and look at the ones of others. Proven: an
 * object has one holder at a time and its private bytes need no atomics (TSan), a handle names its
 * use as long as that lasts and nothing afterwards, shared bytes may be read at any time, and
 * threads that grow a new slab at the same time get every object once.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "race.h"
#include "weir/base/slab.h"

#define N_THREADS 4
#define N_PLACES 8
#define N_STEPS 50000
#define N_ROUNDS 100

struct object {
    atomic_uint holder; /* shared: thread + 1, 0 while free */
    uint64_t words[40]; /* the holder's */
};

struct test {
    struct slab *slab;
    _Atomic uint64_t places[N_PLACES]; /* handles of objects that are or were taken */
    atomic_uint n_found;
};

struct worker {
    struct test *test;
    unsigned id;
    uint64_t n_steps;
    struct random random;
};

static struct slab *make_slab(size_t object_size, uint32_t max_objects)
{
    struct slab_config config = {object_size, sizeof(atomic_uint), max_objects};
    struct slab *s;

    RACE_CHECK(slab_new(&s, &config) == 0);
    return s;
}

static void look_at_another(struct worker *w)
{
    unsigned place = (unsigned)random_below(&w->random, N_PLACES);
    /* relaxed: a handle may be passed on in any way */
    uint64_t word = atomic_load_explicit(&w->test->places[place], memory_order_relaxed);
    struct slab_handle h = {(uint32_t)word, (uint32_t)(word >> 32)};
    struct object *o = slab_find(w->test->slab, h);

    if (o == NULL)
        return;
    atomic_fetch_add_explicit(&w->test->n_found, 1, memory_order_relaxed);
    RACE_CHECK(o == slab_at(w->test->slab, h.index));
    RACE_CHECK(atomic_load_explicit(&o->holder, memory_order_relaxed) <= N_THREADS);
}

static void use_one(struct worker *w, uint64_t step)
{
    struct slab *s = w->test->slab;
    struct object *o = slab_take(s);

    if (o == NULL)
        return;

    struct slab_handle h = slab_handle(s, o);
    unsigned place = (unsigned)random_below(&w->random, N_PLACES);

    RACE_CHECK(atomic_exchange_explicit(&o->holder, w->id + 1, memory_order_relaxed) == 0);
    for (unsigned i = 0; i < 40; i++)
        o->words[i] = step << 8 | w->id;
    atomic_store_explicit(&w->test->places[place], (uint64_t)h.generation << 32 | h.index,
                          memory_order_relaxed);
    race_yield();
    look_at_another(w);
    for (unsigned i = 0; i < 40; i++)
        RACE_CHECK(o->words[i] == (step << 8 | w->id));
    RACE_CHECK(slab_find(s, h) == o);
    RACE_CHECK(atomic_exchange_explicit(&o->holder, 0, memory_order_relaxed) == w->id + 1);
    slab_give(s, o);
    RACE_CHECK(slab_find(s, h) == NULL);
}

static void use_many(void *arg)
{
    struct worker *w = arg;

    for (uint64_t step = 0; step < w->n_steps; step++)
        use_one(w, step);
}

static void many_uses(const struct race *race)
{
    struct test t = {.slab = make_slab(sizeof(struct object), N_THREADS - 1)};
    struct worker workers[N_THREADS];

    for (unsigned i = 0; i < N_THREADS; i++)
        workers[i] = (struct worker){
            .test = &t, .id = i, .n_steps = N_STEPS * race->factor, .random = race_random(race, i)};
    race_run(race, N_THREADS, use_many, workers, sizeof(workers[0]));
    printf("slab: %u handles of others still held\n",
           atomic_load_explicit(&t.n_found, memory_order_relaxed));
    RACE_CHECK(slab_n_taken(t.slab) == 0);
    slab_free(t.slab);
}

/* Objects so large that the slab grows with every third one. */
#define LARGE ((size_t)300 * 1024)
#define N_LARGE 20

struct grower {
    struct slab *slab;
    unsigned n_objects;
    void *objects[N_LARGE];
};

static void take_all(void *arg)
{
    struct grower *g = arg;
    uint8_t *object;

    while ((object = slab_take(g->slab)) != NULL) {
        object[0] = object[LARGE - 1] = 1;
        g->objects[g->n_objects++] = object;
    }
}

static void grow_together(const struct race *race)
{
    struct slab *slab = make_slab(LARGE, N_LARGE);
    struct grower growers[N_THREADS];
    unsigned n_taken[N_LARGE] = {0};

    for (unsigned i = 0; i < N_THREADS; i++)
        growers[i] = (struct grower){.slab = slab};
    race_run(race, N_THREADS, take_all, growers, sizeof(growers[0]));
    RACE_CHECK(slab_n_taken(slab) == N_LARGE);
    for (unsigned i = 0; i < N_THREADS; i++) {
        for (unsigned n = 0; n < growers[i].n_objects; n++) {
            n_taken[slab_handle(slab, growers[i].objects[n]).index]++;
            slab_give(slab, growers[i].objects[n]);
        }
    }
    for (unsigned i = 0; i < N_LARGE; i++)
        RACE_CHECK(n_taken[i] == 1);
    slab_free(slab);
}

static void take_one(void *arg)
{
    struct grower *g = arg;

    g->objects[g->n_objects++] = slab_take(g->slab);
}

/* It needs room, and while it asks for it another thread makes all there can be. */
static void room_is_made_meanwhile(void)
{
    struct slab *slab = make_slab(LARGE, 2);
    struct grower late = {.slab = slab};
    struct race_pause pause;

    race_pause_start(&pause, YIELD_SLAB_NONE_OPEN, take_one, &late);
    void *first = slab_take(slab);

    race_pause_end(&pause);
    RACE_CHECK(first != NULL && late.objects[0] != NULL && first != late.objects[0]);
    slab_give(slab, first);
    slab_give(slab, late.objects[0]);
    slab_free(slab);
}

int main(void)
{
    struct race race = race_begin("slab");

    room_is_made_meanwhile();
    for (unsigned round = 0; round < N_ROUNDS * race.factor; round++)
        grow_together(&race);
    many_uses(&race);
    return 0;
}
