/*
 * An inspection: a Query that asks, a Query that cleans what is there and does not move, and at
 * last the server in somebody's hand again. See weir/pool/inspect.h, and leftovers.h for the texts.
 *
 *   nothing is asked, or the question was refused   all that it could have found is cleaned unseen
 *   ... and it was about statements                 given up: nobody knows their names
 *   ... of an audit                                 nothing is cleaned
 *   the cleaning is refused                         the server ends itself (exit_on_error)
 *   something is there that moves                   it stays, unless nobody is there to move it to
 *
 * Invariant: from inspect_begin() on the stream is attached and one Query of ours is under way,
 * until the server is given back, given up, or only its closed() is still to come.
 * Runs on: the thread that holds the server, a reactor or control.
 */
#include "weir/pool/inspect.h"

#include <errno.h>

#include "pgwire/message_backend.h"
#include "weir/auth/wire.h"
#include "weir/base/clock.h"
#include "weir/base/log.h"
#include "weir/pool/server_settings.h"

#include "inspection.h"
#include "internal.h"

/* For everything; the question takes half a millisecond. */
#define TIME_MAX_NS (5 * NS_PER_S)

/* Of a message. The longest row has a statement's text, which may be of twice as many bytes in
 * another encoding; notices may be longer, and then the server is given up. */
#define MESSAGE_MAX (256U << 10)

static struct server *server_of(struct sock *sock)
{
    return CONTAINER_OF(stream_of(sock), struct server, stream);
}

/* ---- the end ---- */

/* Tells whoever began it, unless nobody wants to hear. */
static void answer(struct inspection *i, struct server *s)
{
    if (i->done != NULL)
        i->done(i->ctx, i->self, s, s == NULL ? NULL : &i->left.found);
    else if (s != NULL && s->is_distrusted)
        pool_discard(i->self, s, true);
    else if (s != NULL)
        pool_release(i->self, s);
}

static void part(struct inspection *i)
{
    struct server *s = i->server;

    loop_timer_clear(i->self->loop, &s->timer);
    s->inspection = NULL;
    s->suspected = 0;
    stream_detach(&s->stream);
}

static void give_up(struct inspection *i, const char *why)
{
    struct server *s = i->server;
    inspect_done *done = i->done;
    void *ctx = i->ctx;
    struct thread *self = i->self;

    log_warning(&s->log, "server lost while it was inspected", "why=%s", why);
    if (stream_detachable(&s->stream)) {
        part(i);
        inspection_free(i);
        pool_discard(self, s, false);
    } else {
        loop_timer_clear(self->loop, &s->timer);
        i->done = NULL;
        i->is_over = true;
        stream_close(&s->stream); /* closed() discards it */
    }
    if (done != NULL)
        done(ctx, self, NULL, NULL);
}

static void finish(struct inspection *i)
{
    struct server *s = i->server;

    i->is_over = true;
    if (stream_unsent(&s->stream) > 0) {
        stream_set_watermark(&s->stream, 0, 0); /* drained() comes when the last byte is out */
        return;
    }
    if (!stream_detachable(&s->stream))
        return; /* ended() is due */
    if (!i->is_audit)
        inspection_report(i);
    if (i->kinds == STATE_ALL)
        atomic_store_explicit(&s->inspected_ns, loop_now_ns(i->self->loop),
                              memory_order_relaxed); /* for control, see audit.c */
    part(i);
    server_move(s, SERVER_ACTIVE);
    answer(i, s);
    inspection_free(i);
}

/* ---- asking and cleaning ---- */

static void send_text(struct inspection *i, size_t len)
{
    struct server *s = i->server;
    enum pgw_reply_outcome outcome =
        pgw_reply_sent(&s->replies, PGW_REPLY_QUERY, PGW_REPLY_SWALLOW, 0);

    ASSERT(outcome == PGW_REPLY_NOTED); /* it was at rest */
    if ((i->cleaning & STATE_BIT(STATE_SETTINGS)) != 0)
        server_settings_forget(s);
    s->unnamed = 0;
    stream_send(&s->stream, span_of(i->text, len));
    stream_receive_once(&s->stream);
}

static void clean(struct inspection *i)
{
    size_t len;

    i->cleaning = inspection_due(i);
    i->cleans_moving = inspection_is_alone(i);
    if (i->cleaning == 0)
        finish(i);
    else if (!inspection_build(i, &len))
        give_up(i, "no memory");
    else
        send_text(i, len);
}

static void question_answered(struct inspection *i)
{
    const char *why;

    if (i->was_refused && i->is_audit) {
        finish(i); /* nobody suspects it, and it may refuse each time: it stays as it is */
        return;
    }
    why = i->was_refused ? inspection_note_refusal(i) : inspection_note_answers(i);
    if (why != NULL)
        give_up(i, why);
    else
        clean(i);
}

static void query_answered(struct inspection *i)
{
    if (i->cleaning == 0) {
        question_answered(i);
    } else if (i->was_refused) {
        give_up(i, "it cannot be cleaned");
    } else {
        inspection_note_cleaned(i);
        clean(i); /* what was to move may have nowhere to go by now */
    }
}

/* ---- what the server says ---- */

/* The first letter of the severity: an error may end the session. */
static uint8_t severity(struct pgw_span body)
{
    struct pgw_report_fields fields;

    if (pgw_read_report(body, &fields) != PGW_READY || fields.severity.len == 0)
        return 'E';
    return fields.severity.ptr[0];
}

static void note_refusal(struct inspection *i, struct pgw_span body)
{
    struct pgw_report_fields fields;

    i->was_refused = true;
    if (pgw_read_report(body, &fields) == PGW_READY)
        log_info(&i->server->log, "inspection refused", "sqlstate=%.*s message=%.*s",
                 (int)fields.sqlstate.len, (const char *)fields.sqlstate.ptr,
                 (int)fields.message.len, (const char *)fields.message.ptr);
}

/* NULL, or why it cannot go on with this server. */
static const char *note_report(struct server *s, struct pgw_span body)
{
    struct pgw_param param;

    if (pgw_read_parameter_status(body, &param) != PGW_READY)
        return "it broke the protocol";
    return pairs_put(&s->settings, span_in(param.name), span_in(param.value)) ? NULL : "no memory";
}

static const char *take_row(struct inspection *i, struct pgw_span body)
{
    struct span login = span_str(i->server->pool->conf.user);

    if (i->cleaning != 0)
        return NULL; /* of pg_advisory_unlock_all() */
    switch (leftovers_take(&i->left, body, login)) {
    case LEFTOVERS_TAKEN:
        return NULL;
    case LEFTOVERS_INVALID:
        return "its answer makes no sense";
    case LEFTOVERS_TOO_MANY:
        return "there are too many statements that SQL has prepared";
    case LEFTOVERS_OF_OURS:
        return "a statement of weir's was replaced";
    case LEFTOVERS_NO_MEMORY:
        break;
    }
    return "no memory";
}

/* Notices and notifications are dropped. NULL, or as above. */
static const char *take_message(void *ctx, const struct pgw_frame *f)
{
    struct inspection *i = ctx;
    struct server *s = i->server;
    struct pgw_reply_verdict verdict;
    uint8_t detail = 0;

    if (f->type == PGW_B_READY_FOR_QUERY)
        detail = f->body.ptr[0];
    else if (f->type == PGW_B_ERROR_RESPONSE)
        detail = severity(f->body);
    if (pgw_reply_received(&s->replies, f->type, detail, &verdict) == PGW_REPLY_VIOLATION)
        return "it broke the protocol";
    if (s->replies.is_over)
        return "it ended the session";
    if (f->type == PGW_B_ERROR_RESPONSE)
        note_refusal(i, f->body);
    if (f->type == PGW_B_PARAMETER_STATUS)
        return note_report(s, f->body);
    return f->type == PGW_B_DATA_ROW ? take_row(i, f->body) : NULL;
}

static void received(struct sock *sock, struct span data)
{
    struct server *s = server_of(sock);
    struct inspection *i = s->inspection;
    const char *why = intake_received(&i->in, data, MESSAGE_MAX, take_message, i);

    if (why != NULL)
        give_up(i, why);
    else if (pgw_reply_is_owed(&s->replies) || i->in.n > 0)
        stream_receive_once(&s->stream);
    else if (!pgw_reply_is_at_rest(&s->replies))
        give_up(i, "it broke the protocol");
    else
        query_answered(i);
}

static void ended(struct sock *sock, int error)
{
    struct server *s = server_of(sock);

    (void)error; /* however it ended */
    s->has_ended = true;
    give_up(s->inspection, "it ended");
}

static void drained(struct sock *sock)
{
    struct inspection *i = server_of(sock)->inspection;

    if (i->is_over)
        finish(i);
}

/* give_up() closed it. */
static void closed(struct sock *sock)
{
    struct server *s = server_of(sock);
    struct inspection *i = s->inspection;
    struct thread *self = i->self;

    s->inspection = NULL;
    inspection_free(i);
    pool_discard(self, s, false);
}

static const struct sock_ops inspect_ops = {
    .received = received,
    .ended = ended,
    .drained = drained,
    .closed = closed,
};

static void overdue(struct wheel_timer *t)
{
    struct server *s = CONTAINER_OF(t, struct server, timer);

    give_up(s->inspection, "it did not answer in time");
}

/* ---- the beginning ---- */

int inspect_begin(struct server *s, struct thread *self, const struct inspect_order *o,
                  inspect_done *done, void *ctx)
{
    struct inspection *i;
    size_t len;

    ASSERT(o->kinds != 0 && (o->kinds & ~STATE_ALL) == 0);
    ASSERT(stream_detached(&s->stream) && pgw_reply_is_at_rest(&s->replies));
    ASSERT(s->n_cancels == 0 && !wheel_armed(&s->timer));
    i = inspection_new(s, self, o, &len);
    if (i == NULL)
        return -ENOMEM;
    i->done = done;
    i->ctx = ctx;
    s->inspection = i;
    s->thread = self;
    server_move(s, SERVER_RESETTING);
    stream_attach(&s->stream, self->loop, &inspect_ops);
    s->timer.fire = overdue;
    loop_timer_set(self->loop, &s->timer, TIME_MAX_NS);
    send_text(i, len);
    return 0;
}

int inspect_audit(struct server *s, struct thread *control, inspect_done *done, void *ctx)
{
    const struct inspect_order all = {.kinds = STATE_ALL};
    int error = inspect_begin(s, control, &all, done, ctx);

    if (error == 0)
        s->inspection->is_audit = true;
    return error;
}

void inspect_disown(struct server *s)
{
    s->inspection->done = NULL;
}

void inspect_and_release(struct server *s, struct thread *self, const struct inspect_order *o)
{
    if (inspect_begin(s, self, o, NULL, NULL) != 0)
        pool_discard(self, s, true);
}
