/*
 * What a session has left behind on a server, asked of the server itself: its catalogs know what no
 * text or tag shows. Settings and statements that SQL has prepared can move with a client: they are
 * handed to the caller and stay where they are until the next client's differ. All else is cleaned
 * at once: no lock, listening channel, temporary table or cursor may stay on a server that waits
 * for work.
 *
 * Every name in the questions is qualified: the session's search_path is in force. So are its
 * timeouts: if a question fails, all that it could have found is cleaned unseen.
 *
 * Allocates; not on the path of a query that leaves nothing behind.
 * Runs on: the thread that holds the server, a reactor or control.
 */
#ifndef WEIR_POOL_INSPECT_H
#define WEIR_POOL_INSPECT_H

#include <stdbool.h>

#include "weir/base/check.h"
#include "weir/base/pairs.h"
#include "weir/pool/server.h"

/* Kinds of state that outlive a transaction. */
enum state_kind {
    STATE_SETTINGS,   /* SET, set_config(), SET ROLE, SET SESSION AUTHORIZATION */
    STATE_STATEMENTS, /* PREPARE */
    STATE_TEMP,       /* relations in the session's temporary schema */
    STATE_LOCKS,      /* session-level advisory locks */
    STATE_CHANNELS,   /* LISTEN */
    STATE_CURSORS,    /* WITH HOLD */
    STATE_SEQUENCES,  /* what lastval() and currval() say: cannot be asked, is cleaned */
    STATE_N_KINDS,
};

#define STATE_BIT(kind) (1u << (kind))
#define STATE_ALL (STATE_BIT(STATE_N_KINDS) - 1)

/* "settings", "statements", "temp", "locks", "channels", "cursors", "sequences". */
const char *state_kind_name(enum state_kind kind);

struct inspect_order {
    unsigned kinds; /* bits: what may be there, and is asked about */
    bool always;    /* reset = "always": cleaned whether anything is found or not */
    /* Parameters that pg_settings does not list (those with a dot) and that may have been set: the
     * names of these pairs, their values mean nothing. NULL: none. Copied. */
    const struct pairs *names;
    /* Such parameters may have been set whose names nobody knows: RESET ALL, once the others have
     * been read. */
    bool unknown_names;
};

struct inspect_found {
    /* What is set in this session: name and value in the server's encoding. With "role" and
     * "session_authorization" where they are not as at login. Meaningful if STATE_SETTINGS was
     * asked about and answered, see answered. */
    struct pairs settings;
    /* Names (their case counts) and whole texts, each a single PREPARE. In the client_encoding of
     * the session. A text that is not to be moved (several statements, too long) was cleaned. */
    struct pairs statements;
    unsigned answered; /* bits: kinds whose questions were answered */
    unsigned found;    /* bits: kinds of which something was there */
    unsigned n[STATE_N_KINDS];
    bool was_reset; /* RESET ALL was carried out: nothing of `settings` is on the server any more */
};

/* s is clean, apart from what is in found and can move, and detached; it is the callee's to give
 * back or give up. s == NULL: it ended or failed and has been given up; found is NULL then. found
 * lives until this returns; what is in it may be taken out. */
typedef void inspect_done(void *ctx, struct thread *self, struct server *s,
                          struct inspect_found *found);

/* s is in self's hand, active, detached, at rest, with no cancel request open; it is resetting
 * until done() is called, always in a later turn. A server that does not answer within some seconds
 * is given up. 0, or -ENOMEM and nothing has happened. */
NODISCARD int inspect_begin(struct server *s, struct thread *self, const struct inspect_order *o,
                            inspect_done *done, void *ctx);

/* Nobody wants to hear any more, and what could have moved is cleaned, too: s goes to its pool. s
 * is being inspected by self. */
void inspect_disown(struct server *s);

/* The same from the beginning: for a server whose client is gone. Where there is no memory, s is
 * given up. */
void inspect_and_release(struct server *s, struct thread *self, const struct inspect_order *o);

struct pools;

/* How often state of each kind has moved with its client, has been cleaned at an inspection, and
 * has been found (and cleaned) by an audit where nobody suspected it; a moment's values. */
struct inspect_counts {
    uint64_t moved[STATE_N_KINDS], cleaned[STATE_N_KINDS], undetected[STATE_N_KINDS];
};

/* Any thread. */
void inspect_count(const struct pools *ps, struct inspect_counts *out);

#endif
