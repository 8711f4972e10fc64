/*
 * What the tests of logging in share: the session layer on reactors of their own threads, over a
 * scripted pool layer (script.h), and clients that are plain sockets on the test's thread.
 *
 * Nothing waits longer than FRONT_PATIENCE_S.
 */
#ifndef TESTS_UNIT_SESSION_FRONT_H
#define TESTS_UNIT_SESSION_FRONT_H

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include "pgwire/proto.h"
#include "pgwire/span.h"
#include "script.h"
#include "weir/base/jobs.h"
#include "weir/base/log.h"
#include "weir/session/service.h"
#include "weir/session/session.h"

/* Long enough for a sanitizer build on a machine with other work; only a failure lasts so long. */
#define FRONT_PATIENCE_S 20
#define FRONT_REACTORS_MAX SCRIPT_REACTORS

/* A test that runs once for each engine, which its body knows as *engine. */
struct criterion_test_params front_engines(void);
#define FRONT_TEST(suite, name)                                                                    \
    ParameterizedTestParameters(suite, name)                                                       \
    {                                                                                              \
        return front_engines();                                                                    \
    }                                                                                              \
    ParameterizedTest(const enum loop_engine *engine, suite, name)

struct front_config {
    enum loop_engine engine;
    unsigned n_reactors;     /* 0: 1 */
    const char *weir;        /* keys of the group weir; NULL: auth_type = "trust" */
    const char *users;       /* the auth file; NULL: alice with the password pencil */
    struct service *service; /* NULL: none */
};

#define FRONT_LOG_SIZE 65536

struct front {
    struct arena *arena;
    struct jobs *jobs; /* one helper */
    struct keys *keys;
    struct conf *conf;
    struct users *users;
    struct pools pools;
    struct sessions *sessions;
    struct crew crew;
    pthread_t threads[FRONT_REACTORS_MAX];
    bool stopped;
    sem_t gone; /* posted by each reactor that has no client any more */
    struct log *log;
    struct log_sink sink;
    char text[FRONT_LOG_SIZE]; /* of the log; to be read after front_fini() */
    size_t n_text;
};

void front_init(struct front *f, const struct front_config *config);

/* Graceful stop: every client is told to go. Returns when the last has gone. */
void front_stop(struct front *f);

/* Returns when one more reactor has no client any more. */
void front_await_gone(struct front *f);

/* Stops, unless that was done; asserts that all memory is back. */
void front_fini(struct front *f);

/* Runs fn on a reactor, and returns when it has. */
void front_do(struct front *f, unsigned reactor, void (*fn)(struct thread *self, void *ctx),
              void *ctx);

/* Returns when what was sent to it before has been dealt with, as far as can be known. */
void front_sync(struct front *f);

/* Returns when so many clients are left on all reactors. */
void front_await_clients(struct front *f, unsigned n);

/* Sum over the reactors. */
uint64_t front_count(struct front *f, size_t offset_of_counter);
#define FRONT_COUNT(f, counter) front_count(f, offsetof(struct session_counters, counter))

/* ---- clients; the caller closes the descriptor ---- */

int front_connect(struct front *f);

/* The same, but from this address of the loopback network (INADDR_LOOPBACK + n). */
int front_connect_from(struct front *f, in_addr_t source);

/* The client's end, and the one to be given to sessions_accept(). */
void front_connect_pair(int *client, int *accepted);

void say(int fd, const void *bytes, size_t len);
void say_startup(int fd, const char *user, const char *database);

/* One message from weir. */
struct heard {
    uint8_t type;
    uint8_t body[4096];
    size_t len;
};
void hear(int fd, struct heard *out);
void hear_bytes(int fd, void *out, size_t len);

/* Nothing more comes: the connection ends, without a reset. */
void hear_end(int fd);

/* Is it FATAL of this SQLSTATE, and does its message contain text? */
void check_fatal(const struct heard *h, const char *sqlstate, const char *text);

/* FATAL of this SQLSTATE whose message contains text, then the end. */
void hear_fatal(int fd, const char *sqlstate, const char *text);

/* AuthenticationOk, the greeting, BackendKeyData and ReadyForQuery, exactly. key may be NULL. */
#define KEY_LEN 8
void hear_greeting(int fd, uint8_t key[KEY_LEN]);

/* Connects, logs in without a password and is greeted. */
int front_login(struct front *f, const char *database, uint8_t key[KEY_LEN]);

/* Answers authentication requests until AuthenticationOk has come (true) or another message than
 * one of them, which is in *out (false). */
bool authenticate(int fd, const char *user, const char *password, struct heard *out);

#endif
