/*
 * Clients: from the accepted descriptor through startup packet and login to the relay between a
 * client and the servers of its pool. What is behind is in src/session/client.h.
 *
 * Every client belongs to one reactor, and all its callbacks run there. Slots of clients are
 * process-wide.
 */
#ifndef WEIR_SESSION_SESSION_H
#define WEIR_SESSION_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "pgwire/startup.h"
#include "weir/base/check.h"
#include "weir/base/counter.h"
#include "weir/pool/pools.h"
#include "weir/pool/thread.h"

struct arena;
struct service;
struct sessions;
struct statements;
struct slab_counts;

struct sessions_config {
    struct conf *conf; /* references of their own to these */
    struct users *users;
    struct keys *keys; /* outlive the sessions, as the following do */
    struct pools *pools;
    struct statements *statements;
    struct crew *crew;
    struct jobs *jobs;
    struct arena *arena;
    struct service *service; /* the admin console; NULL: none */
};

/* Main thread, before the crew runs: everything that all reactors share and the shard of each,
 * which is put into its thread->session. 0 or -errno. */
NODISCARD int sessions_new(struct sessions **out, const struct sessions_config *config);

/* After the crew has ended. NULL is fine. */
void sessions_free(struct sessions *ss);

/* On a reactor: fd, accepted and non-blocking, becomes a client of the reactor that has the fewest.
 * Where the process has no slot or memory for it, it is closed and counted. Takes fd. */
void sessions_accept(struct sessions *ss, struct thread *self, int fd);

/* On each reactor, once, after sessions_accept() was called for the last time: no client begins
 * anything new. Those without a transaction are told 57P01 and closed now, the others when their
 * transaction has ended. done() when the last client of this reactor is gone, perhaps at once. */
void sessions_stop(struct thread *self, void (*done)(void *ctx), void *ctx);

/* Counted by each reactor for itself; any thread may read. */
struct session_counters {
    struct counter n_accepted;   /* clients that came to this reactor */
    struct counter n_logins;     /* that got in */
    struct counter n_refused;    /* logins refused, for whatever reason */
    struct counter n_no_slot;    /* descriptors closed at once: no slot or memory */
    struct counter n_violations; /* clients closed with 08P01 */
    struct counter n_links;      /* servers taken: transactions, sessions or statements */
    struct counter n_waits;      /* of them, those that had to wait */
    struct counter wait_us;      /* how long, altogether */
    struct counter n_wait_timeouts;
    struct counter n_servers_lost;    /* servers that ended while linked */
    struct counter n_clients_lost;    /* clients that left with a server in use */
    struct counter n_lost_kept;       /* of their servers, those that were cleaned and kept */
    struct counter n_cancels;         /* cancel requests of clients that named one of ours */
    struct counter n_cancels_unknown; /* of requests whose key is nobody's */
    struct counter n_cancels_dropped; /* unseen, for too many unknown ones came from there */
    struct counter n_stuck;           /* slow readers closed because memory ran out: 53200 */
    struct counter n_held_back;       /* pipelines stopped at a Sync for those who wait */
};
const struct session_counters *sessions_counters(const struct thread *reactor);

/* Clients of a reactor right now, logins under way included; any thread. */
unsigned sessions_n_clients(const struct thread *reactor);

/* For SHOW MEM: slots of clients and small pieces of held bytes, of all reactors; any thread. */
void sessions_count_memory(const struct thread *reactor, struct slab_counts *clients,
                           struct slab_counts *held);

/* What SHOW CLIENTS tells of one; strings live until the visit returns. */
struct session_info {
    uint64_t id;
    const char *user, *database; /* "" before the startup packet */
    enum pgw_replication replication;
    const char *phase;       /* "login", "idle", "waiting", "active", ... */
    const struct pool *pool; /* NULL before the login, and for guests of a service */
    uint64_t server_id;      /* 0: none linked */
    int32_t server_pid;
    uint64_t connected_ns;
    uint64_t waiting_since_ns; /* for a server, or its pool's first login; 0: not waiting */
    size_t unsent;             /* bytes that it has not taken yet */
};

/* On a reactor: its own clients, in the order of their coming. */
void sessions_visit(struct thread *self, void (*visit)(void *ctx, const struct session_info *info),
                    void *ctx);

#endif
