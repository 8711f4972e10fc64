/*
 * Prepared statements, as clients have asked for them: one store for the whole process, so that
 * what a thousand clients prepare alike is kept once, and a server that has it has it for all.
 *
 * What a statement means depends on its text, its parameter types and the settings under which it
 * is parsed (the context): all three are the key. Equal keys are one statement; its id is never
 * used for another one while the process lives, and its name at servers is made of the id.
 *
 * Lookups take no lock. A statement that nobody holds any more can be found again until room is
 * needed: then those go first that nobody has asked for lately. Their memory is freed a moment
 * later, after a round of all threads: within a turn, a thread may look at a statement that it has
 * no reference of.
 */
#ifndef WEIR_POOL_STATEMENTS_H
#define WEIR_POOL_STATEMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/base/check.h"
#include "weir/base/hash.h"
#include "weir/base/span.h"

struct crew;
struct statements;
struct thread;

/* Immutable; any thread that has a reference. */
struct statement {
    uint64_t id; /* never 0 */
    uint64_t context;
    size_t len;      /* of parse */
    unsigned traces; /* what its execution may leave behind: traces.h */
    /* the store's own members follow in src/pool/statements.c; parse is behind them */
};

/* A Parse message's body behind the statement's name: text, NUL, number of types, types. As long as
 * the reference. */
struct span statement_parse(const struct statement *s);

/* "weir_" and the id in hexadecimal, NUL-terminated; returns its length without the NUL. */
#define STATEMENT_NAME_PREFIX "weir_"
#define STATEMENT_NAME_SIZE 24
unsigned statement_name(uint64_t id, char out[STATEMENT_NAME_SIZE]);

/* Main thread, before the crew runs. max_bytes bounds all statements that can be found, their
 * overhead included, and the room that is got; what was dropped and is not free yet comes on top.
 * key is copied, for tests that are to be repeated; NULL: a random one. 0 or -errno. */
NODISCARD int statements_new(struct statements **out, struct crew *crew, size_t max_bytes,
                             const struct hash_key *key);

/* After the crew has ended; every statement is put. NULL is fine. */
void statements_free(struct statements *ss);

/* On a thread of the crew, within a turn. Finds or makes the statement with this key and takes a
 * reference for the caller. NULL: it is not there, and would not fit in max_bytes although all that
 * nobody holds has been dropped, or no memory. */
NODISCARD struct statement *statements_intern(struct statements *ss, struct thread *self,
                                              struct span parse, uint64_t context);

/* The caller has a reference already. Any thread. */
struct statement *statement_get(struct statement *s);

/* On a thread of the crew, within a turn. NULL is fine. */
void statement_put(struct statements *ss, struct thread *self, struct statement *s);

/* Room for n_bytes that are kept elsewhere but count here: clients' names for statements, texts
 * that are still on their way. On a thread of the crew, within a turn. False: there is none,
 * although all that nobody holds has been dropped. */
NODISCARD bool statements_get_room(struct statements *ss, struct thread *self, size_t n_bytes);

/* Any thread. */
void statements_put_room(struct statements *ss, size_t n_bytes);

/* What has been prepared at a server in one epoch may mean something else, or nothing, in the next:
 * tables have been made or altered. Counted from 1 on; any thread. */
uint32_t statements_epoch(const struct statements *ss);
void statements_end_epoch(struct statements *ss);

/* As it was made with; any thread. */
size_t statements_max_bytes(const struct statements *ss);

/* For SHOW; a moment's values; any thread. */
struct statements_counts {
    size_t n_statements, n_bytes; /* n_bytes: with the room that others have got */
};
struct statements_counts statements_count(const struct statements *ss);

#endif
