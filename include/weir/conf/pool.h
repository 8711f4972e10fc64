/*
 * The configuration as one pool sees it: what applies to one database and one user, and whether
 * two snapshots mean the same to it.
 */
#ifndef WEIR_CONF_POOL_H
#define WEIR_CONF_POOL_H

#include "weir/conf/conf.h"

struct conf_pool {
    const char *host;
    uint32_t port;
    const char *dbname;
    const char *user; /* who logs in at the server, and whose entry under users applies */
    const char *password;
    struct conf_policy policy; /* inherited values filled in; min_pool_size <= pool_size */
};

/* The pool for a client that logged in as user and asked for database. False: no entry serves
 * that name. Strings in *out live as long as the snapshot and the two arguments. Any thread;
 * two binary searches. */
NODISCARD bool conf_pool_find(const struct conf *c, const char *database, const char *user,
                              struct conf_pool *out);

/* The two hashes are for a reload that reaches pools (docs/ARCHITECTURE.md, section 13), which
 * alone is to compare them.
 *
 * Where the pool's servers are and who they serve: host, port, dbname, user. While it is the same
 * a reload closes no server. The password is not part of it: a changed one counts for new logins.
 * Means nothing outside of this process. Any thread. */
NODISCARD uint64_t conf_pool_link_hash(const struct conf_pool *p);

/* How the pool is run: every value of its policy. Any thread. */
NODISCARD uint64_t conf_pool_policy_hash(const struct conf_pool *p);

#endif
