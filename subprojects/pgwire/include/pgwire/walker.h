/*
 * The walker follows one direction of a connection through whatever buffers its bytes arrive in and
 * says which bytes belong to which message, without waiting for a message to be whole.
 *
 * Bodies stream through. Nothing is copied but the first bytes of a header that the end of a buffer
 * cuts: at most four, held back until the rest arrives and then handed out in front of it. So every
 * byte is handed out exactly once and in order, and none before the type and length of its message
 * are known to be right.
 *
 * Headers are checked against a table of rule.h. Phases are not: what a message means at this
 * moment is known only to whoever follows the connection.
 */
#ifndef PGWIRE_WALKER_H
#define PGWIRE_WALKER_H

#include <stdbool.h>
#include <stdint.h>

#include "pgwire/endian.h"
#include "pgwire/rule.h"
#include "pgwire/span.h"

/* One direction of a connection. All zero: at a message boundary. */
struct pgw_walker {
    uint32_t left;  /* body bytes of the current message still to come */
    uint8_t type;   /* of the current message; of the one at fault after INVALID */
    uint8_t n_held; /* bytes of a cut header: 0 to 4 */
    uint8_t slot;   /* which of held has them */
    uint8_t held[2]
                [PGW_HEADER_LEN - 1]; /* two: one buffer may end a cut header and begin another */
};

/* A part of one message: all of its bytes that lie in the buffer being walked. */
struct pgw_piece {
    struct pgw_span held;  /* header bytes that came with earlier buffers; usually empty */
    struct pgw_span bytes; /* in this buffer, after held: rest of the header, then body */
    uint32_t body_len;     /* of the whole message; 0 unless starts */
    uint8_t type;
    bool starts; /* the message begins here: with held, or with bytes where nothing was held */
    bool ends;   /* the last of bytes is the message's last */
};

/* What pgw_walk() leaves to it: a header or body that an earlier buffer began or this one cuts. */
PGW_NODISCARD enum pgw_answer pgw_walk_cut(struct pgw_walker *w, const struct pgw_rule *table,
                                           struct pgw_span *in, struct pgw_piece *out);

/* For pgw_walk() and pgw_walk_cut(): a message begins; all but n_held bytes of header are in *in.
 */
PGW_NODISCARD static inline enum pgw_answer
pgw_walk_header(struct pgw_walker *w, const struct pgw_rule *table, const uint8_t *header,
                size_t n_held, struct pgw_span *in, struct pgw_piece *out)
{
    uint32_t length = pgw_load_u32(header + PGW_TYPE_LEN);

    w->type = header[0];
    if (__builtin_expect(!pgw_rule_fits(&table[w->type], length), 0))
        return PGW_INVALID;

    uint32_t body_len = length - PGW_LENGTH_LEN;
    size_t n_header = PGW_HEADER_LEN - n_held, room = in->len - n_header;
    size_t n_body = room < body_len ? room : body_len;

    w->left = body_len - (uint32_t)n_body;
    *out = (struct pgw_piece){
        .held = {w->held[w->slot], n_held},
        .bytes = {in->ptr, n_header + n_body},
        .body_len = body_len,
        .type = w->type,
        .starts = true,
        .ends = w->left == 0,
    };
    *in = pgw_span_skip(*in, n_header + n_body);
    return PGW_READY;
}

/*
 * Hands out the next piece of *in and moves *in past it; table is one of rule.h. PARTIAL: *in is
 * used up, go on with the next buffer. INVALID: the message that begins here, counting from what is
 * held, breaks the protocol; *in stays where it is, and asking again gives the same answer.
 *
 * out->bytes lives as long as the caller's buffer. out->held points into *w and lives until the
 * next buffer is walked: who sends later than that copies it.
 */
PGW_NODISCARD static inline enum pgw_answer pgw_walk(struct pgw_walker *w,
                                                     const struct pgw_rule *table,
                                                     struct pgw_span *in, struct pgw_piece *out)
{
    if (__builtin_expect(w->left > 0 || w->n_held > 0 || in->len < PGW_HEADER_LEN, 0))
        return pgw_walk_cut(w, table, in, out);
    return pgw_walk_header(w, table, in->ptr, 0, in, out);
}

/* The bytes of a piece that belong to the message's body. */
static inline struct pgw_span pgw_piece_body(const struct pgw_piece *p)
{
    return pgw_span_skip(p->bytes, p->starts ? PGW_HEADER_LEN - p->held.len : 0);
}

/* True if no message has begun and not ended, not even with a byte of its header. */
static inline bool pgw_walker_at_boundary(const struct pgw_walker *w)
{
    return w->left == 0 && w->n_held == 0;
}

/* True if the last byte handed out ended a message; some of the next may be held. */
static inline bool pgw_walker_handed_whole(const struct pgw_walker *w)
{
    return w->left == 0;
}

#endif
