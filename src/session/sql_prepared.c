/* Statements that SQL has prepared follow their client; see sql_prepared.h. */
#include "sql_prepared.h"

#include <stdlib.h>

#include "client.h"
#include "pgwire/build.h"
#include "supply.h"
#include "weir/auth/wire.h"
#include "weir/pool/inspect.h"

/* ---- sending ---- */

static bool send_query(struct client *c, struct span text, uint32_t cookie)
{
    static const uint8_t nul[] = {'\0'};

    c->server->unnamed = 0; /* a Query drops it */
    return supply_note_cookie(c, PGW_REPLY_QUERY, PGW_REPLY_SWALLOW, cookie) &&
           supply_send_start(c, PGW_F_QUERY, text.len + sizeof(nul)) &&
           supply_send_copy(c, span_out(text)) &&
           supply_send_copy(c, pgw_span_of(nul, sizeof(nul)));
}

static bool is_same(const struct pairs *p, const struct pair *pair)
{
    struct span value;

    return pairs_get(p, pair->name, &value) && span_equal(value, pair->value);
}

/* DEALLOCATE "a";DEALLOCATE "b";... of those that the client has not, or has another of. */
static void build_deallocate(struct pgw_writer *w, const struct pairs *there,
                             const struct pairs *wanted)
{
    struct pair pair;

    for (size_t at = 0; pairs_next(there, &at, &pair);) {
        if (pair.value.len == 0 || is_same(wanted, &pair))
            continue;
        pgw_writer_bytes(w, pgw_span_str("DEALLOCATE \""));
        for (size_t i = 0; i < pair.name.len; i++) {
            if (pair.name.ptr[i] == '"')
                pgw_writer_u8(w, '"');
            pgw_writer_u8(w, pair.name.ptr[i]);
        }
        pgw_writer_bytes(w, pgw_span_str("\";"));
    }
}

static bool deallocate(struct client *c)
{
    const struct pairs *there = &c->server->sql_prepared;
    size_t size = 8 * (size_t)there->len; /* a pair has two bytes at least */
    uint8_t *buf = there->len == 0 ? NULL : malloc(size);
    struct pgw_writer w = pgw_writer_of(buf, size);
    bool sent = true;

    if (there->len == 0)
        return true;
    if (buf == NULL)
        return false;
    build_deallocate(&w, there, &c->sql_prepared);
    ASSERT(!w.full);
    if (w.len > 0)
        sent = send_query(c, span_of(buf, w.len), SQL_PREPARED_COOKIE);
    free(buf);
    return sent;
}

static bool prepare(struct client *c)
{
    const struct pairs *there = &c->server->sql_prepared;
    uint32_t cookie = SQL_PREPARED_COOKIE;
    struct pair pair;

    for (size_t at = 0; pairs_next(&c->sql_prepared, &at, &pair);) {
        cookie++;
        if (pair.value.len > 0 && !is_same(there, &pair) && !send_query(c, pair.value, cookie))
            return false;
    }
    return true;
}

void sql_prepared_apply(struct client *c)
{
    struct pairs *there = &c->server->sql_prepared;

    if (pairs_equal(&c->sql_prepared, there))
        return;
    if (!deallocate(c) || !prepare(c) || !pairs_copy(there, &c->sql_prepared))
        c->short_of_memory = true; /* relay_settle() ends it */
}

/* ---- answers ---- */

/* The name stays, for the order of cookies: without a text, as a pair that means nothing. */
static bool forget_text(struct pairs *p, struct span name)
{
    char copy[CONF_NAME_MAX];
    size_t len = name.len < sizeof(copy) ? name.len : sizeof(copy);

    memcpy(copy, name.ptr, len); /* it lies in the set, which is changed */
    return pairs_put(p, span_of(copy, len), span_str(""));
}

void sql_prepared_failed(struct client *c, uint32_t cookie)
{
    struct pair pair = {{NULL, 0}, {NULL, 0}};
    size_t at = 0;

    if (cookie == SQL_PREPARED_COOKIE) {
        c->server->is_distrusted = true; /* it has not what it should have */
        return;
    }
    for (uint32_t i = SQL_PREPARED_COOKIE; i < cookie; i++)
        if (!pairs_next(&c->sql_prepared, &at, &pair))
            return;
    ASSERT(pair.name.ptr != NULL);
    log_info(&c->log, "a statement cannot be prepared on this server", "name=%.*s server=%s",
             (int)pair.name.len, pair.name.ptr, c->server->log.ids);
    if (!forget_text(&c->server->sql_prepared, pair.name) ||
        !forget_text(&c->sql_prepared, pair.name))
        c->server->is_distrusted = true;
}

void sql_prepared_forget(struct client *c)
{
    pairs_clear(&c->server->sql_prepared);
    pairs_clear(&c->sql_prepared);
}

/* ---- what a server was asked ---- */

/* As many as are allowed; the next link deallocates the others. */
static bool take(struct pairs *to, const struct pairs *found)
{
    unsigned n = 0;
    struct pair pair;

    pairs_clear(to);
    for (size_t at = 0; pairs_next(found, &at, &pair) && n < SQL_PREPARED_MAX; n++)
        if (!pairs_put(to, pair.name, pair.value))
            return false;
    return true;
}

bool sql_prepared_learn(struct client *c, const struct inspect_found *found)
{
    return !(found->answered & STATE_BIT(STATE_STATEMENTS)) ||
           take(&c->sql_prepared, &found->statements);
}
