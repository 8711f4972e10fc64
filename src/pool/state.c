/* Kinds of state by name and number; see state.h. Any thread. */
#include "state.h"

#include <stdio.h>
#include <string.h>

#include "pools.h"

const char *state_kind_name(enum state_kind kind)
{
    static const char *const names[STATE_N_KINDS] = {
        [STATE_SETTINGS] = "settings",   [STATE_STATEMENTS] = "statements",
        [STATE_TEMP] = "temp",           [STATE_LOCKS] = "locks",
        [STATE_CHANNELS] = "channels",   [STATE_CURSORS] = "cursors",
        [STATE_SEQUENCES] = "sequences",
    };

    ASSERT(kind < STATE_N_KINDS);
    return names[kind];
}

void state_describe(const struct inspect_found *found, unsigned kinds, char out[STATE_TEXT_MAX])
{
    size_t len = 0;

    out[0] = '\0';
    for (unsigned kind = 0; kind < STATE_N_KINDS; kind++) {
        const char *comma = len == 0 ? "" : ",", *name = state_kind_name(kind);
        size_t room = STATE_TEXT_MAX - len;

        if ((kinds & STATE_BIT(kind)) == 0)
            continue;
        if (found->n[kind] > 0)
            len += (size_t)snprintf(out + len, room, "%s%s:%u", comma, name, found->n[kind]);
        else
            len += (size_t)snprintf(out + len, room, "%s%s", comma, name);
        ASSERT(len < STATE_TEXT_MAX);
    }
}

void state_count(struct counter counters[STATE_N_KINDS], unsigned kinds)
{
    for (unsigned kind = 0; kind < STATE_N_KINDS; kind++)
        if ((kinds & STATE_BIT(kind)) != 0)
            counter_add(&counters[kind], 1);
}

void inspect_count(const struct pools *ps, struct inspect_counts *out)
{
    *out = (struct inspect_counts){{0}, {0}, {0}};
    for (unsigned i = 0; i <= ps->config.crew->n_reactors; i++) {
        const struct state_counters *of = &ps->state[i];

        for (unsigned kind = 0; kind < STATE_N_KINDS; kind++) {
            out->moved[kind] += counter_read(&of->moved[kind]);
            out->cleaned[kind] += counter_read(&of->cleaned[kind]);
            out->undetected[kind] += counter_read(&of->undetected[kind]);
        }
    }
}
