/*
 * Memory runs out at the n-th allocation of a load, for every n: the load answers -ENOMEM, leaks
 * nothing (in a build with ASan) and leaves the result alone. The linker leads the layer's own
 * calls here (--wrap); the library's are not touched, it has no answer to a lack of memory.
 */
#include "conf_case.h"

#include <stdlib.h>

static long allocations_left = -1; /* -1: no limit */

static bool may_allocate(void)
{
    return allocations_left < 0 || allocations_left-- > 0;
}

/* NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
FILE *__real_open_memstream(char **text, size_t *len);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
FILE *__wrap_open_memstream(char **text, size_t *len);

void *__wrap_malloc(size_t size)
{
    return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
    return may_allocate() ? __real_calloc(n, size) : NULL;
}

void *__wrap_realloc(void *old, size_t size)
{
    return may_allocate() ? __real_realloc(old, size) : NULL;
}

char *__wrap_strdup(const char *text)
{
    return may_allocate() ? __real_strdup(text) : NULL;
}

FILE *__wrap_open_memstream(char **text, size_t *len)
{
    return may_allocate() ? __real_open_memstream(text, len) : NULL;
}
/* NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming) */

/* Loads the text with memory for n allocations. */
static int load_with(long n, const char *text, struct conf **out)
{
    struct conf_error error = {""};
    int r;

    allocations_left = n;
    r = conf_load_text(CASE_PATH, span_str(text), out, &error);
    allocations_left = -1;
    cr_assert_eq(r == 0, error.text[0] == '\0', "%d: %s", r, error.text);
    return r;
}

/* How many allocations the load needs to come to its own answer, having failed at all before. */
static long fail_each(const char *text, int answer)
{
    for (long n = 0; n < 10000; n++) {
        struct conf *c = NULL;
        int r = load_with(n, text, &c);

        cr_assert(r == -ENOMEM || r == answer, "%d with %ld allocations", r, n);
        cr_assert_eq(c != NULL, r == 0);
        conf_put(c);
        if (r == answer)
            return n;
    }
    cr_assert_fail("no end");
    return 0;
}

Test(memory, a_load_that_succeeds)
{
    long n = fail_each("weir = { tcp_user_timeout = \"1s\"; auth_file = \"users\";\n"
                       "admin_users = \"a, b\"; stats_users = [\"c\", \"d\"]; };\n"
                       "databases = ( { name = \"a\"; host = \"h\"; }, { name = \"b\"; } );\n"
                       "users = ( { name = \"u\"; pool_size = 1; } );",
                       0);

    cr_assert_gt(n, 30, "only %ld allocations were tried", n);
}

Test(memory, a_load_that_is_refused)
{
    cr_assert_gt(fail_each("weir = { auth_file = \"a\"; reactors = 65; };", -EINVAL), 5);
    cr_assert_gt(fail_each("weir = { auth_file = 30s; };", -EINVAL), 2);
}
