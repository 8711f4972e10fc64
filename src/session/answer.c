/*
 * From server to client: what a server sends is followed message by message, so that it is known
 * when it has nothing more to say, and passed on in spans as long as the buffer.
 *
 * A few messages are judged by the beginning of their body. If the end of a buffer cuts them before
 * that, their head is kept in server->look until there is enough of it.
 *
 * Runs on: the client's reactor.
 */
#include "link.h"

#include "pgwire/message_backend.h"
#include "rename.h"
#include "sql_prepared.h"
#include "weir/auth/wire.h"
#include "weir/base/clock.h"

/* What becomes of the message being received: server->taking. */
enum taking {
    PASS, /* on to the client */
    DROP,
    LOOK, /* not enough of it is here */
};

/* What lies between two messages that are not passed on goes out as one span. */
struct run {
    struct client *c;
    const uint8_t *from;
    struct pgw_span instead; /* of the message just judged, which is dropped; empty: nothing */
};

static void pass(struct client *c, struct span bytes)
{
    if (c->phase == CLIENT_ACTIVE && bytes.len > 0)
        stream_send(&c->stream, bytes);
}

/* Passes on what is before `to`; the run goes on at `next`. */
static void run_cut(struct run *r, const uint8_t *to, const uint8_t *next)
{
    pass(r->c, span_of(r->from, (size_t)(to - r->from)));
    r->from = next;
}

static bool pass_copy(struct client *c, const void *bytes, size_t len)
{
    uint8_t *copy = loop_scratch(c->thread->loop, len);

    if (copy == NULL)
        return false;
    memcpy(copy, bytes, len);
    pass(c, span_of(copy, len));
    return true;
}

bool answer_is_whole(const struct server *s)
{
    return pgw_walker_at_boundary(&s->from_server) && s->n_look == 0;
}

bool answer_is_cut(const struct server *s)
{
    return !pgw_walker_handed_whole(&s->from_server) && s->taking == PASS;
}

/* ---- judging ---- */

/* The pool gives a server on without a look at its socket if it was in use less than a millisecond
 * ago. What it said in between is somebody else's FATAL text; it comes before any answer, and
 * soon. */
#define FRESH_NS NS_PER_MS
#define WORDS_NS (5 * NS_PER_MS)

uint64_t answer_fresh_until(const struct server *s, uint64_t now_ns)
{
    uint64_t since_ns =
        atomic_load_explicit(&s->idle_since_ns, memory_order_relaxed); /* ours now */

    return now_ns < since_ns + FRESH_NS ? now_ns + WORDS_NS : 0;
}

/* Bytes of the body that are needed before a message can be judged. */
static uint32_t n_needed(uint8_t letter, uint32_t body_len)
{
    if (letter == PGW_B_READY_FOR_QUERY || letter == PGW_B_ERROR_RESPONSE ||
        letter == PGW_B_COMMAND_COMPLETE || letter == PGW_B_PARAMETER_STATUS)
        return body_len < SERVER_LOOK_MAX ? body_len : SERVER_LOOK_MAX;
    return 0;
}

/* The first letter of a report's severity, which is not translated: E, F or P. */
static uint8_t severity_of(struct pgw_span fields)
{
    struct pgw_field field;

    while (pgw_field_next(&fields, &field)) {
        if (field.code == PGW_FIELD_SEVERITY && field.value.len > 0)
            return field.value.ptr[0];
    }
    return 'E'; /* if it was fatal, the connection's end will tell */
}

static bool begins_block(struct pgw_span tag)
{
    static const char begin[] = "BEGIN", start[] = "START TRANSACTION"; /* with their NUL */

    return (tag.len >= sizeof(begin) && memcmp(tag.ptr, begin, sizeof(begin)) == 0) ||
           (tag.len >= sizeof(start) && memcmp(tag.ptr, start, sizeof(start)) == 0);
}

/* Statement mode: a transaction block ends the client, and it hears nothing more of it. */
static void refuse_blocks(struct client *c, uint8_t letter, struct pgw_span head)
{
    if (c->phase != CLIENT_ACTIVE || client_keeps_server(c) ||
        pool_policy(c->pool)->pool_mode != CONF_STATEMENT)
        return;
    if (letter == PGW_B_READY_FOR_QUERY ? head.ptr[0] != PGW_TX_IDLE
                                        : letter == PGW_B_COMMAND_COMPLETE && begins_block(head))
        c->refused_block = true;
}

static uint8_t detail_of(uint8_t letter, struct pgw_span head)
{
    if (letter == PGW_B_READY_FOR_QUERY)
        return head.ptr[0];
    return letter == PGW_B_ERROR_RESPONSE ? severity_of(head) : 0;
}

/* A CommandComplete that does not answer our settings. False: no memory. */
static bool completed(struct client *c, struct pgw_span tag, uint32_t cookie)
{
    bool is_small_set = rename_is_small_set(c, cookie);

    suspect_completed(c, tag, is_small_set);
    return settings_completed(c, tag, is_small_set);
}

/* The session's state is the client's: what becomes of the message because of that. */
static enum pgw_reply_judgement judge_state(struct client *c, uint8_t letter, struct pgw_span head,
                                            uint32_t cookie, enum pgw_reply_judgement judgement)
{
    bool is_ours = cookie == SETTINGS_COOKIE;

    if (client_owns_server(c))
        return judgement;
    if (is_ours)
        settings_answered(c, letter);
    else if (letter == PGW_B_COMMAND_COMPLETE && !completed(c, head, cookie))
        return PGW_REPLY_VIOLATION;
    else if (letter == PGW_B_ERROR_RESPONSE)
        c->settings.is_undoing = true;
    else if (letter == PGW_B_PARAMETER_STATUS)
        return settings_reported(c, head, judgement);
    else if (letter == PGW_B_NOTIFICATION_RESPONSE && !suspect_notified(c))
        return PGW_REPLY_DROP;
    else if (letter == PGW_B_READY_FOR_QUERY && judgement == PGW_REPLY_PASS &&
             c->phase == CLIENT_ACTIVE)
        settings_ready(c);
    return judgement;
}

/* An error that answers our settings. */
static enum pgw_reply_judgement judge_refusal(struct client *c, struct pgw_span head,
                                              const struct pgw_reply_verdict *verdict)
{
    rename_answered(c, PGW_B_ERROR_RESPONSE, verdict);
    if (c->server->replies.is_over && c->settings.is_in_block)
        return PGW_REPLY_PASS;      /* its transaction has ended with its server */
    if (c->server->replies.is_over) /* else it knows no exit_on_error, and goes on behind */
        settings_refused(c, head, verdict);
    return PGW_REPLY_VIOLATION;
}

static enum pgw_reply_judgement judge_other(struct run *r, uint8_t letter, struct pgw_span head,
                                            const struct pgw_reply_verdict *verdict,
                                            enum pgw_reply_judgement judgement)
{
    struct client *c = r->c;
    bool is_ours = verdict->cookie == SETTINGS_COOKIE;

    judgement = judge_state(c, letter, head, verdict->cookie, judgement);
    if (is_ours || judgement == PGW_REPLY_VIOLATION)
        return judgement;
    if (letter == PGW_B_COMMAND_COMPLETE)
        rename_completed(c, head);
    if (letter == PGW_B_ERROR_RESPONSE && sql_prepared_has(verdict->cookie))
        sql_prepared_failed(c, verdict->cookie);
    if (verdict->cookie == LOST_COOKIE) {
        lost_answered(c, letter);
        return judgement;
    }

    bool instead = judgement == PGW_REPLY_PASS && letter == PGW_B_ERROR_RESPONSE &&
                   rename_error(c, head, verdict, &r->instead);

    rename_answered(c, letter, verdict);
    return instead ? PGW_REPLY_DROP : judgement;
}

/* head: as much of the body as n_needed() wants. False: the server broke the protocol. */
static bool judge(struct run *r, uint8_t letter, struct pgw_span head)
{
    struct client *c = r->c;
    struct server *s = c->server;
    struct pgw_reply_verdict verdict;
    enum pgw_reply_judgement judgement =
        pgw_reply_received(&s->replies, letter, detail_of(letter, head), &verdict);

    if (judgement == PGW_REPLY_VIOLATION)
        return false;
    if (s->replies.is_over && loop_now_ns(c->thread->loop) < s->fresh_ns)
        s->ended_before = true;
    s->fresh_ns = 0;
    if (letter == PGW_B_ERROR_RESPONSE && c->settings.is_applying && c->phase == CLIENT_ACTIVE &&
        !s->ended_before)
        judgement = judge_refusal(c, head, &verdict);
    else
        judgement = judge_other(r, letter, head, &verdict, judgement);
    if (letter == PGW_B_READY_FOR_QUERY)
        link_cancel_behind(c);
    if (judgement == PGW_REPLY_PASS)
        refuse_blocks(c, letter, head);
    s->taking = judgement == PGW_REPLY_PASS && !c->refused_block && !s->ended_before ? PASS : DROP;
    return judgement != PGW_REPLY_VIOLATION;
}

static void pass_instead(struct run *r)
{
    pass(r->c, span_in(r->instead));
    r->instead.len = 0;
}

/* ---- answers of our own ---- */

#define ANSWER_MAX 64

void answer_make_up(struct client *c)
{
    struct pgw_reply_queue *q = &c->server->replies;

    while (pgw_reply_is_due(q) && answer_is_whole(c->server)) {
        struct pgw_reply_entry entry = pgw_reply_make_up(q);
        uint8_t buf[ANSWER_MAX];
        struct pgw_writer w = pgw_writer_of(buf, sizeof(buf));

        rename_make_up(c, &entry, &w);
        if (!pass_copy(c, buf, w.len)) {
            c->short_of_memory = true; /* relay_settle() ends it */
            return;
        }
    }
}

/* ---- messages that a buffer cuts before they can be judged ---- */

static void look_begin(struct server *s, const struct pgw_piece *p, uint32_t n_wanted)
{
    memcpy(s->look, p->held.ptr, p->held.len);
    memcpy(s->look + p->held.len, p->bytes.ptr, p->bytes.len);
    s->n_look = (uint16_t)(p->held.len + p->bytes.len);
    s->want_look = (uint16_t)(PGW_HEADER_LEN + n_wanted);
    s->taking = LOOK;
}

/* More of it. False: the server broke the protocol, or there is no memory. */
static bool look_more(struct client *c, const struct pgw_piece *p, struct run *r)
{
    struct server *s = c->server;
    size_t missing = (size_t)(s->want_look - s->n_look);
    size_t n = p->bytes.len < missing ? p->bytes.len : missing;

    memcpy(s->look + s->n_look, p->bytes.ptr, n);
    s->n_look += (uint16_t)n;
    r->from = p->bytes.ptr + n;
    if (s->n_look < s->want_look)
        return true;

    size_t len = s->n_look;

    s->n_look = 0;
    if (!judge(r, s->look[0], pgw_span_of(s->look + PGW_HEADER_LEN, len - PGW_HEADER_LEN)))
        return false;
    if (s->taking == PASS)
        return pass_copy(c, s->look, len);
    pass_instead(r);
    r->from = p->bytes.ptr + p->bytes.len;
    return true;
}

/* ---- messages ---- */

/* A message begins with this piece; false as above. */
static bool begin(struct client *c, const struct pgw_piece *p, const uint8_t *at, struct run *r)
{
    struct server *s = c->server;
    struct pgw_span body = pgw_piece_body(p);
    const uint8_t *end = p->bytes.ptr + p->bytes.len;
    uint32_t needed = n_needed(p->type, p->body_len);

    if (p->type == PGW_B_READY_FOR_QUERY && c->settings.is_untold)
        run_cut(r, at, at); /* something may be told in front of it */
    if (body.len < needed) {
        run_cut(r, at, end);
        look_begin(s, p, needed);
        return true;
    }
    if (!judge(r, p->type, body))
        return false;
    if (s->taking == DROP) {
        run_cut(r, at, end);
        pass_instead(r);
    } else if (p->held.len > 0) {
        return pass_copy(c, p->held.ptr, p->held.len); /* at the buffer's beginning: no run yet */
    }
    return true;
}

static bool go_on(struct client *c, const struct pgw_piece *p, const uint8_t *at, struct run *r)
{
    if (c->server->taking == LOOK)
        return look_more(c, p, r);
    if (c->server->taking == DROP)
        run_cut(r, at, p->bytes.ptr + p->bytes.len);
    return true;
}

static void received(struct sock *sock, struct span data)
{
    struct server *s = CONTAINER_OF(stream_of(sock), struct server, stream);
    struct client *c = s->client;
    struct pgw_span in = span_out(data);
    struct run run = {c, in.ptr, {NULL, 0}};

    c->n_drained += c->phase == CLIENT_LOST ? data.len : 0;
    for (;;) {
        const uint8_t *at = in.ptr;
        struct pgw_piece piece;
        enum pgw_answer answer = pgw_walk(&s->from_server, pgw_backend_rules, &in, &piece);

        if (answer == PGW_PARTIAL) {
            run_cut(&run, at, at);
            break;
        }
        if (answer == PGW_INVALID ||
            !(piece.starts ? begin(c, &piece, at, &run) : go_on(c, &piece, at, &run))) {
            if (run.from < at)
                run_cut(&run, at, at); /* what was whole before it */
            if (c->settings.was_refused)
                relay_start_over(c);
            else
                relay_server_broke(c, s->from_server.type);
            return;
        }
        if (piece.ends && pgw_reply_is_due(&s->replies)) {
            run_cut(&run, in.ptr, in.ptr);
            answer_make_up(c);
        }
    }
    if (c->settings.is_untold && c->phase == CLIENT_ACTIVE && !pgw_reply_is_owed(&s->replies) &&
        answer_is_whole(s))
        settings_tell(c);
    relay_settle(c);
}

/* ---- other events of a server's stream ---- */

static struct server *server_of(struct sock *sock)
{
    return CONTAINER_OF(stream_of(sock), struct server, stream);
}

static void ended(struct sock *sock, int error)
{
    struct server *s = server_of(sock);

    (void)error; /* however it ended */
    s->has_ended = true;
    relay_server_ended(s->client);
}

static void drained(struct sock *sock)
{
    struct client *c = server_of(sock)->client;

    link_read_client(c);
    relay_settle(c);
}

static void stopped(struct sock *sock)
{
    struct server *s = server_of(sock);

    s->stopping = false;
    relay_settle(s->client);
}

/* link_abandon() closed it; it has no client any more. */
static void closed(struct sock *sock)
{
    struct server *s = server_of(sock);

    pool_discard(s->thread, s, false);
}

const struct sock_ops answer_ops = {
    .received = received,
    .ended = ended,
    .drained = drained,
    .stopped = stopped,
    .closed = closed,
};
