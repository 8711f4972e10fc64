/*
 * The view of one pool, and the hashes by which a reload tells what changed for it.
 */
#include "weir/conf/pool.h"

#include "conf_case.h"

#include <inttypes.h>

#include "weir/base/clock.h"
#include "weir/conf/schema.h"

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

Test(pool, user_wins_over_database_over_weir)
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

Test(pool, the_user_at_the_server_counts)
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

Test(pool, fallback_database)
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

Test(pool, an_inherited_minimum_is_cut_to_the_size)
{
    struct conf *c = case_accept(three_levels);
    struct conf_pool p;

    cr_assert(conf_pool_find(c, "small", "bob", &p));
    cr_assert_eq(p.policy.pool_size, 2);
    cr_assert_eq(p.policy.min_pool_size, 2);
    conf_put(c);
}

Test(pool, every_database_is_found_among_many)
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

/* Both hashes of the pool (app, alice) under a configuration. */
struct hashes {
    uint64_t link, policy;
};

static struct hashes hashes_of(const char *weir, const char *database, const char *user)
{
    char text[2000];
    struct conf_pool p;
    struct conf *c;
    struct hashes h;

    snprintf(text, sizeof(text),
             "weir = { %s };\ndatabases = ( { name = \"app\"; %s } );\n"
             "users = ( { name = \"alice\"; %s }, { name = \"bob\"; } );",
             weir, database, user);
    c = case_accept(text);
    cr_assert(conf_pool_find(c, "app", "alice", &p));
    h = (struct hashes){conf_pool_link_hash(&p), conf_pool_policy_hash(&p)};
    conf_put(c);
    return h;
}

static void check_change(struct hashes base, struct hashes changed, bool link, bool policy,
                         const char *what)
{
    cr_assert_eq(changed.link != base.link, link, "link hash: %s", what);
    cr_assert_eq(changed.policy != base.policy, policy, "policy hash: %s", what);
}

/* A value that is not the default, as it stands in a file. */
static void other_value(const struct schema_row *row, char *out, size_t size)
{
    switch (row->type) {
    case SCHEMA_BOOL:
        snprintf(out, size, "%s", strcmp(row->default_text, "true") == 0 ? "false" : "true");
        return;
    case SCHEMA_ENUM:
        snprintf(out, size, "\"%s\"",
                 row->choices[strcmp(row->default_text, row->choices[0]) == 0 ? 1 : 0]);
        return;
    case SCHEMA_DURATION:
        snprintf(out, size, "\"%" PRIu64 "us\"", row->max / 1000);
        return;
    case SCHEMA_INTEGER:
    case SCHEMA_SIZE:
        snprintf(out, size, "%" PRIu64, strcmp(row->key, "min_pool_size") == 0 ? 7 : row->max);
        return;
    case SCHEMA_MODE:
    case SCHEMA_STRING:
    case SCHEMA_FILE:
    case SCHEMA_NAMES:
    case SCHEMA_ADDRESSES:
    case SCHEMA_GROUP:
        break;
    }
    cr_assert_fail("a policy row of another type: %s", row->key);
}

/* Each policy key, changed alone at each level, changes the policy hash and nothing else; changed
 * back, the hash is the old one. */
Test(pool, every_policy_key_changes_the_policy_hash)
{
    struct hashes base = hashes_of("", "", "");
    size_t n_rows;
    const struct schema_row *rows = schema_rows(&n_rows);

    for (size_t i = 0; i < n_rows; i++) {
        char value[100], setting[200];

        if (!rows[i].policy)
            continue;
        other_value(&rows[i], value, sizeof(value));
        snprintf(setting, sizeof(setting), "%s = %s;", schema_key(&rows[i], SCHEMA_WEIR), value);
        check_change(base, hashes_of(setting, "", ""), false, true, setting);
        snprintf(setting, sizeof(setting), "%s = %s;", rows[i].key, value);
        if ((rows[i].sections & SCHEMA_DATABASES) != 0)
            check_change(base, hashes_of("", setting, ""), false, true, setting);
        if ((rows[i].sections & SCHEMA_USERS) != 0)
            check_change(base, hashes_of("", "", setting), false, true, setting);
        check_change(base, hashes_of("", "", ""), false, false, "changed back");
    }
}

Test(pool, where_the_server_is_changes_the_link_hash)
{
    static const char *const changes[] = {"host = \"other\";", "port = 5433;",
                                          "dbname = \"other\";", "user = \"bob\";"};
    struct hashes base = hashes_of("", "", "");

    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        check_change(base, hashes_of("", changes[i], ""), true, false, changes[i]);
}

/* What says the same in other words, or is none of the pool's business. */
Test(pool, what_changes_no_hash)
{
    struct hashes base = hashes_of("", "", "");
    static const char *const in_weir[] = {"listen_port = 1;", "max_client_conn = 5;",
                                          "default_pool_size = 20;", "query_wait_timeout = 120;",
                                          "auth_file = \"other\";"};
    static const char *const in_database[] = {"password = \"other\";", "host = \"127.0.0.1\";",
                                              "port = 5432;",          "dbname = \"app\";",
                                              "user = \"alice\";",     "pool_size = 20;"};

    for (size_t i = 0; i < sizeof(in_weir) / sizeof(in_weir[0]); i++)
        check_change(base, hashes_of(in_weir[i], "", ""), false, false, in_weir[i]);
    for (size_t i = 0; i < sizeof(in_database) / sizeof(in_database[0]); i++)
        check_change(base, hashes_of("", in_database[i], ""), false, false, in_database[i]);
    check_change(base, hashes_of("default_pool_size = 5;", "pool_size = 20;", ""), false, false,
                 "a changed value that is overridden");
    check_change(base, hashes_of("", "pool_size = 5;", "pool_size = 20;"), false, false,
                 "a changed value that is overridden");
}

/* Fields next to each other must not run together. */
Test(pool, fields_do_not_run_together)
{
    struct hashes a = hashes_of("", "dbname = \"ab\"; user = \"c\";", "");
    struct hashes b = hashes_of("", "dbname = \"a\"; user = \"bc\";", "");

    cr_assert_neq(a.link, b.link);
}
