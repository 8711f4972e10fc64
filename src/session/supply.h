/*
 * What a server is sent for a client's message besides the message: statements that it lacks, in
 * front and in the same send, and Closes of those that must make room for them. Each message sent
 * is noted, so that its answer is known.
 *
 * Where a function is false there is no memory, or the answers cannot be counted any more
 * (client->lost_count); a part may have been sent, and the pair must be closed.
 *
 * Runs on: the client's reactor.
 */
#ifndef WEIR_SESSION_SUPPLY_H
#define WEIR_SESSION_SUPPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "effect.h"
#include "pgwire/reply.h"
#include "weir/pool/statements.h"

/* Not a name that statement_name() makes. What clients call so does not exist for them. */
#define SUPPLY_NAME_OF_NONE STATEMENT_NAME_PREFIX "unknown"

/* The id of a statement with an empty text. It is made where a server needs one to answer about as
 * it would about the client's own; what it is there for ends with that. The store gives no such id.
 */
#define SUPPLY_DUMMY 0

/* ---- sending ---- */

/* The bytes live until the end of the turn. */
void supply_send(struct client *c, struct pgw_span bytes);

/* For bytes that do not. */
NODISCARD bool supply_send_copy(struct client *c, struct pgw_span bytes);

/* A message's header alone. */
NODISCARD bool supply_send_start(struct client *c, uint8_t type, size_t body_len);

/* A message's header, n_before bytes, and a name with its NUL. tail_len: what the caller sends
 * behind that. */
NODISCARD bool supply_send_head(struct client *c, uint8_t type, const void *before, size_t n_before,
                                struct pgw_span name, size_t tail_len);
NODISCARD bool supply_send_parse(struct client *c, struct pgw_span name, const struct statement *s);
NODISCARD bool supply_send_close(struct client *c, struct pgw_span name);

/* Notes a message of the client's or, with PGW_REPLY_SWALLOW, of our own, and what it will have
 * done; NULL: nothing. What e holds goes with it. */
NODISCARD bool supply_note(struct client *c, enum pgw_reply_kind kind, enum pgw_reply_way way,
                           const struct effect *e);

/* The same where the message's effect is none of effect.h. */
NODISCARD bool supply_note_cookie(struct client *c, enum pgw_reply_kind kind,
                                  enum pgw_reply_way way, uint32_t cookie);

/* ---- what a server has ---- */

/* A statement's name there; in buf. */
struct pgw_span supply_name(uint64_t id, char buf[STATEMENT_NAME_SIZE]);

/* The server has it, or will when what is sent next arrives; it counts as used. */
bool supply_has(struct client *c, uint64_t id);

/* It will have this one, which it has not: by a Parse that the caller sends. Makes room. */
NODISCARD bool supply_add(struct client *c, uint64_t id);

/* Closes it there; it will have it again by a Parse that the caller sends. */
NODISCARD bool supply_replace(struct client *c, uint64_t id);

/* What earlier batches have yet to do may change what is to be sent for a message about the
 * client's statement of this name; id: the statement's, 0: none. */
bool supply_must_wait(struct client *c, struct pgw_span said, uint64_t id);

/* Which statement is to do for s on this server: s, or the one of the same text under the settings
 * that there are now. Lives as long as the turn. */
struct statement *supply_choose(struct client *c, struct statement *s);

/* A Bind of a statement that does not exist, for PostgreSQL to refuse; it is noted by the caller.
 */
NODISCARD bool supply_send_failure(struct client *c);

/* The server has s when what is sent next arrives. */
NODISCARD bool supply_statement(struct client *c, const struct statement *s);

/* Its unnamed statement is the client's, or there is none. */
NODISCARD bool supply_unnamed(struct client *c);

/* It has SUPPLY_DUMMY, whatever it had before. */
NODISCARD bool supply_dummy(struct client *c);

#endif
