#include <criterion/criterion.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "weir/net/addr.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static enum addr_status parse(const char *text, struct addr *out)
{
    return addr_parse(span_str(text), 5432, out);
}

Test(addr, what_is_read_is_what_is_shown)
{
    static const struct {
        const char *text, *shown;
        int family;
    } rows[] = {
        {"10.0.0.1", "10.0.0.1:5432", AF_INET},
        {"10.0.0.1:1", "10.0.0.1:1", AF_INET},
        {"0.0.0.0:65535", "0.0.0.0:65535", AF_INET},
        {"127.0.0.1:0", "127.0.0.1:0", AF_INET},
        {"::", "[::]:5432", AF_INET6},
        {"::1", "[::1]:5432", AF_INET6},
        {"[::1]", "[::1]:5432", AF_INET6},
        {"[::1]:99", "[::1]:99", AF_INET6},
        {"2001:DB8:0:0:0:0:0:5", "[2001:db8::5]:5432", AF_INET6},
        {"[::ffff:1.2.3.4]:7", "[::ffff:1.2.3.4]:7", AF_INET6},
        {"fe80::1%3", "[fe80::1%3]:5432", AF_INET6},
        {"[fe80::1%3]:8", "[fe80::1%3]:8", AF_INET6},
        {"/run/pg", "/run/pg/.s.PGSQL.5432", AF_UNIX},
        {"/run/pg//", "/run/pg/.s.PGSQL.5432", AF_UNIX},
        {"/run/a:b", "/run/a:b/.s.PGSQL.5432", AF_UNIX},
        {"@app", "@app/.s.PGSQL.5432", AF_UNIX},
        {"@/a b", "@/a?b/.s.PGSQL.5432", AF_UNIX},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct addr a;
        char shown[ADDR_TEXT_SIZE];

        cr_assert_eq(parse(rows[i].text, &a), ADDR_OK, "%s", rows[i].text);
        cr_assert_str_eq(addr_text(&a, shown), rows[i].shown);
        cr_assert_eq(a.any.sa_family, rows[i].family, "%s", rows[i].text);
    }
}

Test(addr, names_are_told_from_mistakes)
{
    static const struct {
        const char *text;
        enum addr_status status;
    } rows[] = {
        {"db", ADDR_NAME},
        {"db.example.com", ADDR_NAME},
        {"db.example.com.", ADDR_NAME},
        {"db.example.com:5433", ADDR_NAME},
        {"my_db-1.internal", ADDR_NAME},
        {"1and1.de", ADDR_NAME},
        {"", ADDR_INVALID},
        {" ", ADDR_INVALID},
        {".", ADDR_INVALID},
        {"db..example", ADDR_INVALID},
        {"db example", ADDR_INVALID},
        {"d\xc3\xbc", ADDR_INVALID},
        {"10.0.0", ADDR_INVALID},
        {"10.0.0.256", ADDR_INVALID},
        {"10.0.0.1.5", ADDR_INVALID},
        {"10.0.0.1:", ADDR_INVALID},
        {"10.0.0.1:65536", ADDR_INVALID},
        {"10.0.0.1:99999999999999999999", ADDR_INVALID},
        {"10.0.0.1:-1", ADDR_INVALID},
        {"10.0.0.1:5x", ADDR_INVALID},
        {":5432", ADDR_INVALID},
        {"[::1", ADDR_INVALID},
        {"::1]", ADDR_INVALID},
        {"[::1]5432", ADDR_INVALID},
        {"[10.0.0.1]:1", ADDR_INVALID},
        {"[]:1", ADDR_INVALID},
        {"[", ADDR_INVALID},
        {"1:2:3", ADDR_INVALID},
        {"fe80::1%", ADDR_INVALID},
        {"fe80::1%no-such-interface", ADDR_INVALID},
        {"fe80::1%4294967296", ADDR_INVALID},
        {"@", ADDR_INVALID},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct addr a = {.len = 77};

        cr_assert_eq(parse(rows[i].text, &a), rows[i].status, "\"%s\"", rows[i].text);
        cr_assert_eq(a.len, 77, "written on failure: \"%s\"", rows[i].text);
    }
}

Test(addr, labels_and_names_have_their_longest_length)
{
    struct addr a;
    char text[300];

    memset(text, 'a', sizeof(text));
    cr_expect_eq(addr_parse(span_of(text, 63), 1, &a), ADDR_NAME);
    cr_expect_eq(addr_parse(span_of(text, 64), 1, &a), ADDR_INVALID);
    for (size_t i = 50; i < sizeof(text); i += 50)
        text[i] = '.';
    cr_expect_eq(addr_parse(span_of(text, 253), 1, &a), ADDR_NAME);
    cr_expect_eq(addr_parse(span_of(text, 254), 1, &a), ADDR_INVALID);
}

Test(addr, zone_may_be_the_name_of_an_interface)
{
    struct addr a;

    cr_assert_eq(parse("fe80::1%lo", &a), ADDR_OK);
    cr_assert_eq(a.v6.sin6_scope_id, if_nametoindex("lo"));
}

Test(addr, no_byte_of_an_address_is_a_nul)
{
    static const char *const texts[] = {"10.0.0.1", "[::1]:5", "fe80::1%lo", "/run", "@app", "db"};

    for (size_t i = 0; i < COUNT(texts); i++) {
        for (size_t at = 0; at < strlen(texts[i]); at++) {
            char text[16];
            struct addr a;

            memcpy(text, texts[i], strlen(texts[i]));
            text[at] = '\0';
            cr_assert_eq(addr_parse(span_of(text, strlen(texts[i])), 1, &a), ADDR_INVALID, "%s %zu",
                         texts[i], at);
        }
    }
}

/* sun_path holds 108 bytes: "/x.../.s.PGSQL.5432" and its NUL, or a NUL and the abstract name. */
Test(addr, unix_path_fits_or_is_refused)
{
    const size_t tail = strlen("/.s.PGSQL.5432");
    char text[128];
    struct addr a;

    memset(text, 'x', sizeof(text));
    for (int i = 0; i < 2; i++) {
        text[0] = "/@"[i];
        cr_assert_eq(addr_parse(span_of(text, 107 - tail), 5432, &a), ADDR_OK);
        cr_assert_leq(a.len, sizeof(a.un));
        cr_assert_eq(addr_parse(span_of(text, 110 - tail), 5432, &a), ADDR_INVALID);
        cr_assert_eq(addr_parse(span_of(text, sizeof(text)), 5432, &a), ADDR_INVALID);
    }
    text[0] = '/';
    cr_assert_eq(addr_parse(span_of(text, 108 - tail), 5432, &a), ADDR_INVALID);
}

Test(addr, abstract_name_has_no_nul_behind_it)
{
    struct addr a;

    cr_assert_eq(parse("@app", &a), ADDR_OK);
    cr_assert_eq(a.len, offsetof(struct sockaddr_un, sun_path) + strlen("@app/.s.PGSQL.5432"));
    cr_assert_eq(memcmp(a.un.sun_path, "\0app/.s.PGSQL.5432", strlen("@app/.s.PGSQL.5432")), 0);
    cr_assert_null(addr_path(&a));
}

Test(addr, path_and_port)
{
    struct addr a;

    cr_assert_eq(parse("/run", &a), ADDR_OK);
    cr_assert_str_eq(addr_path(&a), "/run/.s.PGSQL.5432");
    cr_assert_eq(addr_port(&a), 0);
    cr_assert(addr_is_unix(&a));
    cr_assert_eq(parse("1.2.3.4:77", &a), ADDR_OK);
    cr_assert_null(addr_path(&a));
    cr_assert_eq(addr_port(&a), 77);
    cr_assert_not(addr_is_unix(&a));
    cr_assert_eq(parse("[::1]:78", &a), ADDR_OK);
    cr_assert_eq(addr_port(&a), 78);
}

/* What another program bound may fill sun_path to the last byte. */
Test(addr, foreign_path_without_nul)
{
    struct addr a = {.len = sizeof(a.un), .un = {.sun_family = AF_UNIX}};
    char shown[ADDR_TEXT_SIZE];

    memset(a.un.sun_path, 'y', sizeof(a.un.sun_path));
    cr_assert_eq(strlen(addr_text(&a, shown)), sizeof(a.un.sun_path));
    a.len = offsetof(struct sockaddr_un, sun_path);
    cr_assert_str_eq(addr_text(&a, shown), "unix");
}

static void list_text(const struct addr_list *list, char *out, size_t size)
{
    char shown[ADDR_TEXT_SIZE];
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < list->n; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s%s", i > 0 ? " " : "",
                                addr_text(&list->items[i].addr, shown),
                                list->items[i].optional ? "?" : "");
}

Test(addr_list, elements)
{
    static const struct {
        const char *text, *shown;
    } rows[] = {
        {"", ""},
        {"  ", ""},
        {"127.0.0.1", "127.0.0.1:6432"},
        {" 127.0.0.1 ,\t2001:db8::2 ", "127.0.0.1:6432 [2001:db8::2]:6432"},
        {"10.0.0.1:1,[::1]:2,/run,@app",
         "10.0.0.1:1 [::1]:2 /run/.s.PGSQL.6432 @app/.s.PGSQL.6432"},
        {"*", "0.0.0.0:6432 [::]:6432?"},
        {"localhost, /tmp", "127.0.0.1:6432 [::1]:6432? /tmp/.s.PGSQL.6432"},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct addr_list list;
        char shown[512];

        cr_assert_eq(addr_list_parse(rows[i].text, 6432, &list), ADDR_OK, "%s", rows[i].text);
        list_text(&list, shown, sizeof(shown));
        cr_assert_str_eq(shown, rows[i].shown);
    }
}

Test(addr_list, failure_names_the_element)
{
    static const struct {
        const char *text, *refused;
        enum addr_status status;
    } rows[] = {
        {",", "", ADDR_INVALID},
        {"::1,", "", ADDR_INVALID},
        {"::1,,::2", "", ADDR_INVALID},
        {"::1, db.example.com ,::2", "db.example.com", ADDR_NAME},
        {"::1,1.2.3", "1.2.3", ADDR_INVALID},
        {"* ::1", "* ::1", ADDR_INVALID},
        {"1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,"
         "1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,1.1.1.1,9.9.9.9",
         "9.9.9.9", ADDR_INVALID},
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct addr_list list;

        cr_assert_eq(addr_list_parse(rows[i].text, 6432, &list), rows[i].status, "%s",
                     rows[i].text);
        cr_assert(span_equal(list.refused, span_str(rows[i].refused)), "%s: %.*s", rows[i].text,
                  (int)list.refused.len, (const char *)list.refused.ptr);
        cr_assert_eq(list.n, 0);
    }
}

static void check_origin(const char *text, struct addr_origin want)
{
    struct addr a;
    struct addr_origin origin;
    int listener, fd;

    cr_assert_eq(addr_parse(span_str(text), 0, &a), ADDR_OK);
    listener = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, &a.any, a.len) != 0)
        cr_skip_test("no %s on this machine", text);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(addr_local(listener, &a), 0);
    fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, &a.any, a.len), 0);
    origin = addr_origin(fd);
    cr_expect_arr_eq(&origin, &want, sizeof(want), "%s", text);
    close(fd);
    close(listener);
}

Test(addr, origin)
{
    struct addr_origin unix_user = {.family = AF_UNIX, .number = getuid()};
    struct addr_origin v4 = {.family = AF_INET, .number = htonl(INADDR_LOOPBACK)};
    struct addr_origin nobody = addr_origin(-1), origin;
    int pair[2];

    cr_assert_eq(nobody.family, 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    origin = addr_origin(pair[0]);
    cr_expect_arr_eq(&origin, &unix_user, sizeof(origin));
    close(pair[0]);
    close(pair[1]);
    check_origin("127.0.0.1", v4);
    check_origin("::1", (struct addr_origin){.family = AF_INET6}); /* its first half is zero */
}
