/* Joining and parting a client and a server; see link.h. */
#include "link.h"

#include "pgwire/build.h"
#include "rename.h"
#include "sessions.h"
#include "weir/auth/wire.h"
#include "weir/base/arena.h"
#include "weir/pool/cancel.h"

/* A client may have this much unsent, and no more than a sixteenth of the arena, before its server
 * is not read any more; it is read again below a quarter. */
#define UNSENT_MAX ((size_t)256 << 10)
#define UNSENT_MIN ((size_t)16 << 10)

/* A server may have this much unsent before its client is not read any more; then it is read again
 * below a quarter. */
#define PENDING_MAX ((size_t)256 << 10)

/* ---- slow clients ---- */

static bool arena_above(const struct arena *a, size_t percent)
{
    return arena_n_used(a) * 100 > arena_n_chunks(a) * percent;
}

/* Falls as the arena fills: above three quarters the slow readers share a quarter of it. */
static size_t unsent_limit(const struct shard *h)
{
    const struct arena *a = h->all->config.arena;

    size_t total = arena_n_chunks(a) * arena_chunk_size(a);
    size_t most = total / 16 < UNSENT_MAX ? total / 16 : UNSENT_MAX;
    size_t share = arena_above(a, 75) ? total / 4 / (h->n_stuck + 1) : most;

    if (share > most)
        share = most;
    return share > UNSENT_MIN ? share : UNSENT_MIN;
}

void link_make_room(struct shard *h, const struct client *but)
{
    struct list_link *first = list_first(&h->stuck);

    if (first == NULL || !arena_above(h->all->config.arena, 90))
        return;

    struct client *c = LIST_ITEM(first, struct client, stuck);

    if (c == but)
        return;
    counter_add(&h->counters.n_stuck, 1);
    log_warning(&c->log, "memory for slow readers is used up", "unsent=%zu",
                stream_unsent(&c->stream));
    client_close(c, "too slow: memory for slow readers is used up");
}

void link_unstick(struct client *c)
{
    if (c->draining)
        loop_timer_clear(c->thread->loop, &c->timer); /* client_write_timeout */
    c->draining = false;
    if (!list_linked(&c->stuck))
        return;
    list_remove(&c->stuck);
    c->shard->n_stuck--;
}

static void stick(struct client *c)
{
    if (list_linked(&c->stuck))
        return;
    list_push_back(&c->shard->stuck, &c->stuck);
    c->shard->n_stuck++;
}

/* Its server goes, what it has not read stays. */
static void keep_stuck(struct client *c)
{
    link_unstick(c);
    if (c->phase != CLIENT_ACTIVE || stream_unsent(&c->stream) <= UNSENT_MIN)
        return; /* or the client goes, too */
    stream_set_watermark(&c->stream, UNSENT_MIN, UNSENT_MIN / 4);
    stick(c);
}

static void stuck_on(struct client *c, size_t limit)
{
    uint64_t timeout_ns = pool_policy(c->pool)->client_write_timeout_ns;

    c->draining = true;
    stream_set_watermark(&c->stream, (uint32_t)limit, (uint32_t)limit / 4);
    stick(c);
    c->unsent_seen = stream_unsent(&c->stream);
    if (timeout_ns > 0)
        loop_timer_set(c->thread->loop, &c->timer, timeout_ns);
    link_make_room(c->shard, c);
}

void link_drained(struct client *c)
{
    link_unstick(c);
    if (c->server != NULL)
        link_arm(c);
}

void link_arm(struct client *c)
{
    struct server *s = c->server;

    if (s->stopping || c->draining)
        return;
    if (c->phase == CLIENT_ACTIVE) {
        size_t unsent = stream_unsent(&c->stream);

        if (unsent > UNSENT_MIN) {
            size_t limit = unsent_limit(c->shard);

            if (unsent > limit) {
                stuck_on(c, limit);
                return;
            }
        }
    }
    stream_receive_once(&s->stream);
}

void link_read_client(struct client *c)
{
    if (!c->unread || c->held.len > HELD_MAX / 2)
        return;
    if (stream_unsent(c->server != NULL ? &c->server->stream : &c->stream) > PENDING_MAX)
        return; /* drained() comes */
    c->unread = false;
    stream_receive(&c->stream);
}

void link_pace_client(struct client *c)
{
    if (c->unread || stream_unsent(&c->server->stream) <= PENDING_MAX)
        return;
    c->unread = true;
    stream_stop(&c->stream);
}

void link_pace_answers(struct client *c)
{
    size_t limit;

    if (c->unread || stream_unsent(&c->stream) <= UNSENT_MIN)
        return;
    limit = unsent_limit(c->shard);
    if (stream_unsent(&c->stream) <= limit)
        return;
    c->unread = true;
    stream_set_watermark(&c->stream, (uint32_t)limit, (uint32_t)limit / 4);
    stream_stop(&c->stream);
}

/* ---- joining ---- */

static void on_cancelled(struct server *s, struct thread *self)
{
    (void)self;
    if (s->client != NULL) {
        relay_settle(s->client);
        return;
    }
    if (server_phase(s) != SERVER_PARKED)
        return; /* being closed */
    loop_timer_clear(s->thread->loop, &s->timer);
    pool_release(s->thread, s);
}

void link_make(struct client *c, struct server *s)
{
    uint64_t before;

    ASSERT(c->server == NULL && s->n_cancels == 0);
    client_move(c, CLIENT_ACTIVE);
    c->server = s;
    c->held_back = c->refused_block = c->cancel_behind = false;
    s->client = c;
    s->thread = c->thread;
    s->cancelled = on_cancelled;
    s->stopping = s->ended_before = false;
    s->fresh_ns = answer_fresh_until(s, loop_now_ns(c->thread->loop));
    s->n_look = 0;
    before = atomic_exchange_explicit(&s->client_id, c->id, memory_order_relaxed); /* others SHOW */
    counter_add(&c->shard->counters.n_links, 1);
    stream_attach(&s->stream, c->thread->loop, &answer_ops);
    stream_set_watermark(&s->stream, PENDING_MAX, PENDING_MAX / 4);
    suspect_linked(c, before != c->id);
    if (client_keeps_server(c))
        c->suspicion.changes_settings = true; /* its texts are not looked at */
}

void link_send_query(struct client *c, const char *text)
{
    struct server *s = c->server;
    size_t size = PGW_HEADER_LEN + strlen(text) + 1;
    uint8_t *buf = loop_scratch(c->thread->loop, size);
    struct pgw_writer w = pgw_writer_of(buf, size);

    if (buf == NULL ||
        pgw_reply_sent(&s->replies, PGW_REPLY_QUERY, PGW_REPLY_SWALLOW, 0) != PGW_REPLY_NOTED) {
        c->short_of_memory = true; /* relay_settle() ends it */
        return;
    }
    pgw_build_query(&w, pgw_span_str(text));
    stream_send(&s->stream, span_in(pgw_writer_span(&w)));
    s->unnamed = 0; /* a Query drops it */
}

/* ---- cancelling ---- */

/* Where no request can be made (no key, or one is on its way) nothing happens: the client may ask
 * again, and of a lost one time ends the waiting. */
void link_cancel(struct client *c)
{
    const struct pgw_reply_queue *q = &c->server->replies;

    c->cancel_behind = pgw_reply_is_of_relay(q) || pgw_reply_is_closing(q);
    if (pgw_reply_is_owed(q) && !c->cancel_behind)
        (void)pool_cancel(c->thread, c->server);
}

void link_cancel_behind(struct client *c)
{
    if (c->cancel_behind)
        link_cancel(c);
}

/* ---- parting ---- */

bool link_is_at_rest(const struct client *c)
{
    const struct server *s = c->server;

    return pgw_reply_is_at_rest(&s->replies) && pgw_walker_handed_whole(&c->from_client) &&
           answer_is_whole(s);
}

bool link_is_free(struct client *c)
{
    struct server *s = c->server;

    if (stream_unsent(&s->stream) > 0) {
        stream_set_watermark(&s->stream, 0, 0); /* drained() tells when the last byte is out */
        return false;
    }
    if (stream_receiving(&s->stream) && !s->stopping) {
        s->stopping = true;
        stream_stop(&s->stream);
    }
    /* Else a callback is due, which settles again. */
    return stream_detachable(&s->stream);
}

static struct server *part(struct client *c)
{
    struct server *s = c->server;

    rename_part(c);
    c->server = NULL;
    s->client = NULL;
    keep_stuck(c);
    return s;
}

static void park_overdue(struct wheel_timer *t)
{
    struct server *s = CONTAINER_OF(t, struct server, timer);

    log_warning(&s->log, "cancel request does not end, server closed", NULL);
    pool_discard(s->thread, s, true);
}

/* PostgreSQL may still act on a cancel request: nobody else's query may be there to be hit. */
static void park(struct server *s, uint64_t timeout_ns)
{
    server_move(s, SERVER_PARKED);
    s->timer.fire = park_overdue;
    loop_timer_set(s->thread->loop, &s->timer, timeout_ns);
}

void link_part(struct client *c)
{
    stream_detach(&part(c)->stream);
}

void link_give_back(struct client *c)
{
    struct server *s = c->server;

    link_part(c);
    if (s->is_distrusted)
        pool_discard(c->thread, s, true);
    else if (s->n_cancels > 0)
        park(s, c->all->config.conf->weir.cancel_wait_timeout_ns);
    else
        pool_release(c->thread, s);
}

void link_abandon(struct client *c, bool terminate)
{
    struct server *s = part(c);

    if (stream_detachable(&s->stream)) {
        stream_detach(&s->stream);
        pool_discard(c->thread, s, terminate);
    } else {
        stream_close(&s->stream); /* answer_ops.closed discards it */
    }
}
