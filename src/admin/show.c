/*
 * One table of columns and one or two functions a command, in the order of their names. The rows
 * that tell of counters are made from tables too, so that a name cannot stand over the wrong one.
 */
#include "show.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "weir/base/arena.h"
#include "weir/base/clock.h"
#include "weir/base/slab.h"
#include "weir/conf/conf.h"
#include "weir/io/loop.h"
#include "weir/pool/inspect.h"
#include "weir/pool/pools.h"
#include "weir/session/session.h"

#define TEXT(label) .name = (label), .type = ROWS_TEXT
#define NUMBER(label) .name = (label), .type = ROWS_NUMBER

/* ---- CLIENTS ---- */

static const struct rows_column client_columns[] = {
    {TEXT("type")},     {TEXT("user")},         {TEXT("database")},     {TEXT("replication")},
    {TEXT("state")},    {TEXT("connect_time")}, {NUMBER("wait")},       {NUMBER("wait_us")},
    {TEXT("id")},       {TEXT("link")},         {NUMBER("remote_pid")}, {NUMBER("reactor")},
    {NUMBER("unsent")}, {.name = NULL},
};

/* As PgBouncer names them. */
static const char *replication_name(enum pgw_replication replication)
{
    switch (replication) {
    case PGW_REPLICATION_OFF:
        return "none";
    case PGW_REPLICATION_PHYSICAL:
        return "physical";
    case PGW_REPLICATION_LOGICAL:
        return "logical";
    }
    return "";
}

/* Whole seconds and what is left of them in microseconds, as PgBouncer tells a time of waiting. */
static void add_wait(struct row *r, uint64_t since_ns)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t waited_ns = since_ns > 0 && now_ns > since_ns ? now_ns - since_ns : 0;

    row_number(r, waited_ns / NS_PER_S);
    row_number(r, waited_ns % NS_PER_S / NS_PER_US);
}

static void add_client(void *ctx, const struct session_info *info)
{
    struct showing *s = ctx;
    struct row r = {.n = 0};

    row_text(&r, "C");
    row_text(&r, info->user);
    row_text(&r, info->database);
    row_text(&r, replication_name(info->replication));
    row_text(&r, info->phase);
    row_time(&r, info->connected_ns);
    add_wait(&r, info->waiting_since_ns);
    row_id(&r, 'c', info->id);
    row_id(&r, 's', info->server_id);
    row_number(&r, (uint32_t)info->server_pid);
    row_number(&r, s->at->number);
    row_number(&r, info->unsent);
    rows_add(&s->rows, &r);
}

static void visit_clients(struct showing *s, struct thread *self)
{
    if (!thread_is_control(self))
        sessions_visit(self, add_client, s);
}

/* ---- MEM ---- */

/* size is that of one in bytes; memtotal what all that there can be would take: address space,
 * until they are used. */
static const struct rows_column mem_columns[] = {
    {TEXT("name")},   {NUMBER("size")},     {NUMBER("used")},
    {NUMBER("free")}, {NUMBER("memtotal")}, {.name = NULL},
};

static void add_mem(struct showing *s, const char *name, uint64_t size, uint64_t used,
                    uint64_t total)
{
    struct row r = {.n = 0};

    row_text(&r, name);
    row_number(&r, size);
    row_number(&r, used);
    row_number(&r, total - used);
    row_number(&r, size * total);
    rows_add(&s->rows, &r);
}

/* Pages in memory: the second number of /proc/self/statm (proc(5)). 0: not to be had. */
static uint64_t resident_pages(void)
{
    unsigned long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL)
        return 0;
    /* NOLINTNEXTLINE(cert-err34-c): the kernel writes numbers */
    if (fscanf(file, "%lu %lu", &all, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident;
}

static void add_slab(struct showing *s, const char *name, const struct slab_counts *n)
{
    add_mem(s, name, n->object_size, n->n_taken, n->max_objects);
}

static void finish_mem(struct showing *s)
{
    const struct arena *a = s->config->arena;
    uint64_t pages = resident_pages();
    struct slab_counts clients, held, servers;

    sessions_count_memory(&s->config->crew->threads[0], &clients, &held);
    pools_count_memory(s->config->pools, &servers);
    add_slab(s, "client", &clients);
    add_slab(s, "held_piece", &held);
    add_slab(s, "server", &servers);

    add_mem(s, "arena_chunk", arena_chunk_size(a), arena_n_used(a), arena_n_chunks(a));
    add_mem(s, "resident_page", (uint64_t)sysconf(_SC_PAGESIZE), pages, pages);
}

/* ---- POOLS ---- */

static const struct rows_column pool_columns[] = {
    {TEXT("database")},    {TEXT("user")},         {NUMBER("cl_active")}, {NUMBER("cl_waiting")},
    {NUMBER("sv_active")}, {NUMBER("sv_idle")},    {NUMBER("sv_login")},  {NUMBER("sv_closing")},
    {NUMBER("maxwait")},   {NUMBER("maxwait_us")}, {TEXT("pool_mode")},   {NUMBER("idle_words")},
    {.name = NULL},
};

static const char *mode_name(enum conf_pool_mode mode)
{
    switch (mode) {
    case CONF_SESSION:
        return "session";
    case CONF_TRANSACTION:
        return "transaction";
    case CONF_STATEMENT:
        return "statement";
    }
    return "";
}

/* Its pool is noted: clients of a pool are counted when all are known. */
static void note_pool(void *ctx, const struct session_info *info)
{
    struct showing *s = ctx;

    if (info->pool == NULL)
        return;
    if (s->n_pools == s->max_pools) {
        size_t max = s->max_pools > 0 ? 2 * s->max_pools : 256;
        uintptr_t *pools = reallocarray(s->pools, max, sizeof(*pools));

        if (pools == NULL) {
            s->rows.error = -ENOMEM;
            return;
        }
        s->pools = pools;
        s->max_pools = max;
    }
    s->pools[s->n_pools++] = (uintptr_t)info->pool;
}

static void visit_pools(struct showing *s, struct thread *self)
{
    if (!thread_is_control(self))
        sessions_visit(self, note_pool, s);
}

static int compare_pools(const void *a, const void *b)
{
    const uintptr_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* Where in the sorted list the first one is that is not below p. */
static size_t position(const struct showing *s, uintptr_t p)
{
    size_t low = 0, high = s->n_pools;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (s->pools[middle] < p)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Moments differ between what is counted here and there. */
static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static void add_pool(struct showing *s, const struct pool *p)
{
    uint64_t n_clients = position(s, (uintptr_t)p + 1) - position(s, (uintptr_t)p);
    struct row r = {.n = 0};
    struct pool_counts n;

    pool_count(p, &n);
    row_text(&r, pool_database(p));
    row_text(&r, pool_user(p));
    row_number(&r, less(n_clients, n.n_waiters));
    row_number(&r, n.n_waiters);
    row_number(&r, less(n.n_servers, n.n_idle + n.n_opening + n.n_closing));
    row_number(&r, n.n_idle);
    row_number(&r, n.n_opening);
    row_number(&r, n.n_closing);
    add_wait(&r, n.oldest_us * NS_PER_US);
    row_text(&r, mode_name(pool_policy(p)->pool_mode));
    row_number(&r, n.n_idle_words);
    rows_add(&s->rows, &r);
}

static void finish_pools(struct showing *s)
{
    const struct pool *p;

    if (s->n_pools > 0)
        qsort(s->pools, s->n_pools, sizeof(*s->pools), compare_pools);
    for (unsigned i = 0; (p = pools_at(s->config->pools, i)) != NULL; i++)
        add_pool(s, p);
}

/* ---- REACTORS ---- */

enum { FROM_THREAD, FROM_LOOP, FROM_SESSIONS };

#define OF_LOOP(member) .source = FROM_LOOP, .offset = offsetof(struct loop_stats, member)
#define OF_SESSIONS(member)                                                                        \
    .source = FROM_SESSIONS, .offset = offsetof(struct session_counters, member)

/* Those of the thread itself come first, in the order of add_reactor(). */
static const struct rows_column reactor_columns[] = {
    {NUMBER("reactor")},
    {NUMBER("clients")},
    {NUMBER("cpu_us")},
    {NUMBER("turns"), OF_LOOP(n_turns)},
    {NUMBER("enters"), OF_LOOP(n_enters)},
    {NUMBER("sleeps"), OF_LOOP(n_sleeps)},
    {NUMBER("bytes_received"), OF_LOOP(n_bytes_received)},
    {NUMBER("bytes_sent"), OF_LOOP(n_bytes_sent)},
    {NUMBER("short_sends"), OF_LOOP(n_short_sends)},
    {NUMBER("starved"), OF_LOOP(n_starved)},
    {NUMBER("rearmed"), OF_LOOP(n_rearmed)},
    {NUMBER("stale"), OF_LOOP(n_stale)},
    {NUMBER("overflows"), OF_LOOP(n_overflows)},
    {NUMBER("accept_pauses"), OF_LOOP(n_accept_pauses)},
    {NUMBER("accepted"), OF_SESSIONS(n_accepted)},
    {NUMBER("logins"), OF_SESSIONS(n_logins)},
    {NUMBER("refused"), OF_SESSIONS(n_refused)},
    {NUMBER("no_slot"), OF_SESSIONS(n_no_slot)},
    {NUMBER("violations"), OF_SESSIONS(n_violations)},
    {NUMBER("links"), OF_SESSIONS(n_links)},
    {NUMBER("waits"), OF_SESSIONS(n_waits)},
    {NUMBER("wait_us"), OF_SESSIONS(wait_us)},
    {NUMBER("wait_timeouts"), OF_SESSIONS(n_wait_timeouts)},
    {NUMBER("servers_lost"), OF_SESSIONS(n_servers_lost)},
    {NUMBER("clients_lost"), OF_SESSIONS(n_clients_lost)},
    {NUMBER("lost_kept"), OF_SESSIONS(n_lost_kept)},
    {NUMBER("cancels"), OF_SESSIONS(n_cancels)},
    {NUMBER("cancels_unknown"), OF_SESSIONS(n_cancels_unknown)},
    {NUMBER("cancels_dropped"), OF_SESSIONS(n_cancels_dropped)},
    {NUMBER("stuck"), OF_SESSIONS(n_stuck)},
    {NUMBER("held_back"), OF_SESSIONS(n_held_back)},
    {.name = NULL},
};

/* Of this thread. */
static uint64_t cpu_us(void)
{
    struct timespec t = {0};

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / NS_PER_US;
}

static uint64_t counter_of(const struct rows_column *c, const struct thread *t)
{
    const void *counters =
        c->source == FROM_LOOP ? (const void *)loop_stats(t->loop) : sessions_counters(t);

    return counter_read((const void *)((const char *)counters + c->offset));
}

static void visit_reactor(struct showing *s, struct thread *self)
{
    struct row r = {.n = 0};

    if (thread_is_control(self))
        return;
    row_number(&r, self->number);
    row_number(&r, sessions_n_clients(self));
    row_number(&r, cpu_us());
    for (const struct rows_column *c = &reactor_columns[r.n]; c->name != NULL; c++)
        row_number(&r, counter_of(c, self));
    rows_add(&s->rows, &r);
}

/* ---- SERVERS ---- */

static const struct rows_column server_columns[] = {
    {TEXT("type")},         {TEXT("user")},         {TEXT("database")}, {TEXT("replication")},
    {TEXT("state")},        {TEXT("connect_time")}, {TEXT("id")},       {TEXT("link")},
    {NUMBER("remote_pid")}, {.name = NULL},
};

static void add_server(void *ctx, const struct server *server)
{
    struct showing *s = ctx;
    enum server_phase phase = server_phase(server);
    uint64_t client_id = atomic_load_explicit(&server->client_id, memory_order_relaxed);
    struct row r = {.n = 0};

    row_text(&r, "S");
    row_text(&r, pool_user(server->pool));
    row_text(&r, pool_database(server->pool));
    row_text(&r, replication_name(server->replication));
    row_text(&r, server_phase_name(phase));
    row_time(&r, server->opened_ns);
    row_id(&r, 's', server->id);
    row_id(&r, 'c', phase == SERVER_ACTIVE ? client_id : 0);
    row_number(&r, (uint32_t)server->backend_pid);
    rows_add(&s->rows, &r);
}

static void visit_servers(struct showing *s, struct thread *self)
{
    struct pool *p;

    if (!thread_is_control(self))
        return;
    for (unsigned i = 0; (p = pools_at(s->config->pools, i)) != NULL; i++)
        pool_visit_servers(p, add_server, s);
}

/* ---- STATE ---- */

static const struct rows_column state_columns[] = {
    {TEXT("kind")}, {NUMBER("moved")}, {NUMBER("cleaned")}, {NUMBER("undetected")}, {.name = NULL},
};

static void finish_state(struct showing *s)
{
    struct inspect_counts n;

    inspect_count(s->config->pools, &n);
    for (unsigned kind = 0; kind < STATE_N_KINDS; kind++) {
        struct row r = {.n = 0};

        row_text(&r, state_kind_name(kind));
        row_number(&r, n.moved[kind]);
        row_number(&r, n.cleaned[kind]);
        row_number(&r, n.undetected[kind]);
        rows_add(&s->rows, &r);
    }
}

/* ---- VERSION ---- */

static const struct rows_column version_columns[] = {{TEXT("version")}, {.name = NULL}};

static void finish_version(struct showing *s)
{
    struct row r = {.n = 0};

    row_text(&r, "weir " WEIR_VERSION);
    rows_add(&s->rows, &r);
}

/* ---- all ---- */

static const struct show shows[] = {
    [COMMAND_SHOW_CLIENTS] = {client_columns, visit_clients, NULL},
    [COMMAND_SHOW_MEM] = {mem_columns, NULL, finish_mem},
    [COMMAND_SHOW_POOLS] = {pool_columns, visit_pools, finish_pools},
    [COMMAND_SHOW_REACTORS] = {reactor_columns, visit_reactor, NULL},
    [COMMAND_SHOW_SERVERS] = {server_columns, visit_servers, NULL},
    [COMMAND_SHOW_STATE] = {state_columns, NULL, finish_state},
    [COMMAND_SHOW_VERSION] = {version_columns, NULL, finish_version},
};

const struct show *show_of(enum command command)
{
    return command < sizeof(shows) / sizeof(shows[0]) ? &shows[command] : NULL;
}

void showing_init(struct showing *s, const struct console_config *config)
{
    *s = (struct showing){.config = config};
}

void showing_fini(struct showing *s)
{
    rows_fini(&s->rows);
    free(s->pools);
}
