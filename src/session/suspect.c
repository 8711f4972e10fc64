/* What a client's messages may leave behind; see suspect.h. */
#include "suspect.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "link.h"
#include "pgwire/endian.h"
#include "weir/auth/wire.h"
#include "weir/pool/greetings.h"
#include "weir/pool/settable.h"
#include "weir/pool/statements.h"

#define KINDS STATE_ALL

/* A text that comes in pieces is kept, from the first word on that goes with a name, until it is
 * whole; unless that is longer. Then its names are not known, and what they set is lost. */
#define CUT_MAX (UINT32_C(16) << 10)

/* What is remembered of a PREPARE until its EXECUTE. */
#define REMEMBERED (KINDS | TRACE_SETS | TRACE_NAMES | TRACE_SEQUENCES)

#define PRIVATE (UINT64_C(1) << 63)

uint64_t suspect_share(uint64_t hash)
{
    return hash & ~PRIVATE;
}

void suspect_fini(struct suspicion *u)
{
    pairs_fini(&u->names);
    free(u->cut);
}

/* What lastval() and currval() would say is another client's. Only in front of all that this one
 * sends to the server: what it has done there itself must stay. */
static void discard_sequences(struct client *c)
{
    if (c->suspicion.finds_sequences && !c->suspicion.has_sent)
        link_send_query(c, "DISCARD SEQUENCES");
    c->suspicion.finds_sequences = false;
}

static void read_sequences(struct client *c, unsigned traces)
{
    if (!(traces & TRACE_SEQUENCES) || c->suspicion.reads_sequences)
        return;
    c->suspicion.reads_sequences = true;
    discard_sequences(c);
}

static void note(struct client *c, unsigned traces)
{
    struct suspicion *u = &c->suspicion;

    if (traces & TRACE_EXECUTES) {
        traces |= u->of_prepared;
        u->unknown_names = u->unknown_names || u->unknown_prepared;
    }
    if (traces & TRACE_PREPARES)
        u->of_prepared |= traces & REMEMBERED;
    u->resets = u->resets || (traces & TRACE_RESETS);
    if (traces & TRACE_SETS)
        u->changes_settings = true;
    if (traces & (TRACE_SETS | STATE_BIT(STATE_TEMP))) {
        u->has_private = true;
        u->n_private++;
    }
    read_sequences(c, traces);
    c->server->suspected |= (uint16_t)(traces & KINDS);
}

/* Where temporary relations are made without a word that says so. */
static bool makes_temp(const struct client *c)
{
    struct span path;

    return pairs_get(&c->settings.wanted, span_str("search_path"), &path) &&
           (traces_of_text(span_of(path.ptr, path.len + 1)) & STATE_BIT(STATE_TEMP)); /* its NUL */
}

void suspect_linked(struct client *c, bool is_anothers)
{
    struct suspicion *u = &c->suspicion;

    u->unknown_names = u->changes_settings = u->has_private = u->listens = u->resets = false;
    u->binds_small_set = u->scans = u->has_sent = false;
    u->finds_sequences = is_anothers;
    if (u->reads_sequences)
        discard_sequences(c);
    if (makes_temp(c))
        note(c, STATE_BIT(STATE_TEMP));
}

/* Of which parameters a text speaks. */
static void note_names(struct client *c, struct span text, unsigned traces)
{
    struct suspicion *u = &c->suspicion;

    if (!(traces & TRACE_NAMES) || traces_names(text, &u->names))
        return;
    if (traces & TRACE_PREPARES)
        u->unknown_prepared = true;
    u->unknown_names = true;
}

/* Does the server tell what becomes of it, or is it gone with the transaction? */
static bool is_small_set(const struct client *c, struct span text)
{
    struct span name;

    switch (traces_of_set(text, &name)) {
    case TRACES_LOCAL:
        return true;
    case TRACES_NAME:
        return settable_has(name) && greeting_has(c->server->greeting, name);
    case TRACES_NO_SET:
        break;
    }
    return false;
}

/* ---- messages ---- */

static unsigned scan(struct client *c, struct span bytes)
{
    struct suspicion *u = &c->suspicion;
    unsigned before = u->scan.found;

    traces_scan(&u->scan, bytes);
    return u->scan.found & ~before;
}

static void drop_cut(struct suspicion *u)
{
    free(u->cut);
    u->cut = NULL;
}

static void keep_cut(struct suspicion *u, struct span bytes)
{
    if (bytes.len > 0)
        memcpy(u->cut + u->n_cut, bytes.ptr, bytes.len);
    u->n_cut += (uint32_t)bytes.len;
}

/* A word that goes with names stands in this piece, or begins in `word`, with which the last one
 * ended. Where there is no memory the names are not known. */
static void begin_cut(struct suspicion *u, struct span word, struct span piece)
{
    size_t len = word.len + piece.len + u->n_left;

    u->cut = len > CUT_MAX ? NULL : malloc(len);
    if (u->cut == NULL) {
        u->unknown_names = true;
        u->unknown_prepared = u->unknown_prepared || (u->scan.found & TRACE_PREPARES);
        return;
    }
    u->n_cut = 0;
    keep_cut(u, word);
    keep_cut(u, piece);
}

static void end_cut(struct client *c)
{
    struct suspicion *u = &c->suspicion;

    u->scans = false;
    if (u->cut == NULL)
        return;
    note_names(c, span_of(u->cut, u->n_cut), u->scan.found);
    drop_cut(u);
}

static void scan_piece(struct client *c, struct span piece)
{
    struct suspicion *u = &c->suspicion;
    struct traces before = u->scan;
    unsigned traces = scan(c, piece);

    u->n_left -= (uint32_t)piece.len;
    if (u->cut != NULL)
        keep_cut(u, piece);
    else if (traces & TRACE_NAMES)
        begin_cut(u, span_of(before.word, before.n_word), piece);
    if (u->n_left == 0)
        end_cut(c);
    if (traces != 0)
        note(c, traces);
}

static void begin_scan(struct client *c, struct span head, uint32_t body_len)
{
    struct suspicion *u = &c->suspicion;
    unsigned traces;

    drop_cut(u);
    u->scan = (struct traces){0};
    u->scans = head.len < body_len;
    if (u->scans) {
        u->n_left = body_len;
        scan_piece(c, head);
        return;
    }
    traces = scan(c, head);
    note_names(c, head, traces);
    if (traces != 0)
        note(c, traces);
}

bool suspect_query(struct client *c, struct pgw_span head, uint32_t body_len)
{
    begin_scan(c, span_in(head), body_len);
    c->suspicion.binds_small_set = false;
    return head.len == body_len && (c->suspicion.scan.found & TRACE_NAMES) &&
           is_small_set(c, span_in(head));
}

void suspect_parse(struct client *c, struct pgw_span head, uint32_t body_len)
{
    begin_scan(c, span_in(head), body_len);
}

/* What was held when it had begun, and then went another way, may leave a scan without an end. */
void suspect_more(struct client *c, struct pgw_span bytes)
{
    struct suspicion *u = &c->suspicion;

    u->scans = u->scans && bytes.len <= u->n_left;
    if (u->scans)
        scan_piece(c, span_in(bytes));
}

static struct span text_of(const struct statement *s)
{
    struct span parse = statement_parse(s);
    const uint8_t *end = memchr(parse.ptr, '\0', parse.len);

    return span_of(parse.ptr, end == NULL ? parse.len : (size_t)(end - parse.ptr) + 1);
}

void suspect_sequences(struct client *c, const struct statement *s)
{
    if (s != NULL)
        read_sequences(c, s->traces);
}

void suspect_statement(struct client *c, const struct statement *s)
{
    c->suspicion.scans = false;
    if (s == NULL || s->traces == 0)
        return;
    note_names(c, text_of(s), s->traces);
    note(c, s->traces);
}

void suspect_bound(struct client *c, const struct statement *s, struct pgw_span portal)
{
    suspect_statement(c, s);
    if (portal.len == 0)
        c->suspicion.binds_small_set =
            s != NULL && (s->traces & TRACE_NAMES) && is_small_set(c, text_of(s));
}

void suspect_call(struct client *c, struct pgw_span head)
{
    unsigned traces = traces_of_call(head.len < sizeof(uint32_t) ? 0 : pgw_load_u32(head.ptr));

    if (traces == 0)
        return;
    if (traces & TRACE_NAMES)
        c->suspicion.unknown_names = true;
    note(c, traces);
}

uint32_t suspect_executed(struct client *c, struct pgw_span head)
{
    struct suspicion *u = &c->suspicion;

    if (!u->binds_small_set || head.len == 0 || head.ptr[0] != '\0')
        return 0;
    u->binds_small_set = false; /* its next Execute is refused, or is that of another one */
    return SMALL_SET_COOKIE;
}

/* ---- answers ---- */

void suspect_completed(struct client *c, struct pgw_span tag, bool is_small_set)
{
    unsigned kinds = traces_of_tag(span_in(tag));

    if (kinds == 0 || is_small_set)
        return;
    if (kinds & STATE_BIT(STATE_LOCKS)) /* DO, CALL: nobody knows what they do */
        c->suspicion.unknown_names = true;
    if (kinds & STATE_BIT(STATE_CHANNELS))
        c->suspicion.listens = true;
    c->server->suspected |= (uint16_t)kinds;
}

bool suspect_notified(struct client *c)
{
    if (c->suspicion.listens || client_keeps_server(c))
        return true;
    c->server->suspected |= STATE_BIT(STATE_CHANNELS);
    return false;
}

/* ---- what it means for statements ---- */

uint64_t suspect_context(const struct client *c)
{
    const struct suspicion *u = &c->suspicion;

    if (c->server == NULL || !u->has_private)
        return 0;
    return PRIVATE | (c->id << 24 & (PRIVATE - 1)) | (u->n_private & 0xffffff);
}

bool suspect_is_private(uint64_t context)
{
    return (context & PRIVATE) != 0;
}
