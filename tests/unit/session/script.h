/*
 * A pool layer that does as the database's name says, for tests of what comes before the pool:
 *
 *   app      its greeting is there
 *   cold     it is there once script_warm() says so, or the logins fail: script_fail()
 *   nojoin   no memory for this reactor's part
 *   full, nomemory, and any other name: the answers of pools_find()
 *
 * No server ever comes: who asks for one waits. Threads: each reactor has lists of its own; `cold`
 * is reactor 0's.
 */
#ifndef TESTS_UNIT_SESSION_SCRIPT_H
#define TESTS_UNIT_SESSION_SCRIPT_H

#include <stdatomic.h>

#include "weir/pool/own.h"
#include "weir/pool/pools.h"

#define SCRIPT_REACTORS 3

struct pool {
    char database[CONF_NAME_MAX + 1];
    struct conf_policy policy;
    struct greeting *greeting;
    bool cold, join_fails;
    const struct pool_failure *last_failure; /* of a cold one; set before a client comes */
    struct list waiting[SCRIPT_REACTORS], awaiting[SCRIPT_REACTORS];
    atomic_uint n_waiting, n_awaiting, n_own;
    struct own *own; /* the last request of reactor 0 for a server of a client's own */
};

/* Its settings are behind. */
struct own {
    struct own_order order;
    uint8_t settings[];
};

enum { SCRIPT_APP, SCRIPT_COLD, SCRIPT_NOJOIN, SCRIPT_POOLS };

/* What every pool greets with: one ParameterStatus. */
#define SCRIPT_GREETING "S\0\0\0\x16server_version\00015"
#define SCRIPT_GREETING_LEN sizeof(SCRIPT_GREETING)
#define SCRIPT_USER "alice"

struct pools {
    struct pool items[SCRIPT_POOLS];
    _Alignas(struct greeting) uint8_t greeting[sizeof(struct greeting) + SCRIPT_GREETING_LEN];
};

void script_init(struct pools *ps, const struct conf_policy *policy);

/* Any thread: clients that wait for a server. */
unsigned script_n_waiting(const struct pool *p);
unsigned script_n_awaiting(const struct pool *p); /* ... for the greeting */

unsigned script_n_own(const struct pool *p); /* ... for one of their own */

/* On reactor 0: no server comes for the last one who asked for one of its own. */
void script_fail_own(struct pool *p, struct thread *self, const struct pool_failure *why);

/* On reactor 0, for the clients that wait there. */
void script_warm(struct pool *p, struct thread *self);
void script_fail(struct pool *p, struct thread *self, const char *sqlstate, const char *message);

#endif
