#include <criterion/criterion.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

#include "lib/random.h"
#include "weir/base/list.h"

struct item {
    char name;
    struct list_link link;
};

static char name_of(const struct list_link *link)
{
    return CONTAINER_OF_CONST(link, struct item, link)->name;
}

/* The names in order, read forwards and checked backwards. */
static void expect(const struct list *l, const char *names)
{
    const struct list_link *at = l->head.next;

    for (size_t i = 0; i < strlen(names); i++, at = at->next) {
        cr_assert_neq(at, &l->head, "shorter than \"%s\"", names);
        cr_assert_eq(name_of(at), names[i], "\"%s\" at %zu", names, i);
        cr_assert_eq(at->prev->next, at);
    }
    cr_assert_eq(at, &l->head, "longer than \"%s\"", names);
    cr_assert_eq(at->prev->next, at);
    cr_assert_eq(list_empty(l), *names == '\0');
}

static struct list list;
static struct item a, b, c, d;

static void setup(void)
{
    list_init(&list);
    a = (struct item){.name = 'a'};
    b = (struct item){.name = 'b'};
    c = (struct item){.name = 'c'};
    d = (struct item){.name = 'd'};
}

TestSuite(list, .init = setup);

Test(list, empty)
{
    expect(&list, "");
    cr_assert_null(list_first(&list));
    cr_assert_null(list_pop_front(&list));
    cr_assert_not(list_linked(&a.link));
}

Test(list, push_at_both_ends_and_between)
{
    list_push_back(&list, &b.link);
    list_push_back(&list, &d.link);
    list_push_front(&list, &a.link);
    list_insert_before(&d.link, &c.link);
    expect(&list, "abcd");
    cr_assert_eq(list_first(&list), &a.link);
}

Test(list, remove_anywhere)
{
    struct item *items[] = {&b, &a, &d, &c};
    const char *left[] = {"acd", "cd", "c", ""};

    list_push_back(&list, &a.link);
    list_push_back(&list, &b.link);
    list_push_back(&list, &c.link);
    list_push_back(&list, &d.link);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert(list_linked(&items[i]->link));
        list_remove(&items[i]->link);
        cr_assert_not(list_linked(&items[i]->link));
        expect(&list, left[i]);
    }
    list_push_back(&list, &a.link);
    expect(&list, "a");
}

Test(list, pop_front_is_oldest_first)
{
    list_push_back(&list, &a.link);
    list_push_back(&list, &b.link);
    cr_assert_eq(list_pop_front(&list), &a.link);
    cr_assert_not(list_linked(&a.link));
    cr_assert_eq(list_pop_front(&list), &b.link);
    cr_assert_null(list_pop_front(&list));
}

Test(list, splice)
{
    static const struct {
        unsigned n_to, n_from;
        const char *result;
    } cases[] = {{0, 0, ""}, {2, 0, "ab"}, {0, 2, "cd"}, {1, 1, "ac"}, {2, 2, "abcd"}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct list from;
        struct item *to_items[] = {&a, &b}, *from_items[] = {&c, &d};

        setup();
        list_init(&from);
        for (unsigned n = 0; n < cases[i].n_to; n++)
            list_push_back(&list, &to_items[n]->link);
        for (unsigned n = 0; n < cases[i].n_from; n++)
            list_push_back(&from, &from_items[n]->link);
        list_splice_back(&list, &from);
        expect(&list, cases[i].result);
        expect(&from, "");
    }
}

Test(list, foreach_may_remove_the_current)
{
    unsigned n = 0;

    list_push_back(&list, &a.link);
    list_push_back(&list, &b.link);
    list_push_back(&list, &c.link);
    LIST_FOREACH (link, &list) {
        cr_assert_eq(name_of(link), "abc"[n]);
        n++;
        if (link != &b.link)
            list_remove(link);
    }
    cr_assert_eq(n, 3);
    expect(&list, "b");
}

Test(list, push_of_a_linked_one_aborts, .signal = SIGABRT)
{
    list_push_back(&list, &a.link);
    list_push_back(&list, &a.link);
}

Test(list, remove_of_an_unlinked_one_aborts, .signal = SIGABRT)
{
    list_remove(&a.link);
}

/* Two lists and an array for each, many random moves. */
Test(list, random_operations_match_a_model)
{
    enum { N_ITEMS = 12, N_STEPS = 100000 };
    struct random random = {20260131};
    struct item items[N_ITEMS];
    struct list lists[2];
    char names[2][N_ITEMS + 1] = {"", ""};

    list_init(&lists[0]);
    list_init(&lists[1]);
    for (unsigned i = 0; i < N_ITEMS; i++)
        items[i] = (struct item){.name = (char)('a' + i)};

    for (unsigned step = 0; step < N_STEPS; step++) {
        struct item *item = &items[random_below(&random, N_ITEMS)];
        unsigned to = (unsigned)random_below(&random, 2);
        size_t len = strlen(names[to]);
        char name[2] = {item->name, '\0'};

        if (list_linked(&item->link)) {
            char *at = strchr(names[0], item->name);

            if (at == NULL)
                at = strchr(names[1], item->name);
            memmove(at, at + 1, strlen(at));
            list_remove(&item->link);
        } else if (random_below(&random, 2) == 0) {
            memcpy(names[to] + len, name, 2);
            list_push_back(&lists[to], &item->link);
        } else {
            memmove(names[to] + 1, names[to], len + 1);
            names[to][0] = item->name;
            list_push_front(&lists[to], &item->link);
        }
        if (random_below(&random, 100) == 0) {
            len = strlen(names[0]);
            memcpy(names[0] + len, names[1], strlen(names[1]) + 1);
            names[1][0] = '\0';
            list_splice_back(&lists[0], &lists[1]);
        }
        expect(&lists[0], names[0]);
        expect(&lists[1], names[1]);
    }
}
