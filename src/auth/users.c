/*
 * Loading and looking up the auth file. The text is kept whole: names and plain secrets point into
 * it, after their doubled quotes were made single in place.
 */
#include "weir/auth/users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (64u << 20)

struct user {
    struct span name;
    struct secret secret;
    unsigned line;
};

struct users {
    atomic_uint n_refs;
    size_t n_users;
    size_t text_len;
    char *text;
    struct user users[]; /* sorted by name */
};

static PRINTF_LIKE(2, 3) void explain(struct users_error *error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
}

/* -EINVAL, and why. A macro, so that compilers see that it is never 0. */
#define FAIL(...) (explain(__VA_ARGS__), -EINVAL)

/* Where in a file the reader is. */
struct reader {
    const char *path;
    char *pos, *end;
    unsigned line;
};

static void skip_blanks(struct reader *r)
{
    while (r->pos < r->end && (*r->pos == ' ' || *r->pos == '\t'))
        r->pos++;
}

static void skip_line(struct reader *r)
{
    char *newline = r->pos == r->end ? NULL : memchr(r->pos, '\n', (size_t)(r->end - r->pos));

    r->pos = newline == NULL ? r->end : newline + 1;
    r->line++;
}

/* A quoted word on this line. */
static int read_quoted(struct reader *r, const char *what, struct span *out,
                       struct users_error *error)
{
    char *start, *to;

    skip_blanks(r);
    if (r->pos == r->end || *r->pos != '"')
        return FAIL(error, "%s:%u: expected %s in double quotes: a line is \"name\" \"secret\"",
                    r->path, r->line, what);
    start = to = ++r->pos;
    for (;;) {
        if (r->pos == r->end || *r->pos == '\n')
            return FAIL(error, "%s:%u: %s has no closing quote on this line", r->path, r->line,
                        what);
        if (*r->pos == '\0')
            return FAIL(error, "%s:%u: %s holds a NUL byte", r->path, r->line, what);
        if (*r->pos == '"') {
            r->pos++;
            if (r->pos == r->end || *r->pos != '"')
                break;
        }
        *to++ = *r->pos++;
    }
    *out = span_of(start, (size_t)(to - start));
    return 0;
}

/* The next user; *found is false at the end of the file. */
static int read_user(struct reader *r, struct user *u, bool *found, struct users_error *error)
{
    struct span secret;
    int failed;

    for (*found = false; r->pos < r->end; skip_line(r)) {
        skip_blanks(r);
        if (r->pos == r->end)
            break;
        if (*r->pos == '\n' || *r->pos == '\r' || *r->pos == ';')
            continue;
        u->line = r->line;
        failed = read_quoted(r, "a user name", &u->name, error);
        if (failed)
            return failed;
        if (u->name.len == 0)
            return FAIL(error, "%s:%u: the user name is empty", r->path, r->line);
        failed = read_quoted(r, "a secret", &secret, error);
        if (failed)
            return failed;
        secret_parse(secret, &u->secret);
        skip_line(r);
        *found = true;
        return 0;
    }
    return 0;
}

static int compare_names(struct span a, struct span b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_users(const void *a, const void *b)
{
    return compare_names(((const struct user *)a)->name, ((const struct user *)b)->name);
}

static size_t count_lines(struct span text)
{
    size_t n = 1;

    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == '\n';
    return n;
}

static int read_all_users(struct users *us, const char *path, struct users_error *error)
{
    struct reader r = {path, us->text, us->text + us->text_len, 1};
    bool found;

    for (;;) {
        int failed = read_user(&r, &us->users[us->n_users], &found, error);

        if (failed)
            return failed;
        if (!found)
            break;
        us->n_users++;
    }
    qsort(us->users, us->n_users, sizeof(us->users[0]), compare_users);
    for (size_t i = 1; i < us->n_users; i++) {
        const struct user *a = &us->users[i - 1], *b = &us->users[i];

        if (span_equal(a->name, b->name))
            return FAIL(error, "%s:%u: user \"%.*s\" stands in line %u too: give each user once",
                        path, a->line > b->line ? a->line : b->line, (int)a->name.len,
                        (const char *)a->name.ptr, a->line > b->line ? b->line : a->line);
    }
    return 0;
}

/* Takes over text, also on failure. */
static int load(const char *path, char *text, size_t len, struct users **out,
                struct users_error *error)
{
    size_t n_max = count_lines(span_of(text, len));
    /* One more: read_user() looks for the end in the place after the last user. */
    struct users *us = calloc(1, sizeof(*us) + (n_max + 1) * sizeof(us->users[0]));
    int failed;

    if (us == NULL) {
        digest_wipe(text, len);
        free(text);
        return -ENOMEM;
    }
    atomic_init(&us->n_refs, 1);
    us->text = text;
    us->text_len = len;
    failed = read_all_users(us, path, error);
    if (failed) {
        users_put(us);
        return failed;
    }
    *out = us;
    return 0;
}

int users_load_text(const char *path, struct span text, struct users **out,
                    struct users_error *error)
{
    char *copy;

    if (text.len > FILE_MAX)
        return FAIL(error, "%s: over 64 MiB: is this an auth file?", path);
    copy = malloc(text.len + 1);
    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, text.ptr, text.len);
    return load(path, copy, text.len, out, error);
}

static int read_file(int fd, const char *path, size_t size, char **out, struct users_error *error)
{
    char *text = malloc(size + 1);
    size_t len = 0;
    ssize_t n;

    if (text == NULL)
        return -ENOMEM;
    while (len < size) {
        n = read(fd, text + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            digest_wipe(text, len);
            free(text);
            return n < 0 ? FAIL(error, "%s: cannot read: %s", path, strerrordesc_np(errno))
                         : FAIL(error, "%s: became shorter while it was read: try again", path);
        }
        len += (size_t)n;
    }
    *out = text;
    return 0;
}

int users_load(const char *path, struct users **out, struct users_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    char *text = NULL;
    int failed;

    if (fd < 0)
        return FAIL(error, "%s: cannot open: %s", path, strerrordesc_np(errno));
    if (fstat(fd, &st) != 0)
        failed = FAIL(error, "%s: cannot look at it: %s", path, strerrordesc_np(errno));
    else if (!S_ISREG(st.st_mode))
        failed = FAIL(error, "%s: not a regular file", path);
    else if (st.st_size > FILE_MAX)
        failed = FAIL(error, "%s: over 64 MiB: is this an auth file?", path);
    else
        failed = read_file(fd, path, (size_t)st.st_size, &text, error);
    close(fd);
    return failed ? failed : load(path, text, (size_t)st.st_size, out, error);
}

struct users *users_get(struct users *us)
{
    /* Relaxed: who has a reference may make another. */
    atomic_fetch_add_explicit(&us->n_refs, 1, memory_order_relaxed);
    return us;
}

void users_put(struct users *us)
{
    /* Release and acquire: whoever frees sees all that others did with it. Pairs with itself. */
    if (us == NULL || atomic_fetch_sub_explicit(&us->n_refs, 1, memory_order_acq_rel) != 1)
        return;
    digest_wipe(us->text, us->text_len);
    free(us->text);
    digest_wipe(us->users, us->n_users * sizeof(us->users[0]));
    free(us);
}

const struct secret *users_find(const struct users *us, struct span name)
{
    size_t low = 0, high = us->n_users;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_names(name, us->users[middle].name);

        if (order == 0)
            return &us->users[middle].secret;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

size_t users_count(const struct users *us)
{
    return us->n_users;
}
