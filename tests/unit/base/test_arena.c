#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/random.h"
#include "weir/base/arena.h"
#include "weir/base/poison.h"

static struct arena *make(size_t chunk_size, size_t n_chunks)
{
    struct arena_config config = {.chunk_size = chunk_size, .n_chunks = n_chunks};
    struct arena *a = NULL;

    cr_assert_eq(arena_new(&a, &config), 0);
    return a;
}

Test(arena, sizes_out_of_range_are_refused)
{
    static const struct arena_config cases[] = {
        {.chunk_size = 0, .n_chunks = 1},
        {.chunk_size = 2048, .n_chunks = 1},
        {.chunk_size = 4095, .n_chunks = 1},
        {.chunk_size = 5000, .n_chunks = 1},
        {.chunk_size = (1 << 20) + 4096, .n_chunks = 1},
        {.chunk_size = 2 << 20, .n_chunks = 1},
        {.chunk_size = SIZE_MAX, .n_chunks = 1},
        {.chunk_size = 4096, .n_chunks = 0},
        {.chunk_size = 4096, .n_chunks = (size_t)INT32_MAX + 1},
        {.chunk_size = 4096, .n_chunks = SIZE_MAX},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arena *a = (struct arena *)&a;

        cr_assert_eq(arena_new(&a, &cases[i]), -EINVAL, "case %zu", i);
        cr_assert_eq(a, (struct arena *)&a, "written on failure");
    }
}

Test(arena, sizes_at_the_limits_are_taken)
{
    static const size_t sizes[] = {4096, 1 << 20};

    for (size_t i = 0; i < 2; i++) {
        struct arena *a = make(sizes[i], 1);

        cr_assert_eq(arena_chunk_size(a), sizes[i]);
        cr_assert_eq(arena_n_chunks(a), 1);
        arena_free(a);
    }
    arena_free(NULL);
}

Test(arena, more_than_the_machine_has_is_refused)
{
    struct arena_config config = {.chunk_size = 1 << 20, .n_chunks = INT32_MAX}; /* 2^51 bytes */
    struct arena *a = NULL;

    cr_assert_eq(arena_new(&a, &config), -ENOMEM);
    cr_assert_null(a);
}

Test(arena, all_chunks_then_null)
{
    enum { N = 100 };
    struct arena *a = make(4096, N);
    uint8_t *chunks[N];

    for (unsigned i = 0; i < N; i++) {
        chunks[i] = arena_get(a);
        cr_assert_not_null(chunks[i]);
        cr_assert_eq(arena_n_used(a), i + 1);
        memset(chunks[i], (int)i, 4096);
    }
    cr_assert_null(arena_get(a));
    cr_assert_eq(arena_n_used(a), N);
    for (unsigned i = 0; i < N; i++) {
        for (unsigned at = 0; at < 4096; at++)
            cr_assert_eq(chunks[i][at], i, "chunks overlap");
        arena_put(a, chunks[i]);
    }
    cr_assert_eq(arena_n_used(a), 0);
    arena_free(a);
}

Test(arena, last_put_is_got_first)
{
    struct arena *a = make(4096, 10);
    void *x = arena_get(a), *y = arena_get(a), *z = arena_get(a);

    arena_put(a, y);
    arena_put(a, z);
    arena_put(a, x);
    cr_assert_eq(arena_get(a), x);
    cr_assert_eq(arena_get(a), z);
    cr_assert_eq(arena_get(a), y);
    arena_put(a, x);
    arena_put(a, y);
    arena_put(a, z);
    arena_free(a);
}

/* Only what is used costs memory: 1 GiB of arena, one chunk touched again and again. */
Test(arena, unused_chunks_cost_nothing)
{
    struct rusage before, after;
    struct arena *a = NULL;

#ifdef POISON_ASAN
    cr_skip_test("the shadow of the arena counts");
#endif
    getrusage(RUSAGE_SELF, &before);
    a = make(65536, 16384);
    for (unsigned i = 0; i < 100000; i++) {
        void *chunk = arena_get(a);

        memset(chunk, 1, 65536 / 64);
        arena_put(a, chunk);
    }
    getrusage(RUSAGE_SELF, &after);
    cr_assert_lt(after.ru_maxrss - before.ru_maxrss, 4096, "%ld KiB",
                 after.ru_maxrss - before.ru_maxrss);
    arena_free(a);
}

Test(arena, prefault_touches_all_pages)
{
    enum { SIZE = 64 * 65536 };
    struct arena_config config = {.chunk_size = 65536, .n_chunks = 64, .prefault = true};
    unsigned char in_core[SIZE / 4096];
    struct arena *a = NULL;

    cr_assert_eq(sysconf(_SC_PAGESIZE), 4096);
    cr_assert_eq(arena_new(&a, &config), 0);
    void *first = arena_get(a); /* a new arena's first chunk begins its mapping */

    cr_assert_eq(mincore(first, SIZE, in_core), 0);
    for (unsigned i = 0; i < sizeof(in_core); i++)
        cr_assert_eq(in_core[i] & 1, 1, "page %u", i);
    arena_put(a, first);
    arena_free(a);
}

Test(arena, put_twice_aborts, .signal = SIGABRT)
{
    struct arena *a = make(4096, 10);
    void *chunk = arena_get(a);

    arena_put(a, chunk);
    arena_put(a, chunk);
}

Test(arena, put_of_a_chunk_never_got_aborts, .signal = SIGABRT)
{
    struct arena *a = make(4096, 10);
    uint8_t *chunk = arena_get(a);

    arena_put(a, chunk + 4096);
}

Test(arena, put_inside_a_chunk_aborts, .signal = SIGABRT)
{
    struct arena *a = make(4096, 10);
    uint8_t *chunk = arena_get(a);

    arena_put(a, chunk + 64);
}

Test(arena, put_below_the_arena_aborts, .signal = SIGABRT)
{
    struct arena *a = make(4096, 10);
    uint8_t *chunk = arena_get(a);

    arena_put(a, chunk - 4096);
}

Test(arena, put_above_the_arena_aborts, .signal = SIGABRT)
{
    struct arena *a = make(4096, 10);
    uint8_t *chunk = arena_get(a);

    arena_put(a, chunk + 40960);
}

Test(arena, free_with_a_chunk_out_aborts, .signal = SIGABRT)
{
    struct arena *a = make(4096, 10);

    cr_assert_not_null(arena_get(a));
    arena_free(a);
}

#ifdef POISON_ASAN
Test(arena, free_chunks_are_poisoned)
{
    struct arena *a = make(4096, 10);
    uint8_t *chunk = arena_get(a);

    cr_assert_null(__asan_region_is_poisoned(chunk, 4096));
    cr_assert(__asan_address_is_poisoned(chunk + 4096));
    arena_put(a, chunk);
    cr_assert(__asan_address_is_poisoned(chunk));
    cr_assert(__asan_address_is_poisoned(chunk + 4095));
    arena_free(a);
    cr_assert_not(__asan_address_is_poisoned(chunk));
}
#endif

/* Random gets and puts; every chunk's first and last word say whose it is. */
Test(arena, random_operations_match_a_model)
{
    enum { N = 64, STEPS = 200000 };
    struct random random = {20260131};
    struct arena *a = make(8192, N);
    uint64_t *held[N];
    size_t n_held = 0;

    for (unsigned step = 0; step < STEPS; step++) {
        if (random_below(&random, 2) == 0) {
            uint64_t *chunk = arena_get(a);

            cr_assert_eq(chunk == NULL, n_held == N);
            if (chunk == NULL)
                continue;
            chunk[0] = chunk[1023] = (uintptr_t)chunk;
            held[n_held++] = chunk;
        } else if (n_held > 0) {
            size_t i = random_below(&random, n_held);

            cr_assert(held[i][0] == (uintptr_t)held[i] && held[i][1023] == held[i][0]);
            held[i][0] = held[i][1023] = 0;
            arena_put(a, held[i]);
            held[i] = held[--n_held];
        }
        cr_assert_eq(arena_n_used(a), n_held);
    }
    while (n_held > 0)
        arena_put(a, held[--n_held]);
    arena_free(a);
}
