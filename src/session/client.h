/*
 * One client of a reactor, and what the files of the session layer share.
 *
 *   sessions.c  what all reactors share; shards, accepting, stopping, SHOW
 *   client.c    phases, slots, closing, the callbacks of a client's stream
 *   startup.c   first packets: SSLRequest, CancelRequest, startup, refusals
 *   login.c     authentication, the pool's greeting, BackendKeyData, ReadyForQuery
 *   check.c     asks a server about the settings that a client brings
 *   own.c       waits for the server of a replication client
 *   guest.c     clients that a service owns
 *   cancel.c    cancel keys and requests
 *   rename.c    prepared statements under names of our own
 *   supply.c    what a server must have before a message
 *   effect.c    what messages under way will have done to them
 *   names.c     the names that a client has given to statements
 *   settings.c  settings that follow their client
 *   sql_prepared.c  statements of SQL that follow their client
 *   held.c      bytes that cannot be forwarded yet
 *   link.c      a client and a server: joined, parted
 *   suspect.c   what a client may leave behind on its server
 *   leave.c     what it did leave there is asked of the server
 *   relay.c     client to server: waiting, holding, what comes next
 *   forward.c   client to server: the messages of one that has a server
 *   answer.c    server to client: what is passed on, reply accounting
 *   lost.c      what is done with a server whose client has gone
 *
 * Invariants (client_check): the waiter is linked in phase CLIENT_WAITING, and in CLIENT_COLD
 * unless login->asked or login->own is set, and in no other; a server is linked in CLIENT_ACTIVE
 * and CLIENT_LOST only, and server->client leads back; in CLIENT_LOST and CLIENT_CLOSING the stream
 * is closing or closed.
 *
 * Runs on: the client's reactor, all of it, where nothing else is said.
 */
#ifndef WEIR_SESSION_CLIENT_H
#define WEIR_SESSION_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "pgwire/walker.h"
#include "settings.h"
#include "suspect.h"
#include "weir/base/log.h"
#include "weir/net/stream.h"
#include "weir/pool/pool.h"
#include "weir/session/service.h"
#include "weir/session/session.h"

struct guest_input;
struct login;
struct pgw_report;
struct prepares;

enum client_phase {
    CLIENT_FREE,
    CLIENT_STARTUP, /* nothing, SSLRequest or part of a startup packet has come */
    CLIENT_LOGIN,   /* authentication under way, perhaps with a helper */
    CLIENT_COLD,    /* authenticated; its greeting is not known yet */
    CLIENT_IDLE,    /* no server, no message under way */
    CLIENT_WAITING, /* in the FIFO of its pool */
    CLIENT_ACTIVE,  /* linked */
    CLIENT_PARTING, /* its server is asked what it has left there */
    CLIENT_GUEST,   /* a service owns it */
    CLIENT_LOST,    /* gone, but its server is not clean yet */
    CLIENT_CLOSING, /* waiting for the stream's closed() */
    CLIENT_PHASES
};

/* Bytes of a client that cannot be forwarded yet, in the order of their coming (held.c). Pieces are
 * small ones from a slab, then chunks of the arena. */
#define HELD_MAX 16384  /* above this the client is not read */
#define HELD_SMALL 2048 /* size of a small piece */

struct held_piece;
struct held {
    struct held_piece *first, *last;
    size_t len; /* bytes in all pieces */
};

/* Thread: its reactor's; `word` is anybody's. */
struct client {
    /* What a cancel request must match (cancel.c); 0: nobody. Written by the owner, read by any
     * reactor that a CancelRequest comes to. The slab's shared bytes. */
    _Atomic uint64_t word;

    struct stream stream;
    struct sessions *all;
    struct shard *shard;
    struct thread *thread;
    enum client_phase phase;
    bool stream_closed;
    uint64_t id;            /* the c… of the logs */
    struct log_context log; /* "c17" */
    struct list_link link;  /* on its shard's list */
    struct letter letter;   /* to its reactor at the start, later with a helper's answer */
    uint64_t connected_ns;
    struct wheel_timer timer; /* login, wait or idle timeout, cancel wait: by phase */
    struct login *login;      /* while CLIENT_STARTUP, CLIENT_LOGIN and CLIENT_COLD, else NULL */

    enum pgw_replication replication; /* not off: it has a server of its own */
    struct pool *pool;                /* from login on, services excepted */
    struct server *server;            /* see phases */
    struct server *parting;           /* CLIENT_PARTING: who is asked, else NULL */
    struct waiter waiter;
    struct prepares *prepares; /* NULL: it has prepared nothing */
    struct client_settings settings;
    struct suspicion suspicion;
    struct pairs sql_prepared; /* exact; see sql_prepared.h */
    struct pgw_walker from_client;
    struct held held;
    struct guest guest;              /* CLIENT_GUEST */
    struct guest_input *guest_input; /* from then on until the slot is free, else NULL */

    bool counted;           /* in all->n_logged_in */
    bool said_terminate;    /* what came before it still runs */
    bool ended;             /* the peer has sent FIN, or its socket is broken */
    bool held_back;         /* pipelining without a gap while others wait: stopped at a Sync */
    bool unread;            /* its receive is stopped: server or held bytes are over the mark */
    bool draining;          /* the server is not read: the client has too much unsent */
    bool leaving;           /* graceful stop: ends with its transaction */
    bool refused_block;     /* statement mode: it began a transaction block */
    bool cancelled;         /* while it waited: see relay_cancel() */
    bool lost_count;        /* it cannot be known which answers are to come */
    bool short_of_memory;   /* an answer could not be made: it ends */
    bool cancel_behind;     /* its server is to be cancelled, but not what it does there first */
    bool skipping;          /* the rest of a cancelled batch, up to its Sync */
    uint8_t lost_step;      /* CLIENT_LOST: see lost.c */
    uint8_t lost_cancels;   /* CLIENT_LOST: how often its query was to be stopped */
    uint64_t n_drained;     /* CLIENT_LOST: bytes of answers dropped */
    size_t unsent_seen;     /* when client_write_timeout was last looked at */
    struct list_link stuck; /* on its shard's list of clients with too much unsent */
};

/* Is its server nobody else's, before and after? */
static inline bool client_owns_server(const struct client *c)
{
    return c->replication != PGW_REPLICATION_OFF;
}

/* Does its server stay until it leaves, so that nothing needs to follow it to another one? */
static inline bool client_keeps_server(const struct client *c)
{
    return client_owns_server(c) || pool_policy(c->pool)->pool_mode == CONF_SESSION;
}

/* What one reactor has of the session layer: thread->session. The list and everything but the
 * counters is its own. */
struct shard {
    _Alignas(CACHE_LINE) struct sessions *all;
    struct thread *thread;
    _Atomic uint32_t
        n_clients; /* on their way here included; any thread counts up, the reactor down */
    struct list clients;
    uint64_t n_local_ids; /* of unnamed statements that are not kept */
    struct list stuck;    /* longest stuck first */
    unsigned n_stuck;     /* its length */
    struct session_counters counters;
    bool stopping;
    void (*stopped)(void *ctx);
    void *stopped_ctx;
};

/* ---- client.c ---- */

/* Any thread: a slot for an accepted descriptor. c->letter is to be posted to shard's thread, where
 * the client begins. NULL: no slot or memory, and fd is still the caller's. */
struct client *client_new(struct sessions *ss, struct shard *shard, int fd);

/* The only writer of phase: asserts the move. */
void client_move(struct client *c, enum client_phase next);
const char *client_phase_name(enum client_phase phase);

/* Asserts the invariants; does nothing unless built with slow_asserts. */
void client_check(const struct client *c);

/* FATAL to the client, then the end: sends what is unsent (for some seconds at most) and closes.
 * Logged where log_pooler_errors says so. Any phase but LOST and CLOSING. A linked server goes the
 * way of lost.c. message is a printf format. Where the client is in the middle of a server's
 * message nothing can be said to it. */
void client_refuse(struct client *c, const char *sqlstate, const char *message, ...)
    PRINTF_LIKE(3, 4);

/* The same, of which more is to be told. No text is longer than 511 bytes. */
void client_refuse_as(struct client *c, const struct pgw_report *report);

/* The line of such an error, for who sends it otherwise. Returns why the client leaves: message, or
 * a literal if that is in the log now. */
const char *client_log_error(const struct client *c, const char *sqlstate, const char *message);

/* Ends it without a word: dropped at once, or after what is unsent is sent. why goes to the log.
 * A linked server goes the way of lost.c, a waiter leaves its FIFO. */
void client_close(struct client *c, const char *why);
void client_close_sent(struct client *c, const char *why);

/* The server is unlinked (c->server is NULL), the stream has closed or a helper has given the login
 * back: frees the slot when all three hold. */
void client_settle(struct client *c);

/* Bytes of the client, for whoever its phase says. */
void client_received(struct client *c, struct span data);

/* ---- startup.c, login.c: what client.c calls ---- */

/* A new client: phase CLIENT_STARTUP, the stream receives, client_login_timeout runs. */
void startup_begin(struct client *c);

/* Bytes in CLIENT_STARTUP and CLIENT_LOGIN. */
void login_received(struct client *c, struct span data);

/* The client goes while it logs in: frees c->login, now or when a helper gives it back. */
void login_abandon(struct client *c);

/* ---- guest.c ---- */

/* c->login tells who and where; the greeting is sent up to BackendKeyData. */
void guest_begin(struct client *c);
void guest_received(struct client *c, struct span data);
void guest_drained(struct client *c); /* the client's stream */

/* Its stream has closed: the service hears of it. */
void guest_end(struct client *c);

/* For SHOW. */
const char *guest_user(const struct client *c);
const char *guest_database(const struct client *c);

/* ---- cancel.c ---- */

/* What BackendKeyData tells, and a CancelRequest must tell. */
#define CANCEL_SECRET_MAX 32
struct cancel_key {
    uint32_t pid;
    size_t len; /* 4; CANCEL_SECRET_MAX from protocol 3.2 on */
    uint8_t secret[CANCEL_SECRET_MAX];
};

/* Gives c a key: sets c->word. */
void cancel_key_make(struct client *c, bool is_long, struct cancel_key *out);
void cancel_key_drop(struct client *c);

/* A CancelRequest came by this connection. Answers nobody, as PostgreSQL does. */
void cancel_request(const struct client *from, uint32_t pid, struct span secret);

/* ---- relay.c ---- */

/* Logged in and greeted, ReadyForQuery sent: CLIENT_IDLE from here on. early: bytes that came
 * behind the login; copied. What came in CLIENT_COLD was given to relay_received(), which held it.
 * own: its server if it owns one, and then it is CLIENT_ACTIVE; else NULL. */
void relay_begin(struct client *c, struct server *own, struct span early);
void relay_received(struct client *c, struct span data);
void relay_ended(struct client *c, int error); /* the client's stream */
void relay_drained(struct client *c);          /* the client's stream */
void relay_stop(struct client *c);             /* graceful stop: now, or with its transaction */

/* The owner is asked to cancel what this client is doing: a waiting one gets 57014, an active one's
 * server is cancelled. */
void relay_cancel(struct client *c);

/* ---- held.c ---- */

/* False: no memory, and perhaps only a part was taken: the client cannot go on. */
NODISCARD bool held_append(struct client *c, struct span data);

/* The first of what is held, not all of it perhaps; the bytes live until the end of the turn.
 * False: no memory for that. Something must be held. */
NODISCARD bool held_peek(const struct client *c, struct span *out);

/* Drops n bytes of what held_peek() has shown. */
void held_consume(struct client *c, size_t n);
void held_drop(struct client *c);

/* Is a whole Terminate among what is held? */
bool held_says_terminate(const struct client *c);

/* ---- lost.c ---- */

/* c is gone or going, its phase is CLIENT_LOST, c->server is linked. Finishes or cancels what runs,
 * rolls back, resets, and gives the server back or closes it; ends with client_settle(). */
void lost_begin(struct client *c);

#endif
