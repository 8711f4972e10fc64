/*
 * The part of the walker that is not inline: what a buffer's end has cut. A relay comes here about
 * once per buffer, so this is written for reading; the case of a header and body that begin in the
 * buffer is pgw_walk() itself.
 */
#include "pgwire/walker.h"

#include <string.h>

_Static_assert(sizeof(struct pgw_walker) == 16, "two of them are part of every connection");

/* The buffer ends before the header does. */
static void hold(struct pgw_walker *w, struct pgw_span *in)
{
    if (in->len > 0)
        memcpy(w->held[w->slot] + w->n_held, in->ptr, in->len);
    w->n_held = (uint8_t)(w->n_held + in->len);
    *in = pgw_span_skip(*in, in->len);
}

/* More of a body that an earlier buffer began. */
static void continue_body(struct pgw_walker *w, struct pgw_span *in, struct pgw_piece *out)
{
    size_t here = in->len < w->left ? in->len : w->left;

    w->left -= (uint32_t)here;
    *out = (struct pgw_piece){
        .bytes = {in->ptr, here},
        .type = w->type,
        .ends = w->left == 0,
    };
    *in = pgw_span_skip(*in, here);
}

/* The header began in an earlier buffer and ends in this one. */
static enum pgw_answer end_header(struct pgw_walker *w, const struct pgw_rule *table,
                                  struct pgw_span *in, struct pgw_piece *out)
{
    uint8_t header[PGW_HEADER_LEN];

    memcpy(header, w->held[w->slot], w->n_held);
    memcpy(header + w->n_held, in->ptr, sizeof(header) - w->n_held);

    enum pgw_answer answer = pgw_walk_header(w, table, header, w->n_held, in, out);

    if (answer == PGW_READY) {
        w->n_held = 0;
        w->slot ^= 1; /* leaves what was handed out in place when this buffer's end is held too */
    }
    return answer;
}

enum pgw_answer pgw_walk_cut(struct pgw_walker *w, const struct pgw_rule *table,
                             struct pgw_span *in, struct pgw_piece *out)
{
    if (w->left > 0 && in->len > 0) {
        continue_body(w, in, out);
        return PGW_READY;
    }
    if (w->n_held + in->len < PGW_HEADER_LEN) {
        hold(w, in);
        return PGW_PARTIAL;
    }
    return end_header(w, table, in, out);
}
