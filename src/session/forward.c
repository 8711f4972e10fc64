/*
 * The messages of a client that has a server: they go on in spans as long as the buffer, and what
 * will answer them is noted. Prepared statements go under other names (rename.h).
 *
 * Runs on: the client's reactor.
 */
#include "forward.h"

#include "link.h"
#include "pgwire/sqlstate.h"
#include "rename.h"
#include "weir/auth/wire.h"

static const uint8_t flush[] = {PGW_F_FLUSH, 0, 0, 0, 4};

enum admission {
    ADMIT,
    WAIT, /* not now: it and what follows is held */
    FULL, /* the same, because too many answers are outstanding */
    STOP, /* nothing of it or behind it will be sent */
};

/* Others have waited long: does this client pipeline without ever leaving a gap? What belongs to a
 * COPY goes on, or it would never end. */
static bool must_hold_back(const struct client *c)
{
    const struct pgw_reply_queue *q = &c->server->replies;
    const struct conf_policy *policy = pool_policy(c->pool);

    if (!pgw_reply_is_owed(q) || c->settings.is_applying || pgw_reply_is_unsynced(q) ||
        client_keeps_server(c) || q->status != PGW_TX_IDLE || pgw_reply_is_copying_in(q))
        return false;
    return pool_waited(c->pool, loop_now_ns(c->thread->loop), policy->pipeline_hold_ns);
}

/* A cancel request stops what runs when PostgreSQL acts on it, and that may be what comes next. */
static bool could_be_cancelled(const struct server *s)
{
    return s->n_cancels > 0 && !pgw_reply_is_owed(&s->replies);
}

/* A RESET returns to what the server came up with. What the client came with is put back when that
 * is answered (settings.h), so what is behind it waits: else it would run without. */
static bool must_follow_reset(struct client *c)
{
    const struct pgw_reply_queue *q = &c->server->replies;

    if (!pgw_reply_is_owed(q))
        c->suspicion.resets = false;
    return c->suspicion.resets && c->settings.startup.len > 0 && !pgw_reply_is_unsynced(q) &&
           !pgw_reply_is_copying_in(q);
}

/* A message begins. */
static enum admission admit(struct client *c, const struct pgw_piece *p)
{
    struct pgw_reply_queue *q = &c->server->replies;
    const struct pgw_rule *rule = &pgw_frontend_rules[p->type];

    if (rule->flags & PGW_TERMINATES) {
        c->said_terminate = true;
        return STOP;
    }
    if (!(rule->phases & LOGGED_IN)) {
        relay_broke_protocol(c);
        return STOP;
    }
    if (could_be_cancelled(c->server))
        return WAIT; /* cancelled() comes */
    if (forward_is_unclear(p))
        return WAIT;
    if (must_follow_reset(c))
        return WAIT;
    if (must_hold_back(c)) {
        c->held_back = true;
        counter_add(&c->shard->counters.n_held_back, 1);
        return WAIT;
    }
    /* What a COPY needs to end needs no room. */
    if ((rule->flags & PGW_ANSWERED) && !pgw_reply_is_copying_in(q) &&
        pgw_reply_room(q) < RENAME_REPLIES_MAX)
        return FULL;
    return ADMIT;
}

static void send_server(struct client *c, const uint8_t *from, const uint8_t *to)
{
    if (to > from)
        stream_send(&c->server->stream, span_of(from, (size_t)(to - from)));
}

/* The first bytes of a header that earlier buffers ended with: they lie in the walker, which the
 * next buffer may overwrite in this same turn. */
static bool send_header_start(struct client *c, struct pgw_span held)
{
    uint8_t *copy = loop_scratch(c->thread->loop, held.len);

    if (copy == NULL) {
        relay_out_of_memory(c);
        return false;
    }
    memcpy(copy, held.ptr, held.len);
    send_server(c, copy, copy + held.len);
    return true;
}

/* Is there need for answers that the server would keep back until a Sync or Flush? When a client
 * says goodbye its last Sync may turn out to have been swallowed by a COPY. */
static bool needs_flush(const struct client *c, enum admission admission)
{
    return admission == FULL /* so that there will be room: see pgwire/reply.h */ ||
           (c->said_terminate && pgw_reply_is_owed(&c->server->replies) &&
            !pgw_reply_is_copying_both(&c->server->replies));
}

/* ---- one message of an active client ---- */

/* What is sent next to its server, as far as it lies in the buffer in one piece. */
struct outgoing {
    struct client *c;
    const uint8_t *from;
};

/* Sends what lies before `to`; what is sent next begins at `next`. */
static void outgoing_cut(struct outgoing *o, const uint8_t *to, const uint8_t *next)
{
    send_server(o->c, o->from, to);
    o->from = next;
}

static enum admission lose_count(struct client *c)
{
    relay_lose_server(c, PGW_STATE_PROTOCOL_VIOLATION,
                      "messages behind a COPY that failed cannot be told from those in it");
    return STOP;
}

static enum admission rename_failed(struct client *c)
{
    if (c->lost_count)
        return lose_count(c);
    link_abandon(c, false); /* a part of what was to be sent may have been */
    client_refuse(c, PGW_STATE_OUT_OF_MEMORY,
                  "no memory for a prepared statement (prepared_statements_memory)");
    return STOP;
}

/* What a message may leave behind, as far as that is not seen to elsewhere (rename.c): the cookie
 * of its reply. */
static uint32_t suspect(struct client *c, const struct pgw_piece *p)
{
    struct pgw_span body = pgw_piece_body(p);

    if (client_keeps_server(c))
        return 0;
    if (p->type == PGW_F_QUERY)
        return suspect_query(c, body, p->body_len) ? SMALL_SET_COOKIE : 0;
    if (p->type == PGW_F_PARSE)
        suspect_parse(c, body, p->body_len);
    if (p->type == PGW_F_FUNCTION_CALL)
        suspect_call(c, body);
    return p->type == PGW_F_EXECUTE ? suspect_executed(c, body) : 0;
}

/* A message that goes as it is. */
static enum admission note(struct client *c, const struct pgw_piece *p)
{
    struct pgw_span body = pgw_piece_body(p);
    enum pgw_reply_kind kind = pgw_reply_kind_of(p->type, body.len > 0 ? body.ptr[0] : 0);
    uint32_t cookie = suspect(c, p);

    switch (pgw_reply_sent(&c->server->replies, kind, PGW_REPLY_FORWARD, cookie)) {
    case PGW_REPLY_NOTED:
    case PGW_REPLY_SKIPPED:
        if (kind == PGW_REPLY_SYNC)
            rename_synced(c);
        return ADMIT;
    case PGW_REPLY_FULL:
        return FULL;
    case PGW_REPLY_LOST:
        break;
    }
    return lose_count(c);
}

/* The names of prepared statements are another matter: rename.h. */
static enum admission note_renamed(struct client *c, const struct pgw_piece *p, const uint8_t *at,
                                   struct outgoing *o)
{
    struct pgw_span body = pgw_piece_body(p);
    const uint8_t *end = p->bytes.ptr + p->bytes.len;
    enum renamed renamed;

    outgoing_cut(o, at, at);
    if (rename_is_enough(c, p->type, p->body_len, body))
        renamed = rename_message(c, p->type, p->body_len, body);
    else
        renamed = rename_gather(c, p->type, p->body_len, body) ? RENAME_REPLACED : RENAME_FAILED;
    switch (renamed) {
    case RENAME_AS_IT_IS:
        return ADMIT;
    case RENAME_REPLACED:
        o->from = end;
        return ADMIT;
    case RENAME_WAIT:
        return WAIT;
    case RENAME_FAILED:
        break;
    }
    return rename_failed(c);
}

static enum admission begin(struct client *c, const struct pgw_piece *p, const uint8_t *at,
                            struct outgoing *o)
{
    enum admission admission = admit(c, p);

    if (admission != ADMIT)
        return admission;
    admission = rename_concerns(c, p->type) ? note_renamed(c, p, at, o) : note(c, p);
    if (admission == ADMIT && p->held.len > 0 && o->from == at && !send_header_start(c, p->held))
        return STOP;
    if (admission == ADMIT) {
        c->suspicion.has_sent = true;
        answer_make_up(c);
    }
    return admission;
}

static enum admission go_on(struct client *c, const struct pgw_piece *p, const uint8_t *at,
                            struct outgoing *o)
{
    suspect_more(c, p->bytes);
    if (!rename_is_gathering(c))
        return ADMIT;
    outgoing_cut(o, at, p->bytes.ptr + p->bytes.len);
    switch (rename_gather_more(c, p->bytes)) {
    case RENAME_AS_IT_IS:
    case RENAME_REPLACED:
        answer_make_up(c);
        return ADMIT;
    case RENAME_WAIT:
        o->from = at;
        return WAIT;
    case RENAME_FAILED:
        break;
    }
    return rename_failed(c);
}

struct span forward(struct client *c, struct span data)
{
    struct pgw_span in = span_out(data);
    struct outgoing out = {c, in.ptr};

    for (;;) {
        const struct pgw_walker before = c->from_client;
        const uint8_t *at = in.ptr;
        struct pgw_piece piece;
        enum pgw_answer answer = pgw_walk(&c->from_client, pgw_frontend_rules, &in, &piece);

        if (answer != PGW_READY) {
            outgoing_cut(&out, at, at);
            return answer == PGW_PARTIAL ? forward_nothing : relay_broke_protocol(c);
        }

        enum admission admission =
            piece.starts ? begin(c, &piece, at, &out) : go_on(c, &piece, at, &out);

        if (admission == ADMIT)
            continue;
        c->from_client = before;
        if (relay_is_over(c))
            return forward_nothing;
        outgoing_cut(&out, at, at);
        if (needs_flush(c, admission))
            stream_send(&c->server->stream, span_of(flush, sizeof(flush)));
        return admission == STOP ? forward_nothing : span_skip(data, (size_t)(at - data.ptr));
    }
}
