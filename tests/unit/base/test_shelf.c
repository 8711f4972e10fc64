/* Shelves in one thread. Races: tests/race. */
#include <criterion/criterion.h>
#include <signal.h>

#include "weir/base/shelf.h"

#define N_REACTORS 4

struct fixture {
    struct shelves v;
    struct shelf shelves[N_REACTORS];
    _Atomic(struct shelf *) each[N_REACTORS];
};

/* Every reactor but the last has a shelf; a pool of SHELF_SERVERS_MAX. */
static void fixture_init(struct fixture *f)
{
    shelves_init(&f->v, N_REACTORS, f->each);
    for (unsigned r = 0; r < N_REACTORS - 1; r++) {
        shelf_init(&f->shelves[r]);
        cr_assert_eq(shelves_add(&f->v, r, &f->shelves[r]), &f->shelves[r]);
    }
    shelves_make_room(&f->v, SHELF_SERVERS_MAX - 1);
}

Test(shelf, empty_has_nothing)
{
    struct fixture f;

    fixture_init(&f);
    for (unsigned r = 0; r < N_REACTORS; r++)
        cr_assert_eq(shelves_take(&f.v, r), SHELF_NONE);
    cr_assert_eq(shelf_take(&f.shelves[0], SHELF_WORDS), SHELF_NONE);
    cr_assert_not(shelf_take_this(&f.shelves[0], 0));
}

Test(shelf, lowest_number_first)
{
    static const unsigned given[] = {1023, 64, 5, 63, 0, 640};
    static const unsigned taken[] = {0, 5, 63, 64, 640, 1023, SHELF_NONE};
    struct fixture f;

    fixture_init(&f);
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
        shelves_give(&f.v, 0, given[i]);
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        cr_expect_eq(shelves_take(&f.v, 0), taken[i], "take %zu", i);
}

Test(shelf, every_number_comes_back)
{
    struct fixture f;

    fixture_init(&f);
    for (unsigned n = 0; n < SHELF_SERVERS_MAX; n++)
        shelves_give(&f.v, 1, n);
    for (unsigned i = 0; i < SHELF_WORDS; i++)
        cr_expect_eq(shelf_word(&f.shelves[1], i), UINT64_MAX);
    for (unsigned n = 0; n < SHELF_SERVERS_MAX; n++)
        cr_assert_eq(shelves_take(&f.v, 2), n);
    cr_assert_eq(shelves_take(&f.v, 2), SHELF_NONE);
}

Test(shelf, this_one_is_taken_once)
{
    struct fixture f;

    fixture_init(&f);
    shelves_give(&f.v, 0, 3);
    shelves_give(&f.v, 0, 200);
    cr_assert_not(shelf_take_this(&f.shelves[0], 4));
    cr_assert_not(shelf_take_this(&f.shelves[1], 200), "it lies elsewhere");
    cr_assert(shelf_take_this(&f.shelves[0], 200));
    cr_assert_not(shelf_take_this(&f.shelves[0], 200));
    cr_assert_eq(shelves_take(&f.v, 0), 3);
}

Test(shelf, own_first_then_the_next_after_home)
{
    struct fixture f;

    fixture_init(&f);
    shelves_give(&f.v, 0, 10);
    shelves_give(&f.v, 1, 11);
    shelves_give(&f.v, 2, 12);
    cr_expect_eq(shelves_take(&f.v, 1), 11);
    cr_expect_eq(shelves_take(&f.v, 1), 12);
    cr_expect_eq(shelves_take(&f.v, 1), 10);
    cr_expect_eq(shelves_take(&f.v, 1), SHELF_NONE);
}

Test(shelf, reactor_without_a_shelf_steals)
{
    struct fixture f;

    fixture_init(&f);
    cr_assert_null(shelves_get(&f.v, N_REACTORS - 1));
    shelves_give(&f.v, 2, 7);
    cr_assert_eq(shelves_take(&f.v, N_REACTORS - 1), 7);
}

Test(shelf, mask_is_cleared_by_thieves_alone)
{
    struct fixture f;

    fixture_init(&f);
    shelves_give(&f.v, 1, 7);
    cr_expect_eq(mask_read(&f.v.has_idle), mask_bit(1));
    cr_expect_eq(shelves_take(&f.v, 1), 7);
    cr_expect_eq(shelves_take(&f.v, 1), SHELF_NONE);
    cr_expect_eq(mask_read(&f.v.has_idle), mask_bit(1), "the owner leaves the shared line alone");
    cr_expect_eq(shelves_take(&f.v, 0), SHELF_NONE);
    cr_expect_eq(mask_read(&f.v.has_idle), 0);
    shelves_give(&f.v, 1, 7);
    cr_expect_eq(mask_read(&f.v.has_idle), mask_bit(1));
}

Test(shelf, first_to_add_wins)
{
    struct fixture f;
    struct shelf late;

    fixture_init(&f);
    shelf_init(&late);
    cr_assert_eq(shelves_add(&f.v, 0, &late), &f.shelves[0]);
    cr_assert_eq(shelves_add(&f.v, N_REACTORS - 1, &late), &late);
    cr_assert_eq(shelves_get(&f.v, N_REACTORS - 1), &late);
}

Test(shelf, room_grows_and_never_shrinks)
{
    static const struct {
        unsigned number, n_words;
    } rows[] = {{0, 1}, {63, 1}, {64, 2}, {10, 2}, {1023, 16}, {64, 16}};
    _Atomic(struct shelf *) each[1];
    struct shelves v;

    shelves_init(&v, 1, each);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        shelves_make_room(&v, rows[i].number);
        cr_expect_eq(atomic_load_explicit(&v.n_words, memory_order_seq_cst), rows[i].n_words);
    }
}

Test(shelf, giving_twice_is_a_bug, .signal = SIGABRT)
{
    struct fixture f;

    fixture_init(&f);
    shelves_give(&f.v, 0, 3);
    shelves_give(&f.v, 0, 3);
}

Test(shelf, giving_beyond_the_room_is_a_bug, .signal = SIGABRT)
{
    _Atomic(struct shelf *) each[1];
    struct shelves v;
    struct shelf h;

    shelves_init(&v, 1, each);
    shelf_init(&h);
    cr_assert_eq(shelves_add(&v, 0, &h), &h);
    shelves_give(&v, 0, 64);
}
