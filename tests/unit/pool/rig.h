/*
 * What the tests of logins and cancel requests share: a loop that is control, a pool whose servers
 * are at an address, and a listener there with a scripted server behind each connection.
 *
 * Control's own functions that a login ends with are the rig's: they write down how it ended.
 */
#ifndef WEIR_TESTS_UNIT_POOL_RIG_H
#define WEIR_TESTS_UNIT_POOL_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../../src/pool/control.h"
#include "../../../src/pool/pools.h"
#include "backend.h"
#include "weir/base/jobs.h"
#include "weir/net/listen.h"

#define RIG_CONNECTIONS_MAX 128
#define RIG_WORDS_MAX 65536

/* What the server does with a connection. */
struct script {
    struct backend backend;
    size_t piece;      /* bytes that it sends in one turn; 0: all at once */
    size_t end_after;  /* of its words: then it ends the connection; 0: never */
    bool reset;        /* by a reset, else by FIN */
    struct span words; /* says this in the place of what a backend says */
};

/* One connection at the server. */
struct peer {
    struct rig *rig;
    struct stream stream;
    struct backend backend;
    struct wheel_timer next_piece;
    struct pgw_writer said;
    size_t n_sent;
    bool open, ended; /* ended: the other side has closed */
    uint8_t received[512];
    size_t n_received;
    uint8_t bytes[RIG_WORDS_MAX];
};

struct rig {
    struct loop *loop;
    struct arena *arena;
    struct crew crew; /* one reactor and control, both on the one loop */
    struct jobs *jobs;
    struct keys *keys;
    struct users *users;
    struct conf conf;
    struct pools *pools;
    struct pool *pool;
    struct server *server;
    char folder[64];

    struct listen_socket socket;
    struct loop_listener listener;
    struct script script;
    struct peer *peers[RIG_CONNECTIONS_MAX];
    unsigned n_peers, n_open; /* n_open: of the peers */

    struct wheel_timer patience;
    bool late;

    /* how logins ended */
    unsigned n_opened, n_failed;
    struct pool_failure failure;
    bool permanent;
    uint8_t greeting[1024];
    size_t greeting_len;
    unsigned n_stopped; /* calls of pools_look_stopped() */
};

/* place: "127.0.0.1", or NULL for a Unix socket. Skips the test where io_uring is refused. */
void rig_init(struct rig *r, enum loop_engine engine, const char *place);
void rig_fini(struct rig *r);

void rig_turn(struct rig *r, const char *for_what);

/* Turns until condition holds; fails the test if that takes too long. */
#define RIG_UNTIL(r, condition)                                                                    \
    while (!(condition))                                                                           \
    rig_turn(r, #condition)

/* Another address at which nobody listens. */
struct addr rig_closed_port(void);

struct server *rig_server_new(struct rig *r);

/* Closes the stream of a server that was opened, and frees it. */
void rig_server_free(struct rig *r, struct server *s);

#endif
