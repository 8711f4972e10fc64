/*
 * The loaded snapshot: its life, what is worked out from several keys, warnings.
 */
#include "conf_case.h"

#include <pthread.h>

#include "weir/base/clock.h"

Test(snapshot, lives_until_the_last_put)
{
    struct conf *c = case_accept("weir = { auth_file = \"users\"; };");

    cr_assert_eq(conf_get(c), c);
    conf_put(c);
    cr_assert_str_eq(c->weir.auth_file, "/etc/weir/users");
    conf_put(c);
    conf_put(NULL);
}

Test(snapshot, arena_in_both_forms)
{
    static const struct {
        const char *text;
        uint64_t chunk_size, total_size;
        uint32_t chunks_count;
    } cases[] = {
        {"weir = { };", 65536, 256 << 20, 4096},
        {"weir = { arena = { }; };", 65536, 256 << 20, 4096},
        {"weir = { arena = { total_size = \"1GB\"; }; };", 65536, 1 << 30, 16384},
        {"weir = { arena = { chunks_count = 16384; }; };", 65536, 1 << 30, 16384},
        {"weir = { arena = { chunk_size = \"4KB\"; chunks_count = 3; }; };", 4096, 12288, 3},
        {"weir = { arena = { chunk_size = 4096; total_size = 70000; }; };", 4096, 69632, 17},
        {"weir = { arena = { total_size = \"1MB\"; chunks_count = 0; }; };", 65536, 1 << 20, 16},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct conf *c = case_accept(cases[i].text);

        cr_assert_eq(c->weir.arena.chunk_size, cases[i].chunk_size, "%s", cases[i].text);
        cr_assert_eq(c->weir.arena.total_size, cases[i].total_size, "%s", cases[i].text);
        cr_assert_eq(c->weir.arena.chunks_count, cases[i].chunks_count, "%s", cases[i].text);
        conf_put(c);
    }
}

Test(snapshot, warnings)
{
    struct conf *c = case_accept("weir = {\n\ntcp_user_timeout = \"29s\"; };");
    struct conf *quiet = case_accept("weir = { tcp_user_timeout = \"30s\"; };\n"
                                     "databases = ( { name = \"a\"; } );");

    cr_assert_eq(c->warnings.n_items, 2);
    cr_assert_eq(
        strncmp(c->warnings.items[0], CASE_PATH ":3: weir.tcp_user_timeout is shorter than", 50), 0,
        "%s", c->warnings.items[0]);
    cr_assert_not_null(strstr(c->warnings.items[1], "databases is empty"));
    cr_assert_eq(quiet->warnings.n_items, 0);
    conf_put(c);
    conf_put(quiet);
}

Test(snapshot, tcp_defaults_are_the_documented_ones)
{
    struct conf *c = case_accept("weir = { };");

    cr_assert_eq(c->weir.tcp_keepalives_idle_ns, 5 * NS_PER_S);
    cr_assert_eq(c->weir.tcp_keepalives_interval_ns, 5 * NS_PER_S);
    cr_assert_eq(c->weir.tcp_keepalives_count, 5);
    cr_assert_eq(c->weir.tcp_user_timeout_ns, 0);
    cr_assert_eq(c->weir.tcp_dead_after_ns, 30 * NS_PER_S);
    conf_put(c);
}

static void *load_often(void *unused)
{
    for (int i = 0; i < 50; i++)
        conf_put(case_accept("weir = { }; databases = ( { name = \"a\"; } );"));
    return unused;
}

Test(snapshot, loads_do_not_meet)
{
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, load_often, NULL), 0);
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
}
