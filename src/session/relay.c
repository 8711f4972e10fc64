/*
 * From client to server: a client's messages are cut in place and forwarded as they come, in spans
 * as long as the buffer. A client without a server takes one for the first message that needs one;
 * what cannot go on yet is held.
 *
 * take_idle() and forward() return what they leave of the bytes given to them: none, or all from a
 * message on that has to wait. Only then are bytes copied.
 *
 * Runs on: the client's reactor.
 */
#include "forward.h"
#include "leave.h"
#include "link.h"
#include "rename.h"

#include "pgwire/build.h"
#include "pgwire/sqlstate.h"
#include "sessions.h"
#include "sql_prepared.h"
#include "weir/auth/wire.h"
#include "weir/base/clock.h"
#include "weir/pool/cancel.h"

static const uint8_t ready_for_query[] = {PGW_B_READY_FOR_QUERY, 0, 0, 0, 5, PGW_TX_IDLE};
static const uint8_t empty_query[] = {PGW_F_QUERY, 0, 0, 0, 5, 0};

bool relay_is_over(const struct client *c)
{
    return c->phase != CLIENT_IDLE && c->phase != CLIENT_WAITING && c->phase != CLIENT_ACTIVE &&
           c->phase != CLIENT_PARTING;
}

struct span relay_broke_protocol(struct client *c)
{
    client_refuse(c, PGW_STATE_PROTOCOL_VIOLATION,
                  "invalid message type %u or length: the connection cannot go on",
                  c->from_client.type);
    return forward_nothing;
}

void relay_out_of_memory(struct client *c)
{
    client_refuse(c, PGW_STATE_OUT_OF_MEMORY,
                  "memory for waiting clients is used up (arena.total_size)");
}

void relay_lose_server(struct client *c, const char *sqlstate, const char *message)
{
    bool may_speak = !answer_is_cut(c->server);

    counter_add(&c->shard->counters.n_servers_lost, 1);
    link_abandon(c, false);
    if (may_speak)
        client_refuse(c, sqlstate, "%s", message);
    else
        client_close_sent(c, message);
}

/* ---- without one ---- */

/* Answers the first message of a client whose waiting was cancelled, as PostgreSQL would: a batch
 * is skipped up to its Sync. */
static void answer_cancelled(struct client *c, uint8_t letter)
{
    struct pgw_report report = {"ERROR", PGW_STATE_QUERY_CANCELED,
                                "canceling statement due to user request", NULL, NULL};
    uint8_t *buf = loop_scratch(c->thread->loop, 256);

    c->cancelled = false;
    if (buf == NULL) {
        relay_out_of_memory(c);
        return;
    }

    struct pgw_writer w = pgw_writer_of(buf, 256);

    pgw_build_error(&w, &report);
    c->skipping = (pgw_frontend_rules[letter].flags & PGW_BATCHED) != 0;
    if (!c->skipping)
        pgw_build_ready_for_query(&w, PGW_TX_IDLE);
    stream_send(&c->stream, span_in(pgw_writer_span(&w)));
}

/* A message begins: can it be dealt with, or dropped, without a server? */
static bool answer_alone(struct client *c, uint8_t letter)
{
    const struct pgw_rule *rule = &pgw_frontend_rules[letter];

    if (rule->flags & PGW_TERMINATES) {
        client_close_sent(c, "client closed the connection");
        return true;
    }
    if (!(rule->phases & LOGGED_IN)) {
        relay_broke_protocol(c);
        return true;
    }
    if (rule->flags & PGW_ENDS_BATCH) {
        c->skipping = c->cancelled = false;
        stream_send(&c->stream, span_of(ready_for_query, sizeof(ready_for_query)));
        return true;
    }
    if (!(rule->flags & PGW_ANSWERED))
        return true; /* Flush, or late ends of a COPY that failed: PostgreSQL drops them too */
    if (c->cancelled && letter != PGW_F_CLOSE)
        answer_cancelled(c, letter);
    else if (!c->skipping)
        return false;
    return true;
}

static void acquire(struct client *c)
{
    uint64_t timeout_ns = pool_policy(c->pool)->query_wait_timeout_ns;

    loop_timer_clear(c->thread->loop, &c->timer);
    pool_acquire(c->pool, c->thread, &c->waiter);
    if (c->phase != CLIENT_IDLE)
        return; /* served at once */
    client_move(c, CLIENT_WAITING);
    if (timeout_ns > 0)
        loop_timer_set(c->thread->loop, &c->timer, timeout_ns);
}

static struct span take_idle(struct client *c, struct span data)
{
    struct pgw_span in = span_out(data);

    while (c->phase == CLIENT_IDLE) {
        const struct pgw_walker before = c->from_client;
        const uint8_t *at = in.ptr;
        struct pgw_piece piece;
        enum pgw_answer answer = pgw_walk(&c->from_client, pgw_frontend_rules, &in, &piece);

        if (answer != PGW_READY)
            return answer == PGW_PARTIAL ? forward_nothing : relay_broke_protocol(c);
        if (!piece.starts)
            continue;

        bool unclear = forward_is_unclear(&piece);

        if (unclear || !answer_alone(c, piece.type)) {
            c->from_client = before;
            if (!unclear)
                acquire(c);
            return span_skip(data, (size_t)(at - data.ptr));
        }
    }
    return forward_nothing; /* it is closing */
}

/* ---- holding ---- */

/* Deals with bytes as far as possible; returns what has to wait. */
static struct span take(struct client *c, struct span data)
{
    while (data.len > 0) {
        if (c->phase == CLIENT_ACTIVE)
            return forward(c, data);
        if (c->phase != CLIENT_IDLE)
            return relay_is_over(c) ? forward_nothing : data;
        data = take_idle(c, data);
        if (c->phase == CLIENT_IDLE)
            break;
    }
    return data;
}

static void hold(struct client *c, struct span data)
{
    link_make_room(c->shard, c);
    if (!held_append(c, data)) {
        relay_out_of_memory(c);
        return;
    }
    if (c->held.len > HELD_MAX && !c->unread) {
        c->unread = true;
        stream_stop(&c->stream);
    }
}

/* Nothing behind a Terminate counts, nor behind the last words of a server. */
static bool is_deaf(const struct client *c)
{
    return c->said_terminate || (c->server != NULL && c->server->replies.is_over);
}

static bool may_go_on(const struct client *c)
{
    if (c->phase != CLIENT_ACTIVE)
        return c->phase == CLIENT_IDLE;

    const struct pgw_reply_queue *q = &c->server->replies;
    bool held_back = c->held_back && pgw_reply_is_owed(q) && !pgw_reply_is_copying_in(q);

    return !is_deaf(c) && !held_back && pgw_reply_room(q) >= SERVER_REPLIES / 2;
}

/* Cancelled while it waited with Closes: is what was behind them with a server now? If it is held
 * back behind their Sync, it will be answered without one. */
static void cancel_what_runs(struct client *c)
{
    bool runs = c->phase == CLIENT_ACTIVE && !pgw_reply_is_trifling(&c->server->replies);

    if (runs)
        link_cancel(c);
    if (runs || c->held.len == 0)
        c->cancelled = false;
}

/* Goes on with what is held. */
static void pump(struct client *c)
{
    while (c->held.len > 0 && may_go_on(c)) {
        struct span data;

        if (!held_peek(c, &data)) {
            relay_out_of_memory(c);
            return;
        }

        c->held_back = false;

        struct span rest = take(c, data);

        if (relay_is_over(c))
            return;
        held_consume(c, data.len - rest.len);
        if (rest.len == data.len)
            break; /* not even the first message */
    }
    if (c->cancelled)
        cancel_what_runs(c);
    link_read_client(c);
}

void relay_received(struct client *c, struct span data)
{
    if (is_deaf(c))
        return;
    if (!c->draining && c->phase == CLIENT_ACTIVE)
        loop_timer_clear(c->thread->loop, &c->timer); /* it does not rest any more */
    if (c->held.len > 0 || c->phase == CLIENT_COLD) {
        hold(c, data);
        if (c->phase == CLIENT_COLD || relay_is_over(c))
            return;
        pump(c);
    } else {
        struct span rest = take(c, data);

        if (rest.len > 0 && !relay_is_over(c))
            hold(c, rest);
    }
    if (c->phase == CLIENT_ACTIVE) {
        link_pace_client(c);
        relay_settle(c);
    } else if (c->phase == CLIENT_IDLE) {
        link_pace_answers(c);
    }
}

/* ---- waiting ---- */

static void served(struct waiter *w, struct thread *self, struct server *s)
{
    struct client *c = CONTAINER_OF(w, struct client, waiter);
    bool waited = c->phase == CLIENT_WAITING;

    link_make(c, s);
    settings_apply(c);
    sql_prepared_apply(c);
    if (!waited)
        return; /* called by acquire(), which goes on with the bytes in its hand */

    struct session_counters *n = &c->shard->counters;

    loop_timer_clear(self->loop, &c->timer);
    counter_add(&n->n_waits, 1);
    counter_add(&n->wait_us, (loop_now_ns(self->loop) - w->since_ns) / NS_PER_US);
    pump(c);
    if (!relay_is_over(c)) /* it may have ended by what it had sent */
        relay_settle(c);
}

static void failed(struct waiter *w, struct thread *self, const struct pool_failure *why)
{
    struct client *c = CONTAINER_OF(w, struct client, waiter);

    (void)self;
    client_refuse(c, why->sqlstate, "%s", why->message);
}

static void wait_timed_out(struct client *c)
{
    const struct pool_failure *why = pool_last_failure(c->pool);

    counter_add(&c->shard->counters.n_wait_timeouts, 1);
    client_refuse(c, PGW_STATE_TOO_MANY_CONNECTIONS,
                  "query_wait_timeout: no server became free for the query in %.3f s%s%s",
                  (double)pool_policy(c->pool)->query_wait_timeout_ns / NS_PER_S,
                  why == NULL ? "" : "; the last login at one: ", why == NULL ? "" : why->message);
}

static void timed_out(struct wheel_timer *t)
{
    struct client *c = CONTAINER_OF(t, struct client, timer);
    const struct conf_policy *policy = pool_policy(c->pool);

    if (c->phase == CLIENT_WAITING) {
        wait_timed_out(c);
    } else if (!c->draining) {
        client_refuse(c, PGW_STATE_IDLE_SESSION_TIMEOUT,
                      "client_idle_timeout: nothing was asked for %.3f s",
                      (double)policy->client_idle_timeout_ns / NS_PER_S);
    } else if (stream_unsent(&c->stream) < c->unsent_seen) {
        c->unsent_seen = stream_unsent(&c->stream);
        loop_timer_set(c->thread->loop, &c->timer, policy->client_write_timeout_ns);
    } else {
        client_close(c, "client_write_timeout: it takes no data");
    }
}

/* ---- what comes next ---- */

/* Nothing runs and nothing is asked for: client_idle_timeout. In session mode with a server. */
static void rest_idle(struct client *c)
{
    uint64_t timeout_ns = pool_policy(c->pool)->client_idle_timeout_ns;

    if (timeout_ns > 0)
        loop_timer_set(c->thread->loop, &c->timer, timeout_ns);
}

static bool ends_now(struct client *c)
{
    struct server *s = c->server;

    if (s->ended_before) {
        relay_lose_server(c, PGW_STATE_CONNECTION_FAILURE,
                          "server closed the connection before answering");
    } else if (s->replies.is_over && answer_is_whole(s)) {
        counter_add(&c->shard->counters.n_servers_lost, 1);
        link_abandon(c, false);
        client_close_sent(c, "server ended the session");
    } else if (c->short_of_memory) { /* half a message may have gone to the server */
        relay_lose_server(c, PGW_STATE_OUT_OF_MEMORY, "no memory for a message of weir's own");
    } else if (c->refused_block) {
        client_refuse(c, PGW_STATE_FEATURE_NOT_SUPPORTED,
                      "transaction blocks are not allowed in statement mode");
    } else if (c->said_terminate && answer_is_whole(s) &&
               (!pgw_reply_is_owed(&s->replies) || pgw_reply_is_copying_in(&s->replies) ||
                pgw_reply_is_copying_both(&s->replies))) {
        client_close_sent(c, "client closed the connection");
    } else if (c->leaving && (link_is_at_rest(c) || pgw_reply_is_copying_both(&s->replies))) {
        client_refuse(c, PGW_STATE_ADMIN_SHUTDOWN, "weir is shutting down");
    } else {
        return false;
    }
    return true;
}

/* A COPY that failed has swallowed Syncs or left them to be answered. Who comes next must not get
 * those answers, so a query of our own asks what is left; its answer is dropped. */
static void tell_syncs(struct client *c)
{
    struct server *s = c->server;
    struct pgw_reply_queue *q = &s->replies;

    if (!pgw_reply_is_unsettled(q) || pgw_reply_is_unsynced(q) || q->status != PGW_TX_IDLE ||
        !pgw_walker_handed_whole(&c->from_client) || !answer_is_whole(s))
        return;
    if (pgw_reply_sent(q, PGW_REPLY_QUERY, PGW_REPLY_SWALLOW, 0) != PGW_REPLY_NOTED)
        return;
    stream_send(&s->stream, span_of(empty_query, sizeof(empty_query)));
    s->unnamed = 0; /* a Query drops it */
}

void relay_settle(struct client *c)
{
    if (c->phase == CLIENT_LOST) {
        lost_settle(c);
        return;
    }
    ASSERT(c->phase == CLIENT_ACTIVE);
    if (ends_now(c))
        return;
    if (link_is_at_rest(c) && !client_keeps_server(c)) {
        if (!link_is_free(c))
            return;
        if (leave_is_due(c)) {
            leave_begin(c);
            return;
        }
        link_give_back(c);
        client_move(c, CLIENT_IDLE);
        rest_idle(c);
        pump(c);
        if (c->phase != CLIENT_ACTIVE)
            return;
    } else if (c->held.len > 0 && may_go_on(c)) {
        pump(c);
        if (c->phase != CLIENT_ACTIVE || ends_now(c))
            return;
    }
    if (!client_keeps_server(c))
        tell_syncs(c);
    link_arm(c);
    if (link_is_at_rest(c) && !c->draining)
        rest_idle(c);
}

/* ---- events ---- */

void relay_begin(struct client *c, struct server *own, struct span early)
{
    c->waiter.served = served;
    c->waiter.failed = failed;
    c->timer.fire = timed_out;
    loop_timer_clear(c->thread->loop, &c->timer);
    c->from_client = (struct pgw_walker){0};
    client_move(c, CLIENT_IDLE);
    rest_idle(c);
    if (own != NULL)
        link_make(c, own);
    if (early.len > 0)
        hold(c, early);
    if (c->held.len > 0 && !relay_is_over(c))
        pump(c);
    if (c->phase == CLIENT_ACTIVE)
        relay_settle(c);
}

/* Like PostgreSQL, weir carries out what came before a Terminate. Without one the client was cut
 * off, and what it asked for is given up: policy client_lost. */
void relay_ended(struct client *c, int error)
{
    c->ended = true;
    if (error == 0 && (c->said_terminate || held_says_terminate(c)))
        return;
    client_close(c, error == 0 ? "client closed the connection without a Terminate"
                               : "connection to the client was lost");
}

void relay_drained(struct client *c)
{
    link_drained(c);
    link_read_client(c);
}

void relay_server_ended(struct client *c)
{
    if (c->phase == CLIENT_LOST) {
        link_abandon(c, false);
        client_settle(c);
        return;
    }
    log_warning(&c->log, "server ended while it was in use", "server=%s", c->server->log.ids);
    relay_lose_server(c, PGW_STATE_CONNECTION_FAILURE,
                      pgw_reply_is_owed(&c->server->replies)
                          ? "server closed the connection before answering"
                          : "server closed the connection");
}

void relay_server_broke(struct client *c, uint8_t letter)
{
    log_error(&c->log, "server broke the protocol", "server=%s type=%u", c->server->log.ids,
              letter);
    counter_add(&c->shard->counters.n_servers_lost, 1);
    link_abandon(c, false);
    if (c->phase == CLIENT_LOST)
        client_settle(c);
    else /* nothing of the message was passed on */
        client_refuse(c, PGW_STATE_PROTOCOL_VIOLATION,
                      "message type %u of the server does not answer what was asked", letter);
}

void relay_start_over(struct client *c)
{
    counter_add(&c->shard->counters.n_servers_lost, 1);
    link_abandon(c, false);
    if (c->short_of_memory) {
        relay_out_of_memory(c);
        return;
    }
    client_move(c, CLIENT_IDLE);
    relay_resume(c);
}

void relay_resume(struct client *c)
{
    if (c->said_terminate) {
        client_close_sent(c, "client closed the connection");
    } else if (c->leaving) {
        client_refuse(c, PGW_STATE_ADMIN_SHUTDOWN, "weir is shutting down");
    } else {
        rest_idle(c);
        pump(c);
        if (c->phase == CLIENT_ACTIVE)
            relay_settle(c);
    }
}

void relay_stop(struct client *c)
{
    c->leaving = true;
    if (c->phase == CLIENT_ACTIVE)
        relay_settle(c);
    else
        client_refuse(c, PGW_STATE_ADMIN_SHUTDOWN, "weir is shutting down");
}

static bool begins_with_close(const struct client *c)
{
    struct span data;

    return held_peek(c, &data) && data.len > 0 && data.ptr[0] == PGW_F_CLOSE;
}

/* What waits for a server is answered without one. But a Close takes no time: drivers send it in
 * front of what is really to be stopped, and so that is cancelled once it runs. */
void relay_cancel(struct client *c)
{
    if (c->phase == CLIENT_ACTIVE) {
        link_cancel(c);
    } else if (c->phase == CLIENT_WAITING || c->phase == CLIENT_PARTING) {
        c->cancelled = c->held.len > 0;
        if (c->phase == CLIENT_PARTING || begins_with_close(c))
            return;
        pool_leave(c->pool, c->thread, &c->waiter);
        loop_timer_clear(c->thread->loop, &c->timer);
        client_move(c, CLIENT_IDLE);
        relay_resume(c);
    }
}
