/*
 * The table of all keys. A new key is a row here and a member in weir/conf/conf.h; the loader, the
 * help, the example file, the manual and the tests take the rest from the row.
 *
 * Names and meanings are PgBouncer's where PgBouncer has the setting. Where a number means
 * something else there (0 as "no limit on the pool", 0 as "use once"), that number is refused here
 * rather than taken for something else.
 */
#include "weir/conf/schema.h"

#include <string.h>

#include "weir/base/check.h"
#include "weir/base/clock.h"
#include "weir/base/shelf.h"
#include "weir/conf/conf.h"

#define MINUTE (60 * NS_PER_S)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define YEAR (365 * DAY)

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

/* Server numbers inside a pool are bits of a shelf: at most this many. */
#define POOL_SIZE_MAX 1024
#define CLIENTS_MAX 1000000
#define TEXT_MAX 4000

_Static_assert(POOL_SIZE_MAX == SHELF_SERVERS_MAX, "a shelf has a bit for each server");

#define AT_WEIR(member) .sections = SCHEMA_WEIR, .offset = offsetof(struct conf_weir, member)
#define AT_ARENA(member) .sections = SCHEMA_ARENA, .offset = offsetof(struct conf_arena, member)
#define AT_DATABASE(member)                                                                        \
    .sections = SCHEMA_DATABASES, .offset = offsetof(struct conf_database, member)
#define AT_USER(member) .sections = SCHEMA_USERS, .offset = offsetof(struct conf_user, member)
#define AT_LEVELS(member, levels)                                                                  \
    .policy = true, .sections = (levels), .offset = offsetof(struct conf_policy, member)
#define AT_ALL_LEVELS(member) AT_LEVELS(member, SCHEMA_WEIR | SCHEMA_DATABASES | SCHEMA_USERS)

_Static_assert(offsetof(struct conf_weir, policy) == 0, "one offset for all levels");
_Static_assert(offsetof(struct conf_database, policy) == 0, "one offset for all levels");
_Static_assert(offsetof(struct conf_user, policy) == 0, "one offset for all levels");

static const char *const engines[] = {"auto", "io_uring", "epoll", NULL};
static const char *const switches[] = {"auto", "on", "off", NULL};
static const char *const pool_modes[] = {"session", "transaction", "statement", NULL};
static const char *const auth_types[] = {"trust", "password", "md5", "scram-sha-256", NULL};
static const char *const client_losts[] = {"cancel", "finish", NULL};
static const char *const resets[] = {"always", "suspect", "never", NULL};
static const char *const log_levels[] = {"debug", "info", "warning", "error", NULL};

/* A table is read by its rows: two lines of facts and the help. */
/* clang-format off */
static const struct schema_row rows[] = {
    {.topic = "Where clients connect",
     .key = "listen_addr", AT_WEIR(listen_addr),
     .type = SCHEMA_ADDRESSES, .applies = SCHEMA_RESTART, .max = TEXT_MAX, .zero = "no TCP",
     .default_text = "127.0.0.1",
     .help = "Addresses to accept TCP connections on. \"*\" is every address, IPv4 and IPv6."},
    {.key = "listen_port", AT_WEIR(listen_port),
     .type = SCHEMA_INTEGER, .applies = SCHEMA_RESTART, .min = 1, .max = 65535,
     .default_text = "6432",
     .help = "The TCP port, and the number in the name of the Unix socket."},
    {.key = "listen_backlog", AT_WEIR(listen_backlog),
     .type = SCHEMA_INTEGER, .applies = SCHEMA_RESTART, .min = 1, .max = 65535,
     .default_text = "4096",
     .help = "How many connections the kernel keeps waiting to be accepted. The kernel itself "
             "caps it at net.core.somaxconn."},
    {.key = "unix_socket_dir", AT_WEIR(unix_socket_dir),
     .type = SCHEMA_FILE, .applies = SCHEMA_RESTART, .max = 90, .zero = "no Unix socket",
     .default_text = "",
     .help = "The folder of the Unix socket, which is named .s.PGSQL.<listen_port>. It must "
             "exist."},
    {.key = "unix_socket_mode", AT_WEIR(unix_socket_mode),
     .type = SCHEMA_MODE, .applies = SCHEMA_RESTART, .max = 0777, .default_text = "0777",
     .help = "Permissions of the Unix socket. Who may connect is decided by auth_type as well."},

    {.topic = "Threads",
     .key = "engine", AT_WEIR(engine),
     .type = SCHEMA_ENUM, .applies = SCHEMA_RESTART, .choices = engines, .default_text = "auto",
     .help = "How threads wait for sockets. \"auto\" takes io_uring and falls back to epoll, with "
             "a warning, where the kernel refuses it; \"io_uring\" refuses to start instead."},
    {.key = "reactors", AT_WEIR(reactors),
     .type = SCHEMA_INTEGER, .applies = SCHEMA_RESTART, .min = 1, .max = 64,
     .zero = "one for each CPU that this process may use", .default_text = "0",
     .help = "Number of threads that serve clients. All of them share the same pools and limits."},
    {.key = "pin_reactors", AT_WEIR(pin_reactors),
     .type = SCHEMA_ENUM, .applies = SCHEMA_RESTART, .choices = switches, .default_text = "auto",
     .help = "Whether each reactor keeps to one CPU. \"auto\" does so unless a PostgreSQL on this "
             "machine shares the CPUs, a quota gives a part of them only, or there are fewer CPUs "
             "than reactors."},

    {.topic = "Clients",
     .key = "max_client_conn", AT_WEIR(max_client_conn),
     .type = SCHEMA_INTEGER, .applies = SCHEMA_LIVE, .min = 1, .max = CLIENTS_MAX,
     .default_text = "1000",
     .help = "Most clients that may be connected at once, those of the admin console not counted; "
             "further ones are refused with 53300."},
    {.key = "max_pools", AT_WEIR(max_pools),
     .type = SCHEMA_INTEGER, .applies = SCHEMA_LIVE, .min = 1, .max = CLIENTS_MAX,
     .default_text = "10000",
     .help = "Most pools (pairs of database and user). One that was used stays until weir ends. It "
             "bounds what clients can make the daemon hold when databases has a \"*\" entry: they "
             "invent the names then."},
    {.key = "client_login_timeout", AT_WEIR(client_login_timeout_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_NEW_CONNECTIONS, .min = 100 * NS_PER_MS,
     .max = DAY, .zero = "no limit", .default_text = "1min",
     .help = "How long a client may take from connecting to being logged in."},
    {.key = "cancel_wait_timeout", AT_WEIR(cancel_wait_timeout_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_LIVE, .min = 100 * NS_PER_MS, .max = HOUR,
     .default_text = "10s",
     .help = "How long a server that nobody needs any more waits for a cancel request which is "
             "still on its way to it. Then it is closed: the request might hit the next query."},
    {.key = "shutdown_timeout", AT_WEIR(shutdown_timeout_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_LIVE, .min = 100 * NS_PER_MS, .max = DAY,
     .zero = "no limit", .default_text = "1min",
     .help = "How long a graceful stop waits for running transactions before it closes them."},

    {.topic = "Who may log in",
     .key = "auth_type", AT_WEIR(auth_type),
     .type = SCHEMA_ENUM, .applies = SCHEMA_NEW_CONNECTIONS, .choices = auth_types,
     .default_text = "scram-sha-256",
     .help = "How clients prove who they are. \"trust\" asks nobody for anything, \"password\" for the "
             "password in clear; a user whose stored secret is a SCRAM verifier is asked by SCRAM "
             "under \"md5\" too."},
    {.key = "auth_file", AT_WEIR(auth_file),
     .type = SCHEMA_FILE, .applies = SCHEMA_LIVE, .max = TEXT_MAX, .zero = "none",
     .default_text = "",
     .help = "File with a line \"user\" \"secret\" for each user; a secret is a password, an md5 "
             "hash or a SCRAM verifier, as in pg_authid."},
    {.key = "scram_iterations", AT_WEIR(scram_iterations),
     .type = SCHEMA_INTEGER, .applies = SCHEMA_NEW_CONNECTIONS, .min = 1, .max = 1000000,
     .default_text = "4096",
     .help = "SCRAM iterations for users whose secret is a plain password, and for names that do "
             "not exist, so that they look alike."},
    {.key = "admin_users", AT_WEIR(admin_users),
     .type = SCHEMA_NAMES, .applies = SCHEMA_NEW_CONNECTIONS, .max = CONF_NAME_MAX,
     .zero = "nobody", .default_text = "",
     .help = "Users who may run every command of the admin console (database \"weir\")."},
    {.key = "stats_users", AT_WEIR(stats_users),
     .type = SCHEMA_NAMES, .applies = SCHEMA_NEW_CONNECTIONS, .max = CONF_NAME_MAX,
     .zero = "nobody", .default_text = "",
     .help = "Users who may look at the admin console (SHOW) but change nothing."},

    {.topic = "TCP",
     .key = "tcp_keepalives_idle", AT_WEIR(tcp_keepalives_idle_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_NEW_CONNECTIONS, .min = NS_PER_S,
     .max = 32767 * NS_PER_S, .step = NS_PER_S, .default_text = "5s",
     .help = "A TCP connection that has been silent this long is probed, client or server. With "
             "the defaults a dead peer is noticed within 30 seconds."},
    {.key = "tcp_keepalives_interval", AT_WEIR(tcp_keepalives_interval_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_NEW_CONNECTIONS, .min = NS_PER_S,
     .max = 32767 * NS_PER_S, .step = NS_PER_S, .default_text = "5s",
     .help = "Time between two probes."},
    {.key = "tcp_keepalives_count", AT_WEIR(tcp_keepalives_count),
     .type = SCHEMA_INTEGER, .applies = SCHEMA_NEW_CONNECTIONS, .min = 1, .max = 127,
     .default_text = "5",
     .help = "Unanswered probes after which the connection counts as dead."},
    {.key = "tcp_user_timeout", AT_WEIR(tcp_user_timeout_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_NEW_CONNECTIONS, .min = NS_PER_MS, .max = HOUR,
     .step = NS_PER_MS, .zero = "off", .default_text = "0",
     .help = "TCP_USER_TIMEOUT of the kernel: a connection whose peer has acknowledged nothing for "
             "this long while data is on its way to it is ended. So is one whose peer is alive but "
             "does not read for that long; therefore it is off."},
    {.key = "tcp_dead_after", AT_WEIR(tcp_dead_after_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_LIVE, .min = NS_PER_S, .max = DAY, .zero = "off",
     .default_text = "30s",
     .help = "Has no effect yet. A peer that has acknowledged nothing for this long while data is "
             "on its way to it is dead. A peer that merely reads slowly is not."},

    {.topic = "Log",
     .key = "log_level", AT_WEIR(log_level),
     .type = SCHEMA_ENUM, .applies = SCHEMA_LIVE, .choices = log_levels, .default_text = "info",
     .help = "The least important lines that are still written."},
    {.key = "logfile", AT_WEIR(logfile),
     .type = SCHEMA_FILE, .applies = SCHEMA_LIVE, .max = TEXT_MAX, .zero = "standard error",
     .default_text = "",
     .help = "File to write the log to. A reload opens it again, so it can be rotated by "
             "renaming."},
    {.key = "log_connections", AT_WEIR(log_connections),
     .type = SCHEMA_BOOL, .applies = SCHEMA_LIVE, .default_text = "true",
     .help = "Write a line for each client that logs in."},
    {.key = "log_disconnections", AT_WEIR(log_disconnections),
     .type = SCHEMA_BOOL, .applies = SCHEMA_LIVE, .default_text = "true",
     .help = "Write a line with the reason for each client that leaves."},
    {.key = "log_pooler_errors", AT_WEIR(log_pooler_errors),
     .type = SCHEMA_BOOL, .applies = SCHEMA_LIVE, .default_text = "true",
     .help = "Write a line for each error with which weir itself, not a server, ends a client."},

    {.topic = "Pools",
     .key = "pool_mode", AT_ALL_LEVELS(pool_mode),
     .type = SCHEMA_ENUM, .applies = SCHEMA_LIVE, .choices = pool_modes,
     .default_text = "transaction",
     .help = "How long a client keeps a server: \"session\", until it leaves; \"transaction\", "
             "until its transaction ends; \"statement\", until its statement ends, and "
             "transaction blocks are refused."},
    {.key = "pool_size", .weir_key = "default_pool_size", AT_ALL_LEVELS(pool_size),
     .type = SCHEMA_INTEGER, .applies = SCHEMA_LIVE, .min = 1, .max = POOL_SIZE_MAX,
     .default_text = "20",
     .help = "Most server connections of one pool, that is of one pair of database and user. A "
             "replication client has one of its own, for which an idle one is closed where the pool is "
             "full."},
    {.key = "min_pool_size", AT_ALL_LEVELS(min_pool_size),
     .type = SCHEMA_INTEGER, .applies = SCHEMA_LIVE, .max = POOL_SIZE_MAX, .default_text = "0",
     .help = "Server connections that a pool keeps open even when nobody needs them, from its first "
             "use on. At most the pool's size."},
    {.key = "max_db_connections",
     AT_LEVELS(max_db_connections, SCHEMA_WEIR | SCHEMA_DATABASES),
     .type = SCHEMA_INTEGER, .applies = SCHEMA_LIVE, .min = 1, .max = CLIENTS_MAX,
     .zero = "no limit", .default_text = "0",
     .help = "Most server connections to one database, all its users' pools together."},
    {.key = "max_user_connections",
     AT_LEVELS(max_user_connections, SCHEMA_WEIR | SCHEMA_USERS),
     .type = SCHEMA_INTEGER, .applies = SCHEMA_LIVE, .min = 1, .max = CLIENTS_MAX,
     .zero = "no limit", .default_text = "0",
     .help = "Most server connections of one user, pools of all databases together."},
    {.key = "query_wait_timeout", AT_ALL_LEVELS(query_wait_timeout_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_LIVE, .min = NS_PER_MS, .max = YEAR,
     .zero = "no limit", .default_text = "2min",
     .help = "How long a query may wait for a server. Then its client is told so and is "
             "disconnected. On a pool that never had a server the login waits, as long at most."},
    {.key = "pipeline_hold", AT_ALL_LEVELS(pipeline_hold_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_LIVE, .max = HOUR, .default_text = "10ms",
     .help = "When others have waited this long, a client that pipelines without a pause gives "
             "its server back at the end of a batch."},
    {.key = "client_idle_timeout", AT_ALL_LEVELS(client_idle_timeout_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_LIVE, .min = 100 * NS_PER_MS, .max = YEAR,
     .zero = "never", .default_text = "0",
     .help = "A client that does nothing for this long outside of a transaction is disconnected."},
    {.key = "client_write_timeout", AT_ALL_LEVELS(client_write_timeout_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_LIVE, .min = 100 * NS_PER_MS, .max = YEAR,
     .zero = "never", .default_text = "0",
     .help = "A client so slow that its server is not read any more, because too much data waits "
             "for it (256 kB, less where the arena is small or fills), is disconnected when it "
             "takes none of that for this long."},
    {.key = "server_connect_timeout", AT_ALL_LEVELS(server_connect_timeout_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_NEW_CONNECTIONS, .min = 10 * NS_PER_MS,
     .max = HOUR, .default_text = "15s",
     .help = "How long connecting to a server and logging in there may take, and how long "
             "delivering a cancel request to it."},
    {.key = "server_login_retry", AT_ALL_LEVELS(server_login_retry_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_LIVE, .min = 10 * NS_PER_MS, .max = HOUR,
     .default_text = "15s",
     .help = "Pause after a failed login at a server before the next attempt."},
    {.key = "server_idle_timeout", AT_ALL_LEVELS(server_idle_timeout_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_LIVE, .min = 100 * NS_PER_MS, .max = YEAR,
     .zero = "never", .default_text = "10min",
     .help = "A server connection that nobody used for this long is closed."},
    {.key = "server_lifetime", AT_ALL_LEVELS(server_lifetime_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_LIVE, .min = NS_PER_S, .max = YEAR,
     .default_text = "1h",
     .help = "A server connection older than this is replaced when it is next free."},
    {.key = "max_prepared_statements", AT_ALL_LEVELS(max_prepared_statements),
     .type = SCHEMA_INTEGER, .applies = SCHEMA_LIVE, .max = 10000, .zero = "off",
     .default_text = "200",
     .help = "Prepared statements of the protocol work in transaction and statement mode, whichever "
             "server a client gets; a server keeps this many of them. With 0 they are the servers' "
             "own, and clients find there what others have prepared."},
    {.key = "session_drain_timeout", AT_ALL_LEVELS(session_drain_timeout_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_LIVE, .min = 100 * NS_PER_MS, .max = YEAR,
     .zero = "never", .default_text = "0",
     .help = "Has no effect yet. When a reload has moved a database elsewhere: how long a client in "
             "session mode may keep its old server. It is then ended with 57P01 as soon as it is "
             "idle."},
    {.key = "fail_fast", AT_ALL_LEVELS(fail_fast),
     .type = SCHEMA_BOOL, .applies = SCHEMA_LIVE, .default_text = "false",
     .help = "When a server cannot be reached, tell waiting clients at once instead of letting "
             "them wait up to query_wait_timeout for it to come back."},
    {.key = "reset", AT_ALL_LEVELS(reset),
     .type = SCHEMA_ENUM, .applies = SCHEMA_LIVE, .choices = resets, .default_text = "suspect",
     .help = "In transaction and statement mode, when a server is asked what a client left behind "
             "that outlives transactions, before another client gets it: \"always\", \"suspect\" "
             "(when something that may leave traces was run) or \"never\". Settings and statements "
             "of PREPARE go with their client, temporary tables, advisory locks, LISTEN and cursors "
             "are dropped. With \"suspect\" idle servers are asked, too, about once a minute when "
             "they were used: SHOW STATE. In session mode all is dropped when a client leaves."},
    {.key = "client_lost", AT_ALL_LEVELS(client_lost),
     .type = SCHEMA_ENUM, .applies = SCHEMA_LIVE, .choices = client_losts,
     .default_text = "cancel",
     .help = "What happens to the running query of a client that vanishes without saying goodbye: "
             "\"cancel\" stops it, \"finish\" lets it run to its end as PostgreSQL does."},
    {.key = "client_lost_drain", AT_ALL_LEVELS(client_lost_drain),
     .type = SCHEMA_SIZE, .applies = SCHEMA_LIVE, .max = TIB, .default_text = "1MB",
     .help = "How much of a vanished client's answer is read and dropped in order to keep its "
             "server. If there is more, the server is closed."},
    {.key = "client_lost_drain_timeout", AT_ALL_LEVELS(client_lost_drain_timeout_ns),
     .type = SCHEMA_DURATION, .applies = SCHEMA_LIVE, .max = HOUR, .default_text = "1s",
     .help = "How long that reading may take before the server is closed; with client_lost = "
             "\"cancel\" also how long the cancel may take."},

    {.topic = "Memory",
     .key = "prepared_statements_memory", AT_WEIR(prepared_statements_memory),
     .type = SCHEMA_SIZE, .applies = SCHEMA_RESTART, .min = MIB, .max = TIB,
     .default_text = "64MB",
     .help = "Memory for prepared statements: their texts, each kept once however many clients "
             "prepare it, and clients' names for them. One client gets half of it and 16384 names "
             "at most. A Parse for which there is no room fails with 53200."},
    {.key = "arena", AT_WEIR(arena),
     .type = SCHEMA_GROUP, .applies = SCHEMA_RESTART,
     .help = "Memory for data that waits for a slow peer, one mapping made at start."},
    {.key = "chunk_size", AT_ARENA(chunk_size),
     .type = SCHEMA_SIZE, .applies = SCHEMA_RESTART, .power_of_two = true, .min = 4 * KIB,
     .max = MIB, .default_text = "64kB",
     .help = "Size of one piece of the memory in which data waits for slow peers."},
    {.key = "total_size", AT_ARENA(total_size),
     .type = SCHEMA_SIZE, .applies = SCHEMA_RESTART, .min = 64 * KIB, .max = TIB,
     .default_text = "256MB",
     .help = "Size of the whole, rounded down to full chunks. Give this or chunks_count, not "
             "both."},
    {.key = "chunks_count", AT_ARENA(chunks_count),
     .type = SCHEMA_INTEGER, .applies = SCHEMA_RESTART, .min = 1, .max = INT32_MAX,
     .zero = "as many as fit into total_size", .default_text = "0",
     .help = "Size of the whole as a number of chunks."},
    {.key = "prefault", AT_ARENA(prefault),
     .type = SCHEMA_BOOL, .applies = SCHEMA_RESTART, .default_text = "false",
     .help = "Take all of it from the machine at start instead of when it is first needed."},

    {.key = "name", AT_DATABASE(name),
     .type = SCHEMA_STRING, .applies = SCHEMA_LIVE, .required = true, .min = 1,
     .max = CONF_NAME_MAX,
     .help = "The name that clients ask for. \"*\" serves every name that has no entry of its "
             "own; \"weir\" and \"pgbouncer\" are the admin console and cannot be used."},
    {.key = "host", AT_DATABASE(host),
     .type = SCHEMA_STRING, .applies = SCHEMA_LIVE, .min = 1, .max = 255,
     .default_text = "127.0.0.1",
     .help = "The server: a host name, an address, or the folder of its Unix socket (starts with "
             "/)."},
    {.key = "port", AT_DATABASE(port),
     .type = SCHEMA_INTEGER, .applies = SCHEMA_LIVE, .min = 1, .max = 65535,
     .default_text = "5432",
     .help = "The server's port."},
    {.key = "dbname", AT_DATABASE(dbname),
     .type = SCHEMA_STRING, .applies = SCHEMA_LIVE, .max = CONF_NAME_MAX,
     .zero = "the name that the client asked for", .default_text = "",
     .help = "The database's name on the server."},
    {.key = "user", AT_DATABASE(user),
     .type = SCHEMA_STRING, .applies = SCHEMA_LIVE, .max = CONF_NAME_MAX,
     .zero = "the user who logged in to weir", .default_text = "",
     .help = "The user who logs in at the server, whoever the client is. All clients share one "
             "pool then."},
    {.key = "password", AT_DATABASE(password),
     .type = SCHEMA_STRING, .applies = SCHEMA_NEW_CONNECTIONS, .secret = true, .max = TEXT_MAX,
     .zero = "the user's secret from auth_file", .default_text = "",
     .help = "The password for logging in at the server."},

    {.key = "name", AT_USER(name),
     .type = SCHEMA_STRING, .applies = SCHEMA_LIVE, .required = true, .min = 1,
     .max = CONF_NAME_MAX,
     .help = "The user who logs in at the server."},
};
/* clang-format on */

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

const struct schema_row *schema_rows(size_t *n_rows)
{
    *n_rows = N_ROWS;
    return rows;
}

const char *schema_key(const struct schema_row *row, enum schema_section section)
{
    return section == SCHEMA_WEIR && row->weir_key != NULL ? row->weir_key : row->key;
}

const struct schema_row *schema_find(enum schema_section section, const char *key)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        if ((rows[i].sections & section) != 0 && strcmp(schema_key(&rows[i], section), key) == 0)
            return &rows[i];
    }
    return NULL;
}

const char *schema_other_name(enum schema_section section, const char *key)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        if ((rows[i].sections & section) != 0 && rows[i].weir_key != NULL &&
            (strcmp(key, rows[i].key) == 0 || strcmp(key, rows[i].weir_key) == 0))
            return schema_key(&rows[i], section);
    }
    return NULL;
}

uint64_t schema_policy_bit(const struct schema_row *row)
{
    size_t first = 0;

    while (!rows[first].policy)
        first++;

    size_t bit = (size_t)(row - rows) - first;

    ASSERT(row->policy && bit < 64);
    return UINT64_C(1) << bit;
}

/* How many letters must be added, dropped or changed to make b of a (Levenshtein). Keys longer
 * than the row of the matrix are simply far from everything. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], n_a = strlen(a), n_b = strlen(b);

    if (n_b + 1 > sizeof(row) / sizeof(row[0]) || n_a > n_b + 8)
        return SIZE_MAX;
    for (size_t j = 0; j <= n_b; j++)
        row[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);
            size_t shift = (row[j - 1] < row[j] ? row[j - 1] : row[j]) + 1;

            diagonal = row[j];
            row[j] = change < shift ? change : shift;
        }
    }
    return row[n_b];
}

const char *schema_suggest(enum schema_section section, const char *key)
{
    const char *best = NULL;
    size_t best_distance = strlen(key) / 3 + 1;

    for (size_t i = 0; i < N_ROWS; i++) {
        if ((rows[i].sections & section) == 0)
            continue;

        const char *candidate = schema_key(&rows[i], section);
        size_t d = distance(key, candidate);

        if (d <= best_distance && (best == NULL || d < best_distance)) {
            best = candidate;
            best_distance = d;
        }
    }
    return best;
}
