/* Prepared statements under names of weir's own; see rename.h. */
#include "rename.h"

#include <stdio.h>
#include <stdlib.h>

#include "deallocate.h"
#include "effect.h"
#include "pgwire/endian.h"
#include "pgwire/message_backend.h"
#include "pgwire/names.h"
#include "sessions.h"
#include "weir/auth/wire.h"
#include "weir/pool/prepared.h"

/* An unnamed statement longer than this is not kept for other servers. */
#define UNNAMED_MAX (1U << 20)

/* Ids of unnamed statements that are not kept: beyond all that the store gives. */
#define LOCAL_ID (UINT64_C(1) << 63)

/* ---- sending ---- */

static struct pgw_span unnamed(void)
{
    return pgw_span_of("", 0);
}

static void send_span(struct client *c, struct pgw_span bytes)
{
    stream_send(&c->server->stream, span_in(bytes));
}

bool send_copy(struct client *c, struct pgw_span bytes)
{
    size_t max = loop_scratch_max(c->thread->loop);

    while (bytes.len > 0) {
        size_t n = bytes.len < max ? bytes.len : max;
        uint8_t *copy = loop_scratch(c->thread->loop, n);

        if (copy == NULL)
            return false;
        memcpy(copy, bytes.ptr, n);
        send_span(c, pgw_span_of(copy, n));
        bytes = pgw_span_skip(bytes, n);
    }
    return true;
}

/* A message's header and the first string of its body. tail_len: what follows that string. */
static bool send_head(struct client *c, uint8_t type, const void *before, size_t n_before,
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
    send_span(c, pgw_span_of(buf, len));
    return true;
}

/* Notes a message of the client's or, with PGW_REPLY_SWALLOW, of our own, and what it will have
 * done; NULL: nothing. */
static bool note(struct client *c, enum pgw_reply_kind kind, enum pgw_reply_way way,
                 const struct effect *e)
{
    uint32_t cookie = 0;

    if (e != NULL && !effect_add(c, e, &cookie))
        return false;

    enum pgw_reply_outcome outcome = pgw_reply_sent(&c->server->replies, kind, way, cookie);

    c->lost_count = outcome == PGW_REPLY_LOST;
    return outcome == PGW_REPLY_NOTED; /* not FULL: room for it was seen to before */
}

static bool send_parse(struct client *c, struct pgw_span name, const struct statement *s)
{
    struct span parse = statement_parse(s);

    if (!send_head(c, PGW_F_PARSE, NULL, 0, name, parse.len))
        return false;
    send_span(c, span_out(parse));
    return true;
}

static struct pgw_span name_at_server(uint64_t id, char buf[STATEMENT_NAME_SIZE])
{
    return pgw_span_of(buf, statement_name(id, buf));
}

static bool send_close(struct client *c, struct pgw_span name)
{
    const uint8_t target = PGW_TARGET_STATEMENT;

    return send_head(c, PGW_F_CLOSE, &target, 1, name, 0);
}

static bool evict(struct client *c, uint64_t id)
{
    const struct effect e = {.kind = EFFECT_EVICTED, .id = id};
    char buf[STATEMENT_NAME_SIZE];

    return note(c, PGW_REPLY_CLOSE, PGW_REPLY_SWALLOW, &e) &&
           send_close(c, name_at_server(id, buf));
}

/* Behind an error, up to its Sync, nothing is carried out. */
static bool is_skipped(struct client *c, uint8_t type, struct pgw_span head)
{
    struct pgw_reply_queue *q = &c->server->replies;
    enum pgw_reply_kind kind = pgw_reply_kind_of(type, head.len > 0 ? head.ptr[0] : 0);

    return pgw_reply_is_skipping(q) &&
           pgw_reply_sent(q, kind, PGW_REPLY_FORWARD, 0) == PGW_REPLY_SKIPPED;
}

/* ---- what a server has ---- */

static bool has(struct client *c, uint64_t id)
{
    struct server *s = c->server;

    return s->prepared != NULL && prepared_use(s->prepared, id);
}

/* Room for one more, and one more than that where max has been lowered. */
static bool make_room(struct client *c)
{
    uint32_t max = pool_policy(c->pool)->max_prepared_statements;

    for (unsigned i = 0; i < 2; i++) {
        uint64_t id = prepared_make_room(c->server->prepared, max);

        if (id == 0)
            break;
        if (!evict(c, id))
            return false;
    }
    return true;
}

static bool add(struct client *c, uint64_t id)
{
    struct server *s = c->server;

    if (s->prepared == NULL && prepared_new(&s->prepared) != 0)
        return false;
    return make_room(c) && prepared_add(s->prepared, id);
}

/* The server has s when what is sent next arrives. */
static bool put_there(struct client *c, const struct statement *s)
{
    const struct effect e = {.kind = EFFECT_INJECTED, .id = s->id};
    char buf[STATEMENT_NAME_SIZE];

    if (has(c, s->id))
        return true;
    return add(c, s->id) && note(c, PGW_REPLY_PARSE, PGW_REPLY_SWALLOW, &e) &&
           send_parse(c, name_at_server(s->id, buf), s);
}

/* ---- what a client has ---- */

struct prepares *prepares_of(struct client *c)
{
    if (c->prepares == NULL)
        c->prepares = calloc(1, sizeof(*c->prepares));
    return c->prepares;
}

static struct name *find(const struct client *c, struct pgw_span name)
{
    return c->prepares == NULL ? NULL : names_find(&c->prepares->names, span_in(name));
}

/* ---- the unnamed statement ---- */

static uint64_t local_id(struct client *c)
{
    return LOCAL_ID | (uint64_t)c->thread->number << 48 | ++c->shard->n_local_ids;
}

/* Always sent: it costs PostgreSQL what it costs without weir, and is answered by it. */
static enum renamed parse_unnamed(struct client *c, struct pgw_span parse, bool whole)
{
    struct prepares *p = prepares_of(c);
    struct statement *s = NULL;

    if (p == NULL)
        return RENAME_FAILED;
    if (whole)
        s = statements_intern(c->all->config.statements, c->thread, span_in(parse), 0);

    struct effect e = {.kind = EFFECT_PARSE_UNNAMED,
                       .id = c->server->unnamed,
                       .client_unnamed = p->unnamed_id,
                       .statement = p->unnamed};

    p->unnamed = s;
    p->unnamed_id = s != NULL ? s->id : local_id(c);
    c->server->unnamed = p->unnamed_id;
    return note(c, PGW_REPLY_PARSE, PGW_REPLY_FORWARD, &e) ? RENAME_AS_IT_IS : RENAME_FAILED;
}

/* Before Bind or Describe of "": what the client has is there, or nothing is. */
static bool put_unnamed_there(struct client *c)
{
    struct server *s = c->server;
    uint64_t id = c->prepares == NULL ? 0 : c->prepares->unnamed_id;
    struct effect e = {.kind = EFFECT_INJECTED_UNNAMED, .id = s->unnamed};

    if (s->unnamed == id)
        return true;
    if (prepares_of(c) == NULL)
        return false;
    if (c->prepares->unnamed == NULL) { /* PostgreSQL is to say that there is none */
        s->unnamed = 0;
        return note(c, PGW_REPLY_CLOSE, PGW_REPLY_SWALLOW, &e) && send_close(c, unnamed());
    }
    s->unnamed = id;
    return note(c, PGW_REPLY_PARSE, PGW_REPLY_SWALLOW, &e) &&
           send_parse(c, unnamed(), c->prepares->unnamed);
}

/* A Query drops it, whatever comes of it. */
static void forget_unnamed(struct client *c)
{
    struct prepares *p = c->prepares;

    c->server->unnamed = 0;
    if (p == NULL)
        return;
    statement_put(c->all->config.statements, c->thread, p->unnamed);
    p->unnamed = NULL;
    p->unnamed_id = 0;
}

/* ---- Parse ---- */

static enum renamed result(bool sent)
{
    return sent ? RENAME_REPLACED : RENAME_FAILED;
}

/* The name is taken. What the text is worth, and then that the name is taken, PostgreSQL says. */
static enum renamed parse_duplicate(struct client *c, struct name *name, struct pgw_span parse)
{
    const struct effect e = {.kind = EFFECT_DUPLICATE, .id = name->statement->id, .name = name};
    char buf[STATEMENT_NAME_SIZE];
    struct pgw_span taken = name_at_server(name->statement->id, buf);

    return result(put_there(c, name->statement) &&
                  note(c, PGW_REPLY_PARSE, PGW_REPLY_FORWARD, &e) &&
                  send_head(c, PGW_F_PARSE, NULL, 0, taken, parse.len) && send_copy(c, parse));
}

/* May weir answer for the server that has the statement? Not if the transaction has failed, or may
 * have when the Parse would come to it. */
static bool may_answer(const struct client *c)
{
    const struct pgw_reply_queue *q = &c->server->replies;

    return !pgw_reply_is_owed(q) && q->status != PGW_TX_FAILED;
}

static enum renamed parse_new(struct client *c, struct pgw_span name, struct statement *s)
{
    struct effect e = {.kind = EFFECT_PARSE, .id = s->id};
    char buf[STATEMENT_NAME_SIZE];
    struct pgw_span there = name_at_server(s->id, buf);
    bool is_there = has(c, s->id);

    e.name = names_add(&c->prepares->names, span_in(name), s);
    if (e.name == NULL) {
        statement_put(c->all->config.statements, c->thread, s);
        return RENAME_FAILED;
    }
    if (is_there && may_answer(c)) {
        e.id = 0;
        return result(note(c, PGW_REPLY_PARSE, PGW_REPLY_MAKE_UP, &e));
    }
    if (is_there ? !evict(c, s->id) : !add(c, s->id))
        return RENAME_FAILED;
    return result(note(c, PGW_REPLY_PARSE, PGW_REPLY_FORWARD, &e) && send_parse(c, there, s));
}

static enum renamed parse(struct client *c, uint32_t body_len, struct pgw_span head,
                          struct pgw_span name)
{
    struct pgw_span rest = pgw_span_skip(head, name.len + 1);

    if (name.len == 0)
        return parse_unnamed(c, rest, head.len == body_len);
    if (prepares_of(c) == NULL)
        return RENAME_FAILED;

    struct name *taken = find(c, name);

    if (taken != NULL)
        return parse_duplicate(c, taken, rest);

    struct statement *s = statements_intern(c->all->config.statements, c->thread, span_in(rest), 0);

    return s == NULL ? RENAME_FAILED : parse_new(c, name, s);
}

/* ---- Bind, Describe, Close ---- */

static enum renamed bind_statement(struct client *c, uint32_t body_len, struct pgw_span head,
                                   const struct pgw_names *names)
{
    struct name *name = find(c, names->statement);
    char buf[STATEMENT_NAME_SIZE];

    if (names->statement.len == 0 && !put_unnamed_there(c))
        return RENAME_FAILED;
    if (name == NULL)
        return note(c, PGW_REPLY_BIND, PGW_REPLY_FORWARD, NULL) ? RENAME_AS_IT_IS : RENAME_FAILED;

    struct pgw_span there = name_at_server(name->statement->id, buf);
    size_t n_names = names->portal.len + 1 + names->statement.len + 1;

    if (!put_there(c, name->statement) || !note(c, PGW_REPLY_BIND, PGW_REPLY_FORWARD, NULL) ||
        !send_head(c, PGW_F_BIND, head.ptr, names->portal.len + 1, there, body_len - n_names))
        return RENAME_FAILED;
    send_span(c, pgw_span_skip(head, n_names));
    return RENAME_REPLACED;
}

static enum renamed describe(struct client *c, struct pgw_span statement)
{
    struct name *name = find(c, statement);
    const uint8_t target = PGW_TARGET_STATEMENT;
    char buf[STATEMENT_NAME_SIZE];

    if (statement.len == 0 && !put_unnamed_there(c))
        return RENAME_FAILED;
    if (name != NULL && !put_there(c, name->statement))
        return RENAME_FAILED;
    if (!note(c, PGW_REPLY_DESCRIBE_STATEMENT, PGW_REPLY_FORWARD, NULL))
        return RENAME_FAILED;
    if (name == NULL)
        return RENAME_AS_IT_IS;
    return result(
        send_head(c, PGW_F_DESCRIBE, &target, 1, name_at_server(name->statement->id, buf), 0));
}

/* The server keeps what others may use; only the name goes. */
static enum renamed close_named(struct client *c, struct name *name)
{
    const struct effect e = {.kind = EFFECT_CLOSE, .name = name};

    if (!note(c, PGW_REPLY_CLOSE, PGW_REPLY_MAKE_UP, &e))
        return RENAME_FAILED;
    names_detach(&c->prepares->names, name);
    return RENAME_REPLACED;
}

static enum renamed close_statement(struct client *c, struct pgw_span statement)
{
    struct name *name = find(c, statement);
    struct prepares *p = prepares_of(c);

    if (name != NULL)
        return close_named(c, name);
    if (statement.len > 0 || p == NULL)
        return note(c, PGW_REPLY_CLOSE, PGW_REPLY_FORWARD, NULL) ? RENAME_AS_IT_IS : RENAME_FAILED;

    /* As if a Parse had put nothing in its place. */
    const struct effect e = {.kind = EFFECT_PARSE_UNNAMED,
                             .id = c->server->unnamed,
                             .client_unnamed = p->unnamed_id,
                             .statement = p->unnamed};

    p->unnamed = NULL;
    p->unnamed_id = c->server->unnamed = 0;
    return note(c, PGW_REPLY_CLOSE, PGW_REPLY_FORWARD, &e) ? RENAME_AS_IT_IS : RENAME_FAILED;
}

/* ---- Query ---- */

static enum renamed query_as_it_is(struct client *c)
{
    return note(c, PGW_REPLY_QUERY, PGW_REPLY_FORWARD, NULL) ? RENAME_AS_IT_IS : RENAME_FAILED;
}

/* The server has the statement and is told our name of it. */
static enum renamed deallocate_there(struct client *c, const struct effect *e)
{
    char buf[STATEMENT_NAME_SIZE], text[STATEMENT_NAME_SIZE + 16];
    int len;

    statement_name(e->id, buf);
    len = snprintf(text, sizeof(text), "DEALLOCATE %s", buf);
    return result(note(c, PGW_REPLY_QUERY, PGW_REPLY_FORWARD, e) &&
                  send_head(c, PGW_F_QUERY, NULL, 0, pgw_span_of(text, (size_t)len), 0));
}

static enum renamed deallocate(struct client *c, struct name *name)
{
    const struct pgw_reply_queue *q = &c->server->replies;
    struct effect e = {.kind = EFFECT_DEALLOCATE, .id = name->statement->id, .name = name};

    if (q->status == PGW_TX_FAILED && !pgw_reply_is_owed(q))
        return query_as_it_is(c); /* to be refused */
    if (has(c, e.id))
        return deallocate_there(c, &e);
    if (pgw_reply_is_owed(q) || pgw_reply_is_unsynced(q))
        return RENAME_WAIT;
    e.id = 0;
    return result(note(c, PGW_REPLY_QUERY, PGW_REPLY_MAKE_UP, &e));
}

enum renamed rename_query(struct client *c, uint32_t body_len, struct pgw_span text)
{
    struct name *name = NULL;
    char buf[CONF_NAME_MAX];
    size_t len;

    if (is_skipped(c, PGW_F_QUERY, text))
        return RENAME_AS_IT_IS;
    if (c->prepares != NULL && text.len == body_len && deallocate_read(text, buf, &len))
        name = find(c, pgw_span_of(buf, len));

    enum renamed renamed = name != NULL ? deallocate(c, name) : query_as_it_is(c);

    if (renamed != RENAME_WAIT)
        forget_unnamed(c);
    return renamed;
}

/* ---- messages ---- */

bool rename_concerns(const struct client *c, uint8_t type)
{
    const struct conf_policy *policy = pool_policy(c->pool);

    return (pgw_frontend_rules[type].action == PGW_RENAME || type == PGW_F_QUERY) &&
           policy->pool_mode != CONF_SESSION && policy->max_prepared_statements > 0;
}

bool rename_is_enough(uint8_t type, uint32_t body_len, struct pgw_span head)
{
    struct pgw_names names;

    if (head.len == body_len)
        return true;
    if (type == PGW_F_PARSE) /* unnamed and long: streams through */
        return body_len > UNNAMED_MAX && head.len > 0 && head.ptr[0] == '\0';
    return type == PGW_F_BIND && pgw_read_names(type, head, false, &names) != PGW_PARTIAL;
}

enum renamed rename_message(struct client *c, uint8_t type, uint32_t body_len, struct pgw_span head)
{
    enum pgw_reply_kind kind = pgw_reply_kind_of(type, head.len > 0 ? head.ptr[0] : 0);
    struct pgw_names names;

    if (is_skipped(c, type, head))
        return RENAME_AS_IT_IS;
    if (pgw_read_names(type, head, head.len == body_len, &names) != PGW_READY ||
        names.statement.ptr == NULL) /* of a portal, or PostgreSQL will say what is wrong */
        return note(c, kind, PGW_REPLY_FORWARD, NULL) ? RENAME_AS_IT_IS : RENAME_FAILED;
    if (type == PGW_F_PARSE)
        return parse(c, body_len, head, names.statement);
    if (type == PGW_F_BIND)
        return bind_statement(c, body_len, head, &names);
    if (type == PGW_F_DESCRIBE)
        return describe(c, names.statement);
    return close_statement(c, names.statement);
}
