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
    EFFECT_CLOSE,            /* the client's Close: name, detached */
    EFFECT_DUPLICATE,        /* a Parse that the server will refuse: name is the one that exists */
    EFFECT_REFUSED,          /* a Parse for which we have no room: what stands for it will fail */
    EFFECT_UNNAMED,          /* a Query, or a Parse or Close of "": see below */
    EFFECT_INJECTED,         /* our Parse: id */
    EFFECT_INJECTED_UNNAMED, /* our Parse or Close of the unnamed one: id is what it was before */
    EFFECT_EVICTED,          /* our Close: id */
};

struct effect {
    uint8_t kind;
    bool failed; /* the server answered with an error */
    uint64_t id;
    struct name *name; /* NULL where it went meanwhile */

    /* EFFECT_UNNAMED: what the client's unnamed statement was before; id is the server's. name:
     * what a DEALLOCATE takes, detached if it is a Parse; all: it takes all. */
    uint64_t client_unnamed;
    struct statement *statement; /* a reference; NULL: none */
    bool all;

    bool is_small_set; /* suspect.h */
    bool of_query;     /* it may fail, and what is behind it be carried out */
    uint32_t batch;
};

/* The client's, made at first use; NULL: no memory. */
struct prepares *prepares_of(struct client *c);

/* An id that no statement has: who goes by it finds that what he wants is not there. */
uint64_t effect_make_id(struct client *c);

/* Adds one; *cookie names it, never 0. False: no memory. What e holds goes with it. */
NODISCARD bool effect_add(struct client *c, const struct effect *e, uint32_t *cookie);

/* Is there one under way that concerns this name of the client's and this id, and may it not happen
 * although what is sent now will? Within a batch this cannot be: PostgreSQL skips the rest of it.
 */
bool effect_is_open(const struct client *c, struct span name, uint64_t id);

/* The same for the unnamed statement. */
bool effect_is_unnamed_open(const struct client *c);

/* Is a reply's cookie that of an effect? */
bool effect_has(uint32_t cookie);
struct effect *effect_of(struct client *c, uint32_t cookie);

/* The name that a Close or DEALLOCATE under way has taken from this statement; NULL: none has. */
NODISCARD const struct name *effect_find_closed(const struct client *c, uint64_t id);

/* The first of the ring came true. */
void effect_confirm_first(struct client *c);

/* The server has not carried out the first n; one that it tried is marked as failed. */
void effect_undo_first(struct client *c, uint32_t n);

/* The server has dropped all its prepared statements. What is under way comes after that. */
void effect_forget_prepared(struct client *c);

/* No answer comes any more: nothing is done but to free what they hold. */
void effect_drop_all(struct client *c);

#endif
