/*
 * All pools of the process, by (database, user). Pools are added by whoever needs them first and
 * never freed while the process lives, so a pointer to one stays good; their number is bounded by
 * max_pools, since names come from clients where a database `*` is configured.
 */
#ifndef WEIR_POOL_POOLS_H
#define WEIR_POOL_POOLS_H

#include "weir/base/check.h"
#include "weir/base/span.h"
#include "weir/pool/pool.h"

struct conf;
struct jobs;
struct keys;
struct pools;
struct slab_counts;
struct users;

enum pools_result {
    POOLS_FOUND,
    POOLS_NO_DATABASE, /* not configured, and no `*`: 3D000 */
    POOLS_FULL,        /* max_pools reached: 53300 */
    POOLS_NO_MEMORY,   /* 53200 */
};

struct pools_config {
    struct conf *conf;   /* the pools take references of their own to these */
    struct users *users; /* secrets for logging in where the configuration gives no password */
    struct keys *keys;   /* outlives the pools, as the following do */
    struct crew *crew;
    struct jobs *jobs; /* key derivation */
    /* How often a server that nobody suspects is asked what is left on it; 0: never. */
    uint64_t audit_interval_ns;
};

/* Main thread, before the crew runs. 0 or -errno. */
NODISCARD int pools_new(struct pools **out, const struct pools_config *config);

/* After the crew has ended and pools_stop() has been answered. NULL is fine. */
void pools_free(struct pools *ps);

/* Any thread. Finds the pool or makes it; *out is set on POOLS_FOUND only. */
NODISCARD enum pools_result pools_find(struct pools *ps, struct span database, struct span user,
                                       struct pool **out);

/* Control: opens no more servers, ends logins under way, closes the servers it has and each that
 * comes back; done() when the last one is gone, perhaps at once. Once. */
void pools_stop(struct pools *ps, void (*done)(void *ctx), void *ctx);

/* Any thread: pools by number, from 0 on; NULL past the end. */
struct pool *pools_at(struct pools *ps, unsigned index);

/* For SHOW MEM: slots of servers; any thread. */
void pools_count_memory(const struct pools *ps, struct slab_counts *servers);

/* Control, for SHOW: every server of the pool that is not free, in the order of opening. Fields
 * beyond the atomic ones and those set when it was opened are not to be read. */
void pool_visit_servers(struct pool *p, void (*visit)(void *ctx, const struct server *s),
                        void *ctx);

#endif
