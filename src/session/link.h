/*
 * A client and the server that works for it: how the two are joined and parted. Shared by the files
 * that relay between them.
 *
 * While they are linked exactly one receive of the server is armed, but while the client has too
 * much unsent. What is called "at rest" is the release rule: status I, no reply outstanding,
 * nothing unsent to the server, and the last byte forwarded in either direction ended a message.
 *
 * Runs on: the client's reactor.
 */
#ifndef WEIR_SESSION_LINK_H
#define WEIR_SESSION_LINK_H

#include <stdbool.h>

#include "client.h"

/* s, as the pool served it, works for c: CLIENT_ACTIVE. */
void link_make(struct client *c, struct server *s);

/* Receives from the server, unless the client has too much unsent; then when that has drained. */
void link_arm(struct client *c);

/* The release rule, but for bytes that are still on their way to the server. */
bool link_is_at_rest(const struct client *c);

/* At rest: has the server nothing in the kernel? If not, that comes about, and relay_settle() is
 * called again. */
NODISCARD bool link_is_free(struct client *c);

/* Cancels what the server does for the client; what weir itself does there first is done to its
 * end. */
void link_cancel(struct client *c);

/* A ReadyForQuery came: what was to be cancelled behind it is. */
void link_cancel_behind(struct client *c);

/* At rest and free: the server is the caller's, detached. */
void link_part(struct client *c);

/* Sends the server a short Query of weir's own, whose answer is dropped. */
void link_send_query(struct client *c, const char *text);

/* At rest and free: the server goes to the pool, once no cancel request is open for it. c->server
 * is NULL then; the phase is the caller's business. */
void link_give_back(struct client *c);

/* The server must not be used again. terminate: it is at rest and may be told so. The same
 * otherwise. */
void link_abandon(struct client *c, bool terminate);

/* The client does not have too much unsent, or that does not matter any more: its server may be
 * read. */
void link_unstick(struct client *c);

/* The client has taken what it had too much of. */
void link_drained(struct client *c);

/* Nobody may wait for memory that belongs to those who never read: where the arena is nearly used
 * up, the one who has been stuck longest is closed, unless it is `but`. */
void link_make_room(struct shard *h, const struct client *but);

/* The client is not read while its server has too much unsent. */
void link_pace_client(struct client *c);

/* A client without a server is not read while it has too much unsent: of weir's own answers. */
void link_pace_answers(struct client *c);

/* Reads the client again if nothing speaks against it any more. */
void link_read_client(struct client *c);

/* ---- relay.c ---- */

/* Something has changed: what follows? The one place that releases servers. c may be gone after. */
void relay_settle(struct client *c);

/* The server's stream has ended. */
void relay_server_ended(struct client *c);

/* The server sent what it must not: the pair is closed. */
void relay_server_broke(struct client *c, uint8_t letter);

/* The server has refused the client's settings, which was told so, and ended: the client goes on
 * without it. */
void relay_start_over(struct client *c);

/* It has no server any more, CLIENT_IDLE, and goes on with what is held. c may be gone after. */
void relay_resume(struct client *c);

/* ---- answer.c ---- */

extern const struct sock_ops answer_ops; /* of a linked server */

/* Sends the client the answers that weir gives itself, if it is their turn. */
void answer_make_up(struct client *c);

/* A server that was given back a moment ago is linked at now_ns: until when are last words of it
 * not meant for this client? */
uint64_t answer_fresh_until(const struct server *s, uint64_t now_ns);

/* No message from the server has begun and not been passed on in full. */
bool answer_is_whole(const struct server *s);

/* The client has been given a part of a message, and no other bytes may come before its rest. */
bool answer_is_cut(const struct server *s);

/* ---- lost.c ---- */

/* relay_settle() for a client that is lost. */
void lost_settle(struct client *c);

/* The cookie of a message whose answer lost.c wants to hear of; no effect (effect.h) has it. */
#define LOST_COOKIE UINT32_MAX

/* An answer to it. */
void lost_answered(struct client *c, uint8_t letter);

#endif
