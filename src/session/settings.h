/*
 * A client's settings follow it from server to server. What it chose itself, in its startup packet
 * or by a SET that the server reported, is put right on each server that it is linked to: the
 * difference goes in front of its first message, in the same send, and its answer is dropped.
 *
 * A value that the server refuses ends that server's session before it reads what is behind
 * (exit_on_error): so no query ever runs under wrong settings. The client is told the server's
 * words as an ERROR for each message that had been sent, goes on without a server, and that value
 * is not tried again.
 *
 * What the server reports goes to the client if it differs from what the client was told last, in
 * front of the next ReadyForQuery, as PostgreSQL does. Behind RESET and DISCARD ALL the values of
 * the startup packet count again.
 *
 * Runs on: the client's reactor.
 */
#ifndef WEIR_SESSION_SETTINGS_H
#define WEIR_SESSION_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "pgwire/reply.h"
#include "pgwire/span.h"
#include "weir/base/check.h"
#include "weir/base/pairs.h"

struct client;
struct difference;
struct greeting;
struct inspect_found;
struct server;

/* The cookie of our Query's reply; no message of the client's has it. */
#define SETTINGS_COOKIE (UINT32_MAX - 1)

/* Of one client; zeroed at first. Values are in the spelling in which they are reported. */
struct client_settings {
    struct pairs startup; /* what it asked for when it came */
    struct pairs wanted;  /* what it is to have now */
    struct pairs told;    /* what it was told last, where that is not what `greeting` says */
    struct pairs sent;    /* the changes under way, in the order of their statements */
    const struct greeting *greeting; /* what `told` counts from; NULL before the login's end */
    uint64_t context;                /* 0: to be computed */
    uint32_t n_done;                 /* statements of our Query that have been carried out */
    uint32_t n_before;               /* of those before the first change */
    bool is_applying;                /* our Query is not answered yet */
    bool is_in_block;                /* it went into the client's transaction, which may undo it */
    bool is_undoing;                 /* an error or ROLLBACK since the last ReadyForQuery */
    bool is_reset;                   /* a RESET or DISCARD since the last ReadyForQuery */
    bool has_reset;                  /* the same, since the server was linked */
    bool is_untold;                  /* there may be something to tell it */
    bool was_told_more;              /* what this server has, and others may not have */
    bool was_refused;                /* the server has refused a value, and ended */
};

/* The ParameterStatus messages of the login, each with the value that the client will have; live as
 * long as the turn. False: no memory. */
NODISCARD bool settings_greet(struct client *c, struct span *out);

/* The client has a server now: sends the difference, if there is one. Where there is no memory,
 * c->short_of_memory is set, and the server must not be used again. */
void settings_apply(struct client *c);

/* Sends the statements of a difference to a server of this reactor, and notes the reply to come;
 * guarded: see difference.h. False: no memory. */
NODISCARD bool settings_send(struct server *s, const struct difference *d, bool guarded);

/* A ParameterStatus came, of which body is the beginning at least, and of which this would become:
 * what becomes of it. It is dropped and told when it is time, unless it is none of those that the
 * server told at its login. VIOLATION: no memory. */
NODISCARD enum pgw_reply_judgement settings_reported(struct client *c, struct pgw_span body,
                                                     enum pgw_reply_judgement judgement);

/* A CommandComplete came that is not an answer to our Query; is_small_set: see suspect.h. False: no
 * memory. */
NODISCARD bool settings_completed(struct client *c, struct pgw_span tag, bool is_small_set);

/* What the session has set was asked of its server (pool/inspect.h): it is what the client wants
 * now. False: no memory. */
NODISCARD bool settings_learn(struct client *c, const struct inspect_found *found);

/* A message came that answers our Query, and is no error. */
void settings_answered(struct client *c, uint8_t letter);

/* A fatal error came that answers our Query: nothing of what was sent behind it is carried out. The
 * client is told, and was_refused set; the server must not be used again. */
void settings_refused(struct client *c, struct pgw_span body,
                      const struct pgw_reply_verdict *verdict);

/* Tells the client what it has not been told; between two messages. */
void settings_tell(struct client *c);

/* A ReadyForQuery for the client comes next. What a RESET within a transaction has taken from it is
 * set again in that transaction. */
void settings_ready(struct client *c);

/* A hash of the settings on which the meaning of a statement's text depends. */
uint64_t settings_context(struct client *c);

void settings_fini(struct client_settings *k);

#endif
