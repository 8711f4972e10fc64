/*
 * A loaded configuration: an immutable, counted snapshot. Whoever wants to keep one calls
 * conf_get(); the last conf_put() frees it and every string in it. Nothing is remembered from
 * earlier or failed loads.
 *
 * What each key means, its range and its default stand in one table, weir/conf/schema.h; this
 * header only says where the values are. Strings are never NULL: "" is what a key that was not
 * given holds. Times are nanoseconds, sizes bytes.
 */
#ifndef WEIR_CONF_CONF_H
#define WEIR_CONF_CONF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/base/check.h"
#include "weir/base/span.h"

/* PostgreSQL cuts names at NAMEDATALEN - 1 bytes; longer ones are refused here. */
#define CONF_NAME_MAX 63

/* In the order of the choices in the schema. */
enum conf_engine { CONF_ENGINE_AUTO, CONF_ENGINE_URING, CONF_ENGINE_EPOLL };
enum conf_switch { CONF_AUTO, CONF_ON, CONF_OFF };
enum conf_pool_mode { CONF_SESSION, CONF_TRANSACTION, CONF_STATEMENT };
enum conf_auth_type { CONF_AUTH_TRUST, CONF_AUTH_PASSWORD, CONF_AUTH_MD5, CONF_AUTH_SCRAM };
enum conf_client_lost { CONF_LOST_CANCEL, CONF_LOST_FINISH };
enum conf_reset { CONF_RESET_ALWAYS, CONF_RESET_SUSPECT, CONF_RESET_NEVER };
enum conf_log_level { CONF_LOG_DEBUG, CONF_LOG_INFO, CONF_LOG_WARNING, CONF_LOG_ERROR };

struct conf_list {
    const char *const *items;
    size_t n_items;
};

/* What can be set for all pools (under weir), for one database and for one user. The user's value
 * wins over the database's, that over weir's. */
struct conf_policy {
    uint64_t given; /* bit i: the i-th policy row of the schema was set at this level */

    enum conf_pool_mode pool_mode;
    uint32_t pool_size; /* under weir: default_pool_size */
    uint32_t min_pool_size;
    uint32_t max_db_connections;   /* 0: no limit */
    uint32_t max_user_connections; /* 0: no limit */

    uint32_t max_prepared_statements; /* 0: off */

    uint64_t query_wait_timeout_ns;  /* 0: wait for ever */
    uint64_t pipeline_hold_ns;       /* 0: at once */
    uint64_t client_idle_timeout_ns; /* 0: never */
    uint64_t client_write_timeout_ns;
    uint64_t server_connect_timeout_ns;
    uint64_t server_login_retry_ns;
    uint64_t server_idle_timeout_ns; /* 0: never */
    uint64_t server_lifetime_ns;
    uint64_t session_drain_timeout_ns; /* 0: never */
    bool fail_fast;

    enum conf_reset reset;
    enum conf_client_lost client_lost;
    uint64_t client_lost_drain; /* bytes */
    uint64_t client_lost_drain_timeout_ns;
};

/* Complete and consistent after a load, whichever form the file used: total_size = chunk_size x
 * chunks_count. */
struct conf_arena {
    uint64_t chunk_size; /* bytes, a power of two */
    uint64_t total_size; /* bytes */
    uint32_t chunks_count;
    bool prefault;
};

struct conf_weir {
    struct conf_policy policy; /* first, as in databases and users: one offset serves all three */

    struct conf_list listen_addr; /* "*" or numeric addresses; none: no TCP */
    uint32_t listen_port;
    uint32_t listen_backlog;
    const char *unix_socket_dir; /* "": no Unix socket */
    uint32_t unix_socket_mode;   /* permission bits */

    enum conf_engine engine;
    uint32_t reactors; /* 0: as many as there are CPUs to use */
    enum conf_switch pin_reactors;

    uint32_t max_client_conn;
    uint32_t max_pools;
    uint64_t client_login_timeout_ns; /* 0: never */
    uint64_t cancel_wait_timeout_ns;
    uint64_t shutdown_timeout_ns; /* 0: no limit */

    enum conf_auth_type auth_type;
    const char *auth_file;
    uint32_t scram_iterations;
    struct conf_list admin_users;
    struct conf_list stats_users;

    uint64_t tcp_keepalives_idle_ns; /* whole seconds */
    uint64_t tcp_keepalives_interval_ns;
    uint32_t tcp_keepalives_count;
    uint64_t tcp_user_timeout_ns; /* whole milliseconds; 0: off */
    uint64_t tcp_dead_after_ns;   /* 0: off */

    enum conf_log_level log_level;
    const char *logfile; /* "": standard error */
    bool log_connections;
    bool log_disconnections;
    bool log_pooler_errors;

    uint64_t prepared_statements_memory; /* bytes */
    struct conf_arena arena;
};

struct conf_database {
    struct conf_policy policy;
    const char *name; /* "*" serves every name that has no entry of its own */
    const char *host; /* a name, an address, or the folder of a Unix socket (starts with '/') */
    uint32_t port;
    const char *dbname; /* "": the name that the client asked for */
    const char *user;   /* "": the user who logged in */
    const char *password;
};

struct conf_user {
    struct conf_policy policy;
    const char *name;
};

struct conf {
    struct conf_weir weir;
    const struct conf_database *databases; /* sorted by name */
    size_t n_databases;
    const struct conf_user *users; /* sorted by name */
    size_t n_users;

    const char *path;          /* of the main file, absolute */
    struct conf_list warnings; /* sentences with file and line: legal, but likely a mistake */
    struct conf_block *memory; /* conf's own: all strings and lists */
    _Atomic uint32_t n_refs;   /* conf's own */
};

/* What went wrong, for people: file, line, key, what was found and what would be accepted. More
 * than one line where the text of the file helps. */
struct conf_error {
    char text[1024];
};

/* Reads and checks a configuration file and all it includes. 0, -EINVAL with error->text set, or
 * -ENOMEM. *out is set only on success and belongs to the caller. Any thread; blocks on files. */
NODISCARD int conf_load(const char *path, struct conf **out, struct conf_error *error);

/* The same for text in memory. path names it in messages, and relative file keys count from its
 * folder; no such file need exist. @include is refused. */
NODISCARD int conf_load_text(const char *path, struct span text, struct conf **out,
                             struct conf_error *error);

/* Any thread. */
struct conf *conf_get(struct conf *c);

/* Any thread. NULL is fine. */
void conf_put(struct conf *c);

/* Does this name of a database lead to the admin console? No entry of databases has it. Pure. */
NODISCARD bool conf_is_console(struct span database);

#endif
