/*
 * Which reply of a server answers which message that was sent to it: what a relay that pools
 * server connections must know to hand replies out, to leave out those to its own messages, to
 * put in those it gives itself, and to say when a server has nothing more to say.
 *
 * A queue holds one entry per message that will be answered, in the order of sending. Each entry is
 * of a kind (which message), goes one way (forward, swallow, make up) and carries a number of the
 * caller's. The rules, each with a unit test of the same number and all but W held against a real
 * PostgreSQL 15 (tests/replies):
 *
 *  1. Parse is answered by 1, Bind by 2, Close by 3, Describe of a portal by T or n, of a statement
 *     by t and then T or n, Execute by D... and then C or s, or by I, Sync by Z, FunctionCall by V
 *     and Z, Query by one or more of T D C I and COPYs, and then Z.
 *  2. N, S and A come at any time and answer nothing.
 *  3. E to Query, FunctionCall or Sync: only its Z is still to come.
 *  4. E to an extended message removes all entries up to the next Sync, of any kind and way. Is no
 *     Sync there, the server skips: nothing that is sent up to a Sync will be answered.
 *  5. That E is swallowed only if all entries it removes are: if Parse in front of a client's Bind
 *     fails, the E is what the Bind is answered with.
 *  6. E while nothing is owed but a batch is un-Synced works like 4: PostgreSQL reports a statement
 *     timeout of the pause before with the next message, and this may be a Flush. (Behind such a
 *     Flush a Query told before the E came is taken for what failed. That ends in a violation.)
 *  7. G, the beginning of a COPY from the client: Syncs behind it up to the CopyDone or CopyFail
 *     that ends it are loose, whether sent before the G came or after. PostgreSQL drops what it
 *     reads of them in the COPY. A COPY by Execute is un-Synced until a Sync behind its end.
 *  8. C to that COPY: the server has read its end, so none of the loose Syncs will be answered.
 *  9. E to that COPY: how many loose Syncs it had read cannot be known. Each may be answered by a Z
 *     until another answer to a message behind them shows that none is left.
 * 10. If an Execute's COPY fails so and other messages than Syncs were or are sent behind the loose
 *     Syncs, nobody can tell whether they are skipped: the pair is lost (VIOLATION or LOST).
 * 11. CopyDone and CopyFail outside a COPY are not answered, CopyData and Flush never.
 * 12. H brings d... and c, W brings both sides' d and c and ends with C, which comes without the c
 *     where the server shuts down.
 * 13. E of severity FATAL or PANIC may come at any time and is the last message.
 * 14. An entry to be made up is due as soon as it is the first.
 * 15. Anything else is a violation: close the pair.
 *
 * A queue that is full never deadlocks if its owner then sends the server a Flush and stops reading
 * its client until the queue has room: a Flush changes nothing, and makes PostgreSQL give out all
 * answers to what was sent before it. Two things could keep answers back. Skipping: but skipped
 * messages have no entries. A COPY that waits for data still to be read from the client: but once
 * it has begun, nothing that is legal up to its end needs room (rule 7; PostgreSQL, from 14 on,
 * ends the connection at anything else), and its beginning is never kept back. Without that Flush
 * the room must exceed 8192 / 5 entries that the server answers: PostgreSQL sends when 8192 bytes
 * have gathered, and no answer is shorter than 5.
 *
 * Pure: no allocation, no I/O. Threads: a queue belongs to whoever owns its server connection.
 * Sources: PostgreSQL documentation 55.2; postgres.c and copyfromparse.c of PostgreSQL 15.
 */
#ifndef PGWIRE_REPLY_H
#define PGWIRE_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "pgwire/span.h"
#include "pgwire/status.h"

enum pgw_reply_kind {
    PGW_REPLY_NO_KIND, /* never answered: CopyData, Flush, Terminate */
    PGW_REPLY_PARSE,
    PGW_REPLY_BIND,
    PGW_REPLY_DESCRIBE_STATEMENT,
    PGW_REPLY_DESCRIBE_PORTAL,
    PGW_REPLY_EXECUTE,
    PGW_REPLY_CLOSE,
    PGW_REPLY_SYNC,
    PGW_REPLY_QUERY,
    PGW_REPLY_FUNCTION_CALL,
    PGW_REPLY_COPY_END, /* CopyDone, CopyFail: not answered, but part of the order */
    PGW_REPLY_N_KINDS,
};

/* What becomes of the answer to a message. */
enum pgw_reply_way {
    PGW_REPLY_FORWARD, /* the client's message */
    PGW_REPLY_SWALLOW, /* the relay's own: nobody is told */
    PGW_REPLY_MAKE_UP, /* the client's, but not sent to the server: the relay answers */
};

/* What is to be expected for a message. */
enum pgw_reply_outcome {
    PGW_REPLY_NOTED,
    PGW_REPLY_SKIPPED, /* the server will not answer it, nor carry it out */
    PGW_REPLY_FULL,    /* no room, nothing changed: see above */
    PGW_REPLY_LOST,    /* rule 10, or after a FATAL error: close the pair */
};

enum pgw_reply_judgement {
    PGW_REPLY_PASS,      /* forward it */
    PGW_REPLY_DROP,      /* swallow it */
    PGW_REPLY_VIOLATION, /* rules 10 and 15 */
};

struct pgw_reply_entry {
    uint32_t cookie; /* the caller's */
    uint16_t n;      /* that many alike in a row */
    uint8_t kind;    /* enum pgw_reply_kind */
    uint8_t way;     /* enum pgw_reply_way */
};

/* What a reply answers. */
struct pgw_reply_verdict {
    uint32_t cookie;    /* of the entry; 0 if none */
    uint32_t n_removed; /* entries that an error removed, this one first; all if it was fatal */
    uint8_t kind;       /* of the entry; PGW_REPLY_NO_KIND if none */
    bool is_done;       /* it is answered in full */
};

/* One server connection; touch the members through the functions below only. */
struct pgw_reply_queue {
    struct pgw_reply_entry *ring; /* the caller's */
    uint32_t mask;                /* of the ring's indices */
    uint32_t head;                /* first entry; counts on without end, as tail does */
    uint32_t tail;                /* behind the last entry */
    uint32_t n_loose; /* loose Syncs, rules 7 to 9; older than all entries but the first */
    uint8_t progress; /* how far the first entry is answered; 0: it takes no reply */
    uint8_t status;   /* of the last ReadyForQuery: I, T or E */
    bool is_skipping; /* rule 4 */
    bool is_unsynced; /* the last message sent belongs to a batch still open */
    bool is_over;     /* rule 13 */
};

/*
 * An empty queue on a ring of `room` entries, a power of two of at least 4, for a server that has
 * sent its ReadyForQuery with this status ('I' after login). The ring must stay until the queue has
 * no entry left or is not used any more; a queue with nothing owed may be given another ring so.
 */
void pgw_reply_init(struct pgw_reply_queue *q, struct pgw_reply_entry *ring, uint32_t room,
                    uint8_t status);

/* The kind of a client's message; `target` is the first byte of a Describe's body, else ignored. */
enum pgw_reply_kind pgw_reply_kind_of(uint8_t letter, uint8_t target);

/*
 * A message of this kind goes to the server now, or, to be made up, would have gone. A message of
 * the relay's own and the client's it is for are both told before any reply to them is (see that
 * there is room for both). Sync, Query and FunctionCall may be made up only while
 * pgw_reply_is_unsynced() is false and nothing else than made-up answers is owed.
 */
PGW_NODISCARD enum pgw_reply_outcome pgw_reply_sent(struct pgw_reply_queue *q,
                                                    enum pgw_reply_kind kind,
                                                    enum pgw_reply_way way, uint32_t cookie);

/*
 * The server has sent a message. `detail` is for Z the status byte, for E the first letter of the
 * severity in field V (E, F or P), else ignored. Answers that are due are to be taken before. N,
 * and E of severity F or P, go the way of the first entry, S and A are always passed: which
 * parameters the client already knows is for the caller to say. *out is of use unless the reply is
 * a violation.
 */
PGW_NODISCARD enum pgw_reply_judgement pgw_reply_received(struct pgw_reply_queue *q, uint8_t letter,
                                                          uint8_t detail,
                                                          struct pgw_reply_verdict *out);

/*
 * The i-th of the n_removed entries of the last verdict. A Parse among them has not been carried
 * out, nor has a Close. Valid until the next message is sent or received.
 */
const struct pgw_reply_entry *pgw_reply_removed(const struct pgw_reply_queue *q,
                                                const struct pgw_reply_verdict *v, uint32_t i);

/*
 * The next answer to the client is to be made up. To be asked after each pgw_reply_sent() that made
 * one up and each verdict that is_done, and again until false.
 */
static inline bool pgw_reply_is_due(const struct pgw_reply_queue *q)
{
    return q->progress == 0 && q->head != q->tail;
}

/* Takes what is due; that it is made up answers it. Returns what it is the answer to, n being 1. */
struct pgw_reply_entry pgw_reply_make_up(struct pgw_reply_queue *q);

/* How many messages may surely be told before the queue is full. */
static inline uint32_t pgw_reply_room(const struct pgw_reply_queue *q)
{
    return q->mask + 1 - (q->tail - q->head);
}

/* Something is owed for certain: answers of the server, or such to be made up. */
static inline bool pgw_reply_is_owed(const struct pgw_reply_queue *q)
{
    return q->head != q->tail;
}

/* What the server is at is the relay's own message. */
static inline bool pgw_reply_is_of_relay(const struct pgw_reply_queue *q)
{
    return q->head != q->tail && q->ring[q->head & q->mask].way == PGW_REPLY_SWALLOW;
}

/* What the server is at is a batch of Closes alone, or of nothing, and more is owed behind it. */
static inline bool pgw_reply_is_closing(const struct pgw_reply_queue *q)
{
    uint32_t i = q->head;

    while (i != q->tail && q->ring[i & q->mask].kind == PGW_REPLY_CLOSE)
        i++;
    return i != q->tail && q->ring[i & q->mask].kind == PGW_REPLY_SYNC && i + 1 != q->tail;
}

/* Of the client's messages nothing but Closes and Syncs is owed for. */
static inline bool pgw_reply_is_trifling(const struct pgw_reply_queue *q)
{
    uint32_t i = q->head;

    for (; i != q->tail; i++) {
        const struct pgw_reply_entry *e = &q->ring[i & q->mask];

        if (e->way != PGW_REPLY_SWALLOW && e->kind != PGW_REPLY_CLOSE && e->kind != PGW_REPLY_SYNC)
            return false;
    }
    return true;
}

/* A COPY has begun that waits for the client's data. */
bool pgw_reply_is_copying_in(const struct pgw_reply_queue *q);

/* Replication: both sides may send data. At Terminate the server ends then, wherever it is; it
 * takes no message that has no business there. */
bool pgw_reply_is_copying_both(const struct pgw_reply_queue *q);

/* A batch is open: a Sync would commit what it has done so far, if it has not failed. */
static inline bool pgw_reply_is_unsynced(const struct pgw_reply_queue *q)
{
    return q->is_unsynced || q->is_skipping;
}

/* The server skips what is sent up to a Sync: it has failed, and that is known. */
static inline bool pgw_reply_is_skipping(const struct pgw_reply_queue *q)
{
    return q->is_skipping;
}

/*
 * Nothing is owed for certain, but Zs for loose Syncs may still come (rule 9). A Query of the
 * relay's own settles it once the batch is synced: after its answer nothing can be left.
 */
static inline bool pgw_reply_is_unsettled(const struct pgw_reply_queue *q)
{
    return q->n_loose > 0 && q->head == q->tail;
}

/*
 * The server is idle outside any transaction and will say nothing more of what was sent to it.
 * Besides, the relay must have sent all it holds, and the last message forwarded must be whole.
 */
static inline bool pgw_reply_is_at_rest(const struct pgw_reply_queue *q)
{
    return q->head == q->tail && q->status == PGW_TX_IDLE && q->n_loose == 0 &&
           !pgw_reply_is_unsynced(q) && !q->is_over;
}

#endif
