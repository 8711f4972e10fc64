/*
 * What the tests of the pool share: control and some reactors, each with a real loop, all driven in
 * turn by the test's own thread, so a test says what happens between two steps; clients that note
 * what they are given; and logins that end as the test says. The servers behind them are the other
 * ends of socket pairs, closed when a Terminate or the end of the stream comes.
 *
 * After every turn the scene checks that no more servers are open than may be.
 */
#ifndef WEIR_TESTS_UNIT_POOL_SCENE_H
#define WEIR_TESTS_UNIT_POOL_SCENE_H

#include "../io/rig.h"
#include "weir/pool/pools.h"

#include "../../../src/pool/control.h"
#include "../../../src/pool/pools.h"

#define SCENE_REACTORS_MAX 3
#define SCENE_SERVERS_MAX 64 /* opened in one test; their ids are below */

enum scene_script {
    SCENE_ACCEPTS,
    SCENE_REFUSES, /* 28P01, for good */
    SCENE_FAILS,   /* 08001, perhaps not for good */
    SCENE_HANGS,   /* until scene_answer() */
};

struct scene {
    struct crew crew; /* first: a login finds its scene by it */
    struct rig rigs[SCENE_REACTORS_MAX + 1];
    struct letter nudge[SCENE_REACTORS_MAX + 1];
    unsigned n_reactors;
    struct pools *pools;
    enum scene_script script;
    const char *greeting;
    bool deaf;                              /* servers do not answer Terminate by closing */
    int peers[SCENE_SERVERS_MAX];           /* by the server's id; -1: closed or never open */
    struct server *open[SCENE_SERVERS_MAX]; /* the same: those that were opened */
    struct server *hanging[SCENE_SERVERS_MAX];
    unsigned n_logins, n_hanging, n_terminates, n_served;
    unsigned limit; /* of servers open at a time; 0: none */
    bool stopped;
};

/* settings stand under weir; there is a database "*". */
void scene_init(struct scene *sc, enum rig_variant variant, unsigned n_reactors,
                const char *settings);

/* Stops the pools, waits for that and frees everything. Clients hold no servers any more. */
void scene_fini(struct scene *sc);

struct thread *scene_reactor(struct scene *sc, unsigned reactor);
struct thread *scene_control(struct scene *sc);

/* All reactors have joined it. */
struct pool *scene_pool(struct scene *sc, const char *database, const char *user);

/* One turn of one loop. */
void scene_turn(struct scene *sc, const struct thread *t);

/* One turn of every loop, and of the servers. */
void scene_turn_all(struct scene *sc);

/* Turns until condition holds; fails the test if that takes too long. */
#define SCENE_UNTIL(sc, condition)                                                                 \
    do {                                                                                           \
        rig_wait_begin(&(sc)->rigs[0], RIG_PATIENCE_MS);                                           \
        while (!(condition))                                                                       \
            scene_wait_turn(sc, #condition);                                                       \
        rig_wait_end(&(sc)->rigs[0]);                                                              \
    } while (0)
void scene_wait_turn(struct scene *sc, const char *for_what);

/* Turns for a while: for what must not happen. */
void scene_let_pass(struct scene *sc, unsigned ms);

/* Ends the oldest login that hangs. */
void scene_answer(struct scene *sc, enum scene_script script);

/* The server's end of the connection closes. */
void scene_kill(struct scene *sc, const struct server *s);

unsigned scene_n_open(const struct scene *sc);

struct client {
    struct waiter waiter;
    struct scene *scene;
    struct pool *pool;
    struct thread *thread;
    struct server *server;
    const struct pool_failure *why;
    unsigned served_as; /* the how many-th of all clients; 0: not yet */
    bool greeted;
};

/* c is zeroed, or had its answer. */
void client_acquire(struct client *c, struct scene *sc, struct pool *p, unsigned reactor);
void client_await_greeting(struct client *c, struct scene *sc, struct pool *p, unsigned reactor);
void client_leave(struct client *c);
void client_release(struct client *c);
void client_discard(struct client *c, bool terminate);

/* Closed on the reactor, then given up: the server died in its hands, or is to notice that (not
 * dead). */
void client_discard_closed(struct client *c, bool dead);

/* The first of these n that has a server; NULL: none has. */
struct client *clients_holder(struct client *c, unsigned n);

/* The same, as soon as one has. */
struct client *clients_served(struct client *c, unsigned n);

/* Each of these n gives its server back once it has one. */
void clients_serve(struct client *c, unsigned n);

struct pool_counts scene_count(const struct pool *p);

#endif
