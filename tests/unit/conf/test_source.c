/*
 * Files: what may be read, and how includes are found. In a folder of its own.
 */
#include "conf_case.h"

#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/weir-conf-XXXXXX"; /* in the test's own process */

static void setup(void)
{
    cr_assert_not_null(mkdtemp(folder));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void teardown(void)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(source, .init = setup, .fini = teardown);

static const char *path_of(const char *name)
{
    static char path[2][4096];
    static unsigned turn;

    turn ^= 1;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
    return path[turn];
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");

    cr_assert_not_null(f, "%s", name);
    fputs(text, f);
    cr_assert_eq(fclose(f), 0);
}

static struct conf *accept_file(const char *name)
{
    struct conf_error error = {""};
    struct conf *c = NULL;

    cr_assert_eq(conf_load(path_of(name), &c, &error), 0, "%s", error.text);
    return c;
}

/* The message must hold all of these, where FOLDER stands for the test's folder. */
static void refuse_file(const char *name, const char *first, const char *second)
{
    struct conf_error error = {""};
    struct conf *c = NULL;
    const char *expected[] = {first, second};

    cr_assert_eq(conf_load(path_of(name), &c, &error), -EINVAL);
    cr_assert_null(c);
    for (size_t i = 0; i < 2; i++) {
        const char *part = expected[i];

        if (strncmp(part, "FOLDER", 6) == 0)
            part = path_of(part + 7);
        cr_assert_not_null(strstr(error.text, part), "'%s' is not in: %s", part, error.text);
    }
}

Test(source, a_file)
{
    write_file("a.conf", "weir = { listen_port = 5; auth_file = \"users\"; };");

    struct conf *c = accept_file("a.conf");

    cr_assert_eq(c->weir.listen_port, 5);
    cr_assert_str_eq(c->path, path_of("a.conf"));
    cr_assert_str_eq(c->weir.auth_file, path_of("users"));
    conf_put(c);
}

Test(source, a_relative_path_counts_from_the_working_folder)
{
    struct conf_error error = {""};
    struct conf *c = NULL;
    char real[4096];

    cr_assert_eq(chdir(folder), 0);
    cr_assert_not_null(getcwd(real, sizeof(real)));
    write_file("a.conf", "weir = { auth_file = \"sub/users\"; };");
    cr_assert_eq(conf_load("a.conf", &c, &error), 0, "%s", error.text);
    cr_assert_eq(strncmp(c->path, real, strlen(real)), 0);
    cr_assert_str_eq(c->path + strlen(real), "/a.conf");
    cr_assert_str_eq(c->weir.auth_file + strlen(real), "/sub/users");
    conf_put(c);
}

Test(source, includes_count_from_the_file_they_stand_in)
{
    cr_assert_eq(mkdir(path_of("sub"), 0700), 0);
    write_file("main.conf", "weir = { auth_file = \"users\";\n@include \"sub/one.conf\"\n};\n"
                            "databases = ( @include \"sub/list.conf\" );");
    write_file("sub/one.conf", "listen_port = 7; @include \"two.conf\"");
    write_file("sub/two.conf", "logfile = \"log\";");
    write_file("sub/list.conf", "{ name = \"a\"; }, { name = \"b\"; }");

    struct conf *c = accept_file("main.conf");

    cr_assert_eq(c->weir.listen_port, 7);
    cr_assert_eq(c->n_databases, 2);
    cr_assert_str_eq(c->weir.auth_file, path_of("users"));
    cr_assert_str_eq(c->weir.logfile, path_of("log"), "file keys count from the main file");
    conf_put(c);
}

Test(source, a_file_may_be_included_twice)
{
    write_file("main.conf", "weir = { @include \"p.conf\" };\n"
                            "databases = ( { name = \"a\"; @include \"p.conf\" } );");
    write_file("p.conf", "pool_mode = \"session\";");
    conf_put(accept_file("main.conf"));
}

Test(source, errors_name_the_included_file)
{
    write_file("main.conf", "weir = {\n@include \"one.conf\"\nreactors = 65;\n};");
    write_file("one.conf", "// first\nlisten_port = 1;\n\nlisten_backlog = 70000;\n");
    refuse_file("main.conf", "FOLDER/one.conf", ":4: weir.listen_backlog = 70000; accepted: ");

    write_file("one.conf", "// first\nlisten_port = 1;\n\n");
    refuse_file("main.conf", "FOLDER/main.conf", ":3: weir.reactors = 65; accepted: ");

    write_file("one.conf", "\nreactors = 2;");
    refuse_file("main.conf", "main.conf:3: reactors is set twice, first at", "FOLDER/one.conf");

    write_file("one.conf", "\nlisten_port = 30s;");
    refuse_file("main.conf", "FOLDER/one.conf", ":2: syntax error: listen_port = 30s");
}

Test(source, a_string_or_comment_does_not_cross_files)
{
    write_file("main.conf", "weir = { @include \"one.conf\"\n*/ };");
    write_file("one.conf", "\n/* open");
    refuse_file("main.conf", "FOLDER/one.conf", ":2: syntax error: this comment is not closed");
}

Test(source, cycles)
{
    write_file("a.conf", "@include \"b.conf\"");
    write_file("b.conf", "\n@include \"sub/../a.conf\"");
    cr_assert_eq(mkdir(path_of("sub"), 0700), 0);
    refuse_file("a.conf", "b.conf:2: @include: cannot read", "it includes itself");

    write_file("self.conf", "@include \"self.conf\"");
    refuse_file("self.conf", "self.conf:1: @include", "it includes itself");

    cr_assert_eq(symlink(path_of("link.conf"), path_of("other.conf")), 0);
    write_file("link.conf", "@include \"other.conf\"");
    refuse_file("link.conf", "link.conf:1: @include", "it includes itself");
}

/* 0.conf includes 1.conf includes ... the last, which holds the settings. */
static void write_chain(int n_files)
{
    for (int i = 0; i < n_files; i++) {
        char name[32], text[64];

        snprintf(name, sizeof(name), "%d.conf", i);
        snprintf(text, sizeof(text), "@include \"%d.conf\"", i + 1);
        write_file(name, i + 1 < n_files ? text : "weir = { };");
    }
}

Test(source, depth)
{
    write_chain(10);
    conf_put(accept_file("0.conf"));
    write_chain(11);
    refuse_file("0.conf", "9.conf:1: @include", "nested more than 10 deep");
}

Test(source, many_files)
{
    FILE *f = fopen(path_of("main.conf"), "w");

    cr_assert_not_null(f);
    for (int i = 0; i < 1000; i++)
        fputs("@include \"empty\"\n", f);
    cr_assert_eq(fclose(f), 0);
    write_file("empty", "");
    refuse_file("main.conf", "main.conf:1000: @include", "more than 1000 files");
}

Test(source, what_is_no_regular_file)
{
    static const char *const named[][2] = {
        {"sub", "it is a folder; name a file"},
        {".", "it is a folder; name a file"},
        {"/", "it is a folder; name a file"},
        {"fifo", "it is not a regular file"},
        {"/dev/zero", "it is not a regular file"},
        {"/dev/null", "it is not a regular file"},
        {"/dev/tty", "cannot read /dev/tty"},
        {"missing.conf", "No such file or directory"},
        {"missing/one.conf", "No such file or directory"},
        {"main.conf/one.conf", "Not a directory"},
        {"", "cannot read"},
    };

    cr_assert_eq(mkdir(path_of("sub"), 0700), 0);
    cr_assert_eq(mkfifo(path_of("fifo"), 0600), 0);
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        char text[100];

        snprintf(text, sizeof(text), "weir = { };\n@include \"%s\"\n", named[i][0]);
        write_file("main.conf", text);
        refuse_file("main.conf", "main.conf:2: @include: cannot read", named[i][1]);
    }
}

Test(source, the_main_file_too)
{
    cr_assert_eq(mkdir(path_of("sub"), 0700), 0);
    cr_assert_eq(mkfifo(path_of("fifo"), 0600), 0);
    refuse_file("sub", "FOLDER/sub", "it is a folder; name a file");
    refuse_file("fifo", "FOLDER/fifo", "it is not a regular file");
    refuse_file("missing", "FOLDER/missing", "No such file or directory");
}

Test(source, sizes)
{
    write_file("main.conf", "weir = { };\n@include \"big\"\n");
    write_file("big", "");
    cr_assert_eq(truncate(path_of("big"), (16 << 20) + 1), 0);
    refuse_file("big", "FOLDER/big", "larger than 16 MB");
    refuse_file("main.conf", "main.conf:2: @include", "larger than 16 MB");

    /* small enough alone, too large together */
    cr_assert_eq(truncate(path_of("big"), 16 << 20), 0);
    refuse_file("main.conf", "main.conf:2: @include", "together are larger than 16 MB");
}

Test(source, a_path_that_is_too_long)
{
    char text[6000] = "@include \"";
    size_t used = strlen(text);

    memset(text + used, 'x', 5000);
    memcpy(text + used + 5000, "\"", 2);
    write_file("main.conf", text);
    refuse_file("main.conf", "main.conf:1: @include", "the path is too long");
}
