#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/random.h"
#include "weir/base/hash.h"
#include "weir/base/map.h"
#include "weir/base/poison.h"
#include "weir/base/span.h"

#define N_NUMBERS 1000

/* An object with a number as its key. */
struct number {
    uint64_t key;
    struct map_link link;
    bool in_map;
    unsigned n_seen;
};

static struct number *number_of(struct map_link *link)
{
    return MAP_ITEM(link, struct number, link);
}

static bool number_equal(const struct map_link *link, const void *key)
{
    return MAP_ITEM_CONST(link, struct number, link)->key == *(const uint64_t *)key;
}

static struct hash_key key;
static struct map map;
static struct number numbers[N_NUMBERS];

static void setup(void)
{
    hash_key_fixed(&key, 1);
    map_init(&map, number_equal, N_NUMBERS);
    for (uint64_t i = 0; i < N_NUMBERS; i++)
        numbers[i] = (struct number){.key = i * i};
}

static void teardown(void)
{
    map_fini(&map);
}

TestSuite(map, .init = setup, .fini = teardown);

static bool insert(struct number *n)
{
    return map_insert(&map, hash64_u64(&key, n->key), &n->link);
}

static struct map_link *find(uint64_t k)
{
    return map_find(&map, hash64_u64(&key, k), &k);
}

/* How many objects a walk meets, each once. */
static size_t walk(void)
{
    size_t n = 0;

    for (unsigned i = 0; i < N_NUMBERS; i++)
        numbers[i].n_seen = 0;
    MAP_FOREACH(link, &map)
    {
        cr_assert_eq(++number_of(link)->n_seen, 1);
        n++;
    }
    return n;
}

Test(map, empty)
{
    cr_assert_null(find(0));
    cr_assert_null(map_next(&map, NULL));
    cr_assert_eq(walk(), 0);
}

/* At every number of objects: all are found, nothing else is, a walk meets each. */
Test(map, insert_find_walk)
{
    for (size_t n = 0; n < N_NUMBERS; n++) {
        cr_assert_null(find(numbers[n].key));
        cr_assert(insert(&numbers[n]));
        cr_assert_eq(map.n_items, n + 1);
        cr_assert_eq(find(numbers[n].key), &numbers[n].link);
        cr_assert_null(find(numbers[n].key + 2)); /* never a square, but for 2^2 - 2 = 1 + 1 */
        if (n % 50 == 0 || n < 40) {
            for (size_t i = 0; i <= n; i++)
                cr_assert_eq(find(numbers[i].key), &numbers[i].link, "%zu of %zu", i, n);
            cr_assert_eq(walk(), n + 1);
        }
    }
}

Test(map, full)
{
    map_fini(&map);
    map_init(&map, number_equal, 3);
    for (unsigned i = 0; i < 3; i++)
        cr_assert(insert(&numbers[i]));
    cr_assert_not(insert(&numbers[3]));
    cr_assert_null(find(numbers[3].key));
    map_remove(&map, &numbers[1].link);
    cr_assert(insert(&numbers[3]));
    cr_assert_eq(walk(), 3);
}

/* Objects of one hash are told apart by their keys. */
Test(map, equal_hashes)
{
    for (unsigned i = 0; i < 100; i++)
        cr_assert(map_insert(&map, 42, &numbers[i].link));
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(map_find(&map, 42, &numbers[i].key), &numbers[i].link);
    cr_assert_null(map_find(&map, 42, &numbers[100].key));
    cr_assert_null(map_find(&map, 43, &numbers[0].key));
    cr_assert_eq(walk(), 100);
}

Test(map, a_few_need_no_table)
{
    for (unsigned i = 0; i < 8; i++)
        cr_assert(insert(&numbers[i]));
    cr_assert_eq(map.buckets, &map.single);
    cr_assert(insert(&numbers[8]));
    cr_assert_neq(map.buckets, &map.single);
}

Test(map, reserved_room_is_not_moved)
{
    cr_assert(insert(&numbers[0]));
    cr_assert_eq(map_reserve(&map, N_NUMBERS), 0);
    struct map_link **buckets = map.buckets;

    cr_assert_eq(map_reserve(&map, 5), 0); /* never smaller */
    for (unsigned i = 1; i < N_NUMBERS; i++)
        cr_assert(insert(&numbers[i]));
    cr_assert_eq(map.buckets, buckets);
    cr_assert_eq(find(numbers[0].key), &numbers[0].link);
    cr_assert_eq(walk(), N_NUMBERS);
}

Test(map, table_is_no_smaller_than_its_items)
{
    for (unsigned i = 0; i < N_NUMBERS; i++) {
        cr_assert(insert(&numbers[i]));
        cr_assert(map.n_items <= 8 || map.mask + 1 >= map.n_items, "%zu", map.n_items);
        cr_assert_leq(map.mask + 1, 16 > 2 * map.n_items ? 16 : 2 * map.n_items);
    }
}

#ifndef POISON_ASAN /* which ends the process where an allocation fails */
Test(map, reserve_of_more_than_there_is_fails)
{
    map_fini(&map);
    map_init(&map, number_equal, SIZE_MAX);
    cr_assert(insert(&numbers[0]));
    cr_assert_eq(map_reserve(&map, SIZE_MAX), -ENOMEM);
    cr_assert_eq(map_reserve(&map, SIZE_MAX / 16), -ENOMEM);
    cr_assert_eq(find(numbers[0].key), &numbers[0].link);
}

/* Without memory for a larger table, inserts go on. */
Test(map, no_memory_makes_chains_longer)
{
    enum { N = 200000 }; /* a table of this many is not carved from what malloc has at hand */
    struct number *many = calloc(N, sizeof(*many));
    struct rlimit limit, none = {.rlim_cur = 4096}; /* 0 would be taken for a mistake */

    map_fini(&map);
    map_init(&map, number_equal, N);
    cr_assert_eq(map_reserve(&map, N / 4), 0);
    size_t mask = map.mask;

    getrlimit(RLIMIT_DATA, &limit);
    none.rlim_max = limit.rlim_max;
    setrlimit(RLIMIT_DATA, &none);
    bool all = true;

    for (unsigned i = 0; i < N; i++) {
        many[i].key = i;
        all = insert(&many[i]) && all;
    }
    setrlimit(RLIMIT_DATA, &limit);
    cr_assert(all);
    cr_assert_eq(map.mask, mask);
    for (unsigned i = 0; i < N; i++)
        cr_assert_eq(find(i), &many[i].link);
    map_fini(&map);
    free(many);
}
#endif

Test(map, remove_of_an_absent_one_aborts, .signal = SIGABRT)
{
    cr_assert(insert(&numbers[0]));
    map_remove(&map, &numbers[1].link);
}

Test(map, fini_leaves_an_empty_map)
{
    for (unsigned i = 0; i < 100; i++)
        cr_assert(insert(&numbers[i]));
    map_fini(&map);
    cr_assert_null(find(numbers[0].key));
    cr_assert(insert(&numbers[0]));
    map_fini(&map);
    map_fini(&map);
}

/* Names as keys, of any bytes. */
struct name {
    struct span text;
    struct map_link link;
};

static bool name_equal(const struct map_link *link, const void *text)
{
    return span_equal(MAP_ITEM_CONST(link, struct name, link)->text, *(const struct span *)text);
}

Test(map, span_keys)
{
    struct name names[] = {
        {.text = span_str("")},
        {.text = span_str("a")},
        {.text = span_of("a\0", 2)},
        {.text = span_of("a\0b", 3)},
        {.text = span_str("a longer name that does not fit into a few words")},
    };
    struct span absent = span_of("a\0c", 3);

    map_fini(&map);
    map_init(&map, name_equal, 100);
    for (unsigned i = 0; i < 5; i++)
        cr_assert(map_insert(&map, hash64(&key, names[i].text), &names[i].link));
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(map_find(&map, hash64(&key, names[i].text), &names[i].text), &names[i].link);
    cr_assert_null(map_find(&map, hash64(&key, absent), &absent));
}

/* Random inserts, removals and walks that remove as they go; `in_map` is the model. */
Test(map, random_operations_match_a_model)
{
    enum { STEPS = 300000 };
    struct random random = {20260131};
    size_t n_in = 0;

    for (unsigned step = 0; step < STEPS; step++) {
        struct number *n = &numbers[random_below(&random, N_NUMBERS)];

        cr_assert_eq(find(n->key), n->in_map ? &n->link : NULL);
        if (n->in_map) {
            map_remove(&map, &n->link);
            n_in--;
        } else {
            cr_assert(insert(n));
            n_in++;
        }
        n->in_map = !n->in_map;
        cr_assert_eq(map.n_items, n_in);
        if (step % 3000 == 0) {
            uint64_t share = random_below(&random, 4);

            cr_assert_eq(walk(), n_in);
            MAP_FOREACH(link, &map)
            {
                if (random_below(&random, 4) >= share)
                    continue;
                number_of(link)->in_map = false;
                map_remove(&map, link);
                n_in--;
            }
            for (unsigned i = 0; i < N_NUMBERS; i++)
                cr_assert_eq(find(numbers[i].key), numbers[i].in_map ? &numbers[i].link : NULL);
            cr_assert_eq(walk(), n_in);
        }
    }
}
