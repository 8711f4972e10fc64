/*
 * What the parts of layer base cost that the path of a query uses, on one thread: nanoseconds per
 * operation, the best of several runs (others use the machine too). What many threads cost each
 * other is in the programs of shelf and mailbox.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/random.h"
#include "weir/base/arena.h"
#include "weir/base/clock.h"
#include "weir/base/hash.h"
#include "weir/base/map.h"
#include "weir/base/slab.h"
#include "weir/base/wheel.h"

#define N_RUNS 7
#define N_OPS 1000000
#define N_TIMERS 10000
#define N_FEW 8
#define N_MANY 100000
#define N_OBJECTS 1000

struct item {
    uint64_t key;
    struct map_link link;
};

struct bench {
    struct random random;
    struct arena *arena;
    struct slab *slab;
    struct slab_handle handles[N_OBJECTS];
    struct wheel wheel;
    struct wheel_timer timers[N_TIMERS];
    uint64_t now_ns; /* the wheel's, virtual */
    struct hash_key key;
    uint8_t text[1000];
    struct map small, large;
    struct item few[N_FEW], many[N_MANY];
    uint64_t sink; /* what the compiler must not drop */
};

static void arena_get_put(struct bench *b)
{
    for (unsigned i = 0; i < N_OPS; i++) {
        void *chunk = arena_get(b->arena);

        b->sink += chunk != NULL;
        arena_put(b->arena, chunk);
    }
}

static void slab_take_give(struct bench *b)
{
    for (unsigned i = 0; i < N_OPS; i++) {
        void *object = slab_take(b->slab);

        b->sink += object != NULL;
        slab_give(b->slab, object);
    }
}

static void slab_find_any(struct bench *b)
{
    for (unsigned i = 0; i < N_OPS; i++)
        b->sink += slab_find(b->slab, b->handles[i % N_OBJECTS]) != NULL;
}

/* A query's timeout: 30 s, cleared when the query is done. */
static void wheel_set_clear(struct bench *b)
{
    struct wheel_timer *t = &b->timers[0];

    for (unsigned i = 0; i < N_OPS; i++) {
        wheel_set(&b->wheel, t, b->now_ns + 30 * NS_PER_S + i);
        wheel_clear(&b->wheel, t);
    }
}

static void timer_fired(struct wheel_timer *t)
{
    (void)t;
}

/* All timers on one level or another, then a loop that wakes for each until none is left. */
static void wheel_set_fire(struct bench *b)
{
    for (unsigned i = 0; i < N_OPS; i += N_TIMERS) {
        uint64_t next_ns;

        for (unsigned n = 0; n < N_TIMERS; n++)
            wheel_set(&b->wheel, &b->timers[n],
                      b->now_ns + random_below(&b->random, 60 * NS_PER_S));
        while ((next_ns = wheel_next_ns(&b->wheel)) != CLOCK_NEVER) {
            b->now_ns = next_ns > b->now_ns ? next_ns : b->now_ns;
            wheel_advance(&b->wheel, b->now_ns);
        }
    }
}

/* A turn of the loop in which nothing is due. */
static void wheel_idle_turn(struct bench *b)
{
    wheel_set(&b->wheel, &b->timers[0], b->now_ns + 3600 * NS_PER_S);
    for (unsigned i = 0; i < N_OPS; i++) {
        b->now_ns += 10 * NS_PER_US;
        wheel_advance(&b->wheel, b->now_ns);
        b->sink += wheel_next_ns(&b->wheel);
    }
    wheel_clear(&b->wheel, &b->timers[0]);
}

static void find_all(struct bench *b, const struct map *m, const struct item *items, size_t n_items)
{
    for (unsigned i = 0; i < N_OPS; i++) {
        uint64_t key = items[i % n_items].key;

        b->sink += map_find(m, hash64_u64(&b->key, key), &key) != NULL;
    }
}

static void map_find_of_8(struct bench *b)
{
    find_all(b, &b->small, b->few, N_FEW);
}

static void map_find_of_100000(struct bench *b)
{
    find_all(b, &b->large, b->many, N_MANY);
}

static void map_insert_remove(struct bench *b)
{
    struct item extra = {.key = 1};

    for (unsigned i = 0; i < N_OPS; i++) {
        b->sink += map_insert(&b->large, hash64_u64(&b->key, i), &extra.link);
        map_remove(&b->large, &extra.link);
    }
}

static void hash_len(struct bench *b, size_t len)
{
    for (unsigned i = 0; i < N_OPS; i++) {
        b->text[0] = (uint8_t)i;
        b->sink += hash64(&b->key, span_of(b->text, len));
    }
}

static void hash64_16(struct bench *b)
{
    hash_len(b, 16);
}

static void hash64_100(struct bench *b)
{
    hash_len(b, 100);
}

static void hash64_1000(struct bench *b)
{
    hash_len(b, 1000);
}

static void hash128_1000(struct bench *b)
{
    for (unsigned i = 0; i < N_OPS; i++) {
        b->text[0] = (uint8_t)i;
        b->sink += hash128(&b->key, span_of(b->text, 1000)).low;
    }
}

static void clock_now(struct bench *b)
{
    for (unsigned i = 0; i < N_OPS; i++)
        b->sink += clock_now_ns();
}

static bool item_equal(const struct map_link *link, const void *key)
{
    return MAP_ITEM_CONST(link, struct item, link)->key == *(const uint64_t *)key;
}

static void map_fill(struct bench *b, struct map *m, struct item *items, size_t n_items)
{
    map_init(m, item_equal, n_items + 1);
    for (size_t i = 0; i < n_items; i++) {
        items[i].key = random_next(&b->random);
        if (!map_insert(m, hash64_u64(&b->key, items[i].key), &items[i].link))
            abort();
    }
}

static void bench_init(struct bench *b)
{
    struct arena_config arena = {.chunk_size = 65536, .n_chunks = 64};
    struct slab_config slab = {.object_size = 1000, .max_objects = N_OBJECTS + 1};

    if (arena_new(&b->arena, &arena) != 0 || slab_new(&b->slab, &slab) != 0)
        abort();
    for (unsigned i = 0; i < N_OBJECTS; i++)
        b->handles[i] = slab_handle(b->slab, slab_take(b->slab));
    wheel_init(&b->wheel, b->now_ns);
    for (unsigned i = 0; i < N_TIMERS; i++)
        b->timers[i].fire = timer_fired;
    hash_key_fixed(&b->key, 1);
    map_fill(b, &b->small, b->few, N_FEW);
    map_fill(b, &b->large, b->many, N_MANY);
}

static double best_ns(struct bench *b, void (*run)(struct bench *))
{
    uint64_t best = UINT64_MAX;

    for (unsigned i = 0; i < N_RUNS; i++) {
        uint64_t start = clock_now_ns();

        run(b);
        uint64_t took = clock_now_ns() - start;

        best = took < best ? took : best;
    }
    return (double)best / N_OPS;
}

int main(void)
{
    static const struct {
        const char *what;
        void (*run)(struct bench *);
    } runs[] = {
        {"arena get + put", arena_get_put},
        {"slab take + give", slab_take_give},
        {"slab find", slab_find_any},
        {"wheel set + clear", wheel_set_clear},
        {"wheel set + fire, 10,000 armed over 60 s", wheel_set_fire},
        {"wheel advance + next, nothing due", wheel_idle_turn},
        {"map find of 8, hash included", map_find_of_8},
        {"map find of 100,000, hash included", map_find_of_100000},
        {"map insert + remove in 100,000, hash included", map_insert_remove},
        {"hash64 of 16 bytes", hash64_16},
        {"hash64 of 100 bytes", hash64_100},
        {"hash64 of 1,000 bytes", hash64_1000},
        {"hash128 of 1,000 bytes", hash128_1000},
        {"clock now", clock_now},
    };
    static struct bench b = {.random = {1}, .now_ns = NS_PER_S};

    bench_init(&b);
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
        printf("%-48s %7.1f ns\n", runs[i].what, best_ns(&b, runs[i].run));
    return b.sink == 0; /* reads what the runs produced */
}
