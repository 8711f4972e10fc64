/* A client's settings follow it from server to server; see settings.h. */
#include "settings.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "difference.h"
#include "known.h"
#include "pgwire/build.h"
#include "pgwire/sqlstate.h"
#include "rename.h"
#include "sessions.h"
#include "weir/auth/wire.h"
#include "weir/pool/greetings.h"
#include "weir/pool/inspect.h"
#include "weir/pool/server_settings.h"
#include "weir/pool/settable.h"
#include "words.h"

void settings_fini(struct client_settings *k)
{
    pairs_fini(&k->startup);
    pairs_fini(&k->wanted);
    pairs_fini(&k->told);
    pairs_fini(&k->sent);
}

/* ---- the greeting ---- */

static size_t greeting_max_len(const struct client_settings *k)
{
    struct pgw_span left = greeting_all(k->greeting);
    size_t len = left.len;
    struct pgw_param param;
    struct span value;

    while (greeting_next(&left, &param))
        if (pairs_get(&k->wanted, span_in(param.name), &value))
            len += value.len;
    return len;
}

bool settings_greet(struct client *c, struct span *out)
{
    struct client_settings *k = &c->settings;
    struct pgw_span left = greeting_all(k->greeting);
    size_t size = greeting_max_len(k);
    uint8_t *buf = loop_scratch(c->thread->loop, size);
    struct pgw_writer w = pgw_writer_of(buf, buf == NULL ? 0 : size);
    struct pgw_param param;
    struct span value;

    if (k->wanted.len == 0) {
        *out = span_in(left);
        return true;
    }
    while (greeting_next(&left, &param)) {
        if (pairs_get(&k->wanted, span_in(param.name), &value)) {
            if (!pairs_put(&k->told, span_in(param.name), value))
                return false;
            param.value = span_out(value);
        }
        pgw_build_parameter_status(&w, param.name, param.value);
    }
    *out = span_in(pgw_writer_span(&w));
    return !w.full;
}

/* ---- sending the difference ---- */

static struct difference difference_of(const struct client *c, bool in_block)
{
    const struct server *s = c->server;

    return (struct difference){.wanted = &c->settings.wanted,
                               .there = &s->settings,
                               .greeting = s->greeting,
                               .doubted = s->settings_doubted,
                               .in_block = in_block};
}

/* The names of the changes, in the order of their statements, for the case that one is refused. */
static bool note_sent(struct client_settings *k, struct difference d)
{
    struct change change;

    pairs_clear(&k->sent);
    while (difference_next(&d, &change))
        if (!pairs_put(&k->sent, change.name, change.resets ? span_str("") : change.value))
            return false;
    return true;
}

/* In pieces, since one of the loop's scratch memory may not be enough. */
static bool send_long(struct server *s, struct span bytes)
{
    struct loop *loop = s->thread->loop;
    size_t max = loop_scratch_max(loop);

    while (bytes.len > 0) {
        size_t n = bytes.len < max ? bytes.len : max;
        uint8_t *piece = loop_scratch(loop, n);

        if (piece == NULL)
            return false;
        memcpy(piece, bytes.ptr, n);
        stream_send(&s->stream, span_of(piece, n));
        bytes = span_skip(bytes, n);
    }
    return true;
}

bool settings_send(struct server *s, const struct difference *d, bool guarded)
{
    struct loop *loop = s->thread->loop;
    size_t max_len = difference_max_len(d);
    bool is_long = max_len > loop_scratch_max(loop);
    uint8_t *buf = is_long ? malloc(max_len) : loop_scratch(loop, max_len);
    struct pgw_writer w = pgw_writer_of(buf, max_len);
    bool sent = true;

    if (buf == NULL)
        return false;
    s->unnamed = 0; /* a Query drops it */
    difference_build(&w, *d, guarded);
    ASSERT(!w.full);
    if (is_long) {
        sent = send_long(s, span_in(pgw_writer_span(&w)));
        free(buf);
    } else {
        stream_send(&s->stream, span_in(pgw_writer_span(&w)));
    }
    return sent && pgw_reply_sent(&s->replies, PGW_REPLY_QUERY, PGW_REPLY_SWALLOW,
                                  SETTINGS_COOKIE) == PGW_REPLY_NOTED;
}

static bool send_difference(struct client *c, const struct difference *d)
{
    struct client_settings *k = &c->settings;

    if (!note_sent(k, *d))
        return false;
    k->n_done = 0;
    k->n_before = difference_n_before(d);
    k->is_applying = true;
    return settings_send(c->server, d, true);
}

/* False: no memory. */
static bool apply(struct client *c, bool in_block)
{
    struct client_settings *k = &c->settings;
    struct server *s = c->server;
    struct difference d = difference_of(c, in_block);
    struct difference first = d;
    struct change change;

    if (!s->settings_doubted && pairs_equal(&k->wanted, &s->settings))
        return true;
    if (difference_next(&first, &change) && !send_difference(c, &d))
        return false;
    if (!server_settings_put(s, &k->wanted))
        return false;
    k->is_untold = k->is_untold || !pairs_equal(&k->wanted, &s->settings);
    return true;
}

static void apply_or_end(struct client *c, bool in_block)
{
    struct client_settings *k = &c->settings;

    k->is_applying = k->is_in_block = k->is_reset = k->was_refused = false;
    k->is_untold = k->is_untold || k->was_told_more || k->greeting != c->server->greeting;
    if (!apply(c, in_block))
        c->short_of_memory = true; /* relay_settle() ends it */
}

void settings_apply(struct client *c)
{
    c->settings.has_reset = false;
    apply_or_end(c, false);
}

/* ---- what the server says ---- */

/* What the parameter is on a server where nobody sets it. */
static bool is_default(const struct greeting *g, struct span name, struct span value)
{
    struct span at_login;

    return greeting_get(g, name, &at_login) && span_equal(at_login, value);
}

static bool set_or_remove(struct pairs *p, bool set, struct span name, struct span value)
{
    if (set)
        return pairs_put(p, name, value);
    pairs_remove(p, name);
    return true;
}

/* The client's own doing, as far as can be told: its SET, the end of a SET LOCAL, a ROLLBACK. */
static bool note_wanted(struct client *c, struct span name, struct span value)
{
    struct client_settings *k = &c->settings;
    bool by_default = is_default(c->server->greeting, name, value);
    struct span at_startup;
    bool has_own = pairs_get(&k->startup, name, &at_startup);

    k->context = 0;
    /* Both take away what it came with, which is put back: a RESET, and the end of our own SETs. */
    if ((k->is_reset || (k->is_in_block && k->is_undoing)) && by_default && has_own)
        return pairs_put(&k->wanted, name, at_startup);
    return set_or_remove(&k->wanted, !by_default || has_own, name, value);
}

static bool note_report(struct client *c, struct span name, struct span value)
{
    struct client_settings *k = &c->settings;
    struct server *s = c->server;

    if (c->phase == CLIENT_ACTIVE && !k->is_applying && settable_has(name)) {
        if (!c->suspicion.changes_settings && !k->is_reset)
            s->suspected |= STATE_BIT(STATE_SETTINGS); /* a function set it, or nobody */
        else if (!note_wanted(c, name, value))
            return false;
    }
    k->is_untold = true;
    return set_or_remove(&s->settings,
                         pairs_has(&k->wanted, name) || !is_default(s->greeting, name, value), name,
                         value);
}

enum pgw_reply_judgement settings_reported(struct client *c, struct pgw_span body,
                                           enum pgw_reply_judgement judgement)
{
    struct pgw_param param;

    if (pgw_read_parameter_status(body, &param) != PGW_READY)
        return judgement; /* only its beginning: no parameter that is tracked is so long */
    if (!greeting_has(c->server->greeting, span_in(param.name)))
        return judgement;
    return note_report(c, span_in(param.name), span_in(param.value)) ? PGW_REPLY_DROP
                                                                     : PGW_REPLY_VIOLATION;
}

/* ---- RESET and DISCARD ALL ---- */

/* Of what is not reported the server has nothing but what it had at login. */
static void forget_unreported(struct server *s)
{
    struct pair pair;
    size_t at = 0, before = 0;

    while (pairs_next(&s->settings, &at, &pair)) {
        if (greeting_has(s->greeting, pair.name)) {
            before = at;
        } else {
            pairs_remove(&s->settings, pair.name);
            at = before;
        }
    }
    s->settings_doubted = false;
}

/* Which one was reset is not said. What changed by it is reported; a value of the startup packet
 * that had been set to what the server has by itself does not change. */
static bool want_startup_again(struct client *c)
{
    struct client_settings *k = &c->settings;
    struct pair pair;
    struct span now;
    size_t at = 0;

    while (pairs_next(&k->startup, &at, &pair))
        if (pairs_get(&k->wanted, pair.name, &now) &&
            is_default(c->server->greeting, pair.name, now) &&
            !pairs_put(&k->wanted, pair.name, pair.value))
            return false;
    return true;
}

static bool is_tag(struct pgw_span tag, const char *text)
{
    size_t len = strlen(text) + 1;

    return tag.len >= len && memcmp(tag.ptr, text, len) == 0;
}

bool settings_completed(struct client *c, struct pgw_span tag, bool is_small_set)
{
    struct client_settings *k = &c->settings;
    struct server *s = c->server;
    bool resets = is_tag(tag, "RESET"), discards = is_tag(tag, "DISCARD ALL");

    k->is_undoing = k->is_undoing || is_tag(tag, "ROLLBACK");
    if (discards)
        forget_unreported(s);
    else if (resets || (is_tag(tag, "SET") && !is_small_set))
        s->settings_doubted = true;
    if (c->phase != CLIENT_ACTIVE || !(resets || discards))
        return true;
    k->is_reset = k->has_reset = k->is_untold = true;
    k->context = 0;
    return discards ? pairs_copy(&k->wanted, &k->startup) : want_startup_again(c);
}

/* ---- what a server was asked ---- */

/* Behind a RESET the startup packet counts again. That the role is none the server does not say:
 * it is, where the startup packet's is gone and nothing was reset. */
static bool want_found(struct client_settings *k, const struct pairs *found, struct pairs *out)
{
    struct span role = span_str("role");
    struct pair pair;
    size_t at = 0;

    if (!pairs_copy(out, &k->startup))
        return false;
    while (pairs_next(found, &at, &pair))
        if (settable_has(pair.name) && !pairs_put(out, pair.name, pair.value))
            return false;
    return !pairs_has(out, role) || pairs_has(found, role) || k->has_reset ||
           pairs_put(out, role, span_str("none"));
}

bool settings_learn(struct client *c, const struct inspect_found *found)
{
    struct client_settings *k = &c->settings;
    struct pairs wanted = {0};

    if (!(found->answered & STATE_BIT(STATE_SETTINGS)))
        return true;
    if (!want_found(k, &found->settings, &wanted)) {
        pairs_fini(&wanted);
        return false;
    }
    pairs_fini(&k->wanted);
    k->wanted = wanted;
    k->context = 0;
    k->is_untold = true;
    return true;
}

/* ---- telling ---- */

/* What the client is to believe. */
static struct span truth(const struct client *c, struct span name, struct span at_login)
{
    struct span value;

    if (pairs_get(&c->settings.wanted, name, &value) ||
        pairs_get(&c->server->settings, name, &value))
        return value;
    return at_login;
}

static struct span told(const struct client_settings *k, struct span name)
{
    struct span value = {NULL, 0};

    if (!pairs_get(&k->told, name, &value))
        (void)greeting_get(k->greeting, name, &value);
    return value;
}

static bool tell(struct client *c, struct span name, struct span value)
{
    size_t size = PGW_HEADER_LEN + name.len + 1 + value.len + 1;
    uint8_t *buf = loop_scratch(c->thread->loop, size);
    struct pgw_writer w = pgw_writer_of(buf, size);

    if (buf == NULL)
        return false;
    pgw_build_parameter_status(&w, span_out(name), span_out(value));
    if (!c->refused_block)
        stream_send(&c->stream, span_in(pgw_writer_span(&w)));
    return true;
}

/* Tells one, and notes it in what counts from the server's greeting. */
static bool tell_if_new(struct client *c, const struct pgw_param *at_login, struct pairs *now_told)
{
    struct span name = span_in(at_login->name), by_login = span_in(at_login->value);
    struct span value = truth(c, name, by_login);

    if (!span_equal(value, told(&c->settings, name)) && !tell(c, name, value))
        return false;
    if (span_equal(value, by_login))
        return true;
    if (!pairs_has(&c->settings.wanted, name))
        c->settings.was_told_more = true;
    return pairs_put(now_told, name, value);
}

void settings_tell(struct client *c)
{
    struct client_settings *k = &c->settings;
    const struct greeting *greeting = c->server->greeting;
    struct pgw_span left = greeting_all(greeting);
    struct pairs now_told = {0};
    struct pgw_param param;

    k->is_untold = k->was_told_more = false;
    while (greeting_next(&left, &param)) {
        if (!tell_if_new(c, &param, &now_told)) {
            c->short_of_memory = true; /* relay_settle() ends it */
            break;
        }
    }
    pairs_fini(&k->told);
    k->told = now_told;
    if (k->greeting != greeting)
        k->context = 0;
    k->greeting = greeting;
}

/* Nothing may be on its way that would come in front. Otherwise, it is set at the next link, which
 * there is not in session mode. */
static bool may_apply_at_once(const struct client *c)
{
    const struct pgw_reply_queue *q = &c->server->replies;

    return (q->status == PGW_TX_OPEN || (q->status == PGW_TX_IDLE && client_keeps_server(c))) &&
           !pgw_reply_is_owed(q) && !pgw_reply_is_unsynced(q) &&
           pgw_walker_handed_whole(&c->from_client);
}

void settings_ready(struct client *c)
{
    struct client_settings *k = &c->settings;
    bool was_reset = k->is_reset;

    k->is_reset = k->is_undoing = false;
    k->is_in_block = k->is_in_block && c->server->replies.status != PGW_TX_IDLE;
    if (k->is_untold)
        settings_tell(c);
    if (!was_reset || !may_apply_at_once(c))
        return;
    apply_or_end(c, true);
    k->is_in_block = k->is_applying && c->server->replies.status == PGW_TX_OPEN;
}

/* ---- the answer to our Query ---- */

void settings_answered(struct client *c, uint8_t letter)
{
    struct client_settings *k = &c->settings;

    if (letter == PGW_B_COMMAND_COMPLETE)
        k->n_done++;
    if (letter != PGW_B_READY_FOR_QUERY)
        return;
    k->is_applying = false;
    if (!k->is_in_block && server_settings_are_new(c->server, &k->wanted))
        c->server->is_distrusted = true; /* the next login tells the new default to all */
}

/* The value whose statement failed is wanted no more. Class 57 is somebody's intervention: a cancel
 * request, a shutdown. */
static void drop_refused(struct client *c, const struct words *words)
{
    struct client_settings *k = &c->settings;
    struct pair pair;

    if (memcmp(words->sqlstate, "57", 2) == 0)
        return;
    if (k->n_done < k->n_before || !difference_nth(&k->sent, k->n_done - k->n_before, &pair))
        return;
    known_forget(c->all->known, c->pool, pair.name, pair.value);
    pairs_remove(&k->startup, pair.name);
    pairs_remove(&k->wanted, pair.name);
    k->context = 0;
}

/* Each message that went to the server behind our Query fails, as it would if the session had been
 * as it should be: those of a batch once, and what follows is skipped up to its Sync. */
static void fail_what_was_sent(struct client *c, const struct pgw_reply_verdict *verdict,
                               struct span error)
{
    static const uint8_t ready[] = {PGW_B_READY_FOR_QUERY, 0, 0, 0, 5, PGW_TX_IDLE};
    bool skips = false;

    for (uint32_t i = 0; i < verdict->n_removed; i++) {
        const struct pgw_reply_entry *e = pgw_reply_removed(&c->server->replies, verdict, i);
        bool is_sync = e->kind == PGW_REPLY_SYNC;
        bool is_whole = e->kind == PGW_REPLY_QUERY || e->kind == PGW_REPLY_FUNCTION_CALL;

        if (e->way == PGW_REPLY_SWALLOW || e->kind == PGW_REPLY_COPY_END || (skips && !is_sync))
            continue;
        for (uint32_t n = 0; n < e->n; n++) {
            if (!is_sync && !skips)
                stream_send(&c->stream, error);
            skips = !is_sync && !is_whole;
            if (!skips)
                stream_send(&c->stream, span_of(ready, sizeof(ready)));
        }
    }
    if (rename_is_gathering(c) && !skips) { /* nothing of it has been sent */
        stream_send(&c->stream, error);
        skips = true;
    }
    c->skipping = skips;
}

void settings_refused(struct client *c, struct pgw_span body,
                      const struct pgw_reply_verdict *verdict)
{
    struct words words;
    struct pgw_report report = {.severity = "ERROR"};
    size_t size = sizeof(words) + 64;
    uint8_t *buf = loop_scratch(c->thread->loop, size);
    struct pgw_writer w = pgw_writer_of(buf, size);

    c->settings.was_refused = true;
    words_read(body, &words);
    log_warning(&c->log, "server refused a setting", "server=%s sqlstate=%s message=%s",
                c->server->log.ids, words.sqlstate, words.message);
    drop_refused(c, &words);
    if (buf == NULL) {
        c->short_of_memory = true;
        return;
    }
    report.sqlstate = words.sqlstate;
    report.message = words.message;
    pgw_build_error(&w, &report);
    fail_what_was_sent(c, verdict, span_in(pgw_writer_span(&w)));
}
