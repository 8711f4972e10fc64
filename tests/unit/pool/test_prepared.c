/* The set of ids of a server against one that is as simple as can be. */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/random.h"
#include "weir/pool/prepared.h"

#define N_IDS 300

/* An array, least recently used first. */
struct model {
    uint64_t ids[N_IDS];
    uint32_t n;
};

static bool model_remove(struct model *m, uint64_t id)
{
    for (uint32_t i = 0; i < m->n; i++) {
        if (m->ids[i] != id)
            continue;
        memmove(&m->ids[i], &m->ids[i + 1], (m->n - i - 1) * sizeof(m->ids[0]));
        m->n--;
        return true;
    }
    return false;
}

static void model_add(struct model *m, uint64_t id)
{
    m->ids[m->n++] = id;
}

static struct prepared *p;

static void setup(void)
{
    cr_assert_eq(prepared_new(&p), 0);
}

static void teardown(void)
{
    prepared_free(p);
}

TestSuite(prepared, .init = setup, .fini = teardown);

Test(prepared, empty)
{
    cr_assert_eq(prepared_count(p), 0);
    cr_assert_not(prepared_use(p, 1));
    cr_assert_eq(prepared_oldest(p), 0);
    cr_assert_eq(prepared_make_room(p, 0), 0);
    cr_assert_eq(prepared_make_room(p, 1), 0);
    prepared_remove(p, 1);
    prepared_clear(p);
    cr_assert_eq(prepared_count(p), 0);
    prepared_free(NULL);
}

Test(prepared, least_recently_used_goes_first)
{
    for (uint64_t id = 1; id <= 5; id++)
        cr_assert(prepared_add(p, id));
    cr_assert(prepared_use(p, 1));
    cr_assert(prepared_use(p, 3));
    cr_assert_eq(prepared_make_room(p, 6), 0);
    cr_assert_eq(prepared_oldest(p), 2);
    cr_assert_eq(prepared_make_room(p, 5), 2);
    cr_assert_eq(prepared_make_room(p, 5), 0);
    cr_assert_not(prepared_use(p, 2));
    cr_assert_eq(prepared_make_room(p, 1), 4);
    cr_assert_eq(prepared_make_room(p, 1), 5);
    cr_assert_eq(prepared_make_room(p, 1), 1);
    cr_assert_eq(prepared_make_room(p, 1), 3);
    cr_assert_eq(prepared_make_room(p, 1), 0);
    cr_assert_eq(prepared_count(p), 0);
}

static void check_order(const struct model *m)
{
    for (uint32_t i = 0; i < m->n; i++)
        cr_assert_eq(prepared_make_room(p, 0), m->ids[i]);
    cr_assert_eq(prepared_make_room(p, 0), 0);
}

static void use_or_add(struct model *m, uint64_t id, uint32_t max)
{
    bool there = model_remove(m, id);

    cr_assert_eq(prepared_use(p, id), there);
    if (!there) {
        while (m->n >= max) {
            uint64_t oldest = m->ids[0];

            cr_assert_eq(prepared_make_room(p, max), oldest);
            model_remove(m, oldest);
        }
        cr_assert_eq(prepared_make_room(p, max), 0);
        cr_assert(prepared_add(p, id));
    }
    model_add(m, id);
}

static void step(struct model *m, struct random *r, uint32_t max)
{
    uint64_t id = 1 + random_below(r, N_IDS);
    uint64_t what = random_below(r, 200);

    if (what == 0) {
        m->n = 0;
        prepared_clear(p);
    } else if (what <= 20) {
        model_remove(m, id);
        prepared_remove(p, id);
    } else {
        use_or_add(m, id, max);
    }
    cr_assert_eq(prepared_count(p), m->n);
}

/* max is a setting that changes while the server lives. */
Test(prepared, as_the_model)
{
    struct random r = {1};
    struct model m = {.n = 0};

    for (unsigned round = 0; round < 50; round++) {
        uint32_t max = 1 + (uint32_t)random_below(&r, N_IDS);

        for (unsigned i = 0; i < 1000; i++)
            step(&m, &r, max);
        if (round % 10 == 0) {
            check_order(&m);
            m.n = 0;
        }
    }
    check_order(&m);
}

Test(prepared, epochs)
{
    prepared_date(p, 1, 3);
    cr_assert_not(prepared_is_of(p, 1, 3));
    cr_assert(prepared_add(p, 1));
    cr_assert(prepared_add(p, 2));
    cr_assert_not(prepared_is_of(p, 1, 3));
    prepared_date(p, 1, 3);
    cr_assert(prepared_is_of(p, 1, 3));
    cr_assert_not(prepared_is_of(p, 1, 4));
    cr_assert_not(prepared_is_of(p, 2, 3));
    prepared_remove(p, 1);
    cr_assert_not(prepared_is_of(p, 1, 3));
    cr_assert(prepared_add(p, 1)); /* its memory is used again */
    cr_assert_not(prepared_is_of(p, 1, 3));
}
