/*
 * The loaded snapshot: its life, the view of one pool, warnings.
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

static const char three_levels[] =
    "weir = { default_pool_size = 10; pool_mode = \"statement\"; query_wait_timeout = 1; "
    "max_db_connections = 100; max_user_connections = 200; min_pool_size = 4; };\n"
    "databases = (\n"
    " { name = \"app\"; host = \"db1\"; port = 5433; dbname = \"real\"; pool_size = 20; "
    "pool_mode = \"session\"; max_db_connections = 50; },\n"
    " { name = \"forced\"; host = \"/run/pg\"; user = \"service\"; password = \"secret\"; },\n"
    " { name = \"small\"; pool_size = 2; },\n"
    " { name = \"*\"; host = \"db2\"; } );\n"
    "users = (\n"
    " { name = \"alice\"; pool_size = 5; max_user_connections = 7; fail_fast = true; },\n"
    " { name = \"service\"; pool_mode = \"transaction\"; } );";

Test(snapshot, user_wins_over_database_over_weir)
{
    struct conf *c = case_accept(three_levels);
    struct conf_pool p;

    cr_assert(conf_pool_find(c, "app", "alice", &p));
    cr_assert_str_eq(p.host, "db1");
    cr_assert_eq(p.port, 5433);
    cr_assert_str_eq(p.dbname, "real");
    cr_assert_str_eq(p.user, "alice");
    cr_assert_str_eq(p.password, "");
    cr_assert_eq(p.policy.pool_size, 5);
    cr_assert_eq(p.policy.pool_mode, CONF_SESSION);
    cr_assert_eq(p.policy.query_wait_timeout_ns, NS_PER_S);
    cr_assert_eq(p.policy.max_db_connections, 50);
    cr_assert_eq(p.policy.max_user_connections, 7);
    cr_assert(p.policy.fail_fast);
    cr_assert_eq(p.policy.min_pool_size, 4);

    cr_assert(conf_pool_find(c, "app", "bob", &p));
    cr_assert_eq(p.policy.pool_size, 20);
    cr_assert_eq(p.policy.max_user_connections, 200);
    cr_assert_not(p.policy.fail_fast);
    conf_put(c);
}

Test(snapshot, the_user_at_the_server_counts)
{
    struct conf *c = case_accept(three_levels);
    struct conf_pool p;

    cr_assert(conf_pool_find(c, "forced", "alice", &p));
    cr_assert_str_eq(p.user, "service");
    cr_assert_str_eq(p.password, "secret");
    cr_assert_str_eq(p.host, "/run/pg");
    cr_assert_str_eq(p.dbname, "forced");
    cr_assert_eq(p.policy.pool_mode, CONF_TRANSACTION, "by the entry of service");
    cr_assert_eq(p.policy.pool_size, 10, "not by the entry of alice");
    conf_put(c);
}

Test(snapshot, fallback_database)
{
    struct conf *c = case_accept(three_levels);
    struct conf *without = case_accept("weir = { }; databases = ( { name = \"a\"; } );");
    struct conf_pool p;

    cr_assert(conf_pool_find(c, "anything", "bob", &p));
    cr_assert_str_eq(p.host, "db2");
    cr_assert_str_eq(p.dbname, "anything");
    cr_assert(conf_pool_find(c, "", "", &p));
    cr_assert_not(conf_pool_find(without, "anything", "bob", &p));
    cr_assert(conf_pool_find(without, "a", "bob", &p));
    conf_put(c);
    conf_put(without);
}

Test(snapshot, an_inherited_minimum_is_cut_to_the_size)
{
    struct conf *c = case_accept(three_levels);
    struct conf_pool p;

    cr_assert(conf_pool_find(c, "small", "bob", &p));
    cr_assert_eq(p.policy.pool_size, 2);
    cr_assert_eq(p.policy.min_pool_size, 2);
    conf_put(c);
}

Test(snapshot, every_database_is_found_among_many)
{
    static char text[64 * 1024];
    size_t used = (size_t)snprintf(text, sizeof(text), "weir = { }; databases = (");
    struct conf_pool p;
    char name[16];

    for (int i = 0; i < 1000; i++)
        used +=
            (size_t)snprintf(text + used, sizeof(text) - used, "%s{ name = \"d%d\"; port = %d; }",
                             i == 0 ? "" : ", ", i * 7919 % 1000, i * 7919 % 1000 + 1);
    snprintf(text + used, sizeof(text) - used, ");");

    struct conf *c = case_accept(text);

    cr_assert_eq(c->n_databases, 1000);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "d%u", i);
        cr_assert(conf_pool_find(c, name, "u", &p), "%s", name);
        cr_assert_eq(p.port, i + 1);
        cr_assert(i == 0 || strcmp(c->databases[i - 1].name, c->databases[i].name) < 0);
    }
    cr_assert_not(conf_pool_find(c, "d1000", "u", &p));
    conf_put(c);
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
        conf_put(case_accept(three_levels));
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
