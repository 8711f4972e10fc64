/*
 * Descriptors run out quietly: accepting pauses, and servers cannot be opened. So the limit is said
 * at the start.
 */
#include "descriptors.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "weir/base/log.h"
#include "weir/conf/pool.h"

/* For all but clients and servers: loops, listeners, the log, cancel requests. */
#define DESCRIPTORS_OF_OUR_OWN 300

uint64_t descriptors_needed(const struct conf *conf)
{
    uint64_t n = DESCRIPTORS_OF_OUR_OWN + (uint64_t)conf->weir.max_client_conn;

    for (size_t i = 0; i < conf->n_databases; i++) {
        const struct conf_database *d = &conf->databases[i];
        struct conf_pool pool;

        if (conf_pool_find(conf, d->name, d->user, &pool))
            n += pool.policy.max_db_connections > 0 ? pool.policy.max_db_connections
                                                    : pool.policy.pool_size;
    }
    return n;
}

void descriptors_raise(const struct conf *conf)
{
    uint64_t needed = descriptors_needed(conf);
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        log_warning(NULL, "number of open files cannot be raised", "limit=%lu error=%s",
                    (unsigned long)limit.rlim_max, strerrordesc_np(errno));
    if (limit.rlim_max < needed)
        log_warning(NULL, "open files may run out", "limit=%lu needed=%lu because=%s",
                    (unsigned long)limit.rlim_max, (unsigned long)needed,
                    "max_client_conn and the servers of all databases");
}
