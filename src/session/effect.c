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

bool effect_add(struct client *c, const struct effect *e, uint32_t *cookie)
{
    struct prepares *p = c->prepares;

    if (p->tail - p->head == p->size && !grow(p))
        return false;
    *at(p, p->tail) = *e;
    *cookie = (p->tail & NUMBER_MASK) + 1;
    p->tail++;
    return true;
}

struct effect *effect_of(struct client *c, uint32_t cookie)
{
    ASSERT(cookie != 0 && c->prepares != NULL && c->prepares->size > 0);
    return at(c->prepares, cookie - 1);
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
    case EFFECT_INJECTED:
    case EFFECT_INJECTED_UNNAMED:
    case EFFECT_EVICTED:
        break;
    case EFFECT_PARSE_UNNAMED:
        put(c, e->statement);
        break;
    case EFFECT_CLOSE:
        if (e->name != NULL)
            free_name(c, e->name);
        break;
    case EFFECT_DUPLICATE:
        distrust(s); /* it has a statement under a name that means another one */
        break;
    case EFFECT_DEALLOCATE:
        if (e->failed || e->name == NULL)
            break;
        if (e->id != 0)
            prepared_remove(s->prepared, e->id);
        remove_name(c, e->name);
        break;
    }
}

static void undo(struct client *c, struct effect *e)
{
    struct prepares *p = c->prepares;
    struct server *s = c->server;

    switch ((enum effect_kind)e->kind) {
    case EFFECT_PARSE:
        if (e->id != 0)
            prepared_remove(s->prepared, e->id);
        remove_name(c, e->name);
        break;
    case EFFECT_PARSE_UNNAMED: /* PostgreSQL drops the old one before it looks at the new one */
        put(c, p->unnamed);
        p->unnamed = e->failed ? NULL : e->statement;
        p->unnamed_id = e->failed ? 0 : e->client_unnamed;
        s->unnamed = e->failed ? 0 : e->id;
        if (e->failed)
            put(c, e->statement);
        break;
    case EFFECT_CLOSE:
        if (e->name != NULL)
            names_attach(&p->names, e->name);
        break;
    case EFFECT_INJECTED:
        prepared_remove(s->prepared, e->id);
        break;
    case EFFECT_INJECTED_UNNAMED:
        s->unnamed = e->failed ? 0 : e->id;
        break;
    case EFFECT_EVICTED:
        if (!prepared_add(s->prepared, e->id))
            distrust(s);
        break;
    case EFFECT_DUPLICATE:
    case EFFECT_DEALLOCATE:
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
        undo(c, at(p, p->head + i - 1));
    p->head += n;
}

/* Of the names only those stay that a Parse under way has made. */
static void forget_names(struct client *c)
{
    struct prepares *p = c->prepares;

    for (uint32_t i = p->head; i != p->tail; i++) {
        struct effect *e = at(p, i);

        if (e->kind == EFFECT_PARSE)
            names_detach(&p->names, e->name);
        else if (e->kind == EFFECT_CLOSE && e->name != NULL)
            free_name(c, e->name);
        if (e->kind != EFFECT_PARSE)
            e->name = NULL;
    }
    names_clear(&p->names, c->all->config.statements, c->thread);
    for (uint32_t i = p->head; i != p->tail; i++)
        if (at(p, i)->kind == EFFECT_PARSE)
            names_attach(&p->names, at(p, i)->name);
}

void effect_forget_prepared(struct client *c)
{
    struct prepares *p = c->prepares;
    struct server *s = c->server;

    if (s->prepared != NULL)
        prepared_clear(s->prepared);
    if (p == NULL)
        return;
    forget_names(c);
    for (uint32_t i = p->head; i != p->tail; i++) {
        const struct effect *e = at(p, i);
        bool parses = (e->kind == EFFECT_PARSE && e->id != 0) || e->kind == EFFECT_INJECTED;

        if (parses && !prepared_use(s->prepared, e->id) && !prepared_add(s->prepared, e->id))
            distrust(s);
    }
}

void effect_drop_all(struct client *c)
{
    struct prepares *p = c->prepares;

    for (; p->head != p->tail; p->head++) {
        struct effect *e = at(p, p->head);

        put(c, e->statement);
        if (e->kind == EFFECT_CLOSE && e->name != NULL)
            free_name(c, e->name);
    }
}
