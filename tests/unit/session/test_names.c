/* Names of one client. The references of their statements and the room for names are counted by a
 * store that is not one. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "names.h"

#define N_NAMES 500

static unsigned n_puts[N_NAMES];
static struct statement statements[N_NAMES];
static size_t room_got, room_max = SIZE_MAX, max_bytes = SIZE_MAX;

void statement_put(struct statements *ss, struct thread *self, struct statement *s)
{
    (void)ss, (void)self;
    n_puts[s - statements]++;
}

bool statements_get_room(struct statements *ss, struct thread *self, size_t n_bytes)
{
    (void)ss, (void)self;
    if (n_bytes > room_max - room_got)
        return false;
    room_got += n_bytes;
    return true;
}

void statements_put_room(struct statements *ss, size_t n_bytes)
{
    (void)ss;
    cr_assert_geq(room_got, n_bytes);
    room_got -= n_bytes;
}

size_t statements_max_bytes(const struct statements *ss)
{
    (void)ss;
    return max_bytes;
}

static void everything_was_put(void)
{
    cr_assert_eq(room_got, 0);
}

TestSuite(names, .fini = everything_was_put);

static struct span name_of(unsigned i, char out[16])
{
    return span_of(out, (size_t)snprintf(out, 16, "S_%u", i));
}

static struct name *find(const struct names *n, unsigned i)
{
    char text[16];

    return names_find(n, name_of(i, text));
}

static struct name *add(struct names *n, unsigned i)
{
    char text[16];
    struct name *name = names_add(n, name_of(i, text), &statements[i], NULL, NULL);

    cr_assert_not_null(name);
    cr_assert_eq(name->statement, &statements[i]);
    return name;
}

static void free_one(struct names *n, struct name *name)
{
    names_detach(n, name);
    name_free(name, NULL, NULL);
}

Test(names, nobody_named_anything)
{
    struct names n = {NULL};

    cr_assert_null(find(&n, 0));
    cr_assert_eq(names_count(&n), 0);
    names_fini(&n, NULL, NULL);
    cr_assert_null(n.table);
}

Test(names, add_find_remove_clear)
{
    struct names n = {NULL};
    struct name *names[N_NAMES];

    for (unsigned i = 0; i < N_NAMES; i++) {
        cr_assert_null(find(&n, i));
        names[i] = add(&n, i);
        cr_assert_eq(names_count(&n), i + 1);
    }
    for (unsigned i = 0; i < N_NAMES; i++) {
        cr_assert_eq(find(&n, i), names[i]);
        if (i % 3 == 0) {
            free_one(&n, names[i]);
            cr_assert_null(find(&n, i));
        }
        cr_assert_eq(n_puts[i], i % 3 == 0);
    }
    cr_assert_eq(names_count(&n), N_NAMES - (N_NAMES + 2) / 3);
    names_clear(&n, NULL, NULL);
    cr_assert_eq(names_count(&n), 0);
    for (unsigned i = 0; i < N_NAMES; i++) {
        cr_assert_null(find(&n, i));
        cr_assert_eq(n_puts[i], 1);
    }
    add(&n, 0); /* it can be used again */
    names_fini(&n, NULL, NULL);
}

Test(names, detached_and_put_back)
{
    struct names n = {NULL};
    struct name *names[10];
    struct name *other;

    for (unsigned i = 0; i < 10; i++)
        names[i] = add(&n, i);
    names_detach(&n, names[4]);
    cr_assert_null(find(&n, 4));
    cr_assert_eq(names_count(&n), 9);
    other = add(&n, 4); /* the name is free meanwhile */
    cr_assert_eq(find(&n, 4), other);
    free_one(&n, other);
    for (unsigned i = 10; i < N_NAMES; i++) /* the table grows */
        add(&n, i);
    names_attach(&n, names[4]);
    cr_assert_eq(find(&n, 4), names[4]);
    cr_assert_eq(names_count(&n), N_NAMES);
    cr_assert_eq(n_puts[4], 1);
    names_fini(&n, NULL, NULL);
    cr_assert_eq(n_puts[4], 2);
}

/* The first 63 bytes count, whatever they are; a name may be empty. */
Test(names, length)
{
    struct names n = {NULL};
    char text[100];
    struct name *of_len[64];

    memset(text, 'x', sizeof(text));
    for (size_t len = 0; len <= 63; len++) {
        cr_assert_null(names_find(&n, span_of(text, len)));
        of_len[len] = names_add(&n, span_of(text, len), &statements[len], NULL, NULL);
        cr_assert_not_null(of_len[len]);
        cr_assert_eq(of_len[len]->len, len);
    }
    for (size_t len = 0; len <= sizeof(text); len++)
        cr_assert_eq(names_find(&n, span_of(text, len)), of_len[len < 63 ? len : 63]);
    text[63] = 'y';
    cr_assert_eq(names_find(&n, span_of(text, 64)), of_len[63]);
    text[62] = 'y';
    cr_assert_null(names_find(&n, span_of(text, 64)));
    cr_assert_not_null(names_add(&n, span_of(text, sizeof(text)), &statements[64], NULL, NULL));
    text[63] = 'z';
    cr_assert_eq(names_find(&n, span_of(text, 80))->statement, &statements[64]);
    names_fini(&n, NULL, NULL);
}

/* The names of one client with this statement until there is no more room. */
static unsigned fill(struct names *n, struct statement *s)
{
    unsigned count = 0;
    char text[16];

    while (names_add(n, name_of(count, text), s, NULL, NULL) != NULL)
        count++;
    cr_assert_eq(names_count(n), count);
    return count;
}

static void empty(struct names *n)
{
    names_fini(n, NULL, NULL);
    memset(n_puts, 0, sizeof(n_puts));
}

Test(names, no_more_than_the_most)
{
    struct names n = {NULL};
    struct name *away;

    cr_assert_eq(fill(&n, &statements[0]), NAMES_MAX);
    cr_assert_null(names_add(&n, span_str("one more"), &statements[0], NULL, NULL));
    away = find(&n, 7);
    names_detach(&n, away);
    cr_assert_not_null(names_add(&n, span_str("instead"), &statements[0], NULL, NULL));
    cr_assert_null(names_add(&n, span_str("one more"), &statements[0], NULL, NULL));
    names_attach(&n, away); /* an error has brought it back */
    cr_assert_eq(names_count(&n), NAMES_MAX + 1);
    free_one(&n, away);
    cr_assert_null(names_add(&n, span_str("one more"), &statements[0], NULL, NULL));
    free_one(&n, find(&n, 8));
    add(&n, 8);
    empty(&n);
}

/* Of the store's memory a client gets a half, whether others have the same statements or not. */
Test(names, a_part_of_the_store)
{
    struct statement long_one = {.len = 1000};
    struct names n = {NULL};
    size_t size_of_name;
    unsigned count;

    add(&n, 0);
    size_of_name = room_got;
    max_bytes = 2 * (5 * (1000 + size_of_name) + 999 + size_of_name);
    empty(&n);
    statements[1] = long_one;
    cr_assert_eq(count = fill(&n, &statements[1]), 5);
    cr_assert_eq(room_got, count * size_of_name);
    free_one(&n, find(&n, 3));
    cr_assert_not_null(names_add(&n, span_str("again"), &statements[1], NULL, NULL));
    cr_assert_null(names_add(&n, span_str("more"), &statements[1], NULL, NULL));
    add(&n, 200); /* of an empty one */
    empty(&n);
}

Test(names, no_room)
{
    struct names n = {NULL}, other = {NULL};
    size_t size_of_name;

    add(&n, 0);
    size_of_name = room_got;
    room_max = 3 * size_of_name;
    add(&other, 1);
    add(&other, 2);
    cr_assert_null(names_add(&n, span_str("one more"), &statements[3], NULL, NULL));
    cr_assert_eq(room_got, room_max);
    free_one(&other, find(&other, 2));
    add(&n, 3);
    empty(&n);
    empty(&other);
}
