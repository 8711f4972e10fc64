#include <criterion/criterion.h>
#include <stdio.h>

#include "known.h"
#include "weir/base/pairs.h"

/* Never looked into. */
static const struct pool *pool(uintptr_t number)
{
    return (const struct pool *)(number * 64); /* NOLINT(performance-no-int-to-ptr): a name */
}

static void is(struct known *k, const struct pool *p, const char *name, const char *value,
               const char *spelling)
{
    struct pairs out = {0};
    struct span found = {NULL, 0};
    bool is_known = known_find(k, p, span_str(name), span_str(value), &out);

    cr_assert_eq(is_known, spelling != NULL, "%s=%s", name, value);
    cr_assert_eq(pairs_get(&out, span_str(name), &found), is_known);
    if (is_known)
        cr_assert(span_equal(found, span_str(spelling)), "%s=%s", name, value);
    pairs_fini(&out);
}

static void add(struct known *k, const struct pool *p, const char *name, const char *value,
                const char *spelling)
{
    known_add(k, p, span_str(name), span_str(value), span_str(spelling));
}

Test(known, each_pool_has_its_own)
{
    struct known *k;

    cr_assert_eq(known_new(&k), 0);
    is(k, pool(1), "client_encoding", "latin-1", NULL);
    add(k, pool(1), "client_encoding", "latin-1", "LATIN1");
    is(k, pool(1), "client_encoding", "latin-1", "LATIN1");
    is(k, pool(2), "client_encoding", "latin-1", NULL);
    is(k, pool(1), "client_encoding", "latin-", NULL);
    is(k, pool(1), "client_encodin", "glatin-1", NULL);
    add(k, pool(2), "client_encoding", "latin-1", "other");
    is(k, pool(1), "client_encoding", "latin-1", "LATIN1");
    is(k, pool(2), "client_encoding", "latin-1", "other");
    known_free(k);
}

Test(known, the_last_word_counts)
{
    struct known *k;

    cr_assert_eq(known_new(&k), 0);
    add(k, pool(1), "a", "", "");
    is(k, pool(1), "a", "", "");
    add(k, pool(1), "a", "", "b");
    is(k, pool(1), "a", "", "b");
    known_forget(k, pool(1), span_str("a"), span_str("b"));
    is(k, pool(1), "a", "", "b");
    known_forget(k, pool(1), span_str("a"), span_str(""));
    is(k, pool(1), "a", "", NULL);
    known_free(k);
}

Test(known, the_oldest_goes_first)
{
    struct known *k;
    char value[16];

    cr_assert_eq(known_new(&k), 0);
    for (unsigned i = 0; i < 4097; i++) {
        snprintf(value, sizeof(value), "%u", i);
        add(k, pool(1), "a", value, value);
    }
    is(k, pool(1), "a", "0", NULL);
    is(k, pool(1), "a", "1", "1");
    is(k, pool(1), "a", "4096", "4096");
    known_free(k);
}

Test(known, what_is_long_is_not_kept)
{
    char value[2000];
    struct known *k;

    memset(value, 'a', sizeof(value));
    value[1999] = '\0';
    cr_assert_eq(known_new(&k), 0);
    add(k, pool(1), "a", value, value);
    is(k, pool(1), "a", value, NULL);
    known_free(k);
}
