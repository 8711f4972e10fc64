/*
 * Replication clients until their server is there: what it is to be told at its startup, and how
 * waiting for it ends. That a server comes is tested against a real one (e2e).
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "front.h"

#define V3 "\0\3\0\0"
#define BYTES(text) (text), sizeof(text) - 1

static void say_packet(int fd, const char *bytes, size_t len)
{
    uint8_t head[4] = {0, 0, (uint8_t)((len + 4) >> 8), (uint8_t)(len + 4)};

    say(fd, head, sizeof(head));
    say(fd, bytes, len);
}

static int ask(struct front *f, const char *bytes, size_t len)
{
    int fd = front_connect(f);

    say_packet(fd, bytes, len);
    while (script_n_own(&f->pools.items[SCRIPT_APP]) == 0)
        front_sync(f);
    return fd;
}

FRONT_TEST(own, its_server_is_told_what_the_client_said)
{
    static const struct {
        const char *bytes;
        size_t len;
        enum pgw_replication replication;
        const char *settings;
        size_t settings_len;
    } cases[] = {
        {BYTES(V3 "user\0alice\0database\0app\0replication\0database\0\0"), PGW_REPLICATION_LOGICAL,
         BYTES("replication\0database\0")},
        {BYTES(V3 "replication\0on\0user\0alice\0database\0app\0\0"), PGW_REPLICATION_PHYSICAL,
         BYTES("replication\0on\0")},
        /* verbatim, and in their order, also what an ordinary client is refused */
        {BYTES(V3 "user\0alice\0options\0-c a=b\\ c -W\0replication\0001\0database\0app\0"
                  "DateStyle\0ISO\0log_connections\0on\0options\0\0\0"),
         PGW_REPLICATION_PHYSICAL,
         BYTES("options\0-c a=b\\ c -W\0replication\0001\0DateStyle\0ISO\0log_connections\0on\0"
               "options\0\0")},
    };
    struct front f;

    front_init(&f, &(struct front_config){.engine = *engine});
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pool *p = &f.pools.items[SCRIPT_APP];
        int fd = ask(&f, cases[i].bytes, cases[i].len);
        const struct own *o = p->own;

        cr_assert_eq(o->order.replication, cases[i].replication);
        cr_assert_eq(o->order.settings.len, cases[i].settings_len, "%zu", i);
        cr_assert_arr_eq(o->settings, cases[i].settings, cases[i].settings_len);
        close(fd);
        front_await_clients(&f, 0);
        cr_assert_eq(script_n_own(p), 0, "nobody waits for it any more");
    }
    front_fini(&f);
}

#define PHYSICAL V3 "user\0alice\0database\0app\0replication\0true\0\0"

static void fail(struct thread *self, void *ctx)
{
    static const struct pool_failure why = {"28000", "no replication for you"};

    script_fail_own(ctx, self, &why);
}

FRONT_TEST(own, no_server_comes)
{
    struct front f;
    int fd;

    front_init(&f, &(struct front_config){.engine = *engine});
    fd = ask(&f, BYTES(PHYSICAL));
    front_do(&f, 0, fail, &f.pools.items[SCRIPT_APP]);
    hear_fatal(fd, "28000", "no replication for you");
    close(fd);
    front_fini(&f);
}

FRONT_TEST(own, it_waits_in_vain)
{
    struct front f;
    int fd;

    front_init(&f, &(struct front_config){
                       .engine = *engine,
                       .weir = "auth_type = \"trust\"; query_wait_timeout = \"1200ms\"; "
                               "client_login_timeout = \"1s\";"});
    fd = ask(&f, BYTES(PHYSICAL));
    hear_fatal(fd, "53300", "query_wait_timeout: no server became free for the login");
    close(fd);
    front_fini(&f);
}

/* What a client sends too early is kept for its server, and no more than that. */
FRONT_TEST(own, it_leaves)
{
    struct front f;
    int fd, told;

    front_init(&f, &(struct front_config){.engine = *engine});
    fd = ask(&f, BYTES(PHYSICAL));
    say(fd, BYTES("Q\0\0\0\x14IDENTIFY_SYSTEM\0"));
    front_sync(&f);
    close(fd);
    front_await_clients(&f, 0);
    told = ask(&f, BYTES(PHYSICAL));
    front_stop(&f);
    hear_fatal(told, "57P01", "shutting down");
    close(told);
    front_fini(&f);
}

FRONT_TEST(own, a_database_that_is_not_there)
{
    struct front f;
    int fd;

    front_init(&f, &(struct front_config){.engine = *engine});
    fd = front_connect(&f);
    say_packet(fd, BYTES(V3 "user\0alice\0replication\0true\0\0"));
    hear_fatal(fd, "3D000", "database \"alice\" does not exist in the configuration, where");
    close(fd);
    front_fini(&f);
}
