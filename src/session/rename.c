/* Prepared statements under names of weir's own; see rename.h. */
#include "rename.h"

#include <stdlib.h>

#include "deallocate.h"
#include "effect.h"
#include "pgwire/message_backend.h"
#include "pgwire/names.h"
#include "sessions.h"
#include "supply.h"
#include "weir/auth/wire.h"
#include "weir/pool/prepared.h"

/* An unnamed statement longer than this is not kept for other servers. */
#define UNNAMED_MAX (1U << 20)

/* With its NUL; empty if there is none. */
static struct pgw_span first_string(struct pgw_span bytes)
{
    const uint8_t *end = bytes.len > 0 ? memchr(bytes.ptr, '\0', bytes.len) : NULL;

    return pgw_span_of(bytes.ptr, end == NULL ? 0 : (size_t)(end - bytes.ptr) + 1);
}

/* Behind an error, up to its Sync, nothing is carried out. */
static bool is_skipped(struct client *c, uint8_t type, struct pgw_span head)
{
    struct pgw_reply_queue *q = &c->server->replies;
    enum pgw_reply_kind kind = pgw_reply_kind_of(type, head.len > 0 ? head.ptr[0] : 0);

    return pgw_reply_is_skipping(q) &&
           pgw_reply_sent(q, kind, PGW_REPLY_FORWARD, 0) == PGW_REPLY_SKIPPED;
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

/* Another name for what the client calls so: of its statement, or of none where only we know that
 * there is none. empty: none is needed. */
static struct pgw_span other_name(const struct statement *s, struct pgw_span said,
                                  char buf[STATEMENT_NAME_SIZE])
{
    const size_t len = strlen(STATEMENT_NAME_PREFIX);

    if (s != NULL)
        return supply_name(s->id, buf);
    if (said.len >= len && memcmp(said.ptr, STATEMENT_NAME_PREFIX, len) == 0)
        return pgw_span_str(SUPPLY_NAME_OF_NONE);
    return pgw_span_of(NULL, 0);
}

static enum renamed as_it_is(bool noted)
{
    return noted ? RENAME_AS_IT_IS : RENAME_FAILED;
}

static enum renamed result(bool sent)
{
    return sent ? RENAME_REPLACED : RENAME_FAILED;
}

/* ---- the unnamed statement ---- */

/* The client has now this one and so has its server; id 0: none. The reference is the client's. */
static struct effect replace_unnamed(struct client *c, struct statement *s, uint64_t id)
{
    struct prepares *p = c->prepares;
    struct effect e = {.kind = EFFECT_UNNAMED,
                       .id = c->server->unnamed,
                       .client_unnamed = p->unnamed_id,
                       .statement = p->unnamed};

    p->unnamed = s;
    p->unnamed_id = c->server->unnamed = id;
    return e;
}

/* Is what this text says, in case it is a DEALLOCATE, of any interest? */
static bool may_deallocate(const struct client *c)
{
    const struct prepares *p = c->prepares;

    return p != NULL && (names_count(&p->names) > 0 || p->head != p->tail);
}

/* What a text deallocates; *name: the client's, NULL: none that we know of. */
static enum deallocate read_deallocate(struct client *c, struct pgw_span text, struct name **name,
                                       bool *waits)
{
    char buf[CONF_NAME_MAX];
    size_t len;
    enum deallocate what = DEALLOCATE_NONE;

    if (may_deallocate(c))
        what = deallocate_read(text, buf, &len);
    *name = what == DEALLOCATE_NAME ? find(c, pgw_span_of(buf, len)) : NULL;
    *waits = what == DEALLOCATE_NAME && supply_must_wait(c, pgw_span_of(buf, len), 0);
    return what;
}

/* A DEALLOCATE: what our servers have is for others too, so it gets the dummy to deallocate. The
 * client's name goes now and not when it is executed: who prepares this executes it. */
static enum renamed parse_deallocate(struct client *c, struct name *name)
{
    static const uint8_t rest[] = "DEALLOCATE " STATEMENT_NAME_PREFIX "0\0\0"; /* no types */

    if (!supply_dummy(c))
        return RENAME_FAILED;

    struct effect e = replace_unnamed(c, NULL, effect_make_id(c));

    names_detach(&c->prepares->names, name);
    e.name = name;
    if (!supply_note(c, PGW_REPLY_PARSE, PGW_REPLY_FORWARD, &e) ||
        !supply_send_head(c, PGW_F_PARSE, NULL, 0, pgw_span_of("", 0), sizeof(rest)))
        return RENAME_FAILED;
    supply_send(c, pgw_span_of(rest, sizeof(rest)));
    return RENAME_REPLACED;
}

/* What a text means depends on the settings, too: see settings_context(). */
static struct statement *intern(struct client *c, struct pgw_span parse)
{
    return statements_intern(c->all->config.statements, c->thread, span_in(parse),
                             settings_context(c));
}

/* Sent although the server may have it: it costs PostgreSQL what it costs without weir, and is
 * answered by it. parse: of len bytes, or their beginning. */
static enum renamed parse_unnamed(struct client *c, struct pgw_span parse, uint32_t len)
{
    struct statement *s = NULL;
    struct name *name;
    bool waits;

    (void)read_deallocate(c, first_string(parse), &name, &waits);
    if (waits)
        return RENAME_WAIT;
    if (name != NULL)
        return parse_deallocate(c, name);
    if (parse.len == len)
        s = intern(c, parse);
    if (s != NULL)
        suspect_statement(c, s);
    else
        suspect_parse(c, parse, len);

    const struct effect e = replace_unnamed(c, s, s != NULL ? s->id : effect_make_id(c));

    return as_it_is(supply_note(c, PGW_REPLY_PARSE, PGW_REPLY_FORWARD, &e));
}

/* ---- Parse ---- */

/* The name is taken. What the text is worth, and then that the name is taken, PostgreSQL says. */
static enum renamed parse_duplicate(struct client *c, struct name *name, struct pgw_span parse)
{
    const struct effect e = {.kind = EFFECT_DUPLICATE, .name = name};
    char buf[STATEMENT_NAME_SIZE];
    struct pgw_span taken = supply_name(SUPPLY_DUMMY, buf);

    return result(supply_dummy(c) && supply_note(c, PGW_REPLY_PARSE, PGW_REPLY_FORWARD, &e) &&
                  supply_send_head(c, PGW_F_PARSE, NULL, 0, taken, parse.len) &&
                  supply_send_copy(c, parse));
}

enum renamed rename_refuse(struct client *c)
{
    const struct effect e = {.kind = EFFECT_REFUSED};

    return result(supply_note(c, PGW_REPLY_PARSE, PGW_REPLY_FORWARD, &e) && supply_send_failure(c));
}

/* May weir answer for the server that has the statement? Not if the transaction has failed, or may
 * have when the Parse would come to it, nor if the statement may be stale: a client that prepares
 * anew means the tables that there are now. */
static bool may_answer(const struct client *c, uint64_t id)
{
    const struct server *s = c->server;
    const struct pgw_reply_queue *q = &s->replies;

    return !pgw_reply_is_owed(q) && q->status != PGW_TX_FAILED && !s->is_distrusted &&
           !s->alters_tables &&
           prepared_is_of(s->prepared, id, statements_epoch(c->all->config.statements));
}

static enum renamed parse_new(struct client *c, struct pgw_span name, struct statement *s)
{
    suspect_sequences(c, s);

    struct effect e = {.kind = EFFECT_PARSE, .id = s->id};
    char buf[STATEMENT_NAME_SIZE];
    struct pgw_span there = supply_name(s->id, buf);
    bool is_there = supply_has(c, s->id);

    e.name = names_add(&c->prepares->names, span_in(name), s, c->all->config.statements, c->thread);
    if (e.name == NULL) {
        statement_put(c->all->config.statements, c->thread, s);
        return rename_refuse(c);
    }
    if (is_there && may_answer(c, s->id)) {
        e.id = 0;
        return result(supply_note(c, PGW_REPLY_PARSE, PGW_REPLY_MAKE_UP, &e));
    }
    if (is_there ? !supply_replace(c, s->id) : !supply_add(c, s->id))
        return RENAME_FAILED;
    if (!supply_note(c, PGW_REPLY_PARSE, PGW_REPLY_FORWARD, &e) || !supply_send_parse(c, there, s))
        return RENAME_FAILED;
    suspect_statement(c, s);
    return RENAME_REPLACED;
}

static enum renamed parse(struct client *c, uint32_t body_len, struct pgw_span head,
                          struct pgw_span name)
{
    struct pgw_span rest = pgw_span_skip(head, name.len + 1);

    if (prepares_of(c) == NULL)
        return RENAME_FAILED;
    if (name.len == 0)
        return parse_unnamed(c, rest, body_len - (uint32_t)(name.len + 1));

    struct name *taken = find(c, name);

    if (supply_must_wait(c, name, 0))
        return RENAME_WAIT;
    if (taken != NULL)
        return parse_duplicate(c, taken, rest);

    struct statement *s = intern(c, rest);

    if (s == NULL)
        return rename_refuse(c);
    if (supply_must_wait(c, name, s->id)) {
        statement_put(c->all->config.statements, c->thread, s);
        return RENAME_WAIT;
    }
    return parse_new(c, name, s);
}

/* ---- Bind, Describe, Close ---- */

/* What the client calls so, and what stands for it at this server. */
struct meant {
    struct name *name;           /* NULL: it is unnamed, or nobody's */
    struct statement *statement; /* the client's; NULL: none, or it is not kept */
    struct statement *there;     /* of a name */
    struct pgw_span other;       /* its name there, in buf; empty: as it is said */
    char buf[STATEMENT_NAME_SIZE];
};

static void find_meant(struct client *c, struct pgw_span said, struct meant *m)
{
    m->name = find(c, said);
    m->there = NULL;
    if (m->name != NULL) {
        m->statement = m->name->statement;
        m->there = supply_choose(c, m->statement);
    } else {
        m->statement = said.len > 0 || c->prepares == NULL ? NULL : c->prepares->unnamed;
    }
    m->other = other_name(m->there, said, m->buf);
}

/* Must a Bind or Describe of it wait? */
static bool must_use_later(struct client *c, const struct meant *m, struct pgw_span said)
{
    if (said.len == 0)
        return c->prepares != NULL && effect_is_unnamed_open(c);
    return supply_must_wait(c, said, m->there == NULL ? 0 : m->there->id);
}

/* Before a message about this statement of the client's: it is there, or none is. */
static bool put_there(struct client *c, const struct meant *m, struct pgw_span said)
{
    suspect_sequences(c, m->statement);
    if (m->name == NULL)
        return said.len > 0 || supply_unnamed(c);
    m->name->id_there = m->there->id;
    return supply_statement(c, m->there);
}

static enum renamed bind_statement(struct client *c, uint32_t body_len, struct pgw_span head,
                                   const struct pgw_names *names)
{
    size_t n_names = names->portal.len + 1 + names->statement.len + 1;
    struct meant m;

    find_meant(c, names->statement, &m);
    if (must_use_later(c, &m, names->statement))
        return RENAME_WAIT;
    if (!put_there(c, &m, names->statement) ||
        !supply_note(c, PGW_REPLY_BIND, PGW_REPLY_FORWARD, NULL))
        return RENAME_FAILED;
    suspect_bound(c, m.statement, names->portal);
    if (m.other.len == 0)
        return RENAME_AS_IT_IS;
    if (!supply_send_head(c, PGW_F_BIND, head.ptr, names->portal.len + 1, m.other,
                          body_len - n_names))
        return RENAME_FAILED;
    supply_send(c, pgw_span_skip(head, n_names));
    return RENAME_REPLACED;
}

static enum renamed describe(struct client *c, struct pgw_span statement)
{
    const uint8_t target = PGW_TARGET_STATEMENT;
    struct meant m;

    find_meant(c, statement, &m);
    if (must_use_later(c, &m, statement))
        return RENAME_WAIT;
    if (!put_there(c, &m, statement) ||
        !supply_note(c, PGW_REPLY_DESCRIBE_STATEMENT, PGW_REPLY_FORWARD, NULL))
        return RENAME_FAILED;
    if (m.other.len == 0)
        return RENAME_AS_IT_IS;
    return result(supply_send_head(c, PGW_F_DESCRIBE, &target, 1, m.other, 0));
}

/* The server keeps what others may use; only the name goes. */
static enum renamed close_named(struct client *c, struct name *name)
{
    const struct effect e = {.kind = EFFECT_CLOSE, .name = name};

    names_detach(&c->prepares->names, name);
    return result(supply_note(c, PGW_REPLY_CLOSE, PGW_REPLY_MAKE_UP, &e));
}

static enum renamed close_statement(struct client *c, struct pgw_span statement)
{
    struct name *name = find(c, statement);
    char buf[STATEMENT_NAME_SIZE];
    struct pgw_span other = other_name(NULL, statement, buf);

    if (statement.len > 0 && supply_must_wait(c, statement, 0))
        return RENAME_WAIT;
    if (name != NULL)
        return close_named(c, name);
    if (statement.len == 0) {
        if (prepares_of(c) == NULL)
            return RENAME_FAILED;

        const struct effect e = replace_unnamed(c, NULL, 0);

        return as_it_is(supply_note(c, PGW_REPLY_CLOSE, PGW_REPLY_FORWARD, &e));
    }
    if (!supply_note(c, PGW_REPLY_CLOSE, PGW_REPLY_FORWARD, NULL))
        return RENAME_FAILED;
    return other.len == 0 ? RENAME_AS_IT_IS : result(supply_send_close(c, other));
}

/* ---- Query ---- */

/* A Query of a client that has prepared nothing. It drops the server's unnamed statement, unless it
 * is skipped. */
static enum renamed query_of_stranger(struct client *c, bool is_small_set)
{
    struct server *s = c->server;

    if (s->unnamed != 0)
        s->unnamed = pgw_reply_is_owed(&s->replies) ? effect_make_id(c) : 0;
    return as_it_is(supply_note_cookie(c, PGW_REPLY_QUERY, PGW_REPLY_FORWARD,
                                       is_small_set ? SMALL_SET_COOKIE : 0));
}

static bool send_deallocate(struct client *c)
{
    static const char text[] = "DEALLOCATE " STATEMENT_NAME_PREFIX "0";

    return supply_send_head(c, PGW_F_QUERY, NULL, 0, pgw_span_str(text), 0);
}

static enum renamed query(struct client *c, struct pgw_span text, uint32_t body_len)
{
    bool is_small_set = suspect_query(c, text, body_len);
    enum deallocate what;
    struct name *name;
    bool waits, is_alone;

    if (c->prepares == NULL)
        return query_of_stranger(c, is_small_set);
    what = read_deallocate(c, text, &name, &waits);
    if (waits)
        return RENAME_WAIT;
    is_alone = c->prepares->head == c->prepares->tail;
    if (name != NULL && !supply_dummy(c))
        return RENAME_FAILED;

    struct effect e = replace_unnamed(c, NULL, 0);

    e.of_query = true;
    e.name = name;
    e.all = what == DEALLOCATE_ALL;
    e.is_small_set = is_small_set;

    bool is_nothing =
        is_alone && e.id == 0 && e.client_unnamed == 0 && name == NULL && !e.all && !is_small_set;

    if (!supply_note(c, PGW_REPLY_QUERY, PGW_REPLY_FORWARD, is_nothing ? NULL : &e))
        return RENAME_FAILED;
    return name == NULL ? RENAME_AS_IT_IS : result(send_deallocate(c));
}

/* ---- messages ---- */

bool rename_concerns(const struct client *c, uint8_t type)
{
    const struct conf_policy *policy = pool_policy(c->pool);

    return (pgw_frontend_rules[type].action == PGW_RENAME || type == PGW_F_QUERY) &&
           !client_keeps_server(c) && policy->max_prepared_statements > 0;
}

void rename_synced(struct client *c)
{
    if (c->prepares != NULL)
        c->prepares->batch++;
}

bool rename_is_enough(const struct client *c, uint8_t type, uint32_t body_len, struct pgw_span head)
{
    struct pgw_names names;

    if (head.len == body_len)
        return true;
    if (type == PGW_F_QUERY)
        return body_len > DEALLOCATE_TEXT_MAX || !may_deallocate(c);
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
    if (type == PGW_F_QUERY)
        return query(c, head, body_len);
    if (pgw_read_names(type, head, head.len == body_len, &names) != PGW_READY ||
        names.statement.ptr == NULL) /* of a portal, or PostgreSQL will say what is wrong */
        return as_it_is(supply_note(c, kind, PGW_REPLY_FORWARD, NULL));
    if (type == PGW_F_PARSE)
        return parse(c, body_len, head, names.statement);
    if (type == PGW_F_BIND)
        return bind_statement(c, body_len, head, &names);
    if (type == PGW_F_DESCRIBE)
        return describe(c, names.statement);
    return close_statement(c, names.statement);
}
