/* What messages under way will have done to prepared statements; see effect.h. */
#include "effect.h"

#include <stdlib.h>

#include "sessions.h"
#include "weir/pool/prepared.h"

#define SIZE_MIN 16
#define NUMBER_MASK UINT32_C(0x7fffffff)

/* Numbers run on without end; a ring's size divides their range. */
static struct effect *at(const struct prepares *p, uint32_t number)
{
    return &p->effects[number & (p->size - 1)];
}

static bool grow(struct prepares *p)
{
    uint32_t size = p->size == 0 ? SIZE_MIN : 2 * p->size;
    struct effect *effects = calloc(size, sizeof(*effects));

    if (effects == NULL)
        return false;
    for (uint32_t i = p->head; i != p->tail; i++)
        effects[i & (size - 1)] = *at(p, i);
    free(p->effects);
    p->effects = effects;
    p->size = size;
    return true;
}

static void put(struct client *c, struct statement *s)
{
    statement_put(c->all->config.statements, c->thread, s);
}

static void free_name(struct client *c, struct name *name)
{
    name_free(name, c->all->config.statements, c->thread);
}

static void remove_name(struct client *c, struct name *name)
{
    names_detach(&c->prepares->names, name);
    free_name(c, name);
}

static bool holds_name(const struct effect *e)
{
    return e->name != NULL && (e->kind == EFFECT_CLOSE || e->kind == EFFECT_UNNAMED) &&
           !e->of_query;
}

/* Frees what it holds. */
static void drop(struct client *c, struct effect *e)
{
    if (holds_name(e))
        free_name(c, e->name);
    put(c, e->statement);
}

uint64_t effect_make_id(struct client *c)
{
    const uint64_t beyond_all_of_the_store = UINT64_C(1) << 63;

    return beyond_all_of_the_store | (uint64_t)c->thread->number << 48 | ++c->shard->n_local_ids;
}

bool effect_add(struct client *c, const struct effect *e, uint32_t *cookie)
{
    struct prepares *p = c->prepares;

    if (p->tail - p->head == p->size && !grow(p)) {
        struct effect lost = *e;

        drop(c, &lost);
        return false;
    }
    *at(p, p->tail) = *e;
    at(p, p->tail)->batch = p->batch;
    *cookie = (p->tail & NUMBER_MASK) + 1;
    p->tail++;
    return true;
}

bool effect_has(uint32_t cookie)
{
    return cookie != 0 && cookie <= NUMBER_MASK + 1;
}

struct effect *effect_of(struct client *c, uint32_t cookie)
{
    ASSERT(effect_has(cookie) && c->prepares != NULL && c->prepares->size > 0);
    return at(c->prepares, cookie - 1);
}

static bool changes_server(const struct effect *e)
{
    return e->kind == EFFECT_PARSE || e->kind == EFFECT_INJECTED || e->kind == EFFECT_EVICTED;
}

static bool changes_unnamed(const struct effect *e)
{
    return e->kind == EFFECT_UNNAMED || e->kind == EFFECT_INJECTED_UNNAMED;
}

const struct name *effect_find_closed(const struct client *c, uint64_t id)
{
    const struct prepares *p = c->prepares;

    for (uint32_t i = p->head; i != p->tail; i++) {
        const struct effect *e = at(p, i);

        if (holds_name(e) && name_means(e->name, id))
            return e->name;
    }
    return NULL;
}

bool effect_is_open(const struct client *c, struct span name, uint64_t id)
{
    const struct prepares *p = c->prepares;

    for (uint32_t i = p->head; i != p->tail; i++) {
        const struct effect *e = at(p, i);
        bool concerns = e->all || (e->name != NULL && name_is(e->name, name)) ||
                        (changes_server(e) && e->id == id && id != 0);

        if (concerns && (e->of_query || e->batch != p->batch))
            return true;
    }
    return false;
}

bool effect_is_unnamed_open(const struct client *c)
{
    const struct prepares *p = c->prepares;

    for (uint32_t i = p->tail; i != p->head; i--) {
        if (changes_unnamed(at(p, i - 1)))
            return at(p, i - 1)->batch != p->batch; /* the last one decides */
    }
    return false;
}

/* What the server has is not what it should have: it goes when it is given back. */
static void distrust(struct server *s)
{
    s->is_distrusted = true;
}

static void confirm(struct client *c, struct effect *e)
{
    struct server *s = c->server;

    switch ((enum effect_kind)e->kind) {
    case EFFECT_PARSE:
        e->name->is_pending = false;
        break;
    case EFFECT_INJECTED:
    case EFFECT_INJECTED_UNNAMED:
    case EFFECT_EVICTED:
        break;
    case EFFECT_UNNAMED:
        if (e->of_query && e->name != NULL && !e->failed)
            remove_name(c, e->name);
        drop(c, e);
        break;
    case EFFECT_CLOSE:
        drop(c, e);
        break;
    case EFFECT_DUPLICATE:
    case EFFECT_REFUSED:
        distrust(s); /* it has not refused what it must have refused */
        break;
    }
}

/* Where it is said which unnamed statement there is in front of an effect. */
struct unnamed {
    struct statement **statement;
    uint64_t *client_id, *server_id;
};

/* As the first effect from here on that changes it remembers it; else as it is. */
static struct unnamed unnamed_before(struct client *c, uint32_t number)
{
    struct prepares *p = c->prepares;
    struct unnamed u = {&p->unnamed, &p->unnamed_id, &c->server->unnamed};

    for (uint32_t i = p->tail; i != number; i--) {
        struct effect *e = at(p, i - 1);

        if (changes_unnamed(e))
            u.server_id = &e->id;
        if (e->kind == EFFECT_UNNAMED) {
            u.client_id = &e->client_unnamed;
            u.statement = &e->statement;
        }
    }
    return u;
}

/* A Parse that fails leaves none, as PostgreSQL drops the old one before it looks at the new one;
 * but if what failed was something before the Parse, it is still there. */
static void undo_unnamed(struct client *c, struct effect *e, uint32_t behind)
{
    struct unnamed u = unnamed_before(c, behind);

    put(c, *u.statement);
    *u.statement = e->failed ? NULL : e->statement;
    *u.client_id = e->failed ? 0 : e->client_unnamed;
    *u.server_id = e->failed ? effect_make_id(c) : e->id;
    if (e->failed)
        put(c, e->statement);
    if (holds_name(e))
        names_attach(&c->prepares->names, e->name);
}

/* behind: the first effect that stays. */
static void undo(struct client *c, struct effect *e, uint32_t behind)
{
    struct server *s = c->server;

    switch ((enum effect_kind)e->kind) {
    case EFFECT_PARSE:
        if (e->id != 0)
            prepared_remove(s->prepared, e->id);
        remove_name(c, e->name);
        break;
    case EFFECT_UNNAMED:
        undo_unnamed(c, e, behind);
        break;
    case EFFECT_CLOSE:
        if (e->name != NULL)
            names_attach(&c->prepares->names, e->name);
        break;
    case EFFECT_INJECTED:
        prepared_remove(s->prepared, e->id);
        break;
    case EFFECT_INJECTED_UNNAMED:
        *unnamed_before(c, behind).server_id = e->failed ? effect_make_id(c) : e->id;
        break;
    case EFFECT_EVICTED:
        if (e->id != 0 && !prepared_add(s->prepared, e->id))
            distrust(s);
        break;
    case EFFECT_DUPLICATE:
    case EFFECT_REFUSED:
        break;
    }
}

void effect_confirm_first(struct client *c)
{
    struct prepares *p = c->prepares;

    ASSERT(p->head != p->tail);
    confirm(c, at(p, p->head));
    p->head++;
}

/* The last one first: so each finds what it had found. */
void effect_undo_first(struct client *c, uint32_t n)
{
    struct prepares *p = c->prepares;

    ASSERT(n <= p->tail - p->head);
    for (uint32_t i = n; i > 0; i--)
        undo(c, at(p, p->head + i - 1), p->head + n);
    p->head += n;
}

/* What it would take or give back does not exist any more, unless it was made behind what forgets.
 */
static void forget_name(struct client *c, struct effect *e)
{
    if (e->name == NULL || e->name->is_pending)
        return;
    if (holds_name(e))
        free_name(c, e->name);
    e->name = NULL;
}

void effect_forget_prepared(struct client *c)
{
    struct prepares *p = c->prepares;
    struct server *s = c->server;

    if (s->prepared != NULL)
        prepared_clear(s->prepared);
    if (p == NULL)
        return;
    for (uint32_t i = p->head; i != p->tail; i++) {
        struct effect *e = at(p, i);
        bool parses = (e->kind == EFFECT_PARSE && e->id != 0) || e->kind == EFFECT_INJECTED;

        if (parses && !prepared_use(s->prepared, e->id) && !prepared_add(s->prepared, e->id))
            distrust(s);
        if (e->kind == EFFECT_EVICTED)
            e->id = 0;
        forget_name(c, e);
    }
    names_clear_settled(&p->names, c->all->config.statements, c->thread);
}

void effect_drop_all(struct client *c)
{
    struct prepares *p = c->prepares;

    for (; p->head != p->tail; p->head++)
        drop(c, at(p, p->head));
}
