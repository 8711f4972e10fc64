/* What servers are given for a client's message; see supply.h. */
#include "supply.h"

#include "pgwire/endian.h"
#include "sessions.h"
#include "weir/auth/wire.h"
#include "weir/pool/prepared.h"

void supply_send(struct client *c, struct pgw_span bytes)
{
    stream_send(&c->server->stream, span_in(bytes));
}

bool supply_send_copy(struct client *c, struct pgw_span bytes)
{
    size_t max = loop_scratch_max(c->thread->loop);

    while (bytes.len > 0) {
        size_t n = bytes.len < max ? bytes.len : max;
        uint8_t *copy = loop_scratch(c->thread->loop, n);

        if (copy == NULL)
            return false;
        memcpy(copy, bytes.ptr, n);
        supply_send(c, pgw_span_of(copy, n));
        bytes = pgw_span_skip(bytes, n);
    }
    return true;
}

bool supply_send_head(struct client *c, uint8_t type, const void *before, size_t n_before,
                      struct pgw_span name, size_t tail_len)
{
    size_t len = PGW_HEADER_LEN + n_before + name.len + 1;
    uint8_t *buf = loop_scratch(c->thread->loop, len);
    uint8_t *at = buf;

    if (buf == NULL)
        return false;
    *at++ = type;
    pgw_store_u32(at, (uint32_t)(len - PGW_TYPE_LEN + tail_len));
    at += PGW_LENGTH_LEN;
    if (n_before > 0)
        memcpy(at, before, n_before);
    at += n_before;
    memcpy(at, name.ptr, name.len);
    at[name.len] = '\0';
    supply_send(c, pgw_span_of(buf, len));
    return true;
}

bool supply_send_start(struct client *c, uint8_t type, size_t body_len)
{
    uint8_t *buf = loop_scratch(c->thread->loop, PGW_HEADER_LEN);

    if (buf == NULL)
        return false;
    buf[0] = type;
    pgw_store_u32(buf + PGW_TYPE_LEN, (uint32_t)(PGW_LENGTH_LEN + body_len));
    supply_send(c, pgw_span_of(buf, PGW_HEADER_LEN));
    return true;
}

bool supply_note(struct client *c, enum pgw_reply_kind kind, enum pgw_reply_way way,
                 const struct effect *e)
{
    uint32_t cookie = 0;

    if (e != NULL && !effect_add(c, e, &cookie))
        return false;
    return supply_note_cookie(c, kind, way, cookie);
}

bool supply_note_cookie(struct client *c, enum pgw_reply_kind kind, enum pgw_reply_way way,
                        uint32_t cookie)
{
    enum pgw_reply_outcome outcome = pgw_reply_sent(&c->server->replies, kind, way, cookie);

    c->lost_count = outcome == PGW_REPLY_LOST;
    return outcome == PGW_REPLY_NOTED; /* not FULL: room for it was seen to before */
}

bool supply_send_parse(struct client *c, struct pgw_span name, const struct statement *s)
{
    struct span parse = statement_parse(s);

    if (!supply_send_head(c, PGW_F_PARSE, NULL, 0, name, parse.len))
        return false;
    supply_send(c, span_out(parse));
    return true;
}

struct pgw_span supply_name(uint64_t id, char buf[STATEMENT_NAME_SIZE])
{
    return pgw_span_of(buf, statement_name(id, buf));
}

bool supply_send_close(struct client *c, struct pgw_span name)
{
    const uint8_t target = PGW_TARGET_STATEMENT;

    return supply_send_head(c, PGW_F_CLOSE, &target, 1, name, 0);
}

/* Closes it there. */
static bool evict(struct client *c, uint64_t id)
{
    const struct effect e = {.kind = EFFECT_EVICTED, .id = id};
    char buf[STATEMENT_NAME_SIZE];

    return supply_note(c, PGW_REPLY_CLOSE, PGW_REPLY_SWALLOW, &e) &&
           supply_send_close(c, supply_name(id, buf));
}

bool supply_dummy(struct client *c)
{
    static const uint8_t empty[] = {'\0', 0, 0};
    char buf[STATEMENT_NAME_SIZE];
    struct pgw_span name = supply_name(SUPPLY_DUMMY, buf);

    if (!supply_note(c, PGW_REPLY_CLOSE, PGW_REPLY_SWALLOW, NULL) || !supply_send_close(c, name) ||
        !supply_note(c, PGW_REPLY_PARSE, PGW_REPLY_SWALLOW, NULL) ||
        !supply_send_head(c, PGW_F_PARSE, NULL, 0, name, sizeof(empty)))
        return false;
    supply_send(c, pgw_span_of(empty, sizeof(empty)));
    return true;
}

bool supply_send_failure(struct client *c)
{
    static const uint8_t portal[] = {'\0'};
    static const uint8_t rest[] = {0, 0, 0, 0, 0, 0}; /* no formats, no values, no formats */

    if (!supply_send_head(c, PGW_F_BIND, portal, sizeof(portal), pgw_span_str(SUPPLY_NAME_OF_NONE),
                          sizeof(rest)))
        return false;
    supply_send(c, pgw_span_of(rest, sizeof(rest)));
    return true;
}

/* ---- what a server has ---- */

bool supply_has(struct client *c, uint64_t id)
{
    struct server *s = c->server;

    return s->prepared != NULL && prepared_use(s->prepared, id);
}

/* Has an earlier batch yet to do something about the statement that would have to go? */
static bool is_oldest_open(const struct client *c)
{
    return effect_is_open(c, span_of("", 0), prepared_oldest(c->server->prepared));
}

bool supply_must_wait(struct client *c, struct pgw_span said, uint64_t id)
{
    const struct prepares *p = c->prepares;
    const struct prepared *there = c->server->prepared;

    if (p == NULL || p->head == p->tail)
        return false;
    if (effect_is_open(c, span_in(said), id))
        return true;
    return id != 0 && there != NULL && !supply_has(c, id) &&
           prepared_count(there) >= pool_policy(c->pool)->max_prepared_statements &&
           is_oldest_open(c);
}

/* Room for one more, and one more than that where max has been lowered. */
static bool make_room(struct client *c)
{
    uint32_t max = pool_policy(c->pool)->max_prepared_statements;

    for (unsigned i = 0; i < 2 && !is_oldest_open(c); i++) {
        uint64_t id = prepared_make_room(c->server->prepared, max);

        if (id == 0)
            break;
        if (!evict(c, id))
            return false;
    }
    return true;
}

/* It is prepared now. */
static void date(struct client *c, uint64_t id)
{
    prepared_date(c->server->prepared, id, statements_epoch(c->all->config.statements));
}

bool supply_add(struct client *c, uint64_t id)
{
    struct server *s = c->server;

    if (s->prepared == NULL && prepared_new(&s->prepared) != 0)
        return false;
    if (!make_room(c) || !prepared_add(s->prepared, id))
        return false;
    date(c, id);
    return true;
}

bool supply_replace(struct client *c, uint64_t id)
{
    date(c, id);
    return evict(c, id);
}

/* Under other settings than s was first prepared the server is given another statement, which means
 * what the same text means under these: those of others must not get it in the place of s. Where
 * there is no room for it nobody else gets the server. */
static struct statement *variant(struct client *c, struct statement *s)
{
    uint64_t context = settings_context(c);
    struct statement *other;

    if (s->context == context || suspect_is_private(s->context))
        return s;
    other = statements_intern(c->all->config.statements, c->thread, statement_parse(s), context);
    if (other == NULL) {
        c->server->is_distrusted = true;
        return s;
    }
    statement_put(c->all->config.statements, c->thread, other); /* it stays for this turn */
    return other;
}

struct statement *supply_choose(struct client *c, struct statement *s)
{
    return supply_has(c, s->id) ? s : variant(c, s);
}

bool supply_statement(struct client *c, const struct statement *s)
{
    const struct effect e = {.kind = EFFECT_INJECTED, .id = s->id};
    char buf[STATEMENT_NAME_SIZE];

    if (supply_has(c, s->id))
        return true;
    return supply_add(c, s->id) && supply_note(c, PGW_REPLY_PARSE, PGW_REPLY_SWALLOW, &e) &&
           supply_send_parse(c, supply_name(s->id, buf), s);
}

bool supply_unnamed(struct client *c)
{
    struct server *s = c->server;
    struct prepares *p = c->prepares;
    uint64_t id = p == NULL ? 0 : p->unnamed_id;
    struct effect e = {.kind = EFFECT_INJECTED_UNNAMED, .id = s->unnamed};
    struct statement *statement;

    if (s->unnamed == id)
        return true;
    if (prepares_of(c) == NULL)
        return false;
    if (p == NULL || p->unnamed == NULL) { /* PostgreSQL is to say that there is none */
        s->unnamed = 0;
        return supply_note(c, PGW_REPLY_CLOSE, PGW_REPLY_SWALLOW, &e) &&
               supply_send_close(c, pgw_span_of("", 0));
    }
    statement = variant(c, p->unnamed);
    if (s->unnamed == statement->id)
        return true;
    s->unnamed = statement->id;
    return supply_note(c, PGW_REPLY_PARSE, PGW_REPLY_SWALLOW, &e) &&
           supply_send_parse(c, pgw_span_of("", 0), statement);
}
