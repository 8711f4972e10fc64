/*
 * From the startup packet to ReadyForQuery: the methods, what a client may send meanwhile, cold
 * pools, and helpers that answer when nobody is there any more.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "front.h"
#include "pgwire/build.h"
#include "weir/auth/digest.h"
#include "weir/auth/secret.h"

#define BYTES(text) (text), sizeof(text) - 1
#define PASSWORD "pencil"

static const struct {
    const char *name;
    const char *weir;
} methods[] = {
    {"trust", "auth_type = \"trust\";"},
    {"password", "auth_type = \"password\"; scram_iterations = 16;"},
    {"md5", "auth_type = \"md5\"; scram_iterations = 16;"},
    {"scram", "auth_type = \"scram-sha-256\"; scram_iterations = 16;"},
};
#define N_METHODS (sizeof(methods) / sizeof(methods[0]))

/* Three users with the same password, stored in the three ways. */
static void write_users(char out[1024])
{
    struct scram_verifier v = {.iterations = 16, .salt_len = 16, .salt = {7}};
    char md5[MD5_HEX_LEN + 1] = "", salt[BASE64_LEN(16) + 1] = "";
    char stored[BASE64_LEN(SHA256_LEN) + 1] = "", server[BASE64_LEN(SHA256_LEN) + 1] = "";

    digest_md5_hex(span_str(PASSWORD), span_str("hashed"), md5);
    cr_assert(scram_derive(span_str(PASSWORD), &v, NULL));
    base64_encode(span_of(v.salt, v.salt_len), salt);
    base64_encode(span_of(v.stored_key, SHA256_LEN), stored);
    base64_encode(span_of(v.server_key, SHA256_LEN), server);
    snprintf(out, 1024,
             "\"plain\" \"" PASSWORD "\"\n\"hashed\" \"md5%s\"\n"
             "\"salted\" \"SCRAM-SHA-256$16:%s$%s:%s\"\n",
             md5, salt, stored, server);
}

static void rest_of_greeting(int fd)
{
    uint8_t bytes[SCRIPT_GREETING_LEN + PGW_HEADER_LEN + KEY_LEN + 6];

    hear_bytes(fd, bytes, sizeof(bytes));
    cr_assert_eq(bytes[0], 'S');
    cr_assert_arr_eq(bytes + sizeof(bytes) - 6, "Z\0\0\0\x05I", 6);
}

static void check_refused(const struct heard *h, const char *user)
{
    char text[128];

    snprintf(text, sizeof(text), "password authentication failed for user \"%s\"", user);
    check_fatal(h, "28P01", text);
}

static void try_user(struct front *f, const char *user, const char *password, bool gets_in)
{
    struct heard h;
    int fd = front_connect(f);

    say_startup(fd, user, "app");
    if (authenticate(fd, user, password, &h)) {
        cr_assert(gets_in, "%s with %s", user, password);
        rest_of_greeting(fd);
    } else {
        cr_assert_not(gets_in, "%s with %s", user, password);
        check_refused(&h, user);
        hear_end(fd);
    }
    close(fd);
}

FRONT_TEST(login, methods)
{
    static const char *const users[] = {"plain", "hashed", "salted", "nobody"};
    char text[1024];

    write_users(text);
    for (size_t m = 0; m < N_METHODS; m++) {
        struct front f;
        bool trust = m == 0, scram = m == N_METHODS - 1;

        front_init(
            &f, &(struct front_config){.engine = *engine, .weir = methods[m].weir, .users = text});
        for (size_t u = 0; u < 4; u++) {
            bool exists = u < 3 && !(scram && u == 1);

            try_user(&f, users[u], PASSWORD, exists || trust);
            try_user(&f, users[u], "pencils", trust);
        }
        cr_assert_eq(FRONT_COUNT(&f, n_logins) + FRONT_COUNT(&f, n_refused), 8);
        front_fini(&f);
    }
}

/* What a stranger may not do. */
FRONT_TEST(login, violations)
{
    static const struct {
        const char *name;
        const char *bytes;
        size_t len;
        const char *sqlstate, *text; /* NULL: closed without a word */
    } cases[] = {
        {"a query", BYTES("Q\0\0\0\x0dselect 1\0"), "08P01", "\"Q\""},
        {"goodbye", BYTES("X\0\0\0\4"), NULL, NULL},
        {"no letter", BYTES("\0\0\0\0\4"), "08P01", "invalid"},
        {"too long a message", BYTES("p\0\1\0\0"), "08P01", "invalid"},
        {"a length below itself", BYTES("p\0\0\0\3"), "08P01", "invalid"},
        {"no NUL", BYTES("p\0\0\0\7abc"), "08P01", "malformed"},
    };
    struct front f;

    front_init(&f, &(struct front_config){.engine = *engine, .weir = methods[1].weir});
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = front_connect(&f);

        cr_log_info("%s", cases[i].name);
        say_startup(fd, "alice", "app");
        hear_bytes(fd, (uint8_t[9]){0}, 9);
        say(fd, cases[i].bytes, cases[i].len);
        if (cases[i].text != NULL)
            hear_fatal(fd, cases[i].sqlstate, cases[i].text);
        else
            hear_end(fd);
        close(fd);
    }
    front_fini(&f);
}

/* PostgreSQL takes passwords of 64 KB; here a message longer than the buffer ends it. */
FRONT_TEST(login, long_password)
{
    static uint8_t password[20000] = {PGW_F_PASSWORD, 0, 0, 0x4e, 0x1f};
    struct front f;
    int fd;

    memset(password + PGW_HEADER_LEN, 'x', sizeof(password) - PGW_HEADER_LEN);
    front_init(&f, &(struct front_config){.engine = *engine, .weir = methods[1].weir});
    fd = front_connect(&f);
    say_startup(fd, "alice", "app");
    hear_bytes(fd, (uint8_t[9]){0}, 9);
    say(fd, password, sizeof(password));
    hear_fatal(fd, "08P01", "too much");
    close(fd);
    front_fini(&f);
}

FRONT_TEST(login, pools_refuse)
{
    static const struct {
        const char *database, *sqlstate, *text;
    } cases[] = {
        {"nowhere", "3D000", "database \"nowhere\" does not exist"},
        {"full", "53300", "max_pools"},
        {"nomemory", "53200", "memory"},
        {"nojoin", "53200", "memory"},
    };
    struct front f;

    front_init(&f, &(struct front_config){.engine = *engine});
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = front_connect(&f);

        say_startup(fd, "alice", cases[i].database);
        hear_fatal(fd, cases[i].sqlstate, cases[i].text);
        close(fd);
    }
    front_fini(&f);
}

/* Nobody learns without a password which databases there are. */
FRONT_TEST(login, password_before_database)
{
    struct front f;
    struct heard h;
    int fd;

    front_init(&f, &(struct front_config){.engine = *engine, .weir = methods[1].weir});
    fd = front_connect(&f);
    say_startup(fd, "alice", "nowhere");
    cr_assert_not(authenticate(fd, "alice", "pencils", &h));
    check_refused(&h, "alice");
    close(fd);
    front_fini(&f);
}

/* ---- a cold pool ---- */

static void warm(struct thread *self, void *ctx)
{
    script_warm(ctx, self);
}

static void fail(struct thread *self, void *ctx)
{
    script_fail(ctx, self, "28P01", "the server refused the password");
}

/* Returns when so many clients wait for a server, and for the greeting. */
static void await_numbers(struct front *f, struct pool *p, unsigned n_waiting, unsigned n_awaiting)
{
    unsigned patience = 100000, waiting, awaiting;

    do {
        front_sync(f);
        waiting = script_n_waiting(p);
        awaiting = script_n_awaiting(p);
        cr_assert_gt(--patience, 0, "%u wait, %u await a greeting", waiting, awaiting);
    } while (waiting != n_waiting || awaiting != n_awaiting);
}

FRONT_TEST(login, cold_pool)
{
    struct front f;
    struct pool *p = &f.pools.items[SCRIPT_COLD];
    int fds[3];

    front_init(&f, &(struct front_config){.engine = *engine});
    for (unsigned i = 0; i < 3; i++) {
        fds[i] = front_connect(&f);
        say_startup(fds[i], "alice", "cold");
    }
    await_numbers(&f, p, 0, 3);
    close(fds[1]);
    await_numbers(&f, p, 0, 2);
    front_do(&f, 0, warm, p);
    hear_greeting(fds[0], NULL);
    hear_greeting(fds[2], NULL);
    close(fds[0]);
    close(fds[2]);
    front_fini(&f);
}

FRONT_TEST(login, cold_pool_fails)
{
    struct front f;
    struct pool *p = &f.pools.items[SCRIPT_COLD];
    int fd;

    front_init(&f, &(struct front_config){.engine = *engine});
    fd = front_connect(&f);
    say_startup(fd, "alice", "cold");
    await_numbers(&f, p, 0, 1);
    front_do(&f, 0, fail, p);
    hear_fatal(fd, "28P01", "the server refused the password");
    close(fd);
    front_fini(&f);
}

/* Whichever is first; the client is told what went wrong at the server, if something has. */
FRONT_TEST(login, cold_pool_timeouts)
{
    static const struct pool_failure refused = {"08001", "cannot connect to server"};
    static const struct {
        const char *weir, *text;
        const struct pool_failure *last_failure;
    } cases[] = {
        {"query_wait_timeout = \"50ms\";",
         "query_wait_timeout: no login at the server succeeded in 0.050 s", NULL},
        {"query_wait_timeout = 0; client_login_timeout = \"100ms\";",
         "client_login_timeout: no login at the server succeeded in 0.100 s", NULL},
        {"query_wait_timeout = 60; client_login_timeout = \"100ms\";",
         "client_login_timeout: no login at the server succeeded in 0.100 s; the last one: "
         "cannot connect to server",
         &refused},
        {"query_wait_timeout = \"50ms\";",
         "query_wait_timeout: no login at the server succeeded in 0.050 s; the last one: "
         "cannot connect to server",
         &refused},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct front f;
        char weir[128];
        int fd;

        snprintf(weir, sizeof(weir), "auth_type = \"trust\"; %s", cases[i].weir);
        front_init(&f, &(struct front_config){.engine = *engine, .weir = weir});
        f.pools.items[SCRIPT_COLD].last_failure = cases[i].last_failure;
        fd = front_connect(&f);
        say_startup(fd, "alice", "cold");
        hear_fatal(fd, "53300", cases[i].text);
        cr_assert_eq(FRONT_COUNT(&f, n_violations), 0);
        close(fd);
        front_fini(&f);
    }
}

/* A client that is in is not under the login's timeout any more. */
FRONT_TEST(login, timeout_ends_with_the_login)
{
    struct front f;
    struct pool *p = &f.pools.items[SCRIPT_COLD];
    int warm_fd, cold_fd, late_fd;

    front_init(&f, &(struct front_config){
                       .engine = *engine,
                       .weir = "auth_type = \"trust\"; client_login_timeout = \"200ms\";"});
    warm_fd = front_login(&f, "app", NULL);
    cold_fd = front_connect(&f);
    say_startup(cold_fd, "alice", "cold");
    await_numbers(&f, p, 0, 1);
    front_do(&f, 0, warm, p);
    hear_greeting(cold_fd, NULL);
    late_fd = front_connect(&f);
    hear_end(late_fd); /* its time is over, and so would be that of the others */
    say(warm_fd, BYTES("S\0\0\0\4"));
    hear_bytes(warm_fd, (uint8_t[6]){0}, 6);
    say(cold_fd, BYTES("S\0\0\0\4"));
    hear_bytes(cold_fd, (uint8_t[6]){0}, 6);
    close(warm_fd);
    close(cold_fd);
    close(late_fd);
    front_fini(&f);
}

/* ---- bytes behind the login ---- */

/* The startup packet and a query in one piece: the relay gets all of it, though part of it had to
 * be kept while the login went on. It waits for a server, as the scripted pool has none. */
static int query_behind(struct front *f, struct pool *p, size_t query_len)
{
    static const char text[200000];
    static uint8_t bytes[256 + sizeof(text)];
    struct pgw_writer w = pgw_writer_of(bytes, sizeof(bytes));
    const struct pgw_param params[] = {{pgw_span_str("user"), pgw_span_str("alice")},
                                       {pgw_span_str("database"), pgw_span_str(p->database)}};
    int fd = front_connect(f);

    pgw_build_startup(&w, PGW_VERSION_3_0, params, 2);
    pgw_writer_begin(&w, PGW_F_QUERY);
    pgw_writer_bytes(&w, pgw_span_of(text, query_len));
    pgw_writer_end(&w);
    say(fd, bytes, w.len);
    if (p->cold) {
        await_numbers(f, p, 0, 1);
        front_do(f, 0, warm, p);
    }
    hear_greeting(fd, NULL);
    await_numbers(f, p, 1, 0);
    return fd;
}

/* How the connection ends then depends on how much of the query nobody has read. */
static void check_stopped(int fd)
{
    struct heard h;

    hear(fd, &h);
    check_fatal(&h, "57P01", "shutting down");
}

FRONT_TEST(login, early_bytes)
{
    /* A few, what fills the buffer to the brim, more than that, more than is held. */
    static const size_t lens[] = {1, 9000, 9950, 9963, 9964, 9965, 10004, 12000, 60000, 200000};

    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct front f;
        int warm_fd, cold_fd;

        front_init(&f, &(struct front_config){.engine = *engine});
        warm_fd = query_behind(&f, &f.pools.items[SCRIPT_APP], lens[i]);
        cold_fd = query_behind(&f, &f.pools.items[SCRIPT_COLD], lens[i]);
        front_stop(&f); /* both wait: they are told to go */
        check_stopped(warm_fd);
        check_stopped(cold_fd);
        close(warm_fd);
        close(cold_fd);
        front_fini(&f);
    }
}

/* A startup packet, many a Sync, and goodbye, all at once: each is answered, in this order, and
 * none twice. */
static void syncs_behind(struct front *f, struct pool *p, unsigned n)
{
    static uint8_t bytes[32768];
    struct pgw_writer w = pgw_writer_of(bytes, sizeof(bytes));
    const struct pgw_param params[] = {{pgw_span_str("user"), pgw_span_str("alice")},
                                       {pgw_span_str("database"), pgw_span_str(p->database)}};
    int fd = front_connect(f);

    pgw_build_startup(&w, PGW_VERSION_3_0, params, 2);
    for (unsigned i = 0; i < n; i++)
        pgw_build_bare(&w, PGW_F_SYNC);
    cr_assert_not(w.full);
    say(fd, bytes, w.len);
    if (p->cold) {
        await_numbers(f, p, 0, 1);
        front_sync(f);
        front_do(f, 0, warm, p);
    }
    hear_greeting(fd, NULL);
    for (unsigned i = 0; i < n; i++) {
        uint8_t ready[6];

        hear_bytes(fd, ready, sizeof(ready));
        cr_assert_arr_eq(ready, "Z\0\0\0\x05I", 6);
    }
    say(fd, BYTES("X\0\0\0\4"));
    hear_end(fd);
    close(fd);
}

/* A client that says goodbye at once is let in first. */
FRONT_TEST(login, early_goodbye)
{
    struct front f;
    int fd;

    front_init(&f, &(struct front_config){.engine = *engine});
    fd = front_connect(&f);
    say(fd, BYTES("\0\0\0\x21\0\3\0\0user\0alice\0database\0app\0\0X\0\0\0\4"));
    hear_greeting(fd, NULL);
    hear_end(fd);
    close(fd);
    front_fini(&f);
}

FRONT_TEST(login, early_messages)
{
    static const unsigned numbers[] = {0, 1, 100, 1990, 2000, 2010, 3000, 3200};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct front f;

        front_init(&f, &(struct front_config){.engine = *engine});
        syncs_behind(&f, &f.pools.items[SCRIPT_APP], numbers[i]);
        syncs_behind(&f, &f.pools.items[SCRIPT_COLD], numbers[i]);
        front_fini(&f);
    }
}

/* ---- helpers ---- */

/* The one helper is busy until it is let go, so that logins stay with it. */
struct blocker {
    struct job job;
    sem_t begun, go;
};

static void block(struct job *j)
{
    struct blocker *b = CONTAINER_OF(j, struct blocker, job);

    sem_post(&b->begun);
    while (sem_wait(&b->go) < 0)
        continue;
}

static void let_go(struct job *j)
{
    (void)j;
}

static void block_helper(struct front *f, struct blocker *b)
{
    *b = (struct blocker){.job = {.run = block, .done = let_go}};
    cr_assert_eq(sem_init(&b->begun, 0, 0), 0);
    cr_assert_eq(sem_init(&b->go, 0, 0), 0);
    jobs_submit(f->jobs, &b->job);
    while (sem_wait(&b->begun) < 0)
        continue;
}

/* Sends a wrong password, which is not known to be so before the helper has worked. */
static int give_work(struct front *f)
{
    int fd = front_connect(f);

    say_startup(fd, "alice", "app");
    hear_bytes(fd, (uint8_t[9]){0}, 9);
    say(fd, BYTES("p\0\0\0\x0awrong\0"));
    front_sync(f);
    return fd;
}

FRONT_TEST(login, client_leaves_its_helper)
{
    struct front f;
    struct blocker b;
    int gone, stays;

    front_init(&f, &(struct front_config){.engine = *engine, .weir = methods[1].weir});
    block_helper(&f, &b);
    gone = give_work(&f);
    stays = give_work(&f);
    close(gone);
    front_sync(&f);
    front_await_clients(&f, 2); /* its slot waits for the helper */
    sem_post(&b.go);
    hear_fatal(stays, "28P01", "alice");
    front_await_clients(&f, 0);
    close(stays);
    front_fini(&f);
}

FRONT_TEST(login, timeout_while_a_helper_works)
{
    struct front f;
    struct blocker b;
    int fd;

    front_init(&f, &(struct front_config){
                       .engine = *engine,
                       .weir = "auth_type = \"password\"; client_login_timeout = \"100ms\";"});
    block_helper(&f, &b);
    fd = give_work(&f);
    hear_fatal(fd, "08P01", "client_login_timeout");
    close(fd);
    sem_post(&b.go);
    front_fini(&f);
}

static void count_stopped(void *ctx)
{
    sem_post(ctx);
}

static void begin_stop(struct thread *self, void *ctx)
{
    sessions_stop(self, count_stopped, ctx);
}

/* A reactor is not done before the helper is. */
FRONT_TEST(login, stop_while_a_helper_works)
{
    struct front f;
    struct blocker b;
    int fd;

    front_init(&f, &(struct front_config){.engine = *engine, .weir = methods[1].weir});
    block_helper(&f, &b);
    fd = give_work(&f);
    f.stopped = true;
    front_do(&f, 0, begin_stop, &f.gone);
    hear_fatal(fd, "57P01", "shutting down");
    front_sync(&f);
    cr_assert_lt(sem_trywait(&f.gone), 0);
    sem_post(&b.go);
    front_await_gone(&f);
    close(fd);
    front_fini(&f);
}

/* What comes while a helper works waits its turn, as far as there is room for it. */
FRONT_TEST(login, bytes_while_a_helper_works)
{
    static uint8_t much[10005];
    char users[1024];
    struct front f;
    struct blocker b;
    int fd, flood;

    write_users(users);
    front_init(&f,
               &(struct front_config){.engine = *engine, .weir = methods[1].weir, .users = users});
    block_helper(&f, &b);
    fd = front_connect(&f);
    say_startup(fd, "salted", "app");
    hear_bytes(fd, (uint8_t[9]){0}, 9);
    say(fd, BYTES("p\0\0\0\x0b" PASSWORD "\0S\0\0\0\4X\0\0\0\4"));
    flood = front_connect(&f);
    say_startup(flood, "salted", "app");
    hear_bytes(flood, (uint8_t[9]){0}, 9);
    say(flood, BYTES("p\0\0\0\x0b" PASSWORD "\0"));
    say(flood, much, sizeof(much));
    hear_fatal(flood, "08P01", "too much");
    sem_post(&b.go);
    hear_greeting(fd, NULL);
    hear_bytes(fd, (uint8_t[6]){0}, 6); /* the answer to Sync */
    hear_end(fd);
    close(fd);
    close(flood);
    front_fini(&f);
}
