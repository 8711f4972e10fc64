/* What a client has left behind; see leave.h. */
#include "leave.h"

#include "client.h"
#include "forward.h"
#include "link.h"
#include "pgwire/sqlstate.h"
#include "sql_prepared.h"
#include "weir/pool/inspect.h"

/* What can move with a client. */
#define MOVES (STATE_BIT(STATE_SETTINGS) | STATE_BIT(STATE_STATEMENTS))

/* A session that keeps its server leaves it by DISCARD ALL (lost.c). */
static unsigned kinds_of(const struct client *c)
{
    if (client_keeps_server(c))
        return 0;
    switch (pool_policy(c->pool)->reset) {
    case CONF_RESET_ALWAYS:
        return STATE_ALL;
    case CONF_RESET_SUSPECT:
        return c->server->suspected;
    case CONF_RESET_NEVER:
        break;
    }
    return 0;
}

bool leave_is_due(const struct client *c)
{
    return kinds_of(c) != 0;
}

static struct inspect_order order_of(struct client *c)
{
    struct inspect_order order = {
        .kinds = kinds_of(c),
        .always = pool_policy(c->pool)->reset == CONF_RESET_ALWAYS,
        .names = &c->suspicion.names,
        .unknown_names = c->suspicion.unknown_names,
    };

    return order;
}

static void refuse(struct client *c)
{
    client_refuse(c, PGW_STATE_CONNECTION_FAILURE,
                  "the session's settings are lost: its server did not tell them");
}

/* To others, or to nobody. */
static void give_back(struct thread *self, struct server *s)
{
    if (s->is_distrusted)
        pool_discard(self, s, true);
    else
        pool_release(self, s);
}

/* False: what was asked about and can move was not told, or there is no memory for it. */
static bool take_along(struct client *c, const struct inspect_found *found, unsigned asked)
{
    return (asked & MOVES & ~found->answered) == 0 && settings_learn(c, found) &&
           sql_prepared_learn(c, found);
}

static void done(void *ctx, struct thread *self, struct server *s, struct inspect_found *found)
{
    struct client *c = ctx;
    unsigned asked = c->suspicion.asked;
    bool is_known = s == NULL ? (asked & MOVES) == 0 : take_along(c, found, asked);

    c->parting = NULL;
    client_move(c, CLIENT_IDLE);
    if (s != NULL)
        give_back(self, s);
    if (is_known)
        relay_resume(c);
    else
        refuse(c);
    client_check(c);
}

void leave_begin(struct client *c)
{
    struct inspect_order order = order_of(c);
    struct server *s = c->server;

    if (s->n_cancels > 0) { /* it would hit our questions */
        link_arm(c);
        return;
    }
    link_part(c);
    c->suspicion.asked = order.kinds;
    if (inspect_begin(s, c->thread, &order, done, c) != 0) {
        pool_discard(c->thread, s, true);
        client_move(c, CLIENT_IDLE);
        refuse(c);
        return;
    }
    c->parting = s;
    client_move(c, CLIENT_PARTING);
}

void leave_abandon(struct client *c)
{
    inspect_disown(c->parting);
    c->parting = NULL;
}

void leave_lost(struct client *c)
{
    struct inspect_order order = order_of(c);
    struct server *s = c->server;

    if (order.kinds == 0 || s->is_distrusted || s->n_cancels > 0) {
        s->is_distrusted = s->is_distrusted || order.kinds != 0;
        link_give_back(c);
        return;
    }
    link_part(c);
    inspect_and_release(s, c->thread, &order);
}
