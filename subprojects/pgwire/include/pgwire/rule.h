/*
 * The rules of the protocol as two tables, one row per message letter and direction: how long the
 * body may be, in which phases of a connection the message may come, and what a relay has to do.
 *
 * Code that handles messages looks a row up instead of spelling out letters. A row without a name
 * is an unknown letter: its phases and flags are empty, its action is PGW_VIOLATION and no length
 * fits it.
 *
 * Longest bodies are PostgreSQL 15's limits for clients: above them it closes the connection
 * without a word (an unknown letter it answers with FATAL 08P01). Shortest bodies are what the
 * format takes; there PostgreSQL answers ERROR 08P01 and goes on, and a relay may well be stricter.
 * A phase says where a message has a meaning, not that PostgreSQL would end the connection
 * elsewhere.
 */
#ifndef PGWIRE_RULE_H
#define PGWIRE_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pgwire/proto.h"

/* Where a connection stands, seen from between client and server. Bits, for masks of them. */
enum pgw_phase {
    PGW_IN_AUTH = 1 << 0,      /* after the startup packet, until AuthenticationOk */
    PGW_IN_SETUP = 1 << 1,     /* until the first ReadyForQuery */
    PGW_IN_IDLE = 1 << 2,      /* nothing is asked, every batch is synced */
    PGW_IN_SIMPLE = 1 << 3,    /* a Query is being answered */
    PGW_IN_FUNCTION = 1 << 4,  /* a FunctionCall is being answered */
    PGW_IN_EXTENDED = 1 << 5,  /* from the first extended message to the answer to its Sync */
    PGW_IN_COPY_IN = 1 << 6,   /* from CopyInResponse to CopyDone, CopyFail or an error */
    PGW_IN_COPY_OUT = 1 << 7,  /* from CopyOutResponse to CopyDone or an error */
    PGW_IN_COPY_BOTH = 1 << 8, /* the same for CopyBothResponse (replication) */
};

/* What a message does. */
enum pgw_rule_flag {
    PGW_ANSWERED = 1 << 0,   /* client: the server owes it an answer (unless it skips to a Sync) */
    PGW_BATCHED = 1 << 1,    /* client: opens or goes on with an extended batch */
    PGW_ENDS_BATCH = 1 << 2, /* client: closes the batch and ends skipping to a Sync */
    PGW_COPIES = 1 << 3,     /* both: begins, carries or ends COPY data */
    PGW_TERMINATES = 1 << 4, /* client: the last message of the connection */
    PGW_ASYNC = 1 << 5,      /* server: may come without being asked for */
};

/* What a relay does with a message. */
enum pgw_action {
    PGW_VIOLATION, /* unknown letter: the peer broke the protocol */
    PGW_RELAY,     /* passes; only its header matters */
    PGW_LOOK,      /* passes; its body tells the relay something */
    PGW_RENAME, /* passes; it may name a prepared statement that has another name at the server */
    PGW_INTERCEPT, /* is for the relay itself, which decides what becomes of it */
};

struct pgw_rule {
    const char *name;  /* as in the documentation; NULL: unknown letter */
    uint32_t min_body; /* bytes after the length word */
    uint32_t max_body;
    uint16_t phases; /* mask of enum pgw_phase */
    uint8_t flags;   /* mask of enum pgw_rule_flag */
    uint8_t action;  /* enum pgw_action */
};

#define PGW_N_TYPES 256

extern const struct pgw_rule pgw_frontend_rules[PGW_N_TYPES]; /* what a client sends */
extern const struct pgw_rule pgw_backend_rules[PGW_N_TYPES];  /* what a server sends */

/* True if a message of this row may have this length word (which counts itself). */
static inline bool pgw_rule_fits(const struct pgw_rule *rule, uint32_t length)
{
    uint32_t body = length - PGW_LENGTH_LEN; /* below 4 it wraps and is too long for any row */

    return rule->name != NULL && body >= rule->min_body && body <= rule->max_body;
}

static inline bool pgw_rule_allows(const struct pgw_rule *rule, enum pgw_phase phase)
{
    return (rule->phases & (unsigned)phase) != 0;
}

#endif
