#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weir/auth/users.h"

static struct users *load(const char *text)
{
    struct users *us = NULL;
    struct users_error error = {""};

    cr_assert_eq(users_load_text("f", span_str(text), &us, &error), 0, "%s", error.text);
    return us;
}

static void expect_plain(const struct users *us, const char *name, const char *secret)
{
    const struct secret *s = users_find(us, span_str(name));

    cr_assert_not_null(s, "%s", name);
    cr_assert_eq(s->kind, SECRET_PLAIN);
    cr_assert(span_equal(s->plain, span_str(secret)), "%s", name);
}

Test(users, what_a_file_may_hold)
{
    struct users *us = load("; a comment\n"
                            "\n"
                            "\"zoe\" \"last\"\r\n"
                            "  \"alice\"\t \"wonder\"  rest is ignored \"\n"
                            "\"o\"\"neil\" \"a\"\"b\"\"\"\n"
                            "\"hash\" \"md5900150983cd24fb0d6963f7d28e17f72\"\n"
                            "\"nobody\" \"\"\n"
                            "\"al\" \"prefix of alice\"");

    cr_assert_eq(users_count(us), 6);
    expect_plain(us, "zoe", "last");
    expect_plain(us, "alice", "wonder");
    expect_plain(us, "o\"neil", "a\"b\"");
    expect_plain(us, "al", "prefix of alice");
    cr_assert_eq(users_find(us, span_str("hash"))->kind, SECRET_MD5);
    cr_assert_eq(users_find(us, span_str("nobody"))->kind, SECRET_NONE);
    cr_assert_null(users_find(us, span_str("ali")));
    cr_assert_null(users_find(us, span_str("Alice")));
    cr_assert_null(users_find(us, span_str("")));
    users_put(us);
}

Test(users, an_empty_file_has_nobody)
{
    struct users *us = load("");

    cr_assert_eq(users_count(us), 0);
    cr_assert_null(users_find(us, span_str("x")));
    users_put(us);
}

Test(users, references_keep_it)
{
    struct users *us = load("\"a\" \"b\"");

    cr_assert_eq(users_get(us), us);
    users_put(us);
    expect_plain(us, "a", "b");
    users_put(us);
    users_put(NULL);
}

static const struct {
    const char *text;
    size_t len; /* 0: up to the NUL */
    const char *message;
} wrong[] = {
    {"alice secret", 0, "f:1: expected a user name in double quotes"},
    {"\n\"alice\"\n", 0, "f:2: expected a secret in double quotes"},
    {"\"alice\" \"x", 0, "f:1: a secret has no closing quote"},
    {"\"alice\n\" \"x\"", 0, "f:1: a user name has no closing quote"},
    {"\"\" \"x\"", 0, "f:1: the user name is empty"},
    {"\"a\" \"x\"\n;\n\"b\" \"y\"\n\"a\" \"z\"\n", 0, "f:4: user \"a\" stands in line 1 too"},
    {"\"a\0b\" \"x\"", 10, "f:1: a user name holds a NUL byte"},
    {"\"", 0, "f:1: a user name has no closing quote"},
};

Test(users, messages_name_file_line_and_what_is_accepted)
{
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct users *us = NULL;
        struct users_error error = {""};
        size_t len = wrong[i].len > 0 ? wrong[i].len : strlen(wrong[i].text);

        cr_assert_eq(users_load_text("f", span_of(wrong[i].text, len), &us, &error), -EINVAL);
        cr_assert_null(us);
        cr_assert_eq(strncmp(error.text, wrong[i].message, strlen(wrong[i].message)), 0,
                     "got \"%s\"", error.text);
    }
}

Test(users, every_cut_of_a_file_loads_or_is_refused)
{
    static const char text[] = "\"a\"\"\" \"x\"\n;c\n\"b\" \"SCRAM-SHA-256$4096:AA==$x:y\"\n";

    for (size_t len = 0; len < sizeof(text); len++) {
        struct users *us = NULL;
        struct users_error error;
        uint8_t *copy = malloc(len + 1); /* so that ASan sees a read too far */

        memcpy(copy + 1, text, len);
        if (users_load_text("f", span_of(copy + 1, len), &us, &error) == 0)
            users_put(us);
        free(copy);
    }
}

Test(users, files)
{
    char folder[] = "/tmp/weir-test-users-XXXXXX", path[64], fifo[64];
    struct users *us = NULL;
    struct users_error error;
    FILE *f;

    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/users", folder);
    snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
    cr_assert_eq(users_load(path, &us, &error), -EINVAL);
    cr_assert_not_null(strstr(error.text, "No such file"), "%s", error.text);

    f = fopen(path, "w");
    fputs("\"a\" \"b\"\n", f);
    fclose(f);
    cr_assert_eq(users_load(path, &us, &error), 0);
    expect_plain(us, "a", "b");
    users_put(us);

    cr_assert_eq(truncate(path, (64 << 20) + 1), 0);
    cr_assert_eq(users_load(path, &us, &error), -EINVAL);
    cr_assert_not_null(strstr(error.text, "64 MiB"), "%s", error.text);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    cr_assert_eq(users_load(fifo, &us, &error), -EINVAL); /* and does not wait for a writer */
    cr_assert_not_null(strstr(error.text, "not a regular file"), "%s", error.text);
    cr_assert_eq(users_load(folder, &us, &error), -EINVAL);

    unlink(path);
    unlink(fifo);
    rmdir(folder);
}
