/*
 * Threads that take chunks, write them whole, hand some to other threads through a shared table
 * and put them back. The race detector watches the chunks' bytes; the program itself watches that
 * no chunk has two holders, and that the last one ends with all of them free.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/random.h"
#include "weir/base/arena.h"

#define N_THREADS 4
#define N_CHUNKS 7 /* few, so that the arena is often empty */
#define CHUNK_SIZE 4096
#define N_WORDS (CHUNK_SIZE / sizeof(uint64_t))
#define N_STEPS 100000
#define N_SHARED 4

struct test {
    struct arena *arena;
    _Atomic(uint64_t *) shared[N_SHARED];
    atomic_uint n_empty; /* how often the arena had nothing */
};

struct worker {
    struct test *test;
    uint64_t id;
    pthread_t thread;
};

static void fill(uint64_t *chunk, uint64_t word)
{
    for (size_t i = 0; i < N_WORDS; i += 64)
        chunk[i] = word;
}

static void expect(const uint64_t *chunk, uint64_t word)
{
    for (size_t i = 0; i < N_WORDS; i += 64) {
        if (chunk[i] != word) {
            fprintf(stderr, "word %zu is %lx, expected %lx\n", i, chunk[i], word);
            abort();
        }
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct test *t = w->test;
    struct random random = {w->id};

    for (uint64_t step = 0; step < N_STEPS; step++) {
        uint64_t *chunk = arena_get(t->arena);

        if (chunk == NULL) {
            atomic_fetch_add_explicit(&t->n_empty, 1, memory_order_relaxed);
            continue;
        }
        fill(chunk, w->id << 32 | step);
        expect(chunk, w->id << 32 | step);
        if (random_below(&random, 2) == 0) {
            uint64_t place = random_below(&random, N_SHARED);

            fill(chunk, place);
            chunk = atomic_exchange_explicit(&t->shared[place], chunk, memory_order_acq_rel);
            if (chunk == NULL)
                continue;
            expect(chunk, place);
        }
        arena_put(t->arena, chunk);
    }
    return NULL;
}

int main(void)
{
    struct arena_config config = {.chunk_size = CHUNK_SIZE, .n_chunks = N_CHUNKS};
    static struct test t;
    struct worker workers[N_THREADS];

    if (arena_new(&t.arena, &config) != 0)
        return 1;
    for (uint64_t i = 0; i < N_THREADS; i++) {
        workers[i] = (struct worker){.test = &t, .id = i + 1};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            return 1;
    }
    for (size_t i = 0; i < N_THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    for (size_t i = 0; i < N_SHARED; i++) {
        uint64_t *chunk = atomic_load_explicit(&t.shared[i], memory_order_relaxed);

        if (chunk != NULL)
            arena_put(t.arena, chunk);
    }
    printf("empty %u times\n", atomic_load_explicit(&t.n_empty, memory_order_relaxed));
    arena_free(t.arena); /* asserts that all are back */
    return 0;
}
