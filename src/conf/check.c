/*
 * Rules between keys: what the rows of the schema, which see one value each, cannot tell.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "load.h"
#include "memory.h"
#include "weir/base/clock.h"

#define WARNINGS_MAX 100

int check_warn(struct loader *l, const struct place *at, const char *format, ...)
{
    struct conf_list *warnings = &l->conf->warnings;
    const char **items = memory_get(&l->conf->memory, (warnings->n_items + 1) * sizeof(*items));
    char message[512];
    va_list args;

    if (items == NULL)
        return -ENOMEM;
    if (warnings->n_items == WARNINGS_MAX)
        return 0;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (warnings->n_items > 0)
        memcpy(items, warnings->items, warnings->n_items * sizeof(*items));

    char *line = memory_print(&l->conf->memory, "%s:%u: %s", l->source.files[at->file]->path,
                              at->line, message);

    if (line == NULL)
        return -ENOMEM;
    items[warnings->n_items] = line;
    warnings->items = items;
    warnings->n_items++;
    return 0;
}

/* Makes the two ways to give the arena's size agree. */
static int check_arena(struct loader *l, const struct section *s)
{
    struct conf_arena *arena = s->base;
    uint64_t n_chunks;

    if (section_has(s, "total_size") && arena->chunks_count != 0)
        return source_fail(&l->source, section_place(s, "chunks_count"), false,
                           "%s: total_size and chunks_count are both given; accepted: one of them",
                           s->path);
    n_chunks =
        arena->chunks_count != 0 ? arena->chunks_count : arena->total_size / arena->chunk_size;
    if (n_chunks == 0)
        return source_fail(&l->source, section_place(s, "total_size"), false,
                           "%s: total_size is less than one chunk; accepted: at least chunk_size",
                           s->path);
    if (n_chunks > INT32_MAX)
        return source_fail(&l->source, section_place(s, "total_size"), false,
                           "%s: total_size is more than %d chunks; accepted: less, or a larger "
                           "chunk_size",
                           s->path, INT32_MAX);
    arena->chunks_count = (uint32_t)n_chunks;
    arena->total_size = n_chunks * arena->chunk_size; /* < 2^31 x 1 MiB */
    return 0;
}

/* The smallest pool may not exceed the largest, inherited values included. */
static int check_pool_sizes(struct loader *l, const struct section *s)
{
    const struct conf_policy *weir = &l->conf->weir.policy;
    bool given = section_has(s, "min_pool_size");
    bool size_given = s->id == SCHEMA_WEIR || section_has(s, "pool_size");
    uint32_t min = given ? s->policy->min_pool_size : weir->min_pool_size;
    uint32_t size = size_given ? s->policy->pool_size : weir->pool_size;

    /* An inherited minimum that is too large for a smaller pool is cut to its size. */
    if (!given || min <= size)
        return 0;
    return source_fail(&l->source, section_place(s, "min_pool_size"), false,
                       "%s.min_pool_size = %" PRIu32
                       ": accepted: at most the pool's size, which is "
                       "%" PRIu32 " here",
                       s->path, min, size);
}

static int check_weir(struct loader *l, const struct section *s)
{
    const struct conf_weir *weir = s->base;
    uint64_t probed_ns = weir->tcp_keepalives_idle_ns +
                         weir->tcp_keepalives_interval_ns * weir->tcp_keepalives_count;

    if (weir->listen_addr.n_items == 0 && weir->unix_socket_dir[0] == '\0')
        return source_fail(&l->source, section_place(s, "listen_addr"), false,
                           "%s: listen_addr and unix_socket_dir are both \"\": nobody could "
                           "connect; accepted: an address, a folder, or both",
                           s->path);
    if (weir->tcp_user_timeout_ns != 0 && weir->tcp_user_timeout_ns < probed_ns)
        return check_warn(l, section_place(s, "tcp_user_timeout"),
                          "%s.tcp_user_timeout is shorter than tcp_keepalives_idle + "
                          "tcp_keepalives_interval x tcp_keepalives_count (%" PRIu64
                          "s): one lost probe is enough to close an idle connection",
                          s->path, probed_ns / NS_PER_S);
    return 0;
}

bool conf_is_console(struct span database)
{
    return span_equal(database, span_str("weir")) || span_equal(database, span_str("pgbouncer"));
}

static int check_database(struct loader *l, const struct section *s)
{
    const struct conf_database *database = s->base;

    if (conf_is_console(span_str(database->name)))
        return source_fail(&l->source, section_place(s, "name"), false,
                           "%s.name = \"%s\": that is the admin console; accepted: any other name",
                           s->path, database->name);
    return 0;
}

int check_section(struct loader *l, const struct section *s)
{
    int r = s->policy == NULL ? 0 : check_pool_sizes(l, s);

    if (r != 0)
        return r;
    switch (s->id) {
    case SCHEMA_WEIR:
        return check_weir(l, s);
    case SCHEMA_ARENA:
        return check_arena(l, s);
    case SCHEMA_DATABASES:
        return check_database(l, s);
    case SCHEMA_USERS:
        break;
    }
    return 0;
}
