#include "front.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "pgwire/build.h"
#include "pgwire/endian.h"
#include "pgwire/message_backend.h"
#include "weir/auth/keys.h"
#include "weir/auth/server_auth.h"
#include "weir/auth/users.h"
#include "weir/auth/wire.h"

struct criterion_test_params front_engines(void)
{
    static enum loop_engine engines[] = {LOOP_ENGINE_URING, LOOP_ENGINE_EPOLL};

    return cr_make_param_array(enum loop_engine, engines, 2);
}

/* ---- reactors ---- */

static void *run(void *ctx)
{
    struct thread *self = ctx;
    struct front *f = CONTAINER_OF(self->crew, struct front, crew);

    cr_assert_eq(log_attach(f->log, "reactor"), 0);
    cr_assert_eq(loop_run(self->loop), 0);
    log_detach();
    return NULL;
}

static int keep(struct log_sink *s, const struct log_line *lines, unsigned n, unsigned *n_written)
{
    struct front *f = CONTAINER_OF(s, struct front, sink);

    for (unsigned i = 0; i < n && f->n_text + lines[i].len < sizeof(f->text); i++) {
        memcpy(f->text + f->n_text, lines[i].text, lines[i].len);
        f->n_text += lines[i].len;
    }
    *n_written = n;
    return 0;
}

static void load(struct front *f, const struct front_config *config)
{
    char text[1024];
    struct conf_error conf_error;
    struct users_error users_error;
    const char *users = config->users != NULL ? config->users : "\"alice\" \"pencil\"\n";

    snprintf(text, sizeof(text), "weir = { %s }; databases = ( { name = \"app\"; } );",
             config->weir != NULL ? config->weir : "auth_type = \"trust\";");
    cr_assert_eq(conf_load_text("/front.conf", span_str(text), &f->conf, &conf_error), 0, "%s",
                 conf_error.text);
    cr_assert_eq(users_load_text("/users", span_str(users), &f->users, &users_error), 0, "%s",
                 users_error.text);
}

static void make_loops(struct front *f, const struct front_config *config)
{
    f->crew.n_reactors = config->n_reactors == 0 ? 1 : config->n_reactors;
    cr_assert_leq(f->crew.n_reactors, FRONT_REACTORS_MAX);
    for (unsigned i = 0; i < f->crew.n_reactors; i++) {
        struct thread *t = &f->crew.threads[i];
        struct loop_config loop_config = {
            .engine = config->engine, .arena = f->arena, .on_mail = thread_open_mail, .ctx = t};
        int error = loop_new(&t->loop, &loop_config);

        if (config->engine == LOOP_ENGINE_URING && (error == -EPERM || error == -ENOSYS))
            cr_skip_test("io_uring is refused here");
        cr_assert_eq(error, 0);
        t->number = i;
        t->crew = &f->crew;
    }
}

void front_init(struct front *f, const struct front_config *config)
{
    const struct arena_config chunks = {.chunk_size = 131072, .n_chunks = 128};

    memset(f, 0, sizeof(*f));
    f->sink.write = keep;
    cr_assert_eq(sem_init(&f->gone, 0, 0), 0);
    cr_assert_eq(arena_new(&f->arena, &chunks), 0);
    cr_assert_eq(jobs_new(&f->jobs, 1), 0);
    cr_assert_eq(keys_new(&f->keys, 16), 0);
    cr_assert_eq(log_new(&f->log, &(struct log_config){.sink = &f->sink,
                                                       .level = LOG_LEVEL_INFO,
                                                       .ring_size = LOG_RING_SIZE_MIN}),
                 0);
    load(f, config);
    script_init(&f->pools, &f->conf->weir.policy);
    make_loops(f, config);

    struct sessions_config sessions_config = {.conf = f->conf,
                                              .users = f->users,
                                              .keys = f->keys,
                                              .pools = &f->pools,
                                              .crew = &f->crew,
                                              .jobs = f->jobs,
                                              .arena = f->arena,
                                              .service = config->service};

    cr_assert_eq(sessions_new(&f->sessions, &sessions_config), 0);
    for (unsigned i = 0; i < f->crew.n_reactors; i++)
        cr_assert_eq(pthread_create(&f->threads[i], NULL, run, &f->crew.threads[i]), 0);
}

static void patient_wait(sem_t *s)
{
    struct timespec deadline;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += FRONT_PATIENCE_S;
    while (sem_timedwait(s, &deadline) < 0)
        cr_assert_eq(errno, EINTR, "a reactor never answered");
}

struct errand {
    struct letter letter;
    void (*fn)(struct thread *self, void *ctx);
    void *ctx;
    sem_t done;
};

static void run_errand(struct letter *l, struct thread *self)
{
    struct errand *e = CONTAINER_OF(l, struct errand, letter);

    e->fn(self, e->ctx);
    sem_post(&e->done);
}

void front_do(struct front *f, unsigned reactor, void (*fn)(struct thread *self, void *ctx),
              void *ctx)
{
    struct errand e = {.letter.open = run_errand, .fn = fn, .ctx = ctx};

    cr_assert_eq(sem_init(&e.done, 0, 0), 0);
    thread_post(&f->crew.threads[reactor], &e.letter);
    patient_wait(&e.done);
    sem_destroy(&e.done);
}

static void nothing(struct thread *self, void *ctx)
{
    (void)self;
    (void)ctx;
}

void front_sync(struct front *f)
{
    for (unsigned turn = 0; turn < 3; turn++) {
        for (unsigned i = 0; i < f->crew.n_reactors; i++)
            front_do(f, i, nothing, NULL);
    }
}

void front_await_clients(struct front *f, unsigned n)
{
    struct timespec begin, now;
    unsigned left;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        front_sync(f);
        left = 0;
        for (unsigned i = 0; i < f->crew.n_reactors; i++)
            left += sessions_n_clients(&f->crew.threads[i]);
        clock_gettime(CLOCK_MONOTONIC, &now);
        cr_assert_lt(now.tv_sec - begin.tv_sec, FRONT_PATIENCE_S, "%u clients, not %u", left, n);
    } while (left != n);
}

uint64_t front_count(struct front *f, size_t offset_of_counter)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < f->crew.n_reactors; i++) {
        const char *counters = (const char *)sessions_counters(&f->crew.threads[i]);

        sum += counter_read((const struct counter *)(const void *)(counters + offset_of_counter));
    }
    return sum;
}

void front_await_gone(struct front *f)
{
    patient_wait(&f->gone);
}

static void gone(void *ctx)
{
    struct front *f = ctx;

    sem_post(&f->gone);
}

static void stop_sessions(struct thread *self, void *ctx)
{
    sessions_stop(self, gone, ctx);
}

void front_stop(struct front *f)
{
    f->stopped = true;
    for (unsigned i = 0; i < f->crew.n_reactors; i++)
        front_do(f, i, stop_sessions, f);
    for (unsigned i = 0; i < f->crew.n_reactors; i++)
        front_await_gone(f);
}

static void stop_loop(struct thread *self, void *ctx)
{
    (void)ctx;
    loop_stop(self->loop);
}

void front_fini(struct front *f)
{
    if (!f->stopped)
        front_stop(f);
    for (unsigned i = 0; i < f->crew.n_reactors; i++) {
        cr_assert_eq(sessions_n_clients(&f->crew.threads[i]), 0);
        front_do(f, i, stop_loop, NULL);
        pthread_join(f->threads[i], NULL);
    }
    jobs_free(f->jobs);
    for (unsigned i = 0; i < f->crew.n_reactors; i++) /* nobody can be in a post to it any more */
        loop_free(f->crew.threads[i].loop);
    for (unsigned i = 0; i < SCRIPT_POOLS; i++) {
        cr_assert_eq(script_n_waiting(&f->pools.items[i]), 0);
        cr_assert_eq(script_n_awaiting(&f->pools.items[i]), 0);
        cr_assert_eq(script_n_own(&f->pools.items[i]), 0);
    }
    log_free(f->log);
    sessions_free(f->sessions);
    keys_free(f->keys);
    users_put(f->users);
    conf_put(f->conf);
    cr_assert_eq(arena_n_used(f->arena), 0, "%zu chunks are lost", arena_n_used(f->arena));
    arena_free(f->arena);
    sem_destroy(&f->gone);
    f->text[f->n_text] = '\0';
}

/* ---- clients ---- */

struct arrival {
    struct sessions *sessions;
    int fd;
};

static void accept_on(struct thread *self, void *ctx)
{
    struct arrival *a = ctx;

    sessions_accept(a->sessions, self, a->fd);
}

/* TCP, for a Unix socket does not tell a reset from an orderly end. */
static void connect_pair(in_addr_t source, int *client, int *accepted)
{
    const struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(source)};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    struct timeval patience = {.tv_sec = FRONT_PATIENCE_S};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_geq(listener, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&a, len), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&a, &len), 0);
    *client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(*client, 0);
    cr_assert_eq(bind(*client, (const struct sockaddr *)&from, sizeof(from)), 0);
    cr_assert_eq(connect(*client, (struct sockaddr *)&a, len), 0);
    *accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    cr_assert_geq(*accepted, 0);
    close(listener);
    stream_set_options(*client, &(struct stream_options){0});
    stream_set_options(*accepted, &(struct stream_options){0});
    setsockopt(*client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(*client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

void front_connect_pair(int *client, int *accepted)
{
    connect_pair(INADDR_LOOPBACK, client, accepted);
}

int front_connect(struct front *f)
{
    return front_connect_from(f, INADDR_LOOPBACK);
}

int front_connect_from(struct front *f, in_addr_t source)
{
    struct arrival a = {.sessions = f->sessions};
    int fd;

    connect_pair(source, &fd, &a.fd);
    front_do(f, 0, accept_on, &a);
    return fd;
}

void say(int fd, const void *bytes, size_t len)
{
    cr_assert_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len, "%s", strerror(errno));
}

void say_startup(int fd, const char *user, const char *database)
{
    uint8_t buf[512];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    const struct pgw_param params[] = {{pgw_span_str("user"), pgw_span_str(user)},
                                       {pgw_span_str("database"), pgw_span_str(database)}};

    pgw_build_startup(&w, PGW_VERSION_3_0, params, 2);
    say(fd, buf, w.len);
}

void hear_bytes(int fd, void *out, size_t len)
{
    size_t n = 0;

    while (n < len) {
        ssize_t got = recv(fd, (uint8_t *)out + n, len - n, 0);

        if (got < 0 && errno == EINTR)
            continue;
        cr_assert_gt(got, 0, "%zu of %zu bytes came, then %s", n, len,
                     got < 0 ? strerror(errno) : "the end");
        n += (size_t)got;
    }
}

void hear(int fd, struct heard *out)
{
    uint8_t header[PGW_HEADER_LEN];

    hear_bytes(fd, header, sizeof(header));
    out->type = header[0];
    out->len = pgw_load_u32(header + PGW_TYPE_LEN) - PGW_LENGTH_LEN;
    cr_assert_leq(out->len, sizeof(out->body));
    if (out->len > 0)
        hear_bytes(fd, out->body, out->len);
}

void hear_end(int fd)
{
    uint8_t byte;
    ssize_t n;

    do {
        n = recv(fd, &byte, 1, 0);
    } while (n < 0 && errno == EINTR);
    cr_assert_eq(n, 0, "instead of the end: %zd, %s", n, n < 0 ? strerror(errno) : "data");
}

static bool contains(struct pgw_span text, const char *part)
{
    return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

void check_fatal(const struct heard *h, const char *sqlstate, const char *text)
{
    struct pgw_report_fields error;

    cr_assert_eq(h->type, PGW_B_ERROR_RESPONSE, "not an error but '%c'", h->type);
    cr_assert_eq(pgw_read_report(pgw_span_of(h->body, h->len), &error), PGW_READY);
    cr_assert(pgw_span_is(error.severity, "FATAL"));
    cr_assert(pgw_span_is(error.sqlstate, sqlstate), "%.*s: %.*s", (int)error.sqlstate.len,
              (const char *)error.sqlstate.ptr, (int)error.message.len,
              (const char *)error.message.ptr);
    cr_assert(contains(error.message, text), "'%s' is not in: %.*s", text, (int)error.message.len,
              (const char *)error.message.ptr);
}

void hear_fatal(int fd, const char *sqlstate, const char *text)
{
    struct heard h;

    hear(fd, &h);
    check_fatal(&h, sqlstate, text);
    hear_end(fd);
}

static const uint8_t auth_ok[] = {'R', 0, 0, 0, 8, 0, 0, 0, 0};

static void hear_rest_of_greeting(int fd, uint8_t key[KEY_LEN])
{
    uint8_t bytes[SCRIPT_GREETING_LEN + PGW_HEADER_LEN + KEY_LEN + 6], *at = bytes;

    hear_bytes(fd, bytes, sizeof(bytes));
    cr_assert_arr_eq(at, SCRIPT_GREETING, SCRIPT_GREETING_LEN);
    at += SCRIPT_GREETING_LEN;
    cr_assert_arr_eq(at, "K\0\0\0\x0c", PGW_HEADER_LEN);
    at += PGW_HEADER_LEN;
    cr_assert_neq(pgw_load_u32(at), 0, "a client's pid is never 0");
    if (key != NULL)
        memcpy(key, at, KEY_LEN);
    cr_assert_arr_eq(at + KEY_LEN, "Z\0\0\0\x05I", 6);
}

void hear_greeting(int fd, uint8_t key[KEY_LEN])
{
    uint8_t bytes[sizeof(auth_ok)];

    hear_bytes(fd, bytes, sizeof(bytes));
    cr_assert_arr_eq(bytes, auth_ok, sizeof(auth_ok), "not AuthenticationOk but '%c'", bytes[0]);
    hear_rest_of_greeting(fd, key);
}

int front_login(struct front *f, const char *database, uint8_t key[KEY_LEN])
{
    int fd = front_connect(f);

    say_startup(fd, SCRIPT_USER, database);
    hear_greeting(fd, key);
    return fd;
}

bool authenticate(int fd, const char *user, const char *password, struct heard *out)
{
    struct server_auth_config config = {.user = span_str(user), .password = span_str(password)};
    struct server_auth auth;
    enum server_auth_result result = SERVER_AUTH_WAIT;

    cr_assert_eq(keys_new(&config.keys, 1), 0);
    server_auth_init(&auth, &config);
    while (result != SERVER_AUTH_OK) {
        uint8_t buf[2048];
        struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));

        hear(fd, out);
        if (out->type != PGW_B_AUTHENTICATION)
            break;
        result = server_auth_message(&auth, span_of(out->body, out->len), &w);
        if (result == SERVER_AUTH_WORK) {
            server_auth_work(&auth);
            result = server_auth_worked(&auth, &w);
        }
        cr_assert(result == SERVER_AUTH_SEND || result == SERVER_AUTH_WAIT ||
                  result == SERVER_AUTH_OK);
        if (w.len > 0)
            say(fd, buf, w.len);
    }
    server_auth_fini(&auth);
    keys_free(config.keys);
    return result == SERVER_AUTH_OK;
}
