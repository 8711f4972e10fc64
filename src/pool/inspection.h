/*
 * One inspection: what is known of the server by now, and what follows from it. The dialogue is in
 * inspect.c; this part neither sends nor receives.
 *
 * Thread: the one that holds the server.
 */
#ifndef WEIR_POOL_INSPECTION_H
#define WEIR_POOL_INSPECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "intake.h"
#include "leftovers.h"
#include "weir/base/check.h"
#include "weir/base/pairs.h"
#include "weir/pool/inspect.h"

struct inspection {
    struct server *server;
    struct thread *self;
    inspect_done *done; /* NULL: nobody is there to whom anything could move */
    void *ctx;

    unsigned kinds;
    bool always, unknown_names;
    bool is_audit;
    struct pairs names; /* that are asked about */

    struct leftovers left;
    unsigned cleaning;  /* bits: what the Query under way cleans; 0: it is the question */
    unsigned cleaned;   /* bits: what has been cleaned */
    bool cleans_moving; /* so does it with statements that could have moved */
    bool was_refused;
    bool is_over; /* only its server's stream is to be closed, or drained */

    uint8_t *text; /* the Query under way: it may be sent from here */
    struct intake in;
};

/* With the first Query in text, of *len bytes. NULL: no memory. */
struct inspection *inspection_new(struct server *s, struct thread *self,
                                  const struct inspect_order *o, size_t *len);
void inspection_free(struct inspection *i);

/* Is nobody there to whom anything could move? */
bool inspection_is_alone(const struct inspection *i);

/* Bits: what is to be cleaned, and has not been. */
unsigned inspection_due(const struct inspection *i);

/* Sets text to a Query: the question, or what cleans i->cleaning. False: no memory. */
NODISCARD bool inspection_build(struct inspection *i, size_t *len);

/* The question was answered; or refused, and half an answer is none. NULL, or why it cannot go on
 * with this server: a literal. */
NODISCARD const char *inspection_note_answers(struct inspection *i);
NODISCARD const char *inspection_note_refusal(struct inspection *i);

/* What i->cleaning says has been cleaned. */
void inspection_note_cleaned(struct inspection *i);

/* At the end: counts and tells what was there, and whether it stays. */
void inspection_report(const struct inspection *i);

/* --- inspect.c */

/* Like inspect_begin(), about everything, for a server that nobody suspects. What s->settings and
 * s->prepared_by_sql account for is no find: it stays where it is, and is not in `found`. All else
 * is cleaned. One that refuses to tell stays as it is, and nothing is `answered`. Counting and
 * telling are the callee's. */
NODISCARD int inspect_audit(struct server *s, struct thread *control, inspect_done *done,
                            void *ctx);

#endif
