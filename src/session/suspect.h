/*
 * Suspicion: what a client's messages may leave behind on its server, by the words of their texts
 * and the tags of their answers. What is suspected is asked of the server when it is given back
 * (leave.h).
 *
 * A SET that is the whole text of its statement, and local to its transaction or of a parameter
 * that the server reports, leaves nothing that is not known: it goes without suspicion.
 *
 * Runs on: the client's reactor.
 */
#ifndef WEIR_SESSION_SUSPECT_H
#define WEIR_SESSION_SUSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "pgwire/reply.h"
#include "pgwire/span.h"
#include "weir/base/pairs.h"
#include "weir/pool/traces.h"

struct client;
struct statement;

/* The cookie of a message that is such a SET, where it has no effect (effect.h). */
#define SMALL_SET_COOKIE (UINT32_MAX - 2)

/* Of one client; zeroed at first. */
struct suspicion {
    struct pairs names;    /* parameters with a dot that it may have set; values are empty */
    unsigned of_prepared;  /* what its SQL-level prepared statements may leave behind */
    uint32_t n_private;    /* how often it has sent what changes the meaning of texts */
    unsigned asked;        /* CLIENT_PARTING: the kinds that its server is asked about */
    bool unknown_names;    /* there may be others; since the server was linked */
    bool unknown_prepared; /* the same of its SQL-level prepared statements */
    bool changes_settings; /* it has sent what may change them, since the server was linked */
    bool has_private;      /* that, or what makes temporary relations: texts mean other things */
    bool listens;          /* a LISTEN, DO or CALL of it was carried out there */
    bool resets;           /* it has sent a RESET or DISCARD, perhaps not answered yet */
    bool reads_sequences;  /* it has once asked for the session's last sequence value */
    bool finds_sequences;  /* and on this server that may be another client's */
    bool has_sent;         /* anything since the server was linked */
    bool binds_small_set;  /* the unnamed portal is a SET that leaves nothing */
    bool scans;            /* the message that is being sent is scanned as it goes by */
    struct traces scan;
    uint32_t n_left; /* bytes of it that are to come */
    uint32_t n_cut;
    uint8_t *cut; /* what is kept of it, for the names in it; NULL: nothing */
};

/* A server was linked. is_anothers: another client had it before. */
void suspect_linked(struct client *c, bool is_anothers);

/* A Query is sent, of whose text of body_len head is the beginning. True: it is a small SET. */
bool suspect_query(struct client *c, struct pgw_span head, uint32_t body_len);

/* A Parse is sent whose statement is not kept; its body, or the beginning of it. */
void suspect_parse(struct client *c, struct pgw_span head, uint32_t body_len);

/* More of the body of the same. */
void suspect_more(struct client *c, struct pgw_span bytes);

/* A kept statement will be named in what is sent next; NULL is fine. */
void suspect_sequences(struct client *c, const struct statement *s);

/* It was parsed, or bound to this portal. NULL: it is not kept. */
void suspect_statement(struct client *c, const struct statement *s);
void suspect_bound(struct client *c, const struct statement *s, struct pgw_span portal);

/* A FunctionCall is sent, whose body begins with head. */
void suspect_call(struct client *c, struct pgw_span head);

/* An Execute is sent, whose body begins with head: the cookie of its reply. */
uint32_t suspect_executed(struct client *c, struct pgw_span head);

/* A CommandComplete came for the client. is_small_set: it answers one. */
void suspect_completed(struct client *c, struct pgw_span tag, bool is_small_set);

/* A notification came. Is it the client's own? Else somebody has left a LISTEN on the server that
 * no text and no tag has shown. */
bool suspect_notified(struct client *c);

/* Which context statements have that are parsed now, since nobody can say what the settings are, or
 * since tables of this session hide others; 0: one can say. Others never have the same. */
uint64_t suspect_context(const struct client *c);

/* Is this context such a one? And any hash as one that is not. */
bool suspect_is_private(uint64_t context);
uint64_t suspect_share(uint64_t hash);

void suspect_fini(struct suspicion *u);

#endif
