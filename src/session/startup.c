/*
 * First packets: requests for encryption, cancel requests, and who the client wants to be.
 *
 * Nothing is told here about databases and users, because nobody has proven anything yet; only what
 * can be said to anybody is refused. Runs on: the client's reactor.
 */
#include <string.h>

#include "choice.h"
#include "client.h"
#include "login.h"
#include "pgwire/build.h"
#include "pgwire/sqlstate.h"
#include "pgwire/startup.h"
#include "sessions.h"
#include "weir/auth/wire.h"

/* Room for the answer to a startup packet: what it may list beside its own names. */
#define ANSWER_EXTRA 64

/* What is new in 3.2 is the long cancel key. */
#define NEWEST PGW_VERSION_3_2

void startup_begin(struct client *c)
{
    uint64_t timeout_ns = c->all->config.conf->weir.client_login_timeout_ns;

    stream_receive(&c->stream);
    c->timer.fire = login_timed_out;
    if (timeout_ns > 0)
        loop_timer_set(c->thread->loop, &c->timer, timeout_ns);
}

/* There is no TLS and no GSSAPI here: 'N', and the client decides whether it goes on in clear. What
 * came in the same piece was sent before it could know: somebody on the way may have put it there
 * for us to take it as part of what follows. */
static bool decline_encryption(struct client *c, bool *asked, size_t used)
{
    struct login *l = c->login;

    if (*asked) {
        client_refuse(c, PGW_STATE_PROTOCOL_VIOLATION, "encryption was asked for twice");
        return false;
    }
    if (l->n_input > used) {
        client_refuse(c, PGW_STATE_PROTOCOL_VIOLATION,
                      "received data behind a request for encryption");
        return false;
    }
    *asked = true;
    login_consume(l, used);
    stream_send(&c->stream, span_str("N"));
    return false;
}

/* In the form that the protocol version of the client wants. */
static void tell_refusal(struct client *c, const struct pgw_startup *s)
{
    uint8_t *buf = loop_scratch(c->thread->loop, 512);

    if (buf != NULL) {
        struct pgw_writer w = pgw_writer_of(buf, 512);

        pgw_build_refusal(&w, s);
        stream_send(&c->stream, span_in(pgw_writer_span(&w)));
    }
    counter_add(&c->shard->counters.n_refused, 1);
    client_close_sent(c, client_log_error(c, s->refusal.sqlstate, s->refusal.message));
}

/* False: the client has been refused. */
static bool count_in(struct client *c)
{
    struct sessions *ss = c->all;
    uint32_t limit = ss->config.conf->weir.max_client_conn;

    /* Relaxed: a number, no other memory depends on it. */
    if (atomic_fetch_add_explicit(&ss->n_logged_in, 1, memory_order_relaxed) >= limit) {
        atomic_fetch_sub_explicit(&ss->n_logged_in, 1, memory_order_relaxed);
        client_refuse(c, PGW_STATE_TOO_MANY_CONNECTIONS,
                      "sorry, too many clients already (max_client_conn = %u)", limit);
        return false;
    }
    c->counted = true;
    return true;
}

/* False: the client has been refused. */
static bool admit(struct client *c)
{
    struct login *l = c->login;
    struct service *service = c->all->config.service;

    if (service == NULL || !service->serves(service, span_str(l->database)))
        return count_in(c);
    if (!service->admits(service, span_str(l->user))) {
        client_refuse(c, PGW_STATE_INVALID_AUTHORIZATION_SPECIFICATION,
                      "user \"%s\" may not use the console: neither admin_users nor stats_users "
                      "has that name",
                      l->user);
        return false;
    }
    if (client_owns_server(c)) {
        client_refuse(c, PGW_STATE_FEATURE_NOT_SUPPORTED,
                      "the console does not take replication connections");
        return false;
    }
    l->service = service;
    return true;
}

/* False: the client has been refused. */
static bool negotiate(struct client *c, const struct pgw_startup *s)
{
    size_t wanted = s->params.len + ANSWER_EXTRA, max = loop_scratch_max(c->thread->loop);
    size_t size = wanted < max ? wanted : max;
    uint8_t *buf = loop_scratch(c->thread->loop, size);
    struct pgw_writer w = pgw_writer_of(buf, buf == NULL ? 0 : size);

    pgw_build_negotiate_protocol_version(&w, s->version < NEWEST ? s->version : NEWEST, s);
    if (w.full) {
        client_refuse(c, PGW_STATE_OUT_OF_MEMORY, "no memory to answer the startup packet");
        return false;
    }
    stream_send(&c->stream, span_in(pgw_writer_span(&w)));
    return true;
}

static bool refuse_for_memory(struct client *c)
{
    client_refuse(c, PGW_STATE_OUT_OF_MEMORY, "no memory for the settings of the session");
    return false;
}

/* What it chose itself; a service has no settings. False: the client has been refused. */
static bool take_choice(struct client *c, const struct pgw_startup *s)
{
    struct choice_refusal refusal;

    if (c->login->service != NULL)
        return true;
    if (client_owns_server(c))
        return own_keep_settings(c->login, s) || refuse_for_memory(c);
    switch (choice_read(s, &c->settings.startup, &refusal)) {
    case CHOICE_MADE:
        return true;
    case CHOICE_REFUSED:
        client_refuse(c, refusal.sqlstate, "%s", refusal.message);
        return false;
    case CHOICE_NO_MEMORY:
        break;
    }
    return refuse_for_memory(c);
}

static void copy_name(char out[CONF_NAME_MAX + 1], struct pgw_span name)
{
    ASSERT(name.len <= CONF_NAME_MAX);
    memcpy(out, name.ptr, name.len);
    out[name.len] = '\0';
}

/* s lies in the input, of which it takes `used` bytes. */
static bool start_session(struct client *c, const struct pgw_startup *s, size_t used)
{
    struct login *l = c->login;

    copy_name(l->user, s->user);
    copy_name(l->database, s->database);
    c->replication = s->replication;
    if (!admit(c) || !take_choice(c, s))
        return false;
    if (pgw_startup_needs_negotiation(s, NEWEST) && !negotiate(c, s))
        return false;
    l->has_long_key = s->version >= PGW_VERSION_3_2;
    login_consume(l, used);
    client_move(c, CLIENT_LOGIN);
    login_begin(c);
    return true;
}

static bool take_packet(struct client *c, const struct pgw_startup *s, size_t used)
{
    switch (s->kind) {
    case PGW_STARTUP_SESSION:
        return start_session(c, s, used);
    case PGW_STARTUP_SSL:
        return decline_encryption(c, &c->login->asked_ssl, used);
    case PGW_STARTUP_GSSENC:
        return decline_encryption(c, &c->login->asked_gssenc, used);
    case PGW_STARTUP_CANCEL:
        cancel_request(c, s->cancel_pid, span_in(s->cancel_key));
        client_close(c, "cancel request");
        return false;
    case PGW_STARTUP_REFUSED:
        tell_refusal(c, s);
        return false;
    }
    return false;
}

bool startup_step(struct client *c)
{
    struct login *l = c->login;
    struct pgw_span in = pgw_span_of(l->input, l->n_input);
    struct pgw_startup s;

    switch (pgw_startup_next(&in, &s)) {
    case PGW_PARTIAL:
        return false;
    case PGW_INVALID:
        client_close(c, "not a client of PostgreSQL");
        return false;
    case PGW_READY:
        break;
    }
    return take_packet(c, &s, l->n_input - in.len);
}
