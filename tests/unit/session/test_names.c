/* Names of one client. The references of their statements are counted by a store that is not one.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "names.h"

#define N_NAMES 500

static unsigned n_puts[N_NAMES];
static struct statement statements[N_NAMES];

void statement_put(struct statements *ss, struct thread *self, struct statement *s)
{
    (void)ss, (void)self;
    n_puts[s - statements]++;
}

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
    struct name *name = names_add(n, name_of(i, text), &statements[i]);

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
        of_len[len] = names_add(&n, span_of(text, len), &statements[len]);
        cr_assert_not_null(of_len[len]);
        cr_assert_eq(of_len[len]->len, len);
    }
    for (size_t len = 0; len <= sizeof(text); len++)
        cr_assert_eq(names_find(&n, span_of(text, len)), of_len[len < 63 ? len : 63]);
    text[63] = 'y';
    cr_assert_eq(names_find(&n, span_of(text, 64)), of_len[63]);
    text[62] = 'y';
    cr_assert_null(names_find(&n, span_of(text, 64)));
    cr_assert_not_null(names_add(&n, span_of(text, sizeof(text)), &statements[64]));
    text[63] = 'z';
    cr_assert_eq(names_find(&n, span_of(text, 80))->statement, &statements[64]);
    names_fini(&n, NULL, NULL);
}
