/*
 * A pinned reactor keeps its caches, but it also stays where it is when something else wants that
 * CPU. So "auto" pins only where the CPUs are ours: not beside a PostgreSQL, whose backends the
 * kernel would have to arrange around us; not where a quota gives us a part of them, because every
 * container that pins starts with the same CPUs; and not where reactors would share one.
 */
#include "plan.h"

#include <string.h>

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool is_on_this_machine(const char *host)
{
    return host[0] == '/' || starts_with(host, "127.") || strcmp(host, "localhost") == 0 ||
           strcmp(host, "::1") == 0;
}

static bool has_local_server(const struct conf *c)
{
    for (size_t i = 0; i < c->n_databases; i++) {
        if (is_on_this_machine(c->databases[i].host))
            return true;
    }
    return false;
}

/* NULL: nothing speaks against it. */
static const char *why_not_pin(const struct conf *c, const struct cpus *cpus, uint32_t n_reactors)
{
    if (has_local_server(c))
        return "a PostgreSQL on this machine shares the CPUs";
    if (cpus->n_quota < cpus->n_allowed)
        return "a quota gives a part of the CPUs only";
    if (n_reactors > cpus->n_allowed)
        return "there are more reactors than CPUs";
    return NULL;
}

struct plan plan_reactors(const struct conf *c, const struct cpus *cpus)
{
    struct plan p = {.n_reactors = c->weir.reactors};

    if (p.n_reactors == 0)
        p.n_reactors = cpus_n_reactors(cpus);
    for (uint32_t i = 0; i < p.n_reactors; i++)
        p.cpu[i] = cpus->allowed[i % cpus->n_allowed];

    switch (c->weir.pin_reactors) {
    case CONF_ON:
    case CONF_OFF:
        p.pinned = c->weir.pin_reactors == CONF_ON;
        p.why = "pin_reactors says so";
        break;
    case CONF_AUTO:
        p.why = why_not_pin(c, cpus, p.n_reactors);
        p.pinned = p.why == NULL;
        if (p.pinned)
            p.why = "nothing else is known to use the CPUs";
        break;
    }
    return p;
}
