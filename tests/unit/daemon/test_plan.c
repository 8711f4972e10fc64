/* Number and place of the reactors, for configurations and CPUs of many kinds. */
#include "plan.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct plan_case {
    const char *name;
    uint32_t reactors;
    enum conf_switch pin;
    const char *host;
    uint32_t n_quota;
    uint32_t n_reactors;
    bool pinned;
    const char *why; /* the start of it */
} plan_cases[] = {
    {"four CPUs of our own", 0, CONF_AUTO, "10.0.0.1", CPUS_NO_QUOTA, 4, true, "nothing"},
    {"fewer reactors", 3, CONF_AUTO, "db", CPUS_NO_QUOTA, 3, true, "nothing"},
    {"more reactors", 5, CONF_AUTO, "db", CPUS_NO_QUOTA, 5, false, "there are more"},
    {"more reactors, pinned", 5, CONF_ON, "db", CPUS_NO_QUOTA, 5, true, "pin_reactors"},
    {"a quota", 0, CONF_AUTO, "db", 2, 2, false, "a quota"},
    {"a quota, pinned", 0, CONF_ON, "db", 2, 2, true, "pin_reactors"},
    {"a quota that does not bind", 0, CONF_AUTO, "db", 4, 4, true, "nothing"},
    {"never pinned", 0, CONF_OFF, "db", CPUS_NO_QUOTA, 4, false, "pin_reactors"},
    {"local by address", 0, CONF_AUTO, "127.1.2.3", CPUS_NO_QUOTA, 4, false, "a PostgreSQL"},
    {"local by IPv6", 0, CONF_AUTO, "::1", CPUS_NO_QUOTA, 4, false, "a PostgreSQL"},
    {"local by name", 0, CONF_AUTO, "localhost", CPUS_NO_QUOTA, 4, false, "a PostgreSQL"},
    {"local by socket", 0, CONF_AUTO, "/run/postgresql", CPUS_NO_QUOTA, 4, false, "a PostgreSQL"},
    {"local, pinned", 0, CONF_ON, "127.0.0.1", CPUS_NO_QUOTA, 4, true, "pin_reactors"},
    {"not local", 0, CONF_AUTO, "localhost.example", CPUS_NO_QUOTA, 4, true, "nothing"},
    {"as many as there can be", 64, CONF_ON, "db", CPUS_NO_QUOTA, 64, true, "pin_reactors"},
};

Test(plan, reactors)
{
    for (size_t i = 0; i < sizeof(plan_cases) / sizeof(plan_cases[0]); i++) {
        const struct plan_case *c = &plan_cases[i];
        struct conf_database databases[] = {{.host = "elsewhere"}, {.host = c->host}};
        struct conf conf = {.databases = databases, .n_databases = 2};
        struct cpus cpus = {.n_allowed = 4, .n_quota = c->n_quota, .allowed = {1, 3, 5, 7}};

        conf.weir.reactors = c->reactors;
        conf.weir.pin_reactors = c->pin;

        struct plan p = plan_reactors(&conf, &cpus);

        cr_expect_eq(p.n_reactors, c->n_reactors, "%s: %u", c->name, p.n_reactors);
        cr_expect_eq(p.pinned, c->pinned, "%s", c->name);
        cr_expect_eq(strncmp(p.why, c->why, strlen(c->why)), 0, "%s: %s", c->name, p.why);
        for (uint32_t r = 0; r < p.n_reactors; r++)
            cr_expect_eq(p.cpu[r], cpus.allowed[r % 4], "%s: %u", c->name, r);
    }
}
