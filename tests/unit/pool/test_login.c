/* Logins over real connections: how they end, and that they always do. */
#include <errno.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "rig.h"
#include "weir/base/clock.h"

/* ---- names: in the place of the C library's ---- */

#define NAMES_MAX 12

static struct {
    struct addr addrs[NAMES_MAX]; /* what every name stands for */
    unsigned n_addrs;
    int error;
    bool blocks; /* until `go` */
    sem_t asked, go, freed;
} names;

int find_name(const char *name, const char *service, const struct addrinfo *hints,
              struct addrinfo **found) __asm__("getaddrinfo");
void free_found(struct addrinfo *list) __asm__("freeaddrinfo");

int find_name(const char *name, const char *service, const struct addrinfo *hints,
              struct addrinfo **found)
{
    struct addrinfo *list = NULL;

    cr_assert_str_eq(name, "db.test");
    cr_assert_not_null(service);
    cr_assert_eq(hints->ai_socktype, SOCK_STREAM);
    if (names.blocks) {
        sem_post(&names.asked);
        while (sem_wait(&names.go) != 0)
            ;
    }
    if (names.error != 0)
        return names.error;
    for (unsigned i = names.n_addrs; i-- > 0;) {
        struct addrinfo *one = calloc(1, sizeof(*one));

        *one = (struct addrinfo){
            .ai_addr = &names.addrs[i].any, .ai_addrlen = names.addrs[i].len, .ai_next = list};
        list = one;
    }
    *found = list;
    return 0;
}

void free_found(struct addrinfo *list)
{
    while (list != NULL) {
        struct addrinfo *next = list->ai_next;

        free(list);
        list = next;
    }
    if (names.blocks)
        sem_post(&names.freed);
}

static void names_block(void)
{
    names.blocks = true;
    sem_init(&names.asked, 0, 0);
    sem_init(&names.go, 0, 0);
    sem_init(&names.freed, 0, 0);
}

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) != 0)
        ;
}

/* ---- */

static struct rig *rig_new(enum loop_engine engine, const char *place)
{
    struct rig *r = malloc(sizeof(*r));

    cr_assert_not_null(r);
    rig_init(r, engine, place);
    return r;
}

static void rig_free(struct rig *r)
{
    rig_fini(r);
    free(r);
}

static void start(struct rig *r)
{
    login_start(crew_control(&r->crew), r->server);
    cr_assert_eq(r->n_opened + r->n_failed, 0, "told at once");
}

static void expect_opened(struct rig *r)
{
    uint8_t room[256];

    if (r->server->login == NULL && r->n_failed == 0)
        start(r);
    RIG_UNTIL(r, r->n_opened + r->n_failed == 1);
    cr_assert_eq(r->n_failed, 0, "%s", r->failure.message);
    cr_assert_eq(r->server->backend_pid, BACKEND_PID);
    cr_assert(span_equal(span_of(r->server->key, r->server->key_len), span_of(BACKEND_KEY, 4)));
    cr_assert(
        span_equal(span_of(r->greeting, r->greeting_len), backend_greeting(room, sizeof(room))));
    rig_server_free(r, r->server);
    r->server = NULL;
}

static void expect_failed(struct rig *r, const char *sqlstate, bool permanent, const char *says)
{
    if (r->server->login == NULL && r->n_failed == 0)
        start(r);
    RIG_UNTIL(r, r->n_opened + r->n_failed == 1);
    cr_assert_eq(r->n_failed, 1);
    cr_assert_str_eq(r->failure.sqlstate, sqlstate, "%s", r->failure.message);
    cr_assert_eq(r->permanent, permanent);
    cr_assert_not_null(strstr(r->failure.message, says), "%s", r->failure.message);
}

#define ENGINE_TEST(name)                                                                          \
    ParameterizedTestParameters(login, name)                                                       \
    {                                                                                              \
        static enum loop_engine engines[] = {LOOP_ENGINE_URING, LOOP_ENGINE_EPOLL};                \
                                                                                                   \
        return cr_make_param_array(enum loop_engine, engines, 2);                                  \
    }                                                                                              \
    ParameterizedTest(const enum loop_engine *engine, login, name)

/* ---- it goes well ---- */

ENGINE_TEST(every_method)
{
    for (unsigned method = 0; method < BACKEND_METHODS; method++) {
        for (size_t piece = 0; piece < 20; piece += 19) {
            struct rig *r = rig_new(*engine, method % 2 == 0 ? "127.0.0.1" : NULL);

            r->script.backend.method = (enum backend_method)method;
            r->script.piece = piece;
            expect_opened(r);
            rig_free(r);
        }
    }
}

ENGINE_TEST(the_database_s_password_counts)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");

    r->script.backend.password = "other";
    r->pool->conf.password = "other";
    expect_opened(r);
    rig_free(r);
}

ENGINE_TEST(many_at_once)
{
    enum { N = 50 };
    struct rig *r = rig_new(*engine, "127.0.0.1");
    struct server *servers[N];

    r->script.backend.iterations = 1000;
    for (unsigned i = 0; i < N; i++) {
        servers[i] = rig_server_new(r);
        login_start(crew_control(&r->crew), servers[i]);
    }
    RIG_UNTIL(r, r->n_opened == N);
    cr_assert_eq(r->n_peers, N);
    for (unsigned i = 0; i < N; i++)
        rig_server_free(r, servers[i]);
    rig_free(r);
}

/* ---- names and addresses ---- */

ENGINE_TEST(the_addresses_of_a_name_in_turn)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");

    names.n_addrs = 3;
    names.addrs[0] = names.addrs[1] = rig_closed_port();
    names.addrs[2] = r->socket.addr;
    r->pool->conf.host = "db.test";
    expect_opened(r);
    rig_free(r);
}

/* Of more addresses than are kept the last ones are left out. */
ENGINE_TEST(none_of_the_addresses)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");

    names.n_addrs = NAMES_MAX;
    for (unsigned i = 0; i < NAMES_MAX; i++)
        names.addrs[i] = rig_closed_port();
    r->pool->conf.host = "db.test";
    expect_failed(r, "08001", false, ": Connection refused");
    rig_free(r);
}

/* A listener whose queue is full: connecting to it takes for ever. */
static int full_listener(struct addr *out, int fill[8])
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};

    cr_assert_geq(fd, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    cr_assert_eq(listen(fd, 0), 0);
    cr_assert_eq(addr_local(fd, out), 0);
    for (unsigned i = 0; i < 8; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert_geq(fill[i], 0);
        (void)connect(fill[i], &out->any, out->len);
    }
    return fd;
}

static void full_listener_close(int fd, const int fill[8])
{
    for (unsigned i = 0; i < 8; i++)
        close(fill[i]);
    close(fd);
}

/* An address that does not answer costs its share of the time, and no more. */
ENGINE_TEST(an_address_that_does_not_answer)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");
    int fill[8], fd = full_listener(&names.addrs[0], fill);
    uint64_t begin_ns;

    names.addrs[1] = r->socket.addr;
    names.n_addrs = 2;
    r->pool->conf.host = "db.test";
    r->pool->conf.policy.server_connect_timeout_ns = 2 * NS_PER_S;
    begin_ns = loop_now_ns(r->loop);
    expect_opened(r);
    cr_assert_lt(loop_now_ns(r->loop) - begin_ns, 2 * NS_PER_S);
    full_listener_close(fd, fill);
    rig_free(r);
}

ENGINE_TEST(no_address_answers)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");
    int fill[8], fd = full_listener(&names.addrs[0], fill);
    uint64_t begin_ns = loop_now_ns(r->loop);

    names.addrs[1] = names.addrs[0];
    names.n_addrs = 2;
    r->pool->conf.host = "db.test";
    r->pool->conf.policy.server_connect_timeout_ns = 100 * NS_PER_MS;
    expect_failed(r, "08001", false, ": no answer in time");
    cr_assert_geq(loop_now_ns(r->loop) - begin_ns, 100 * NS_PER_MS);
    full_listener_close(fd, fill);
    rig_free(r);
}

ENGINE_TEST(a_name_that_does_not_exist)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");

    names.error = EAI_NONAME;
    r->pool->conf.host = "db.test";
    expect_failed(r, "08001", false, "cannot resolve host \"db.test\": ");
    rig_free(r);
}

/* The helper is still asking when the login has long been told to have failed. */
ENGINE_TEST(a_name_server_that_does_not_answer)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");

    names_block();
    names.n_addrs = 1;
    names.addrs[0] = r->socket.addr;
    r->pool->conf.host = "db.test";
    r->pool->conf.policy.server_connect_timeout_ns = 20 * NS_PER_MS;
    expect_failed(r, "08001", false, "cannot resolve host \"db.test\" in time");
    cr_assert_eq(r->n_peers, 0);
    sem_post(&names.go);
    rig_free(r); /* waits for the helper */
}

/* The answer is about to come, or in the mailbox, when the time is over. */
ENGINE_TEST(a_name_resolved_too_late)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");

    names_block();
    names.n_addrs = 1;
    names.addrs[0] = r->socket.addr;
    r->pool->conf.host = "db.test";
    start(r);
    wait_for(&names.asked);
    login_abort(crew_control(&r->crew), r->server);
    sem_post(&names.go);
    wait_for(&names.freed);
    expect_failed(r, "57P01", false, "shutting down");
    rig_free(r);
}

ENGINE_TEST(no_address)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");

    r->pool->conf.host = "not a name";
    expect_failed(r, "08001", false, "\"not a name\" is neither an address nor a host name");
    rig_free(r);
}

/* A Unix socket does not let one wait in front of a full queue (connect(2), EAGAIN). */
ENGINE_TEST(a_unix_socket_whose_queue_is_full)
{
    struct rig *r = rig_new(*engine, NULL);
    int fill[2];

    loop_unlisten(&r->listener);
    cr_assert_eq(listen(r->socket.fd, 0), 0);
    for (unsigned i = 0; i < 2; i++) {
        fill[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert_geq(fill[i], 0);
        cr_assert_eq(connect(fill[i], &r->socket.addr.any, r->socket.addr.len) == 0, i == 0);
    }
    start(r);
    for (unsigned i = 0; i < 20; i++)
        rig_turn(r, "a turn");
    cr_assert_eq(r->n_failed, 0, "%s", r->failure.message);
    cr_assert_eq(loop_listen(r->loop, &r->listener), 0);
    expect_opened(r);
    for (unsigned i = 0; i < 2; i++)
        close(fill[i]);
    rig_free(r);

    r = rig_new(*engine, NULL);
    loop_unlisten(&r->listener);
    cr_assert_eq(listen(r->socket.fd, 0), 0);
    fill[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fill[0], &r->socket.addr.any, r->socket.addr.len), 0);
    r->pool->conf.policy.server_connect_timeout_ns = 50 * NS_PER_MS;
    expect_failed(r, "08001", false, "Resource temporarily unavailable");
    close(fill[0]);
    rig_free(r);
}

/* ---- it does not go well ---- */

ENGINE_TEST(nobody_listens)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");
    struct addr nobody = rig_closed_port();
    char text[ADDR_TEXT_SIZE], says[256];

    r->pool->conf.port = addr_port(&nobody);
    snprintf(says, sizeof(says), "cannot connect to server %s: Connection refused",
             addr_text(&nobody, text));
    expect_failed(r, "08001", false, says);
    rig_free(r);

    r = rig_new(*engine, NULL);
    r->pool->conf.port = 1;
    expect_failed(r, "08001", false, "/.s.PGSQL.1: No such file or directory");
    rig_free(r);
}

ENGINE_TEST(refused)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");

    r->script.backend.password = "changed";
    expect_failed(r, "28P01", true, "server login failed: FATAL: password authentication failed");
    rig_free(r);

    r = rig_new(*engine, "127.0.0.1");
    r->script.backend.refusal = "57P03";
    expect_failed(r, "57P03", false, "(57P03)");
    rig_free(r);
}

/* Between two turns, so that timers are due before anything else is told. */
static void let_a_tick_pass(void)
{
    uint64_t until_ns = clock_now_ns() + 2 * NS_PER_MS;

    while (clock_now_ns() < until_ns)
        ;
}

ENGINE_TEST(silence)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");

    r->script.backend.silent = true;
    r->pool->conf.policy.server_connect_timeout_ns = 50 * NS_PER_MS;
    start(r);
    while (r->n_failed == 0) {
        rig_turn(r, "a failure");
        let_a_tick_pass();
    }
    expect_failed(r, "08006", false, "no answer in time");
    RIG_UNTIL(r, r->peers[0]->ended);
    rig_free(r);
}

/* Wherever the server leaves, also within a message. */
ENGINE_TEST(the_server_leaves)
{
    for (size_t after = 1; after < 200; after += 31) {
        struct rig *r = rig_new(*engine, after % 2 == 0 ? "127.0.0.1" : NULL);

        r->script.end_after = after;
        r->script.reset = after % 4 == 0;
        expect_failed(r, "08006", false,
                      after % 4 == 0 ? "Connection reset by peer"
                                     : "the server closed the connection");
        rig_free(r);
    }
}

static const uint8_t flood[40000] = {'N', 0, 1, 0, 0};

ENGINE_TEST(nonsense)
{
    static const struct {
        struct span words;
        const char *says;
    } cases[] = {
        {{(const uint8_t *)"HTTP/1.1 400 Bad Request\r\n", 26}, "not the PostgreSQL protocol"},
        {{(const uint8_t *)"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05IZ", 16}, "more than it was asked for"},
        {{(const uint8_t *)"Z\0\0\0\x05I", 6}, "ReadyForQuery from the server out of order"},
        {{flood, sizeof(flood)}, "too much at once"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig *r = rig_new(*engine, "127.0.0.1");

        r->script.words = cases[i].words;
        expect_failed(r, "08P01", false, cases[i].says);
        rig_free(r);
    }
}

/* ---- helpers, and ending early ---- */

/* Deriving keys takes longer than the login may: it fails when the helper is done. */
ENGINE_TEST(a_helper_that_is_too_slow)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");
    struct scram_verifier v;

    r->script.backend.iterations = 200000;
    backend_verifier(&r->script.backend, &v);
    r->script.backend.verifier = &v;
    r->pool->conf.policy.server_connect_timeout_ns = 20 * NS_PER_MS;
    expect_failed(r, "08006", false, "no answer in time");
    rig_free(r);
}

ENGINE_TEST(ended_early)
{
    for (unsigned n_turns = 0; n_turns < 12; n_turns++) {
        struct rig *r = rig_new(*engine, "127.0.0.1");

        r->script.backend.iterations = 2000;
        start(r);
        for (unsigned i = 0; i < n_turns && r->n_opened == 0; i++)
            rig_turn(r, "a turn");
        if (r->n_opened == 0) {
            login_abort(crew_control(&r->crew), r->server);
            login_abort(crew_control(&r->crew), r->server);
            expect_failed(r, "57P01", false, "shutting down");
        } else {
            rig_server_free(r, r->server);
            r->server = NULL;
        }
        rig_free(r);
    }
}

ENGINE_TEST(ended_while_a_name_is_resolved)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");

    names_block();
    r->pool->conf.host = "db.test";
    start(r);
    wait_for(&names.asked);
    login_abort(crew_control(&r->crew), r->server);
    expect_failed(r, "57P01", false, "shutting down");
    names.error = EAI_AGAIN;
    sem_post(&names.go);
    rig_free(r);
}
