/*
 * Values as text, and which changes need a restart.
 */
#include "conf_case.h"

#include "weir/conf/show.h"

static const struct conf_shown *find(const struct conf *c, const char *key)
{
    static struct conf_shown shown;

    for (size_t i = 0; conf_show(c, i, &shown); i++) {
        if (strcmp(shown.key, key) == 0)
            return &shown;
    }
    cr_assert_fail("%s is not shown", key);
    return NULL;
}

Test(show, values)
{
    struct conf *c = case_accept("weir = { query_wait_timeout = 90; auth_file = \"users\";\n"
                                 "tcp_user_timeout = \"1500ms\"; unix_socket_mode = \"770\";\n"
                                 "admin_users = [\"a\", \"b\"]; default_pool_size = 7;\n"
                                 "arena = { chunk_size = 4096; chunks_count = 3; }; };");
    static const char *const expected[][3] = {
        {"query_wait_timeout", "90s", "2min"}, {"auth_file", "/etc/weir/users", ""},
        {"tcp_user_timeout", "1500ms", "0"},   {"unix_socket_mode", "0770", "0777"},
        {"admin_users", "a, b", ""},           {"default_pool_size", "7", "20"},
        {"listen_port", "6432", "6432"},       {"pool_mode", "transaction", "transaction"},
        {"log_connections", "true", "true"},   {"arena.chunk_size", "4kB", "64kB"},
        {"arena.total_size", "12kB", "256MB"}, {"arena.chunks_count", "3", "0"},
    };

    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        const struct conf_shown *shown = find(c, expected[i][0]);

        cr_assert_str_eq(shown->value, expected[i][1]);
        cr_assert_str_eq(shown->default_text, expected[i][2]);
    }
    cr_assert(find(c, "default_pool_size")->changeable);
    cr_assert(find(c, "auth_type")->changeable);
    cr_assert_not(find(c, "listen_port")->changeable);
    cr_assert_not(find(c, "arena.prefault")->changeable);
    conf_put(c);
}

/* The keys named by conf_restart_key(), each followed by a blank. */
static const char *restart_keys(const char *old_text, const char *new_text)
{
    static char keys[1000];
    struct conf *old = case_accept(old_text), *new = case_accept(new_text);
    char key[CONF_SHOW_KEY_SIZE];

    keys[0] = '\0';
    for (size_t i = 0, used = 0; conf_restart_key(old, new, &i, key);)
        used += (size_t)snprintf(keys + used, sizeof(keys) - used, "%s ", key);
    conf_put(old);
    conf_put(new);
    return keys;
}

Test(show, restart)
{
    cr_assert_str_eq(restart_keys("weir = { };", "weir = { };"), "");
    cr_assert_str_eq(restart_keys("weir = { };", "weir = { listen_port = 6432; reactors = 0; };"),
                     "");
    cr_assert_str_eq(restart_keys("weir = { };", "weir = { max_client_conn = 5; auth_type = "
                                                 "\"md5\"; query_wait_timeout = 5; };"),
                     "", "none of these needs one");
    cr_assert_str_eq(
        restart_keys("weir = { };",
                     "weir = { listen_addr = \"::1\"; listen_port = 5; engine = "
                     "\"epoll\"; pin_reactors = \"on\"; arena = { prefault = true; }; };"),
        "listen_addr listen_port engine pin_reactors arena.prefault ");
    cr_assert_str_eq(restart_keys("weir = { listen_addr = \"::1\"; };",
                                  "weir = { listen_addr = \"::1, ::2\"; };"),
                     "listen_addr ");
    cr_assert_str_eq(restart_keys("weir = { arena = { total_size = \"128kB\"; }; };",
                                  "weir = { arena = { chunks_count = 2; }; };"),
                     "", "two ways to say the same");
}
