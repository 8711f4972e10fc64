/*
 * Prepared statements in transaction mode: a client's server changes between transactions, but what
 * it has prepared must be there. So each client has its own names (names.h), each server has the
 * statements that anybody asked for under names of weir's own (pool/prepared.h), and messages are
 * renamed on their way. What a server lacks is parsed in front, in the same send.
 *
 * Names change when a message is sent, as if it will succeed: the next message of the same batch
 * may use them. Each such change is noted (an effect), and undone if the server does not carry the
 * message out. Behind a Sync a message waits for those effects of earlier batches that concern the
 * same statement. weir makes up no error: it sends what makes PostgreSQL raise the right one.
 *
 * Runs on: the client's reactor.
 */
#ifndef WEIR_SESSION_RENAME_H
#define WEIR_SESSION_RENAME_H

#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "names.h"
#include "pgwire/reply.h"
#include "pgwire/span.h"
#include "pgwire/writer.h"

/* Replies owed for one message of a client at most: those of Closes and a Parse in front of it. */
#define RENAME_REPLIES_MAX 4

/* A Parse must be seen whole before it can be sent on. */
#define RENAME_PARSE_MAX (16u << 20)
/* So must the names in front of a Bind. */
#define RENAME_NAMES_MAX (64u << 10)

struct effect;

/* What a client has prepared. Exists from its first Parse on. */
struct prepares {
    struct names names;
    struct statement *unnamed; /* NULL: there is none, or it is too long to be kept */
    uint64_t unnamed_id;       /* of the same; 0: there is none */

    struct effect *effects; /* ring of those whose answers are outstanding, in order */
    uint32_t head, tail, size;
    uint32_t batch; /* counts its Syncs */

    bool is_gathering; /* the beginning of a message that buffers cut */
    bool is_refused;   /* a Parse for which there is no room: it is answered, and dropped */
    uint8_t type;      /* of that message */
    uint32_t body_len;
    uint8_t *gathered; /* the first n_gathered bytes of its body */
    uint32_t n_gathered, gathered_size;
};

enum renamed {
    RENAME_AS_IT_IS, /* noted; the caller sends the message */
    RENAME_REPLACED, /* what stands for the bytes given was sent */
    RENAME_WAIT,     /* not now: it is to be tried again when less is owed */
    RENAME_FAILED,   /* no memory, or with client->lost_count rule 10 of pgwire/reply.h; a part may
                        have been sent: close the pair */
};

/* Is this message of an active client one that may name a prepared statement, which has another
 * name at the server? A Query may be a DEALLOCATE, and drops the unnamed one. */
bool rename_concerns(const struct client *c, uint8_t type);

/* Are these first bytes of a body enough for rename_message()? */
bool rename_is_enough(const struct client *c, uint8_t type, uint32_t body_len,
                      struct pgw_span head);

/* A message that rename_concerns(), of which head is enough: notes it and sends what has to be sent
 * in its place. There is room for RENAME_REPLIES_MAX replies. */
NODISCARD enum renamed rename_message(struct client *c, uint8_t type, uint32_t body_len,
                                      struct pgw_span head);

/* A Sync was sent. */
void rename_synced(struct client *c);

/* Begins gathering a message with these first bytes of its body. False: no memory, or names that
 * are too long. */
NODISCARD bool rename_gather(struct client *c, uint8_t type, uint32_t body_len,
                             struct pgw_span head);
bool rename_is_gathering(const struct client *c);

/* In the place of a Parse for which there is no room: it fails, as PostgreSQL would let it fail. */
NODISCARD enum renamed rename_refuse(struct client *c);

/* More of it. RENAME_REPLACED: taken, and if it was enough, what stands for all of it was sent and
 * gathering is over. RENAME_WAIT: none was taken. RENAME_FAILED as above. */
NODISCARD enum renamed rename_gather_more(struct client *c, struct pgw_span bytes);

/* What was gathered goes with its client: nothing of the message was sent. */
void rename_gather_drop(struct client *c);

/* An answer: the effects it confirms or undoes. */
void rename_answered(struct client *c, uint8_t letter, const struct pgw_reply_verdict *verdict);

/* An answer that weir gives itself, as it was noted. */
void rename_make_up(struct client *c, const struct pgw_reply_entry *entry, struct pgw_writer *w);

/* Is this the cookie of a small SET's reply (suspect.h)? */
bool rename_is_small_set(struct client *c, uint32_t cookie);

/* A CommandComplete came: DISCARD ALL and DEALLOCATE ALL are noticed, and what alters tables. */
void rename_completed(struct client *c, struct pgw_span tag);

/* Is this error about a name of weir's own? Then *out is the message as the client must see it;
 * lives until the end of the turn. A server that has not what it should have, or a plan that is not
 * valid any more, is closed when it is given back. */
bool rename_error(struct client *c, struct pgw_span body, const struct pgw_reply_verdict *verdict,
                  struct pgw_span *out);

/* The client is parted from its server: no answer comes any more. */
void rename_part(struct client *c);

/* The client's slot is freed. */
void rename_free(struct client *c);

#endif
