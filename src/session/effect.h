/*
 * What messages under way will have done to prepared statements, in the order of their answers: a
 * ring of the client's. An effect's number goes along as the cookie of its message's reply.
 *
 * Runs on: the client's reactor.
 */
#ifndef WEIR_SESSION_EFFECT_H
#define WEIR_SESSION_EFFECT_H

#include "rename.h"

enum effect_kind {
    EFFECT_PARSE,            /* the client's Parse of a name: name, id where it was sent */
    EFFECT_PARSE_UNNAMED,    /* statement, client_unnamed: the client's before; id: the server's */
    EFFECT_CLOSE,            /* the client's Close: name, detached */
    EFFECT_DUPLICATE,        /* a Parse that the server will refuse: name is the one that exists */
    EFFECT_INJECTED,         /* our Parse: id */
    EFFECT_INJECTED_UNNAMED, /* our Parse of the unnamed one: id is what it was before */
    EFFECT_EVICTED,          /* our Close: id */
    EFFECT_DEALLOCATE,       /* the client's DEALLOCATE: name; id where the server has it */
};

struct effect {
    uint8_t kind;
    bool failed; /* the server answered with an error, and more is to come */
    uint64_t id;
    uint64_t client_unnamed;     /* EFFECT_PARSE_UNNAMED: prepares->unnamed_id before */
    struct statement *statement; /* a reference; NULL: none */
    struct name *name;           /* NULL where it went meanwhile */
};

/* The client's, made at first use; NULL: no memory. */
struct prepares *prepares_of(struct client *c);

/* Sends a copy, for bytes that do not live until the end of the turn. False: no memory. */
NODISCARD bool send_copy(struct client *c, struct pgw_span bytes);

/* Adds one; *cookie names it, never 0. False: no memory. */
NODISCARD bool effect_add(struct client *c, const struct effect *e, uint32_t *cookie);

struct effect *effect_of(struct client *c, uint32_t cookie);

/* The first of the ring came true. */
void effect_confirm_first(struct client *c);

/* The server has not carried out the first n; one that it tried is marked as failed. */
void effect_undo_first(struct client *c, uint32_t n);

/* The server has dropped all its prepared statements. What is under way comes after that. */
void effect_forget_prepared(struct client *c);

/* No answer comes any more: nothing is done but to free what they hold. */
void effect_drop_all(struct client *c);

#endif
