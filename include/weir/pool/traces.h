/*
 * What the text of a query may leave behind in its session, as far as its words show: suspicion,
 * which is cheap. What is really there the server says (inspect.h). A word in a string or comment
 * counts as well; a word that SQL would see is never missed, comments in front of it included, nor
 * one that is spelled in numbers (U&"...").
 * What functions do, the text that calls them does not show.
 *
 * Pure. Sources: the SQL commands of PostgreSQL's documentation, and 9.17, 9.27.1, 9.27.10.
 */
#ifndef WEIR_POOL_TRACES_H
#define WEIR_POOL_TRACES_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/base/check.h"
#include "weir/base/pairs.h"
#include "weir/pool/inspect.h"

/* Beside STATE_BIT() of each kind of state: */
#define TRACE_SETS (1u << 8)  /* settings may change: what is parsed behind means other things */
#define TRACE_NAMES (1u << 9) /* with names of parameters perhaps: traces_names() */
#define TRACE_PREPARES (1u << 10)  /* PREPARE: it will do later what else the text shows... */
#define TRACE_EXECUTES (1u << 11)  /* ...by this */
#define TRACE_SEQUENCES (1u << 12) /* it asks for the session's last sequence value */

#define TRACE_RESETS (1u << 13) /* RESET, DISCARD: settings become what the server came up with */

#define TRACES_WORD_MAX 27 /* of the words that are looked for */

/* A text that comes in pieces; zeroed at first. The members are traces.c's. */
struct traces {
    uint8_t n_word;
    bool is_inside; /* not at the beginning of a statement */
    bool in_line_comment, has_comment;
    uint8_t separator; /* the last byte, if it was no letter */
    uint8_t last_word; /* what the last word was */
    unsigned found;
    uint8_t word[TRACES_WORD_MAX + 1]; /* one that the end of a piece has cut */
};

/* What has been found is in t->found; a word at the end counts when a byte behind it has come: with
 * the text's NUL. */
void traces_scan(struct traces *t, struct span piece);

/* A whole text with its NUL. */
unsigned traces_of_text(struct span text);

/* What a command with this tag may have left behind: kinds of state. tag: with its NUL. */
unsigned traces_of_tag(struct span tag);

/* What a FunctionCall of the function with this oid may leave behind; 0: it is not known which. The
 * oids of functions that come with PostgreSQL are the same everywhere (pg_proc.dat). */
unsigned traces_of_call(uint32_t oid);

enum traces_set {
    TRACES_NO_SET, /* no SET, or more than that */
    TRACES_LOCAL,  /* SET LOCAL, TRANSACTION or CONSTRAINTS: gone with the transaction */
    TRACES_NAME,   /* of the parameter in *name */
};

/* Is the text a SET and nothing else? name lies in the text, or is a literal. */
enum traces_set traces_of_set(struct span text, struct span *name);

/* Adds the names of parameters with a dot that a SET or set_config() in this text sets; values are
 * empty. False: there may be others (or no memory). */
bool traces_names(struct span text, struct pairs *out);

#endif
