/*
 * The life of a client: its slot, its phase, the callbacks of its stream, and the ways it ends.
 *
 * However it ends, two things are waited for before the slot is free: the stream's closed(), and
 * whoever still works for the client (a server that is not clean yet, a helper). Runs on: the
 * client's reactor, client_new() excepted.
 */
#include "client.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "leave.h"
#include "link.h"
#include "login.h"
#include "pgwire/build.h"
#include "pgwire/sqlstate.h"
#include "rename.h"
#include "sessions.h"
#include "weir/auth/wire.h"
#include "weir/base/clock.h"
#include "weir/base/slab.h"

/* How long the last words may take to be sent. */
#define LAST_WORDS_NS (5 * NS_PER_S)
#define REFUSAL_MAX 512

#define TO(phase) (1U << (phase))

struct phase_rule {
    const char *name;
    unsigned next; /* bits of the phases that may follow */
};

static const struct phase_rule phase_rules[CLIENT_PHASES] = {
    [CLIENT_FREE] = {"free", TO(CLIENT_STARTUP)},
    [CLIENT_STARTUP] = {"startup", TO(CLIENT_LOGIN) | TO(CLIENT_CLOSING)},
    [CLIENT_LOGIN] = {"login",
                      TO(CLIENT_COLD) | TO(CLIENT_IDLE) | TO(CLIENT_GUEST) | TO(CLIENT_CLOSING)},
    [CLIENT_COLD] = {"login", TO(CLIENT_IDLE) | TO(CLIENT_CLOSING)},
    [CLIENT_IDLE] = {"idle", TO(CLIENT_WAITING) | TO(CLIENT_ACTIVE) | TO(CLIENT_CLOSING)},
    [CLIENT_WAITING] = {"waiting", TO(CLIENT_IDLE) | TO(CLIENT_ACTIVE) | TO(CLIENT_CLOSING)},
    [CLIENT_ACTIVE] = {"active",
                       TO(CLIENT_IDLE) | TO(CLIENT_PARTING) | TO(CLIENT_LOST) | TO(CLIENT_CLOSING)},
    [CLIENT_PARTING] = {"parting", TO(CLIENT_IDLE) | TO(CLIENT_CLOSING)},
    [CLIENT_GUEST] = {"console", TO(CLIENT_CLOSING)},
    [CLIENT_LOST] = {"lost", TO(CLIENT_CLOSING)},
    [CLIENT_CLOSING] = {"closing", TO(CLIENT_FREE)},
};

void client_move(struct client *c, enum client_phase next)
{
    ASSERT(c->phase < CLIENT_PHASES && next < CLIENT_PHASES);
    ASSERT(phase_rules[c->phase].next & TO(next));
    c->phase = next;
}

const char *client_phase_name(enum client_phase phase)
{
    ASSERT(phase < CLIENT_PHASES);
    return phase_rules[phase].name;
}

void client_check(const struct client *c)
{
    ASSERT_SLOW(list_linked(&c->waiter.link) ==
                (c->phase == CLIENT_WAITING ||
                 (c->phase == CLIENT_COLD && c->login->asked == NULL && c->login->own == NULL)));
    ASSERT_SLOW(c->server == NULL || c->phase == CLIENT_ACTIVE || c->phase == CLIENT_LOST);
    ASSERT_SLOW(c->server == NULL || c->server->client == c);
    ASSERT_SLOW((c->parting != NULL) == (c->phase == CLIENT_PARTING));
    (void)c;
}

/* ---- what the stream tells ---- */

static struct client *client_of(struct sock *s)
{
    return CONTAINER_OF(stream_of(s), struct client, stream);
}

void client_received(struct client *c, struct span data)
{
    switch (c->phase) {
    case CLIENT_STARTUP:
    case CLIENT_LOGIN:
        login_received(c, data);
        break;
    case CLIENT_COLD:
    case CLIENT_IDLE:
    case CLIENT_WAITING:
    case CLIENT_ACTIVE:
    case CLIENT_PARTING:
        relay_received(c, data);
        break;
    case CLIENT_GUEST:
        guest_received(c, data);
        break;
    case CLIENT_FREE:
    case CLIENT_LOST:
    case CLIENT_CLOSING:
    case CLIENT_PHASES:
        break; /* the rest of what came in one piece, the beginning of which ended the client */
    }
}

static void received(struct sock *s, struct span data)
{
    struct client *c = client_of(s);

    client_received(c, data);
    client_check(c);
}

static bool is_relayed(const struct client *c)
{
    return c->phase == CLIENT_IDLE || c->phase == CLIENT_WAITING || c->phase == CLIENT_ACTIVE ||
           c->phase == CLIENT_PARTING;
}

static void ended(struct sock *s, int error)
{
    struct client *c = client_of(s);

    if (is_relayed(c))
        relay_ended(c, error);
    else
        client_close(c, error == 0 ? "client closed the connection" : strerrordesc_np(-error));
    client_check(c);
}

static void drained(struct sock *s)
{
    struct client *c = client_of(s);

    if (is_relayed(c))
        relay_drained(c);
    else if (c->phase == CLIENT_GUEST)
        guest_drained(c);
    client_check(c);
}

/* Whoever stops a receive has noted that in the client. */
static void stopped(struct sock *s)
{
    (void)s;
}

static void closed(struct sock *s)
{
    struct client *c = client_of(s);

    c->stream_closed = true;
    client_settle(c);
}

static const struct sock_ops client_ops = {
    .received = received,
    .ended = ended,
    .drained = drained,
    .stopped = stopped,
    .closed = closed,
};

/* ---- the beginning ---- */

static void begin(struct letter *l, struct thread *self)
{
    struct client *c = CONTAINER_OF(l, struct client, letter);
    struct shard *shard = c->shard;

    ASSERT(shard->thread == self);
    c->id = 1 + atomic_fetch_add_explicit(&c->all->next_client_id, 1, memory_order_relaxed);
    snprintf(c->log.ids, sizeof(c->log.ids), "c%llu", (unsigned long long)c->id);
    c->connected_ns = loop_now_ns(self->loop);
    list_push_back(&shard->clients, &c->link);
    counter_add(&shard->counters.n_accepted, 1);
    stream_accept(&c->stream, self->loop, &client_ops, c->login->fd);
    client_move(c, CLIENT_STARTUP);
    if (shard->stopping)
        client_close(c, "weir is shutting down");
    else
        startup_begin(c);
}

struct client *client_new(struct sessions *ss, struct shard *shard, int fd)
{
    struct client *c = slab_take(ss->clients);

    if (c == NULL)
        return NULL;
    /* Not the word, which others may read at any time: its last owner has left it 0. */
    memset((char *)c + sizeof(c->word), 0, sizeof(*c) - sizeof(c->word));
    c->login = login_new(c, fd);
    if (c->login == NULL) {
        slab_give(ss->clients, c);
        return NULL;
    }
    c->all = ss;
    c->shard = shard;
    c->thread = shard->thread;
    c->letter.open = begin;
    c->sql_prepared.is_exact = true;
    return c;
}

/* ---- the end ---- */

static void slot_free(struct client *c)
{
    struct shard *shard = c->shard;

    ASSERT(!list_linked(&c->waiter.link) && !list_linked(&c->stuck) && c->held.first == NULL);
    loop_timer_clear(c->thread->loop, &c->timer);
    rename_free(c);
    settings_fini(&c->settings);
    suspect_fini(&c->suspicion);
    pairs_fini(&c->sql_prepared);
    list_remove(&c->link);
    client_move(c, CLIENT_FREE);
    slab_give(c->all->clients, c);

    uint32_t left = atomic_fetch_sub_explicit(&shard->n_clients, 1, memory_order_relaxed) - 1;

    if (shard->stopping && left == 0)
        shard->stopped(shard->stopped_ctx);
}

void client_settle(struct client *c)
{
    if (c->server != NULL)
        return;
    held_drop(c);
    if (c->phase == CLIENT_LOST)
        client_move(c, CLIENT_CLOSING);
    if (!c->stream_closed || c->login != NULL)
        return;
    if (c->guest_input != NULL)
        guest_end(c);
    slot_free(c);
}

/* The stream has been told to close. */
static void leave(struct client *c, const char *why)
{
    if (c->all->config.conf->weir.log_disconnections)
        log_info(&c->log, "client left", "phase=%s reason=%s", client_phase_name(c->phase), why);
    loop_timer_clear(c->thread->loop, &c->timer);
    cancel_key_drop(c);
    if (c->counted)
        atomic_fetch_sub_explicit(&c->all->n_logged_in, 1, memory_order_relaxed);
    c->counted = false;
    link_unstick(c);
    if (list_linked(&c->waiter.link))
        pool_leave(c->pool, c->thread, &c->waiter);
    if (c->login != NULL)
        login_abandon(c);
    if (c->parting != NULL)
        leave_abandon(c);
    if (c->server != NULL) {
        client_move(c, CLIENT_LOST);
        lost_begin(c);
    } else {
        client_move(c, CLIENT_CLOSING);
        client_settle(c);
    }
}

void client_close(struct client *c, const char *why)
{
    stream_close(&c->stream);
    leave(c, why);
}

void client_close_sent(struct client *c, const char *why)
{
    stream_close_sent(&c->stream, LAST_WORDS_NS);
    leave(c, why);
}

static void send_report(struct client *c, const struct pgw_report *report)
{
    size_t size = 3 * REFUSAL_MAX + 128;
    void *buf = loop_scratch(c->thread->loop, size);

    if (buf == NULL)
        return; /* it goes without a word then */

    struct pgw_writer w = pgw_writer_of(buf, size);

    pgw_build_error(&w, report);
    stream_send(&c->stream, span_in(pgw_writer_span(&w)));
}

const char *client_log_error(const struct client *c, const char *sqlstate, const char *message)
{
    if (!c->all->config.conf->weir.log_pooler_errors)
        return message;
    log_warning(&c->log, "pooler error", "sqlstate=%s message=%s", sqlstate, message);
    return "refused";
}

void client_refuse_as(struct client *c, const struct pgw_report *report)
{
    struct session_counters *counters = &c->shard->counters;
    const char *why;

    if (c->phase == CLIENT_STARTUP || c->phase == CLIENT_LOGIN || c->phase == CLIENT_COLD)
        counter_add(&counters->n_refused, 1);
    if (strcmp(report->sqlstate, PGW_STATE_PROTOCOL_VIOLATION) == 0)
        counter_add(&counters->n_violations, 1);
    why = client_log_error(c, report->sqlstate, report->message);
    if (c->server == NULL || !answer_is_cut(c->server))
        send_report(c, report);
    client_close_sent(c, why);
}

void client_refuse(struct client *c, const char *sqlstate, const char *message, ...)
{
    char text[REFUSAL_MAX];
    const struct pgw_report report = {.severity = "FATAL", .sqlstate = sqlstate, .message = text};
    va_list args;

    va_start(args, message);
    vsnprintf(text, sizeof(text), message, args);
    va_end(args);
    client_refuse_as(c, &report);
}
