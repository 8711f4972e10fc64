/*
 * What a client has prepared, other than its messages (rename.c): gathering those that buffers cut,
 * what a server's answers mean to it, its end. Runs on: the client's reactor.
 */
#include <stdlib.h>

#include "effect.h"
#include "link.h"
#include "pgwire/build.h"
#include "pgwire/endian.h"
#include "pgwire/message_backend.h"
#include "pgwire/sqlstate.h"
#include "sessions.h"
#include "sql_prepared.h"
#include "supply.h"
#include "weir/auth/wire.h"
#include "weir/pool/prepared.h"

/* ---- gathering ---- */

/* All but a Parse is sent on from one piece of scratch memory. */
static size_t gather_max(const struct client *c, uint8_t type)
{
    size_t max = loop_scratch_max(c->thread->loop);

    if (type == PGW_F_PARSE)
        return RENAME_PARSE_MAX;
    return max < RENAME_NAMES_MAX ? max : RENAME_NAMES_MAX;
}

/* What is gathered has room in the store of statements, where most of it will be. */
static bool gather_grow(struct client *c, size_t needed)
{
    struct statements *ss = c->all->config.statements;
    struct prepares *p = c->prepares;
    size_t size = 2 * needed < p->body_len ? 2 * needed : p->body_len;
    size_t more = size - p->gathered_size;
    uint8_t *grown;

    if (!statements_get_room(ss, c->thread, more))
        return false;
    grown = realloc(p->gathered, size);
    if (grown == NULL) {
        statements_put_room(ss, more);
        return false;
    }
    p->gathered = grown;
    p->gathered_size = (uint32_t)size;
    return true;
}

static bool gather_append(struct client *c, struct pgw_span bytes)
{
    struct prepares *p = c->prepares;
    size_t needed = p->n_gathered + bytes.len;

    if (needed > gather_max(c, p->type))
        return false;
    if (needed > p->gathered_size && !gather_grow(c, needed))
        return false;
    if (bytes.len > 0)
        memcpy(p->gathered + p->n_gathered, bytes.ptr, bytes.len);
    p->n_gathered += (uint32_t)bytes.len;
    return true;
}

static void gather_free(struct client *c)
{
    struct prepares *p = c->prepares;

    statements_put_room(c->all->config.statements, p->gathered_size);
    free(p->gathered);
    p->gathered = NULL;
    p->gathered_size = 0;
}

/* There is no room for these bytes. False: it is no Parse, or no memory. */
static bool gather_refuse(struct client *c, struct pgw_span bytes)
{
    struct prepares *p = c->prepares;

    if (p->type != PGW_F_PARSE)
        return false;
    gather_free(c);
    p->is_refused = true;
    p->n_gathered += (uint32_t)bytes.len;
    return pgw_reply_is_skipping(&c->server->replies) || rename_refuse(c) == RENAME_REPLACED;
}

bool rename_gather(struct client *c, uint8_t type, uint32_t body_len, struct pgw_span head)
{
    struct prepares *p = prepares_of(c);

    if (p == NULL)
        return false;
    p->is_gathering = true;
    p->is_refused = false;
    p->type = type;
    p->body_len = body_len;
    p->n_gathered = 0;
    if (type == PGW_F_PARSE && body_len > RENAME_PARSE_MAX)
        return gather_refuse(c, head);
    return gather_append(c, head) || gather_refuse(c, head);
}

bool rename_is_gathering(const struct client *c)
{
    return c->prepares != NULL && c->prepares->is_gathering;
}

static bool send_header(struct client *c, const struct prepares *p)
{
    uint8_t header[PGW_HEADER_LEN] = {p->type};

    pgw_store_u32(header + PGW_TYPE_LEN, p->body_len + PGW_LENGTH_LEN);
    return supply_send_copy(c, pgw_span_of(header, sizeof(header)));
}

/* The next message may be gathered in this same turn, so nothing is sent from the buffer. */
static enum renamed send_gathered(struct client *c)
{
    struct prepares *p = c->prepares;
    struct pgw_span head = {p->gathered, p->n_gathered};

    if (p->type != PGW_F_PARSE) {
        uint8_t *copy = loop_scratch(c->thread->loop, head.len);

        if (copy == NULL)
            return RENAME_FAILED;
        memcpy(copy, head.ptr, head.len);
        head.ptr = copy;
    }

    enum renamed renamed = rename_message(c, p->type, p->body_len, head);

    if (renamed != RENAME_AS_IT_IS)
        return renamed;
    return send_header(c, p) && supply_send_copy(c, head) ? RENAME_REPLACED : RENAME_FAILED;
}

static void gather_end(struct client *c)
{
    struct prepares *p = c->prepares;

    p->is_gathering = false;
    gather_free(c);
}

static void drop_more(struct client *c, struct pgw_span bytes)
{
    struct prepares *p = c->prepares;

    p->n_gathered += (uint32_t)bytes.len;
    if (p->n_gathered == p->body_len)
        gather_end(c);
}

enum renamed rename_gather_more(struct client *c, struct pgw_span bytes)
{
    struct prepares *p = c->prepares;

    if (p->is_refused) {
        drop_more(c, bytes);
        return RENAME_REPLACED;
    }
    if (!gather_append(c, bytes)) {
        if (!gather_refuse(c, pgw_span_of(NULL, 0)))
            return RENAME_FAILED;
        drop_more(c, bytes);
        return RENAME_REPLACED;
    }
    if (!rename_is_enough(c, p->type, p->body_len, pgw_span_of(p->gathered, p->n_gathered)))
        return RENAME_REPLACED;

    enum renamed renamed = send_gathered(c);

    if (renamed == RENAME_WAIT)
        p->n_gathered -= (uint32_t)bytes.len; /* they come again */
    else
        gather_end(c);
    return renamed;
}

void rename_gather_drop(struct client *c)
{
    gather_end(c);
    c->from_client = (struct pgw_walker){0};
}

/* ---- answers ---- */

/* Of what an error removed, the first is what failed; the rest was skipped. */
static void undo_removed(struct client *c, const struct pgw_reply_verdict *verdict)
{
    const struct pgw_reply_queue *q = &c->server->replies;
    uint32_t n = 0;

    for (uint32_t i = 0; i < verdict->n_removed; i++) {
        uint32_t cookie = pgw_reply_removed(q, verdict, i)->cookie;

        if (!effect_has(cookie))
            continue;
        effect_of(c, cookie)->failed = i == 0;
        n++;
    }
    effect_undo_first(c, n);
}

void rename_make_up(struct client *c, const struct pgw_reply_entry *entry, struct pgw_writer *w)
{
    effect_confirm_first(c);
    pgw_build_bare(w, entry->kind == PGW_REPLY_PARSE ? PGW_B_PARSE_COMPLETE : PGW_B_CLOSE_COMPLETE);
}

static bool tag_is(struct pgw_span tag, const char *text)
{
    size_t len = strlen(text) + 1; /* with the NUL that ends a tag */

    return tag.len >= len && memcmp(tag.ptr, text, len) == 0;
}

bool rename_is_small_set(struct client *c, uint32_t cookie)
{
    return cookie == SMALL_SET_COOKIE || (effect_has(cookie) && effect_of(c, cookie)->is_small_set);
}

/* Does this command alter what texts mean? Of DO and CALL nobody knows. */
static bool alters_tables(struct pgw_span tag)
{
    static const char *const commands[] = {"CREATE ", "ALTER ", "DROP "};

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (tag.len > strlen(commands[i]) && memcmp(tag.ptr, commands[i], strlen(commands[i])) == 0)
            return true;
    return tag_is(tag, "DO") || tag_is(tag, "CALL");
}

/* When a transaction that alters tables ends, they are altered for all. */
static void ready(struct client *c)
{
    struct server *s = c->server;

    if (!s->alters_tables || s->replies.status != PGW_TX_IDLE)
        return;
    s->alters_tables = false;
    statements_end_epoch(c->all->config.statements);
}

void rename_answered(struct client *c, uint8_t letter, const struct pgw_reply_verdict *verdict)
{
    if (letter == PGW_B_READY_FOR_QUERY)
        ready(c);
    if (c->prepares == NULL)
        return;
    if (letter == PGW_B_ERROR_RESPONSE && verdict->n_removed > 0)
        undo_removed(c, verdict);
    else if (letter == PGW_B_ERROR_RESPONSE && effect_has(verdict->cookie))
        effect_of(c, verdict->cookie)->failed = true;
    else if (verdict->is_done && effect_has(verdict->cookie))
        effect_confirm_first(c);
}

static void forget_all(struct client *c)
{
    effect_forget_prepared(c);
    sql_prepared_forget(c);
}

void rename_completed(struct client *c, struct pgw_span tag)
{
    if (tag_is(tag, "DISCARD ALL") || tag_is(tag, "DEALLOCATE ALL"))
        forget_all(c);
    else if (alters_tables(tag))
        c->server->alters_tables = true;
}

static int hexadecimal(uint8_t ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static bool is_of_name(uint8_t ch)
{
    return ch == '_' || (ch >= '0' && ch <= '9') || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z');
}

/* The first of our names in a text: *ours is where it stands, *id what it says. The quotes around
 * a name are translated. */
static bool find_ours(struct pgw_span text, struct pgw_span *ours, uint64_t *id)
{
    const size_t len = strlen(STATEMENT_NAME_PREFIX);
    const uint8_t *found = memmem(text.ptr, text.len, STATEMENT_NAME_PREFIX, len);

    if (found == NULL || (found > text.ptr && is_of_name(found[-1])))
        return false;
    *id = 0;
    *ours = pgw_span_of(found, len);
    while (ours->ptr + ours->len < text.ptr + text.len) {
        int digit = hexadecimal(ours->ptr[ours->len]);

        if (digit < 0)
            break;
        *id = *id << 4 | (uint64_t)digit;
        ours->len++;
    }
    return ours->len > len;
}

static struct pgw_span field_of(struct pgw_span fields, uint8_t code)
{
    struct pgw_field field;

    while (pgw_field_next(&fields, &field)) {
        if (field.code == code)
            return field.value;
    }
    return pgw_span_of(NULL, 0);
}

/* A table that a statement names has changed since it was prepared (plancache.c of PostgreSQL). The
 * client gets this as it would get it without weir; but when it prepares anew, it must not be given
 * what is stale. */
static bool is_stale(const struct pgw_report_fields *report)
{
    return pgw_span_is(report->sqlstate, PGW_STATE_FEATURE_NOT_SUPPORTED) &&
           pgw_span_is(field_of(report->all, PGW_FIELD_ROUTINE), "RevalidateCachedQuery");
}

/* Is this what PostgreSQL says of a statement with its name in it? Of others' texts we know
 * nothing.
 */
static bool names_statement(const struct pgw_report_fields *report, uint8_t kind)
{
    return (kind == PGW_REPLY_PARSE || kind == PGW_REPLY_BIND ||
            kind == PGW_REPLY_DESCRIBE_STATEMENT) &&
           (pgw_span_is(report->sqlstate, PGW_STATE_INVALID_SQL_STATEMENT_NAME) ||
            pgw_span_is(report->sqlstate, PGW_STATE_DUPLICATE_PREPARED_STATEMENT) ||
            pgw_span_is(report->sqlstate, PGW_STATE_PROTOCOL_VIOLATION));
}

/* Somebody has prepared or deallocated by SQL what has a name of ours. */
static bool is_betrayed(const struct pgw_report_fields *report, const struct effect *e)
{
    return !pgw_span_is(report->sqlstate, PGW_STATE_PROTOCOL_VIOLATION) &&
           (e == NULL || e->kind != EFFECT_DUPLICATE);
}

static void write_field(struct pgw_writer *w, uint8_t code, struct pgw_span before,
                        struct pgw_span name, struct pgw_span after)
{
    pgw_writer_u8(w, code);
    pgw_writer_bytes(w, before);
    pgw_writer_bytes(w, name);
    pgw_writer_bytes(w, after);
    pgw_writer_u8(w, '\0');
}

/* The fields of an error, its message with another name in it. */
static void write_error(struct pgw_writer *w, struct pgw_span fields, struct pgw_span message,
                        struct pgw_span ours, const struct name *name)
{
    size_t before = (size_t)(ours.ptr - message.ptr);
    struct pgw_field field;

    pgw_writer_begin(w, PGW_B_ERROR_RESPONSE);
    while (pgw_field_next(&fields, &field)) {
        if (field.value.ptr == message.ptr)
            write_field(w, field.code, pgw_span_of(message.ptr, before),
                        pgw_span_of(name->text, name->len),
                        pgw_span_skip(message, before + ours.len));
        else
            write_field(w, field.code, field.value, pgw_span_of(NULL, 0), pgw_span_of(NULL, 0));
    }
    pgw_writer_u8(w, '\0');
    pgw_writer_end(w);
}

/* The error with which a Parse fails for which there is no room. */
static bool write_refusal(struct client *c, struct pgw_span *out)
{
    static const struct pgw_report report = {
        .severity = "ERROR",
        .sqlstate = PGW_STATE_OUT_OF_MEMORY,
        .message = "out of memory",
        .detail = "There is no room for the prepared statement (prepared_statements_memory).",
    };
    const size_t size = 256;
    struct pgw_writer w = pgw_writer_of(loop_scratch(c->thread->loop, size), size);

    if (w.buf == NULL)
        return false;
    pgw_build_error(&w, &report);
    *out = pgw_writer_span(&w);
    return true;
}

/* What the client calls, or called when it sent what failed, the statement with this id. */
static const struct name *said_name(const struct client *c, const struct effect *e, uint64_t id)
{
    if (e != NULL && e->kind == EFFECT_DUPLICATE)
        return e->name;

    const struct name *name = names_find_id(&c->prepares->names, id);

    return name != NULL ? name : effect_find_closed(c, id);
}

bool rename_error(struct client *c, struct pgw_span body, const struct pgw_reply_verdict *verdict,
                  struct pgw_span *out)
{
    struct pgw_report_fields report;
    struct pgw_span ours;
    uint64_t id;

    if (c->prepares == NULL || pgw_read_report(body, &report) != PGW_READY)
        return false;
    if (is_stale(&report))
        c->server->is_distrusted = true;

    const struct effect *e = effect_has(verdict->cookie) ? effect_of(c, verdict->cookie) : NULL;

    if (e != NULL && e->kind == EFFECT_REFUSED &&
        pgw_span_is(report.sqlstate, PGW_STATE_INVALID_SQL_STATEMENT_NAME))
        return write_refusal(c, out);
    if (!names_statement(&report, verdict->kind) || !find_ours(report.message, &ours, &id))
        return false;

    const struct name *name = said_name(c, e, id);

    if (is_betrayed(&report, e))
        c->server->is_distrusted = true;
    if (name == NULL)
        return false;

    size_t size = PGW_HEADER_LEN + body.len + sizeof(name->text);
    uint8_t *copy = loop_scratch(c->thread->loop, size);

    if (copy == NULL)
        return false;

    struct pgw_writer w = pgw_writer_of(copy, size);

    write_error(&w, report.all, report.message, ours, name);
    if (w.full)
        return false;
    *out = pgw_writer_span(&w);
    return true;
}

/* ---- the end ---- */

void rename_part(struct client *c)
{
    if (c->prepares == NULL)
        return;
    effect_drop_all(c);
    gather_end(c);
}

void rename_free(struct client *c)
{
    struct prepares *p = c->prepares;

    if (p == NULL)
        return;
    ASSERT(p->head == p->tail && p->gathered == NULL);
    statement_put(c->all->config.statements, c->thread, p->unnamed);
    names_fini(&p->names, c->all->config.statements, c->thread);
    free(p->effects);
    free(p);
    c->prepares = NULL;
}
