#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/random.h"
#include "weir/base/poison.h"
#include "weir/base/slab.h"

static struct slab *make(size_t object_size, size_t shared_size, uint32_t max_objects)
{
    struct slab_config config = {object_size, shared_size, max_objects};
    struct slab *s = NULL;

    cr_assert_eq(slab_new(&s, &config), 0);
    return s;
}

Test(slab, sizes_out_of_range_are_refused)
{
    static const struct slab_config cases[] = {
        {.object_size = 0, .max_objects = 1},
        {.object_size = (1 << 20) + 1, .max_objects = 1},
        {.object_size = SIZE_MAX, .max_objects = 1},
        {.object_size = 100, .max_objects = 0},
        {.object_size = 100, .max_objects = (uint32_t)INT32_MAX + 1},
        {.object_size = 100, .max_objects = UINT32_MAX},
        {.object_size = 100, .shared_size = 101, .max_objects = 1},
        {.object_size = 100, .shared_size = SIZE_MAX, .max_objects = 1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slab *s = (struct slab *)&s;

        cr_assert_eq(slab_new(&s, &cases[i]), -EINVAL, "case %zu", i);
        cr_assert_eq(s, (struct slab *)&s, "written on failure");
    }
}

Test(slab, more_than_the_machine_has_is_refused)
{
    struct slab_config config = {.object_size = 1 << 20, .max_objects = INT32_MAX}; /* 2^51 bytes */
    struct slab *s = NULL;

    cr_assert_eq(slab_new(&s, &config), -ENOMEM);
    cr_assert_null(s);
}

/* Sizes around lines and steps of memory: objects are aligned, do not overlap, end at the limit. */
Test(slab, all_objects_then_null)
{
    static const struct {
        size_t object_size;
        uint32_t max_objects;
    } cases[] = {{1, 1},      {1, 100},     {127, 9000},        {128, 9000},
                 {129, 9000}, {1000, 2048}, {(1 << 20) - 1, 3}, {1 << 20, 3}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static uint8_t *objects[9000];
        size_t size = cases[i].object_size;
        struct slab *s = make(size, 0, cases[i].max_objects);

        cr_assert_eq(slab_max_objects(s), cases[i].max_objects);
        cr_expect_eq(slab_count(s).object_size, cases[i].object_size);
        for (uint32_t n = 0; n < cases[i].max_objects; n++) {
            objects[n] = slab_take(s);
            cr_assert_not_null(objects[n]);
            cr_assert_eq((uintptr_t)objects[n] % CACHE_LINE, 0);
            cr_assert_eq(slab_handle(s, objects[n]).index, n);
            cr_assert_eq(slab_n_taken(s), n + 1);
            memset(objects[n], (int)(n % 251), size);
        }
        cr_assert_null(slab_take(s));
        for (uint32_t n = 0; n < cases[i].max_objects; n++) {
            cr_assert_eq(objects[n][0], n % 251);
            cr_assert_eq(objects[n][size - 1], n % 251);
            slab_give(s, objects[n]);
        }
        cr_assert_eq(slab_n_taken(s), 0);
        slab_free(s);
    }
    slab_free(NULL);
}

Test(slab, last_given_is_taken_first)
{
    struct slab *s = make(100, 0, 10);
    void *x = slab_take(s), *y = slab_take(s);

    slab_give(s, y);
    slab_give(s, x);
    cr_assert_eq(slab_take(s), x);
    cr_assert_eq(slab_take(s), y);
    slab_give(s, x);
    slab_give(s, y);
    slab_free(s);
}

Test(slab, a_handle_names_one_use)
{
    struct slab *s = make(100, 0, 10);
    void *object = slab_take(s);
    struct slab_handle first = slab_handle(s, object);

    cr_assert_eq(slab_find(s, first), object);
    slab_give(s, object);
    cr_assert_null(slab_find(s, first));
    cr_assert_eq(slab_take(s), object);
    struct slab_handle second = slab_handle(s, object);

    cr_assert_eq(second.index, first.index);
    cr_assert_null(slab_find(s, first));
    cr_assert_eq(slab_find(s, second), object);
    slab_give(s, object);
    slab_free(s);
}

Test(slab, made_up_handles_name_nothing)
{
    struct slab *s = make(100, 0, 10);
    void *object = slab_take(s);
    struct slab_handle good = slab_handle(s, object);
    const struct slab_handle cases[] = {
        {0, 0},
        {good.index, good.generation - 1},
        {good.index, good.generation + 1},
        {good.index, good.generation + 2},
        {good.index, UINT32_MAX},
        {good.index + 1, good.generation}, /* never taken */
        {good.index + 1, 0},
        {9, 1},
        {10, 0}, /* beyond the last */
        {10, 1},
        {UINT32_MAX, 0},
        {UINT32_MAX, 1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_assert_null(slab_find(s, cases[i]), "case %zu", i);
    slab_give(s, object);
    slab_free(s);
}

Test(slab, at_knows_what_ever_was)
{
    struct slab *s = make(100, 8, 10);
    void *x = slab_take(s), *y = slab_take(s);

    cr_assert_eq(slab_at(s, 0), x);
    cr_assert_eq(slab_at(s, 1), y);
    slab_give(s, y);
    cr_assert_eq(slab_at(s, 1), y, "given ones stay");
    cr_assert_null(slab_at(s, 2));
    cr_assert_null(slab_at(s, 9));
    cr_assert_null(slab_at(s, 10));
    cr_assert_null(slab_at(s, UINT32_MAX));
    slab_give(s, x);
    slab_free(s);
}

/* Zero at first, then as they were left; readable while the object is free. */
Test(slab, shared_bytes_outlive_a_give)
{
    struct slab *s = make(100, 12, 10);
    uint8_t *object = slab_take(s);

    for (unsigned i = 0; i < 12; i++)
        cr_assert_eq(object[i], 0);
    memset(object, 7, 100);
    slab_give(s, object);
    for (unsigned i = 0; i < 12; i++)
        cr_assert_eq(((uint8_t *)slab_at(s, 0))[i], 7);
    cr_assert_eq(slab_take(s), object);
    for (unsigned i = 0; i < 12; i++)
        cr_assert_eq(object[i], 7);
    slab_give(s, object);
    slab_free(s);
}

/* The maximum costs address space, not memory. */
Test(slab, unused_objects_cost_nothing)
{
    struct rusage before, after;

    getrusage(RUSAGE_SELF, &before);
    struct slab *s = make(8192, 0, 1 << 17); /* 1 GiB */

    for (unsigned i = 0; i < 100000; i++)
        slab_give(s, memset(slab_take(s), 1, 8192));
    getrusage(RUSAGE_SELF, &after);
    cr_assert_lt(after.ru_maxrss - before.ru_maxrss, 4096, "%ld KiB",
                 after.ru_maxrss - before.ru_maxrss);
    slab_free(s);
}

/* The kernel refuses to make more memory writable: the take fails, and works again later. */
Test(slab, no_memory_for_one_more)
{
    struct slab *s = make(1 << 19, 0, 8); /* two for each step */
    void *objects[8] = {slab_take(s), slab_take(s)};
    struct rlimit limit, none = {.rlim_cur = 4096}; /* 0 would be taken for a mistake */

    getrlimit(RLIMIT_DATA, &limit);
    none.rlim_max = limit.rlim_max;
    setrlimit(RLIMIT_DATA, &none);
    void *refused = slab_take(s);

    slab_give(s, objects[0]);
    void *reused = slab_take(s);

    setrlimit(RLIMIT_DATA, &limit);
    cr_assert_null(refused);
    cr_assert_eq(reused, objects[0]);
    for (unsigned i = 2; i < 8; i++) {
        objects[i] = slab_take(s);
        cr_assert_not_null(objects[i]);
    }
    cr_assert_null(slab_take(s));
    for (unsigned i = 0; i < 8; i++)
        slab_give(s, objects[i]);
    slab_free(s);
}

Test(slab, give_twice_aborts, .signal = SIGABRT)
{
    struct slab *s = make(100, 0, 10);
    void *object = slab_take(s);

    slab_give(s, object);
    slab_give(s, object);
}

Test(slab, give_of_one_never_taken_aborts, .signal = SIGABRT)
{
    struct slab *s = make(100, 0, 10);
    uint8_t *object = slab_take(s);

    slab_give(s, object + 128);
}

Test(slab, give_inside_an_object_aborts, .signal = SIGABRT)
{
    struct slab *s = make(100, 0, 10);
    uint8_t *object = slab_take(s);

    slab_give(s, object + 8);
}

Test(slab, give_of_one_beyond_the_last_aborts, .signal = SIGABRT)
{
    struct slab *s = make(100, 0, 10);
    uint8_t *object = slab_take(s);

    slab_give(s, object + 1280);
}

Test(slab, give_of_something_else_aborts, .signal = SIGABRT)
{
    struct slab *s = make(100, 0, 10);
    int other;

    slab_give(s, &other);
}

Test(slab, handle_of_a_free_one_aborts, .signal = SIGABRT)
{
    struct slab *s = make(100, 0, 10);
    void *object = slab_take(s);

    slab_give(s, object);
    (void)!slab_handle(s, object).index;
}

Test(slab, free_with_one_taken_aborts, .signal = SIGABRT)
{
    struct slab *s = make(100, 0, 10);

    cr_assert_not_null(slab_take(s));
    slab_free(s);
}

#ifdef POISON_ASAN
Test(slab, free_objects_are_poisoned)
{
    struct slab *s = make(100, 12, 10);
    uint8_t *object = slab_take(s);

    cr_assert_null(__asan_region_is_poisoned(object, 100));
    cr_assert(__asan_address_is_poisoned(object + 100), "behind the object");
    cr_assert(__asan_address_is_poisoned(object + 128), "the next one");
    slab_give(s, object);
    cr_assert_null(__asan_region_is_poisoned(object, 12), "shared bytes");
    cr_assert(__asan_address_is_poisoned(object + 12));
    cr_assert(__asan_address_is_poisoned(object + 99));
    slab_free(s);
    cr_assert_not(__asan_address_is_poisoned(object + 12));
}
#elif defined(WEIR_SLOW_ASSERTS)
Test(slab, write_after_give_aborts_at_the_next_take, .signal = SIGABRT)
{
    struct slab *s = make(100, 12, 10);
    uint8_t *object = slab_take(s);

    slab_give(s, object);
    object[99] = 1;
    (void)!slab_take(s);
}
#endif

/* Random takes and gives; every use has a number that its object and the model both know. */
Test(slab, random_operations_match_a_model)
{
    enum { N = 3000, STEPS = 300000, N_OLD = 64 };
    struct use {
        uint64_t *object;
        uint64_t number;
        struct slab_handle handle;
    };
    static struct use held[N];
    struct slab_handle old[N_OLD] = {{0, 0}};
    struct random random = {20260131};
    struct slab *s = make(1000, 0, N);
    size_t n_held = 0;

    for (uint64_t step = 1; step <= STEPS; step++) {
        /* long swings between empty and full */
        if (random_below(&random, 100) < (step / 8000 % 2 == 0 ? 75 : 25)) {
            struct use u = {.object = slab_take(s), .number = step};

            cr_assert_eq(u.object == NULL, n_held == N);
            if (u.object == NULL)
                continue;
            u.handle = slab_handle(s, u.object);
            u.object[0] = u.object[124] = step;
            held[n_held++] = u;
        } else if (n_held > 0) {
            size_t i = random_below(&random, n_held);
            struct use *u = &held[i];

            cr_assert_eq(slab_find(s, u->handle), u->object);
            cr_assert(u->object[0] == u->number && u->object[124] == u->number);
            slab_give(s, u->object);
            old[random_below(&random, N_OLD)] = u->handle;
            *u = held[--n_held];
        }
        cr_assert_eq(slab_n_taken(s), n_held);
        cr_assert_null(slab_find(s, old[random_below(&random, N_OLD)]));
    }
    while (n_held > 0)
        slab_give(s, held[--n_held].object);
    slab_free(s);
}
