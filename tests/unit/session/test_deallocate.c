/* Which texts are a DEALLOCATE of one name, and of which. */
#include <criterion/criterion.h>

#include "deallocate.h"

#define ALL "* all *"
#define LONG "a123456789b123456789c123456789d123456789e123456789f123456789g12"

static const struct {
    const char *text, *name; /* NULL: none; ALL: all */
} cases[] = {
    {"deallocate a", "a"},
    {"DEALLOCATE a;", "a"},
    {" \t\r\n DeAllocate\n\n A_1$ ;; ", "a_1$"},
    {"deallocate prepare a", "a"},
    {"deallocate PREPARE\t\"a\"", "a"},
    {"deallocate prepare", "prepare"},
    {"deallocate prepare;", "prepare"},
    {"deallocate\"A b\"", "A b"},
    {"deallocate \"a\"\"b\"", "a\"b"},
    {"deallocate \"all\"", "all"},
    {"deallocate " LONG "xyz", LONG},
    {"deallocate all", ALL},
    {"deallocate ALL;", ALL},
    {"deallocate prepare all", ALL},
    {" discard\tAll ;", ALL},
    {"discard \"all\"", NULL},
    {"discard temp", NULL},
    {"discard prepare all", NULL},
    {"discard all; select 1", NULL},
    {"discard", NULL},
    {"deallocate", NULL},
    {"deallocate ", NULL},
    {"deallocate ;", NULL},
    {"deallocate \"\"", NULL},
    {"deallocate \"a", NULL},
    {"deallocate \"a\"b", NULL},
    {"deallocate 1a", NULL},
    {"deallocate a b", NULL},
    {"deallocate a; select 1", NULL},
    {"deallocate a -- it", NULL},
    {"deallocate /* it */ a", NULL},
    {"deallocate \xc3\x84", NULL},
    {"deallocated a", NULL},
    {"deallocatea", NULL},
    {"select 1", NULL},
    {"", NULL},
};

Test(deallocate, texts)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *text = cases[i].text, *name = cases[i].name;
        char got[CONF_NAME_MAX];
        size_t len = 99;

        enum deallocate what = deallocate_read(pgw_span_of(text, strlen(text) + 1), got, &len);
        enum deallocate wanted = name == NULL             ? DEALLOCATE_NONE
                                 : strcmp(name, ALL) == 0 ? DEALLOCATE_ALL
                                                          : DEALLOCATE_NAME;

        cr_assert_eq(what, wanted, "%s", text);
        if (what == DEALLOCATE_NAME)
            cr_assert(len == strlen(name) && memcmp(got, name, len) == 0, "%s: %.*s", text,
                      (int)len, got);
        else
            cr_assert_eq(len, 99, "%s", text);
    }
}

/* The body of a Query ends with its NUL: shorter ones are no texts, and nothing behind is read. */
Test(deallocate, cut)
{
    static const char text[] = "deallocate \"a\"";

    for (size_t len = 0; len < sizeof(text); len++) {
        char *copy = malloc(len + 1), got[CONF_NAME_MAX];
        size_t n;

        memcpy(copy, text, len);
        cr_assert_eq(deallocate_read(pgw_span_of(copy, len), got, &n), DEALLOCATE_NONE, "%zu", len);
        free(copy);
    }
}

Test(deallocate, nul_within)
{
    char got[CONF_NAME_MAX];
    size_t n;

    cr_assert_eq(deallocate_read(pgw_span_of("deallocate \"a\0b\"", 17), got, &n), DEALLOCATE_NONE);
    cr_assert_eq(deallocate_read(pgw_span_of("deallocate a\0", 14), got, &n), DEALLOCATE_NONE);
}
