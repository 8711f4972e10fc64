/* Asking a server about the settings that a client brings; see check.h. */
#include "check.h"

#include <string.h>

#include "choice.h"
#include "client.h"
#include "difference.h"
#include "known.h"
#include "login.h"
#include "pgwire/frame.h"
#include "pgwire/message_backend.h"
#include "pgwire/sqlstate.h"
#include "sessions.h"
#include "weir/auth/wire.h"
#include "weir/pool/greetings.h"
#include "weir/pool/server_settings.h"

/* ---- what needs no server ---- */

static bool spell(struct client *c, const struct pair *pair, struct pairs *out)
{
    struct span at_login;

    if (choice_is_plain(pair->name, pair->value) ||
        (greeting_get(c->settings.greeting, pair->name, &at_login) &&
         span_equal(at_login, pair->value)))
        return pairs_put(out, pair->name, pair->value);
    return known_find(c->all->known, c->pool, pair->name, pair->value, out);
}

bool check_is_known(struct client *c)
{
    struct client_settings *k = &c->settings;
    struct pairs spelled = {0};
    struct pair pair;
    size_t at = 0;
    bool is_known = true;

    while (is_known && pairs_next(&k->startup, &at, &pair))
        is_known = spell(c, &pair, &spelled);
    is_known = is_known && pairs_copy(&k->startup, &spelled) && pairs_copy(&k->wanted, &spelled);
    pairs_fini(&spelled);
    return is_known;
}

/* ---- the end of asking ---- */

static struct server *part(struct client *c)
{
    struct server *s = c->login->asked;

    c->login->asked = NULL;
    c->login->n_input = 0;
    s->client = NULL;
    return s;
}

void check_abandon(struct client *c)
{
    struct server *s = part(c);

    if (stream_detachable(&s->stream)) {
        stream_detach(&s->stream);
        pool_discard(c->thread, s, false);
    } else {
        stream_close(&s->stream); /* closed() discards it */
    }
}

static void no_memory(struct client *c)
{
    client_refuse(c, PGW_STATE_OUT_OF_MEMORY, "no memory for the settings of the session");
}

static void lost(struct client *c, const char *why)
{
    log_warning(&c->log, "server lost while it was asked about settings", "server=%s why=%s",
                c->login->asked->log.ids, why);
    check_abandon(c);
    client_refuse(c, PGW_STATE_CONNECTION_FAILURE, "server closed the connection before answering");
}

/* Everything was taken: what the values are called, and what the server has now. */
static bool note_taken(struct client *c, struct server *s)
{
    struct client_settings *k = &c->settings;
    struct pair pair;
    size_t at = 0;

    while (pairs_next(&k->startup, &at, &pair)) {
        struct span spelling = pair.value;

        if (greeting_get(s->greeting, pair.name, &spelling))
            (void)pairs_get(&s->settings, pair.name, &spelling);
        known_add(c->all->known, c->pool, pair.name, pair.value, spelling);
        if (!pairs_put(&k->wanted, pair.name, spelling))
            return false;
    }
    if (server_settings_are_new(s, &k->wanted))
        s->is_distrusted = true;
    return pairs_copy(&k->startup, &k->wanted) && server_settings_put(s, &k->wanted);
}

/* As PostgreSQL does. */
static void refuse(struct client *c, struct words words)
{
    const struct pgw_report report = words_report(&words, "FATAL");

    client_refuse_as(c, &report);
}

static void give_back(struct thread *self, struct server *s)
{
    if (s->is_distrusted)
        pool_discard(self, s, true);
    else
        pool_release(self, s);
}

static void finish(struct client *c)
{
    struct login *l = c->login;
    struct server *s = l->asked;
    bool refused = l->has_refused;

    if (!refused && !note_taken(c, s)) {
        check_abandon(c);
        no_memory(c);
        return;
    }
    if (s->replies.is_over || !stream_detachable(&s->stream)) {
        check_abandon(c);
    } else {
        part(c);
        stream_detach(&s->stream);
        give_back(c->thread, s);
    }
    if (refused)
        refuse(c, l->words);
    else
        login_checked(c);
}

/* ---- what the server says ---- */

static uint8_t detail_of(const struct pgw_frame *f)
{
    struct pgw_report_fields fields;

    if (f->type == PGW_B_READY_FOR_QUERY)
        return f->body.ptr[0];
    if (f->type != PGW_B_ERROR_RESPONSE)
        return 0;
    return pgw_read_report(f->body, &fields) == PGW_READY && fields.severity.len > 0
               ? fields.severity.ptr[0]
               : 'E';
}

static bool note_report(struct server *s, struct pgw_span body)
{
    struct pgw_param param;

    return pgw_read_parameter_status(body, &param) == PGW_READY &&
           pairs_put(&s->settings, span_in(param.name), span_in(param.value));
}

/* False: it cannot go on with this server. */
static bool take_message(struct client *c, const struct pgw_frame *f)
{
    struct login *l = c->login;
    struct server *s = l->asked;
    struct pgw_reply_verdict verdict;

    if (pgw_reply_received(&s->replies, f->type, detail_of(f), &verdict) == PGW_REPLY_VIOLATION)
        return false;
    if (f->type == PGW_B_PARAMETER_STATUS)
        return note_report(s, f->body);
    if (f->type == PGW_B_ERROR_RESPONSE) {
        l->has_refused = true;
        words_read(f->body, &l->words);
    }
    return true;
}

/* Takes what is whole of l->input. False as above. */
static bool take_messages(struct client *c)
{
    struct login *l = c->login;
    struct pgw_span left = pgw_span_of(l->input, l->n_input);
    enum pgw_answer answer = PGW_READY;
    struct pgw_frame frame;

    while (answer == PGW_READY) {
        answer = pgw_frame_next(pgw_backend_rules, &left, &frame);
        if (answer == PGW_INVALID || (answer == PGW_READY && !take_message(c, &frame)))
            return false;
    }
    memmove(l->input, left.ptr, left.len);
    l->n_input = left.len;
    return left.len < sizeof(l->input);
}

static struct server *server_of(struct sock *sock)
{
    return CONTAINER_OF(stream_of(sock), struct server, stream);
}

static void received(struct sock *sock, struct span data)
{
    struct server *s = server_of(sock);
    struct client *c = s->client;
    struct login *l = c->login;

    while (data.len > 0) {
        size_t room = sizeof(l->input) - l->n_input;
        size_t n = data.len < room ? data.len : room;

        memcpy(l->input + l->n_input, data.ptr, n);
        l->n_input += n;
        data = span_skip(data, n);
        if (!take_messages(c)) {
            lost(c, "it broke the protocol");
            return;
        }
    }
    if (s->replies.is_over || (!pgw_reply_is_owed(&s->replies) && l->n_input == 0))
        finish(c);
    else
        stream_receive_once(&s->stream);
}

static void ended(struct sock *sock, int error)
{
    struct server *s = server_of(sock);

    (void)error; /* however it ended */
    s->has_ended = true;
    lost(s->client, "it ended");
}

/* check_abandon() closed it; it has no client any more. */
static void closed(struct sock *sock)
{
    struct server *s = server_of(sock);

    pool_discard(s->thread, s, false);
}

static const struct sock_ops check_ops = {
    .received = received,
    .ended = ended,
    .closed = closed,
};

/* ---- asking ---- */

static bool is_empty(struct difference d)
{
    struct change change;

    return !difference_next(&d, &change);
}

/* What others have set is reset first: a value may be relative to what there is. ("ISO" leaves the
 * order of day and month.) False: no memory. */
static bool make_as_at_login(struct server *s, const struct pairs *nothing)
{
    const struct difference d = {.wanted = nothing,
                                 .there = &s->settings,
                                 .greeting = s->greeting,
                                 .doubted = s->settings_doubted};

    return is_empty(d) || (settings_send(s, &d, false) && server_settings_put(s, nothing));
}

/* False: no memory. */
static bool ask(struct server *s, const struct pairs *startup)
{
    const struct pairs nothing = {.len = 0};
    struct difference d = {.wanted = startup,
                           .there = &s->settings,
                           .greeting = s->greeting,
                           .doubted = s->settings_doubted};

    if (is_empty(d))
        return true;
    if (!make_as_at_login(s, &nothing))
        return false;
    d.there = &nothing;
    d.doubted = s->settings_doubted;
    return settings_send(s, &d, false);
}

void check_begin(struct client *c, struct server *s)
{
    c->login->asked = s;
    s->client = c;
    s->thread = c->thread;
    s->stopping = false;
    atomic_store_explicit(&s->client_id, c->id, memory_order_relaxed); /* read for SHOW only */
    stream_attach(&s->stream, c->thread->loop, &check_ops);
    if (!ask(s, &c->settings.startup)) {
        check_abandon(c);
        no_memory(c);
    } else if (pgw_reply_is_owed(&s->replies)) {
        stream_receive_once(&s->stream);
    } else {
        finish(c);
    }
}
