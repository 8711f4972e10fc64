/*
 * The console: the database "weir" (also "pgbouncer") through which administrators look at the
 * daemon. A client of it speaks simple Query, one command each: SHOW POOLS, for example.
 *
 * It is a service of the session layer. What other threads alone may look at is gathered by a round
 * (weir/pool/thread.h); the client may leave meanwhile.
 */
#ifndef WEIR_ADMIN_CONSOLE_H
#define WEIR_ADMIN_CONSOLE_H

#include "weir/base/check.h"

struct arena;
struct conf;
struct console;
struct crew;
struct pools;
struct service;

struct console_config {
    struct conf *conf;   /* the console takes a reference of its own */
    struct pools *pools; /* outlive the console, as the following do */
    struct crew *crew;
    struct arena *arena;
};

/* Main thread, before the crew runs. 0 or -ENOMEM. */
NODISCARD int console_new(struct console **out, const struct console_config *config);

/* After the crew has ended, no round being under way. NULL is fine. */
void console_free(struct console *c);

/* Lives as long as the console. */
struct service *console_service(struct console *c);

#endif
