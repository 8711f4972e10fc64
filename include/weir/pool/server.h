/*
 * One connection to a PostgreSQL server.
 *
 * A server is in exactly one place at any time: a free slot; control's (being opened or closed); on
 * one shelf; in one mailbox (its letter); in one reactor's hand or linked to one client of that
 * reactor. Its plain fields travel with it: whoever takes its bit off a shelf or opens its letter
 * sees what the giver wrote, and after giving it away nobody reads them any more. The atomic ones
 * may be read by anybody at any time, for SHOW. Slots are process-wide and never unmapped.
 *
 * Invariants: nothing is armed on the stream, and it is detached, while the server is on a shelf or
 * in a mailbox; a server with n_cancels > 0 is neither.
 */
#ifndef WEIR_POOL_SERVER_H
#define WEIR_POOL_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pgwire/proto.h"
#include "pgwire/reply.h"
#include "pgwire/startup.h"
#include "pgwire/walker.h"
#include "weir/base/log.h"
#include "weir/base/pairs.h"
#include "weir/net/stream.h"
#include "weir/pool/thread.h"

struct cancel;
struct greeting;
struct inspection;
struct own;
struct prepared;
struct pool;
struct server_login;

/* Moves are checked by server_move(); see the table in src/pool/server.c. */
enum server_phase {
    SERVER_FREE,       /* the slot is unused */
    SERVER_CONNECTING, /* control: the socket is being connected */
    SERVER_LOGIN,      /* control: startup packet sent, not yet ReadyForQuery */
    SERVER_IDLE,       /* on a shelf, in a mailbox, or in the hand of one about to give it on */
    SERVER_ACTIVE,     /* linked to a client, or finishing what a lost client began */
    SERVER_RESETTING,  /* the session's state of the last client is being cleaned */
    SERVER_PARKED,     /* clean, but cancel requests for it are still on their way */
    SERVER_CLOSING,    /* control: Terminate sent, waiting for the server's FIN */
    SERVER_PHASES
};

/* Why a server's letter is in a mailbox. */
enum server_errand {
    ERRAND_GRANT,  /* to a reactor: for your first waiter */
    ERRAND_CLOSE,  /* to control: close it and free its slot */
    ERRAND_CLOSED, /* to control: the descriptor is gone already, free the slot */
    ERRAND_RETURN, /* to control: one of the servers that it wanted back (give_back) */
};

/* Messages sent whose answers may be outstanding, a power of two. When the queue is full the client
 * is not read until there is room; pgwire/reply.h says why that cannot deadlock. */
#define SERVER_REPLIES 2048

/* The head of a message that the end of a buffer cut, while the receiver needs more of it to judge
 * it: the header and at most this many bytes of the body. */
#define SERVER_LOOK_MAX 512

/* Process-wide slot; thread: whoever's it is, see above. */
struct server {
    /* any thread may read, its owner writes; relaxed */
    _Atomic uint8_t phase;          /* enum server_phase */
    _Atomic uint64_t idle_since_ns; /* when it was last given back */
    _Atomic uint64_t inspected_ns;  /* when it was last asked what is left on it; see audit.c */
    _Atomic uint64_t client_id;     /* of the client that is linked, or was last */

    /* set when it is opened */
    struct pool *pool;
    struct log_context log; /* "s4" */
    uint64_t id;            /* the s… of the logs, unique in the process's life */
    uint64_t opened_ns;
    uint32_t born;       /* the pool's generation then */
    uint16_t number;     /* in its pool, below 1024: its bit on the shelves */
    int32_t backend_pid; /* from BackendKeyData; 0: the server sent none */
    uint32_t key_len;
    uint8_t key[PGW_CANCEL_KEY_MAX];
    struct addr addr;                 /* where it is connected */
    const struct greeting *greeting;  /* what it told at its login; the pool's; NULL: it is ... */
    enum pgw_replication replication; /* ... one client's alone (own.h), if this is not off */

    struct stream stream;
    struct letter letter;
    enum server_errand errand;
    bool terminate;  /* a closing one may be told so: its stream is at a message boundary */
    const char *why; /* it is to be closed: a literal, for the log */

    /* the session layer's while the server is active */
    struct thread *thread; /* the reactor whose it is */
    void *client;          /* NULL: it is parked, or being closed */
    uint32_t n_cancels;    /* cancel requests for it that PostgreSQL may still act on */
    struct cancel *cancel; /* the one that is under way; src/pool/cancel.c */
    void (*cancelled)(struct server *s, struct thread *self); /* one less */
    struct prepared *prepared;     /* statements it has; NULL: none yet */
    uint64_t unnamed;              /* id of its unnamed statement; 0: none */
    struct pairs settings;         /* what it was given or reported last, where somebody cared */
    struct inspection *inspection; /* while SERVER_RESETTING, unless its client's reset is it */
    struct pairs sql_prepared;     /* exact: statements of SQL that it has, with their texts */
    struct pgw_walker from_server;
    struct pgw_reply_queue replies;
    struct wheel_timer timer;   /* also control's */
    uint64_t fresh_ns;          /* until when what ends it is not about its client; see answer.c */
    bool ended_before;          /* that was so */
    bool is_distrusted;         /* it is closed when it is given back */
    bool alters_tables;         /* its transaction does, or what else a statement's text names */
    bool settings_doubted;      /* what it does not report may have been set since */
    uint16_t suspected;         /* kinds of state that it may have been left with: inspect.h */
    uint8_t taking;             /* what becomes of the message that is being received */
    bool stopping;              /* stopped() is to come */
    bool has_ended;             /* its FIN, or the end of its socket, was seen */
    uint16_t n_look, want_look; /* bytes in look, and how many are needed */
    uint8_t look[PGW_HEADER_LEN + SERVER_LOOK_MAX];

    /* control's */
    struct list_link link; /* on its pool's list of servers */
    struct own *own;       /* the request that it is being opened for; NULL: for all */
    struct span startup;   /* for that, what its StartupMessage says behind user and database */
    struct server_login *login; /* the dialogue while SERVER_CONNECTING or SERVER_LOGIN */

    struct pgw_reply_entry ring[SERVER_REPLIES];
};

/* The only writer of phase. Asserts that the move is allowed. */
void server_move(struct server *s, enum server_phase next);

/* Any thread. */
enum server_phase server_phase(const struct server *s);
const char *server_phase_name(enum server_phase phase);

#endif
