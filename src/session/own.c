/*
 * A client with a server of its own, a replication client: from its startup packet, which is kept
 * for that server, until both are there and the client is greeted with what the server told.
 *
 * Runs on: the client's reactor.
 */
#include "weir/pool/own.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "login.h"
#include "pgwire/sqlstate.h"

/* Told by weir itself, or not the server's business: which extensions there are is agreed on
 * between a client and weir. */
static bool is_for_weir(struct pgw_span name)
{
    return pgw_span_is(name, "user") || pgw_span_is(name, "database") ||
           pgw_is_protocol_option(name);
}

bool own_keep_settings(struct login *l, const struct pgw_startup *s)
{
    struct pgw_span left = s->params;
    struct pgw_param param;

    l->settings = malloc(s->params.len);
    if (l->settings == NULL)
        return false;
    for (const uint8_t *at = left.ptr; pgw_param_next(&left, &param); at = left.ptr) {
        size_t len = (size_t)(left.ptr - at);

        if (is_for_weir(param.name))
            continue;
        memcpy(l->settings + l->n_settings, at, len);
        l->n_settings += len;
    }
    return true;
}

static void served(void *ctx, struct thread *self, struct server *s, struct span greeting)
{
    struct client *c = ctx;
    uint8_t *copy = loop_scratch(self->loop, greeting.len); /* it is sent: to the turn's end */

    c->login->own = NULL;
    if (copy == NULL) {
        pool_discard(self, s, true);
        client_close(c, "no memory for the greeting");
        return;
    }
    if (greeting.len > 0)
        memcpy(copy, greeting.ptr, greeting.len);
    login_enter(c, span_of(copy, greeting.len), s);
}

static void failed(void *ctx, struct thread *self, const struct pool_failure *why)
{
    struct client *c = ctx;

    (void)self;
    c->login->own = NULL;
    client_refuse(c, why->sqlstate, "%s", why->message);
}

void own_await(struct client *c)
{
    struct login *l = c->login;
    const struct own_order order = {.pool = c->pool,
                                    .replication = c->replication,
                                    .settings = span_of(l->settings, l->n_settings),
                                    .served = served,
                                    .failed = failed,
                                    .ctx = c};

    l->own = own_ask(&order, c->thread);
    if (l->own == NULL) {
        client_refuse(c, PGW_STATE_OUT_OF_MEMORY, "no memory for the login");
        return;
    }
    if (login_be_cold(c))
        c->waiter.since_ns = loop_now_ns(c->thread->loop); /* for SHOW */
}
