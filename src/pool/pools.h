/*
 * All pools and all slots of servers, as the files of the pool layer share them.
 */
#ifndef WEIR_POOL_POOLS_PRIVATE_H
#define WEIR_POOL_POOLS_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "weir/base/hash.h"
#include "weir/base/list.h"
#include "weir/base/slab.h"
#include "weir/base/wheel.h"
#include "weir/pool/pools.h"

#include "cancels.h"
#include "state.h"

/* Slots of servers in the process. Only address space: what was never in use takes no memory. */
#define POOLS_SERVERS_MAX (1U << 16)

struct pools {
    /* Set when it is made, then read-only. */
    struct pools_config config; /* references to conf and users are ours */
    struct slab *servers; /* struct server; its atomics at the beginning are the shared bytes */
    struct hash_key hash_key;
    uint32_t n_buckets; /* a power of two */
    uint32_t max_pools;
    _Atomic(struct pool *) *buckets; /* chained through pool->next; written under mutex */
    struct pool **by_index;          /* in the order of making; those below n_pools never change */

    pthread_mutex_t mutex; /* covers the making of pools; no lock is taken under it */
    atomic_uint n_pools;   /* written under mutex */
    struct list limits;    /* under mutex; what a limit counts is control's */

    struct state_counters *state; /* by the number of the thread, which writes its own */

    /* Control's alone. */
    uint64_t last_server_id;
    unsigned n_servers;        /* of all pools: slots that are not free */
    struct list listed;        /* pools that want more than their limits give, the longest first */
    struct wheel_timer second; /* armed while a pool is listed */
    struct cancels cancels;
    bool stopping;
    void (*stopped)(void *ctx); /* NULL: nobody waits for it, or it has been called */
    void *stopped_ctx;
};

/* Control: answers pools_stop() once the last server and the last cancel request are gone. */
void pools_look_stopped(struct pools *ps);

#endif
