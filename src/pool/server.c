/*
 * The phases of a server and the moves between them. "Close when given back" is not a phase: that
 * is the pool's generation, compared at give-back. Runs on: whatever thread owns the server.
 */
#include "weir/pool/server.h"

#define TO(phase) (1u << (phase))

struct phase_rule {
    const char *name;
    unsigned next; /* bits of the phases that may follow */
};

static const struct phase_rule phase_rules[SERVER_PHASES] = {
    [SERVER_FREE] = {"free", TO(SERVER_CONNECTING)},
    [SERVER_CONNECTING] = {"connecting", TO(SERVER_LOGIN) | TO(SERVER_CLOSING)},
    [SERVER_LOGIN] = {"login", TO(SERVER_IDLE) | TO(SERVER_CLOSING)},
    [SERVER_IDLE] = {"idle", TO(SERVER_ACTIVE) | TO(SERVER_CLOSING)},
    [SERVER_ACTIVE] = {"active", TO(SERVER_IDLE) | TO(SERVER_RESETTING) | TO(SERVER_PARKED) |
                                     TO(SERVER_CLOSING)},
    [SERVER_RESETTING] = {"resetting", TO(SERVER_IDLE) | TO(SERVER_PARKED) | TO(SERVER_ACTIVE) |
                                           TO(SERVER_CLOSING)},
    [SERVER_PARKED] = {"parked", TO(SERVER_IDLE) | TO(SERVER_CLOSING)},
    [SERVER_CLOSING] = {"closing", TO(SERVER_FREE)},
};

enum server_phase server_phase(const struct server *s)
{
    return atomic_load_explicit(&s->phase, memory_order_relaxed); /* a moment's value for SHOW */
}

void server_move(struct server *s, enum server_phase next)
{
    enum server_phase phase = server_phase(s);

    ASSERT(phase < SERVER_PHASES && next < SERVER_PHASES);
    ASSERT(phase_rules[phase].next & TO(next));
    atomic_store_explicit(&s->phase, (uint8_t)next, memory_order_relaxed);
}

const char *server_phase_name(enum server_phase phase)
{
    ASSERT(phase < SERVER_PHASES);
    return phase_rules[phase].name;
}
