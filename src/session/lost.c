/*
 * What is done with a server whose client has gone, so that it can work for others or is closed:
 *
 *   a replication client's               closed: nobody else may have it
 *   half a message was forwarded         closed: whatever came next would be taken for its rest
 *   a COPY waits for the client's data   CopyFail, and Sync if by Execute; then as below
 *   the client said Terminate            what it asked for before runs to its end
 *   it was cut off                       client_lost: what runs is cancelled, or runs to its end
 *   a batch without its Sync             ROLLBACK, Sync, ROLLBACK: a Sync alone would commit it,
 * and behind an error the first ROLLBACK is skipped in a transaction                     ROLLBACK
 *   session mode                         DISCARD ALL, before anybody else gets it
 *
 * Answers are dropped; client_lost_drain bounds how much. client_lost_drain_timeout bounds how long
 * a cancel and what it stops may take, and then how long our own messages. After a cancel nothing
 * is sent before PostgreSQL has closed the cancel's connection: it would be what is cancelled.
 *
 * Runs on: the client's reactor.
 */
#include "leave.h"
#include "link.h"
#include "rename.h"

#include "pgwire/build.h"
#include "weir/auth/wire.h"
#include "weir/pool/cancel.h"

/* client->lost_step. Each is left when what it waits for has come. */
enum lost_step {
    FINISHING,    /* what the client asked for; a cancel */
    ROLLING_BACK, /* our ROLLBACK */
    CLEANING,     /* our DISCARD ALL */
    CLEAN,
    FAILED, /* it was refused */
};

/* Requests to stop a query, evenly over client_lost_drain_timeout. */
#define CANCELS_MAX 4

static void give_up(struct client *c, const char *why)
{
    log_info(&c->log, "server of a lost client closed", "server=%s why=%s", c->server->log.ids,
             why);
    loop_timer_clear(c->thread->loop, &c->timer);
    link_abandon(c, false);
    client_settle(c);
}

static void limit_time(struct client *c, unsigned parts)
{
    loop_timer_set(c->thread->loop, &c->timer,
                   pool_policy(c->pool)->client_lost_drain_timeout_ns / parts);
}

/* A request that comes before the server has begun stops nothing, so there will be others. */
static void stop_query(struct client *c)
{
    if (!pgw_reply_is_copying_in(&c->server->replies))
        link_cancel(c);
    c->lost_cancels++;
    limit_time(c, CANCELS_MAX);
}

static void overdue(struct wheel_timer *t)
{
    struct client *c = CONTAINER_OF(t, struct client, timer);

    if (c->lost_step == FINISHING && c->lost_cancels < CANCELS_MAX)
        stop_query(c);
    else
        give_up(c, "client_lost_drain_timeout");
}

/* ---- messages of our own: false where there is no room or memory for one ---- */

static bool send_message(struct client *c, enum pgw_reply_kind kind, struct pgw_writer *w,
                         uint32_t cookie)
{
    enum pgw_reply_outcome outcome =
        pgw_reply_sent(&c->server->replies, kind, PGW_REPLY_SWALLOW, cookie);

    if (w->full || outcome == PGW_REPLY_FULL || outcome == PGW_REPLY_LOST)
        return false;
    stream_send(&c->server->stream, span_in(pgw_writer_span(w)));
    return true;
}

#define MESSAGE_MAX 64

static bool send_query(struct client *c, const char *text, uint32_t cookie)
{
    uint8_t *buf = loop_scratch(c->thread->loop, MESSAGE_MAX);

    if (buf == NULL)
        return false;

    struct pgw_writer w = pgw_writer_of(buf, MESSAGE_MAX);

    pgw_build_query(&w, pgw_span_str(text));
    return send_message(c, PGW_REPLY_QUERY, &w, cookie);
}

static bool send_sync(struct client *c)
{
    uint8_t *buf = loop_scratch(c->thread->loop, MESSAGE_MAX);

    if (buf == NULL)
        return false;

    struct pgw_writer w = pgw_writer_of(buf, MESSAGE_MAX);

    pgw_build_bare(&w, PGW_F_SYNC);
    return send_message(c, PGW_REPLY_SYNC, &w, 0);
}

static bool send_copy_fail(struct client *c)
{
    uint8_t *buf = loop_scratch(c->thread->loop, MESSAGE_MAX);

    if (buf == NULL)
        return false;

    struct pgw_writer w = pgw_writer_of(buf, MESSAGE_MAX);

    pgw_build_copy_fail(&w, pgw_span_str("the client has gone"));
    return send_message(c, PGW_REPLY_COPY_END, &w, 0);
}

/* ---- the steps ---- */

/* The batch of a COPY by Execute fails with it, so its Sync commits nothing. It must be the next
 * message: Syncs among the data make it impossible to tell whether others would be skipped. */
static bool fail_copy(struct client *c)
{
    return send_copy_fail(c) && (!pgw_reply_is_unsynced(&c->server->replies) || send_sync(c));
}

static bool roll_back(struct client *c)
{
    if (pgw_reply_is_unsynced(&c->server->replies))
        return send_query(c, "ROLLBACK", 0) && send_sync(c) && send_query(c, "ROLLBACK", 0);
    return send_query(c, "ROLLBACK", 0);
}

enum outcome {
    NEXT, /* a step was taken */
    WAIT, /* for what the server has yet to say */
    REFUSED,
};

static enum outcome after(bool sent)
{
    return sent ? NEXT : REFUSED;
}

static enum outcome clean(struct client *c)
{
    if (!client_keeps_server(c) || pool_policy(c->pool)->reset == CONF_RESET_NEVER) {
        c->lost_step = CLEAN;
        return NEXT;
    }
    c->lost_step = CLEANING;
    server_move(c->server, SERVER_RESETTING);
    return after(send_query(c, "DISCARD ALL", LOST_COOKIE));
}

/* What the client asked for, or a cancel, may still run. */
static enum outcome finish(struct client *c)
{
    struct pgw_reply_queue *q = &c->server->replies;

    if (pgw_reply_is_copying_in(q)) /* also one that begins only now */
        return after(fail_copy(c));
    if (c->server->n_cancels > 0)
        return WAIT;
    if (pgw_reply_is_owed(q) && !pgw_reply_is_unsynced(q))
        return WAIT;
    limit_time(c, 1);
    if (pgw_reply_is_at_rest(q))
        return clean(c);
    c->lost_step = ROLLING_BACK;
    return after(roll_back(c));
}

/* Takes the next step if what the last one waits for has come. */
static enum outcome step(struct client *c)
{
    bool at_rest = pgw_reply_is_at_rest(&c->server->replies);

    switch ((enum lost_step)c->lost_step) {
    case FINISHING:
        return finish(c);
    case ROLLING_BACK:
        if (!at_rest)
            return WAIT;
        /* Our last Query dropped it. Until that is answered, an error that undoes a Parse may say
         * that the one before is still there. */
        c->server->unnamed = 0;
        return clean(c);
    case CLEANING:
        if (!at_rest)
            return WAIT;
        c->server->unnamed = 0;
        c->lost_step = CLEAN;
        return NEXT;
    case CLEAN:
        return WAIT;
    case FAILED:
        break;
    }
    return REFUSED;
}

void lost_answered(struct client *c, uint8_t letter)
{
    if (letter == PGW_B_ERROR_RESPONSE)
        c->lost_step = FAILED;
}

/* Its stream comes to rest, so that it can be told to end; limit_time() bounds that. */
static void end_own(struct client *c)
{
    if (!link_is_free(c))
        return;
    loop_timer_clear(c->thread->loop, &c->timer);
    link_abandon(c, true);
    client_settle(c);
}

void lost_settle(struct client *c)
{
    if (client_owns_server(c)) {
        end_own(c);
        return;
    }
    if (c->server->replies.is_over) {
        give_up(c, "it ended the session");
        return;
    }
    if (c->n_drained > pool_policy(c->pool)->client_lost_drain) {
        give_up(c, "client_lost_drain");
        return;
    }

    enum outcome outcome;

    do {
        outcome = step(c);
    } while (outcome == NEXT);
    if (outcome == REFUSED) {
        give_up(c, c->lost_step == FAILED ? "it refused DISCARD ALL" : "no room for a ROLLBACK");
        return;
    }
    if (c->lost_step == CLEAN && link_is_at_rest(c)) {
        if (!link_is_free(c))
            return;
        loop_timer_clear(c->thread->loop, &c->timer);
        counter_add(&c->shard->counters.n_lost_kept, 1);
        leave_lost(c);
        client_settle(c);
        return;
    }
    link_arm(c);
}

void lost_begin(struct client *c)
{
    const struct conf_policy *policy = pool_policy(c->pool);

    ASSERT(c->phase == CLIENT_LOST && c->server != NULL);
    held_drop(c);
    c->n_drained = 0;
    c->lost_step = FINISHING;
    c->lost_cancels = 0;
    c->timer.fire = overdue;
    loop_timer_clear(c->thread->loop, &c->timer);
    counter_add(&c->shard->counters.n_clients_lost, 1);
    if (rename_is_gathering(c))
        rename_gather_drop(c);
    if (!pgw_walker_handed_whole(&c->from_client)) {
        give_up(c, "half a message was sent to it");
        return;
    }
    if (client_owns_server(c)) {
        c->lost_step = CLEAN; /* nothing is to be done for it */
        link_unstick(c);
        limit_time(c, 1);
        end_own(c);
        return;
    }
    if (!c->said_terminate && policy->client_lost == CONF_LOST_CANCEL)
        stop_query(c);
    link_drained(c); /* receives, whatever the client has not taken */
    lost_settle(c);
}
