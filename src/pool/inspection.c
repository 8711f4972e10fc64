/* What is known of a server that is inspected; see inspection.h. */
#include "inspection.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "weir/base/log.h"
#include "weir/pool/server_settings.h"

#include "internal.h"
#include "pools.h"
#include "state.h"

#define MOVING (STATE_BIT(STATE_SETTINGS) | STATE_BIT(STATE_STATEMENTS))

/* False: no memory. */
static bool add_name(struct inspection *i, struct span name)
{
    if (!leftovers_can_ask(name))
        i->unknown_names = true;
    else
        return pairs_put(&i->names, name, span_str(""));
    return true;
}

/* Parameters that pg_settings may not list: those named in the order and those that the server is
 * said to have. */
static bool add_names(struct inspection *i, const struct pairs *names)
{
    const struct pairs *there = &i->server->settings;
    struct pair pair;
    size_t at = 0;
    bool ok = true;

    while (ok && names != NULL && pairs_next(names, &at, &pair))
        ok = add_name(i, pair.name);
    for (at = 0; ok && pairs_next(there, &at, &pair);)
        if (memchr(pair.name.ptr, '.', pair.name.len) != NULL)
            ok = add_name(i, pair.name);
    return ok;
}

struct inspection *inspection_new(struct server *s, struct thread *self,
                                  const struct inspect_order *o, size_t *len)
{
    struct inspection *i = calloc(1, sizeof(*i));

    if (i == NULL)
        return NULL;
    i->server = s;
    i->self = self;
    i->kinds = o->kinds;
    i->always = o->always;
    i->unknown_names = o->unknown_names;
    leftovers_init(&i->left);
    if ((o->kinds & LEFTOVERS_ASKED) == 0)
        i->cleaning = o->kinds;
    if (add_names(i, o->names) && inspection_build(i, len))
        return i;
    inspection_free(i);
    return NULL;
}

void inspection_free(struct inspection *i)
{
    leftovers_fini(&i->left);
    pairs_fini(&i->names);
    free(i->text);
    intake_fini(&i->in);
    free(i);
}

bool inspection_is_alone(const struct inspection *i)
{
    return i->done == NULL || i->is_audit;
}

/* ---- Queries ---- */

static const struct pairs none;

unsigned inspection_due(const struct inspection *i)
{
    const struct leftovers *l = &i->left;
    unsigned unseen = i->kinds & LEFTOVERS_ASKED & ~l->found.answered;
    unsigned due = unseen | l->found.found;

    due |= i->always ? i->kinds : i->kinds & STATE_BIT(STATE_SEQUENCES);
    due &= ~(i->cleaned | MOVING);
    if (!l->found.was_reset && (i->kinds & STATE_BIT(STATE_SETTINGS)) != 0 &&
        ((unseen & STATE_BIT(STATE_SETTINGS)) != 0 || i->always || i->unknown_names ||
         l->must_reset || (inspection_is_alone(i) && l->found.settings.len > 0)))
        due |= STATE_BIT(STATE_SETTINGS);
    if (l->dropped.len > 0 || (inspection_is_alone(i) && l->found.statements.len > 0))
        due |= STATE_BIT(STATE_STATEMENTS);
    return due;
}

bool inspection_build(struct inspection *i, size_t *len)
{
    const struct pairs *moving = i->cleans_moving ? &i->left.found.statements : &none;
    size_t size = i->cleaning == 0 ? leftovers_question_max(i->kinds, &i->names)
                                   : leftovers_cleaning_max(&i->left.dropped, moving);
    struct pgw_writer w;

    free(i->text);
    i->text = malloc(size);
    if (i->text == NULL)
        return false;
    w = pgw_writer_of(i->text, size);
    if (i->cleaning == 0)
        leftovers_ask(&w, i->kinds, &i->names);
    else
        leftovers_clean(&w, i->cleaning, &i->left.dropped, moving);
    ASSERT(!w.full);
    *len = w.len;
    return true;
}

/* ---- what is known by now ---- */

void inspection_note_cleaned(struct inspection *i)
{
    i->cleaned |= i->cleaning;
    if ((i->cleaning & STATE_BIT(STATE_SETTINGS)) != 0)
        i->left.found.was_reset = true;
    pairs_clear(&i->left.dropped);
    if (i->cleans_moving) {
        pairs_clear(&i->left.found.statements);
        if (!i->is_audit)
            pairs_clear(&i->server->sql_prepared);
    }
}

static void forget(struct inspect_found *f, enum state_kind kind, struct pairs *found,
                   const struct pairs *known)
{
    struct pair pair;
    size_t at = 0;

    while (pairs_next(known, &at, &pair)) {
        if (pairs_has(found, pair.name)) {
            pairs_remove(found, pair.name);
            f->n[kind]--;
        }
    }
    if (f->n[kind] == 0)
        f->found &= ~STATE_BIT(kind);
}

/* What somebody accounts for is no find of an audit. */
static void forget_known(struct inspection *i)
{
    struct inspect_found *f = &i->left.found;

    forget(f, STATE_SETTINGS, &f->settings, &i->server->settings);
    forget(f, STATE_STATEMENTS, &f->statements, &i->server->sql_prepared);
}

/* What the server has, as it says itself. False: no memory. */
static bool note_there(struct inspection *i)
{
    struct server *s = i->server;
    const struct inspect_found *f = &i->left.found;

    if ((f->answered & STATE_BIT(STATE_SETTINGS)) != 0) {
        if (server_settings_are_new(s, &f->settings))
            s->is_distrusted = true; /* the next login tells the new default to all */
        if (!server_settings_put(s, &f->settings))
            return false;
    }
    return (f->answered & STATE_BIT(STATE_STATEMENTS)) == 0 ||
           pairs_copy(&s->sql_prepared, &f->statements);
}

const char *inspection_note_answers(struct inspection *i)
{
    i->left.found.answered = i->kinds & LEFTOVERS_ASKED;
    if (i->is_audit)
        forget_known(i);
    else if (!note_there(i))
        return "no memory";
    return NULL;
}

const char *inspection_note_refusal(struct inspection *i)
{
    i->was_refused = false;
    leftovers_fini(&i->left);
    leftovers_init(&i->left);
    return (i->kinds & STATE_BIT(STATE_STATEMENTS)) == 0
               ? NULL
               : "it did not say which statements SQL has prepared";
}

/* ---- what came of it ---- */

/* Bits: what goes on with the client. */
static unsigned moved(const struct inspection *i)
{
    const struct inspect_found *f = &i->left.found;
    unsigned kinds = 0;

    if (f->settings.len > 0)
        kinds |= STATE_BIT(STATE_SETTINGS);
    if (f->statements.len > 0)
        kinds |= STATE_BIT(STATE_STATEMENTS);
    return inspection_is_alone(i) ? 0 : kinds;
}

/* What was there, or may have been, and has been cleaned; but not what is set again elsewhere. */
static unsigned lost(const struct inspection *i)
{
    const struct inspect_found *f = &i->left.found;
    unsigned kinds = i->cleaned & (f->found | ~f->answered);

    if ((moved(i) & STATE_BIT(STATE_SETTINGS)) != 0 && !i->left.must_reset)
        kinds &= ~STATE_BIT(STATE_SETTINGS);
    return kinds;
}

void inspection_report(const struct inspection *i)
{
    const struct server *s = i->server;
    struct state_counters *counters = &s->pool->pools->state[i->self->number];
    char what[STATE_TEXT_MAX];

    state_count(counters->moved, moved(i));
    state_count(counters->cleaned, lost(i));
    if ((lost(i) & LEFTOVERS_ASKED) == 0)
        return; /* what sequences say is cleaned unseen, and seldom news */
    state_describe(&i->left.found, lost(i), what);
    log_info(&s->log, "server cleaned", "client=c%" PRIu64 " what=%s",
             atomic_load_explicit(&s->client_id, memory_order_relaxed), what); /* for people */
}
