/*
 * Clients of several threads against reactors that accept for each other: logins that a helper
 * works on when their client has gone, cancel requests for clients that are leaving at that moment
 * or whose slot has a new client, and a stop while the last of them leave. Over a scripted pool
 * layer, whose clients wait until they are cancelled; with the epoll engine, as the race detector
 * does not see the ordering that io_uring gives.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/session/script.h"
#include "pgwire/build.h"
#include "pgwire/endian.h"
#include "race.h"
#include "weir/auth/keys.h"
#include "weir/auth/users.h"
#include "weir/base/jobs.h"
#include "weir/session/session.h"

#define N_REACTORS 3
#define N_CLIENTS 4
#define N_ROUNDS 1500
#define N_KEYS 16
#define KEY_LEN (4 + 32) /* a pid and a long secret: of those, any number is looked at */
#define SHORT_LEN (4 + 4)

struct world {
    struct race race;
    struct arena *arena;
    struct jobs *jobs;
    struct keys *keys;
    struct conf *conf;
    struct users *users;
    struct pools pools;
    struct sessions *sessions;
    struct crew crew;
    pthread_t threads[N_REACTORS];
    sem_t gone;
    pthread_mutex_t lock; /* covers cancel_keys */
    uint8_t cancel_keys[N_KEYS][KEY_LEN];
};

/* One thread that is a client again and again. */
struct player {
    struct world *world;
    unsigned number;
    uint64_t n_connects, n_cancelled;
};

/* ---- reactors ---- */

static void *run(void *ctx)
{
    struct thread *self = ctx;

    RACE_CHECK(loop_run(self->loop) == 0);
    return NULL;
}

static void world_init(struct world *w)
{
    static const char conf[] =
        "weir = { auth_type = \"password\"; scram_iterations = 200; log_connections = false; "
        "log_disconnections = false; log_pooler_errors = false; }; "
        "databases = ( { name = \"app\"; } );";
    const struct arena_config chunks = {.chunk_size = 65536, .n_chunks = 1024};
    struct conf_error conf_error;
    struct users_error users_error;

    RACE_CHECK(sem_init(&w->gone, 0, 0) == 0);
    RACE_CHECK(pthread_mutex_init(&w->lock, NULL) == 0);
    RACE_CHECK(arena_new(&w->arena, &chunks) == 0);
    RACE_CHECK(jobs_new(&w->jobs, 2) == 0);
    RACE_CHECK(keys_new(&w->keys, 16) == 0);
    RACE_CHECK(conf_load_text("/race.conf", span_str(conf), &w->conf, &conf_error) == 0);
    RACE_CHECK(users_load_text("/users", span_str("\"alice\" \"pencil\"\n"), &w->users,
                               &users_error) == 0);
    script_init(&w->pools, &w->conf->weir.policy);
    w->crew.n_reactors = N_REACTORS;
    for (unsigned i = 0; i < N_REACTORS; i++) {
        struct thread *t = &w->crew.threads[i];
        const struct loop_config config = {
            .engine = LOOP_ENGINE_EPOLL, .arena = w->arena, .on_mail = thread_open_mail, .ctx = t};

        *t = (struct thread){.number = i, .crew = &w->crew};
        RACE_CHECK(loop_new(&t->loop, &config) == 0);
    }

    const struct sessions_config config = {.conf = w->conf,
                                           .users = w->users,
                                           .keys = w->keys,
                                           .pools = &w->pools,
                                           .crew = &w->crew,
                                           .jobs = w->jobs,
                                           .arena = w->arena};

    RACE_CHECK(sessions_new(&w->sessions, &config) == 0);
    for (unsigned i = 0; i < N_REACTORS; i++)
        RACE_CHECK(pthread_create(&w->threads[i], NULL, run, &w->crew.threads[i]) == 0);
}

/* ---- errands: a letter of its own memory ---- */

struct errand {
    struct letter letter;
    struct world *world;
    int fd;
};

static void post(struct world *w, unsigned reactor, void (*open)(struct letter *, struct thread *),
                 int fd)
{
    struct errand *e = malloc(sizeof(*e));

    RACE_CHECK(e != NULL);
    *e = (struct errand){.letter.open = open, .world = w, .fd = fd};
    thread_post(&w->crew.threads[reactor], &e->letter);
}

static void accept_one(struct letter *l, struct thread *self)
{
    struct errand *e = CONTAINER_OF(l, struct errand, letter);

    sessions_accept(e->world->sessions, self, e->fd);
    free(e);
}

static void client_gone(void *ctx)
{
    struct world *w = ctx;

    sem_post(&w->gone);
}

static void stop_one(struct letter *l, struct thread *self)
{
    struct errand *e = CONTAINER_OF(l, struct errand, letter);

    sessions_stop(self, client_gone, e->world);
    free(e);
}

/* On reactor 0, which accepts: so no client comes to another one that has been told to stop. */
static void stop_all(struct letter *l, struct thread *self)
{
    struct errand *e = CONTAINER_OF(l, struct errand, letter);

    for (unsigned i = 1; i < N_REACTORS; i++)
        post(e->world, i, stop_one, -1);
    stop_one(l, self);
}

static void end_loop(struct letter *l, struct thread *self)
{
    loop_stop(self->loop);
    free(CONTAINER_OF(l, struct errand, letter));
}

/* ---- clients ---- */

static int connect_one(struct player *p)
{
    int fds[2], flags = SOCK_STREAM | SOCK_CLOEXEC;

    RACE_CHECK(socketpair(AF_UNIX, flags, 0, fds) == 0);
    RACE_CHECK(fcntl(fds[1], F_SETFL, O_NONBLOCK) == 0);
    post(p->world, 0, accept_one, fds[1]);
    p->n_connects++;
    return fds[0];
}

static void say(int fd, const struct pgw_writer *w)
{
    (void)!send(fd, w->buf, w->len, MSG_NOSIGNAL); /* it may have been told to go */
}

/* False: the connection has ended. */
static bool hear(int fd, uint8_t *out, size_t len)
{
    return recv(fd, out, len, MSG_WAITALL) == (ssize_t)len;
}

/* The letter of the next message, whose body is in out; 0: the connection has ended. */
static uint8_t hear_message(int fd, uint8_t out[512])
{
    uint8_t header[PGW_HEADER_LEN];

    if (!hear(fd, header, sizeof(header)))
        return 0;

    size_t len = pgw_load_u32(header + PGW_TYPE_LEN) - PGW_LENGTH_LEN;

    RACE_CHECK(len <= 512);
    return len == 0 || hear(fd, out, len) ? header[0] : 0;
}

static uint8_t hear_until(int fd, uint8_t letter, uint8_t out[512])
{
    uint8_t heard;

    do {
        heard = hear_message(fd, out);
    } while (heard != 0 && heard != letter && heard != PGW_B_ERROR_RESPONSE);
    return heard;
}

static void say_login(int fd, const char *password)
{
    static const struct pgw_param params[] = {
        {{(const uint8_t *)"user", 4}, {(const uint8_t *)"alice", 5}},
        {{(const uint8_t *)"database", 8}, {(const uint8_t *)"app", 3}}};
    uint8_t buf[256];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));

    pgw_build_startup(&w, PGW_VERSION_3_2, params, 2);
    pgw_build_password(&w, pgw_span_str(password));
    say(fd, &w);
}

/* The helper is given work; whoever gives it may not wait for the answer. */
static void wrong_password(struct player *p, bool waits)
{
    uint8_t body[512];
    int fd = connect_one(p);

    say_login(fd, "wrong");
    if (waits)
        RACE_CHECK(hear_until(fd, PGW_B_ERROR_RESPONSE, body) == PGW_B_ERROR_RESPONSE);
    close(fd);
}

static void publish(struct world *w, struct random *random, const uint8_t key[KEY_LEN])
{
    pthread_mutex_lock(&w->lock);
    memcpy(w->cancel_keys[random_below(random, N_KEYS)], key, KEY_LEN);
    pthread_mutex_unlock(&w->lock);
}

static void send_cancel(struct player *p, const uint8_t key[KEY_LEN], size_t len)
{
    uint8_t buf[64];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    int fd = connect_one(p);

    pgw_build_cancel(&w, pgw_load_u32(key), pgw_span_of(key + 4, len - 4));
    say(fd, &w);
    close(fd);
}

/* A key that somebody has or had, or its beginning, which is nobody's. */
static void cancel_somebody(struct player *p, struct random *random)
{
    struct world *w = p->world;
    uint8_t key[KEY_LEN];

    pthread_mutex_lock(&w->lock);
    memcpy(key, w->cancel_keys[random_below(random, N_KEYS)], KEY_LEN);
    pthread_mutex_unlock(&w->lock);
    send_cancel(p, key, random_below(random, 2) == 0 ? SHORT_LEN : KEY_LEN);
}

/* A request may be faster than the query that it means, and then does nothing. */
static void until_cancelled(struct player *p, int fd, const uint8_t key[KEY_LEN])
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};

    while (poll(&readable, 1, 5) == 0)
        send_cancel(p, key, KEY_LEN);
    p->n_cancelled++;
}

/* Logs in, asks, is cancelled by itself or another, and goes now or then. */
static void query(struct player *p, struct random *random)
{
    uint8_t body[512], key[KEY_LEN], buf[64];
    struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));
    int fd = connect_one(p);

    say_login(fd, "pencil");
    RACE_CHECK(hear_until(fd, PGW_B_BACKEND_KEY_DATA, body) == PGW_B_BACKEND_KEY_DATA);
    memcpy(key, body, KEY_LEN);
    publish(p->world, random, key);
    RACE_CHECK(hear_until(fd, PGW_B_READY_FOR_QUERY, body) == PGW_B_READY_FOR_QUERY);
    pgw_build_query(&w, pgw_span_str("select 1"));
    say(fd, &w);
    send_cancel(p, key, KEY_LEN);
    if (random_below(random, 2) == 0) {
        until_cancelled(p, fd, key);
        RACE_CHECK(hear_message(fd, body) == PGW_B_ERROR_RESPONSE);
        RACE_CHECK(hear_message(fd, body) == PGW_B_READY_FOR_QUERY);
    }
    close(fd);
}

static void play(void *arg)
{
    struct player *p = arg;
    struct random random = race_random(&p->world->race, p->number);

    for (uint64_t i = 0; i < N_ROUNDS * p->world->race.factor; i++) {
        switch (random_below(&random, 4)) {
        case 0:
            wrong_password(p, random_below(&random, 4) == 0);
            break;
        case 1:
            cancel_somebody(p, &random);
            break;
        default:
            query(p, &random);
            break;
        }
        race_yield();
    }
}

/* ---- the end ---- */

static void world_fini(struct world *w, uint64_t n_connects)
{
    uint64_t n_accepted = 0;

    for (unsigned i = 0; i < N_REACTORS; i++) {
        while (sem_wait(&w->gone) < 0)
            RACE_CHECK(errno == EINTR);
    }
    for (unsigned i = 0; i < N_REACTORS; i++) {
        post(w, i, end_loop, -1);
        pthread_join(w->threads[i], NULL);
        RACE_CHECK(sessions_n_clients(&w->crew.threads[i]) == 0);
        n_accepted += counter_read(&sessions_counters(&w->crew.threads[i])->n_accepted);
    }
    jobs_free(w->jobs);
    for (unsigned i = 0; i < N_REACTORS; i++) /* nobody can be in a post to it any more */
        loop_free(w->crew.threads[i].loop);
    RACE_CHECK(n_accepted == n_connects);
    RACE_CHECK(script_n_waiting(&w->pools.items[SCRIPT_APP]) == 0);
    sessions_free(w->sessions);
    keys_free(w->keys);
    users_put(w->users);
    conf_put(w->conf);
    RACE_CHECK(arena_n_used(w->arena) == 0);
    arena_free(w->arena);
}

int main(void)
{
    static struct world w;
    struct player players[N_CLIENTS] = {{0}};
    uint64_t n_connects = 0, n_cancelled = 0;

    w.race = race_begin("session");
    world_init(&w);
    for (unsigned i = 0; i < N_CLIENTS; i++)
        players[i] = (struct player){.world = &w, .number = i};
    race_run(&w.race, N_CLIENTS, play, players, sizeof(players[0]));
    for (unsigned i = 0; i < N_CLIENTS; i++) {
        n_connects += players[i].n_connects;
        n_cancelled += players[i].n_cancelled;
    }
    printf("%llu clients, %llu cancelled while they looked\n", (unsigned long long)n_connects,
           (unsigned long long)n_cancelled);
    post(&w, 0, stop_all, -1);
    world_fini(&w, n_connects);
    return 0;
}
