/*
 * What a session may have left behind on a server: the texts of the question and of the cleaning,
 * and the reader of the rows that answer. Pure but for the memory of what is found; see
 * weir/pool/inspect.h for what is asked when.
 *
 * Names and operators in the texts are qualified, since the search_path of the session is in force.
 * The question, and the cleaning, are each one Query of several statements, so one transaction:
 * read committed and not deferrable, so that it waits for nobody and is possible on a standby.
 *
 * Thread: one at a time.
 */
#ifndef WEIR_POOL_LEFTOVERS_H
#define WEIR_POOL_LEFTOVERS_H

#include <stdbool.h>
#include <stddef.h>

#include "pgwire/span.h"
#include "pgwire/writer.h"
#include "weir/base/check.h"
#include "weir/base/pairs.h"
#include "weir/base/span.h"
#include "weir/pool/inspect.h"

/* What is longer, or more, does not move: a setting is reset, a statement deallocated. So this is
 * what a client may take along, which no key of the configuration bounds. */
#define LEFTOVERS_VALUE_MAX 16384       /* bytes of a setting's value */
#define LEFTOVERS_TEXT_MAX 16384        /* of a statement's text */
#define LEFTOVERS_TOTAL_MAX (32U << 10) /* of all settings, and of all statements */
#define LEFTOVERS_STATEMENTS_MAX 1000   /* above, the answer is TOO_MANY */

/* Kinds that can be asked about. */
#define LEFTOVERS_ASKED (STATE_ALL & ~STATE_BIT(STATE_SEQUENCES))

struct leftovers {
    struct inspect_found found; /* but for `answered` and was_reset, which are the caller's */
    struct pairs dropped;       /* statements that cannot move; values mean nothing */
    bool must_reset;            /* something is set that cannot move */
};

void leftovers_init(struct leftovers *l);
void leftovers_fini(struct leftovers *l);

/* Can a parameter of this name be asked about by name? */
bool leftovers_can_ask(struct span name);

/* The question about kinds, a Query: it has rows for what is there. names: parameters that
 * pg_settings may not list, each of which can be asked about. */
size_t leftovers_question_max(unsigned kinds, const struct pairs *names);
void leftovers_ask(struct pgw_writer *w, unsigned kinds, const struct pairs *names);

enum leftovers_taken {
    LEFTOVERS_TAKEN,
    LEFTOVERS_INVALID, /* no row of an answer */
    LEFTOVERS_TOO_MANY,
    LEFTOVERS_OF_OURS, /* SQL has prepared a statement under a name of weir's */
    LEFTOVERS_NO_MEMORY,
};

/* Takes a DataRow; login: the name that the server's session logged in with, as in its startup
 * packet. */
NODISCARD enum leftovers_taken leftovers_take(struct leftovers *l, struct pgw_span row,
                                              struct span login);

/* The cleaning of kinds, a Query; any error in it ends the server's session. Settings: all that
 * RESET can undo. Statements: those in the two sets. */
size_t leftovers_cleaning_max(const struct pairs *statements, const struct pairs *more);
void leftovers_clean(struct pgw_writer *w, unsigned kinds, const struct pairs *statements,
                     const struct pairs *more);

#endif
