/*
 * Threads that take chunks, write them, hand some to other threads through a few shared places and
 * put them back. Proven: a chunk has one holder at a time (its words, and TSan over them), what a
 * holder wrote is seen by the next one, the number in use is never one that cannot be, and at rest
 * all are free. Orders that chance seldom finds are forced.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "race.h"
#include "weir/base/arena.h"

#define N_THREADS 4
#define N_PLACES 4
#define N_CHUNKS 7 /* one fewer than threads and places can hold: now and then there is none */
#define CHUNK_SIZE 4096
#define N_WORDS (CHUNK_SIZE / sizeof(uint64_t))
#define N_STEPS 50000

struct test {
    struct arena *arena;
    _Atomic(uint64_t *) places[N_PLACES];
};

struct worker {
    struct test *test;
    uint64_t id;
    uint64_t n_steps;
    struct random random;
};

static struct arena *make_arena(size_t n_chunks)
{
    struct arena_config config = {.chunk_size = CHUNK_SIZE, .n_chunks = n_chunks};
    struct arena *a;

    RACE_CHECK(arena_new(&a, &config) == 0);
    return a;
}

static void fill(uint64_t *chunk, uint64_t word)
{
    for (size_t i = 0; i < N_WORDS; i += 64)
        chunk[i] = word;
}

static void check(const uint64_t *chunk, uint64_t word)
{
    for (size_t i = 0; i < N_WORDS; i += 64)
        RACE_CHECK(chunk[i] == word);
}

static void work(void *arg)
{
    struct worker *w = arg;
    struct test *t = w->test;

    for (uint64_t step = 0; step < w->n_steps; step++) {
        uint64_t *chunk = arena_get(t->arena);

        if (chunk == NULL)
            continue;
        fill(chunk, w->id << 32 | step);
        size_t n_used = arena_n_used(t->arena);

        RACE_CHECK(n_used >= 1 && n_used <= N_CHUNKS);
        race_yield();
        check(chunk, w->id << 32 | step);
        if (random_below(&w->random, 2) == 0) {
            unsigned place = random_below(&w->random, N_PLACES);

            fill(chunk, place);
            chunk = atomic_exchange_explicit(&t->places[place], chunk, memory_order_acq_rel);
            if (chunk == NULL)
                continue;
            check(chunk, place);
        }
        arena_put(t->arena, chunk);
    }
}

static void many_threads(const struct race *race)
{
    struct test t = {.arena = make_arena(N_CHUNKS)};
    struct worker workers[N_THREADS];

    for (unsigned i = 0; i < N_THREADS; i++)
        workers[i] = (struct worker){
            .test = &t, .id = i, .n_steps = N_STEPS * race->factor, .random = race_random(race, i)};
    race_run(race, N_THREADS, work, workers, sizeof(workers[0]));
    for (unsigned i = 0; i < N_PLACES; i++) {
        uint64_t *chunk = atomic_load_explicit(&t.places[i], memory_order_relaxed);

        if (chunk != NULL)
            arena_put(t.arena, chunk);
    }
    RACE_CHECK(arena_n_used(t.arena) == 0);
    arena_free(t.arena);
}

/* A thread that gets one chunk, or counts, and may be held on the way. */
struct getter {
    struct arena *arena;
    void *chunk;
    size_t n_used;
};

static void do_get(void *arg)
{
    struct getter *g = arg;

    g->chunk = arena_get(g->arena);
}

/* ABA: while it is held before its exchange, the chunk it wants is taken and comes back, but the
 * one behind it stays taken. */
static void first_chunk_comes_back(void)
{
    struct arena *a = make_arena(3);
    struct getter late = {.arena = a};
    struct race_pause pause;
    void *first = arena_get(a), *second = arena_get(a);

    arena_put(a, second);
    arena_put(a, first);
    race_pause_start(&pause, YIELD_FREELIST_SEEN, do_get, &late);
    RACE_CHECK(arena_get(a) == first && arena_get(a) == second);
    arena_put(a, first);
    race_pause_end(&pause);
    RACE_CHECK(late.chunk == first);

    void *third = arena_get(a);

    RACE_CHECK(third != NULL && third != first && third != second);
    arena_put(a, first);
    arena_put(a, second);
    arena_put(a, third);
    arena_free(a);
}

/* Between its looks at the list and at what was never taken, the last such chunk goes and an
 * earlier one comes back. */
static void last_new_chunk_goes_and_one_comes_back(void)
{
    struct arena *a = make_arena(2);
    struct getter late = {.arena = a};
    struct race_pause pause;
    void *first = arena_get(a);

    race_pause_start(&pause, YIELD_FREELIST_EMPTY, do_get, &late);
    void *second = arena_get(a);

    arena_put(a, first);
    race_pause_end(&pause);
    RACE_CHECK(late.chunk == first);
    arena_put(a, first);
    arena_put(a, second);
    arena_free(a);
}

static void do_count(void *arg)
{
    struct getter *g = arg;

    g->n_used = arena_n_used(g->arena);
}

/* Between the head and its link, which says how many are free, the chunk that both are of goes. */
static void chunk_goes_while_counting(void)
{
    struct arena *a = make_arena(3);
    struct getter counter = {.arena = a};
    struct race_pause pause;
    void *first = arena_get(a), *second = arena_get(a);

    arena_put(a, second);
    arena_put(a, first);
    race_pause_start(&pause, YIELD_FREELIST_COUNTING, do_count, &counter);
    RACE_CHECK(arena_get(a) == first);
    race_pause_end(&pause);
    RACE_CHECK(counter.n_used == 1);
    arena_put(a, first);
    arena_free(a);
}

int main(void)
{
    struct race race = race_begin("arena");

    first_chunk_comes_back();
    last_new_chunk_goes_and_one_comes_back();
    chunk_goes_while_counting();
    many_threads(&race);
    return 0;
}
