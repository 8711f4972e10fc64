/*
 * What the daemon is made of, from the arena up to the listening sockets: made by control in the
 * order of the layers before any reactor runs, and unmade the other way round after all have ended.
 *
 * All of it keeps the configuration of the start.
 */
#ifndef WEIR_DAEMON_PARTS_H
#define WEIR_DAEMON_PARTS_H

#include "cpus.h"
#include "listeners.h"
#include "logging.h"
#include "plan.h"
#include "reactor.h"
#include "weir/base/check.h"
#include "weir/conf/conf.h"
#include "weir/pool/thread.h"

struct arena;
struct console;
struct jobs;
struct keys;
struct pools;
struct sessions;
struct statements;
struct users;

/* Owned by: control. Zeroed: nothing is made. */
struct parts {
    struct conf *conf;
    struct log *log;
    struct plan plan;
    unsigned n_cpus;
    struct arena *arena;
    struct users *users;
    struct keys *keys;
    struct jobs *jobs;
    struct crew crew;
    struct reactor reactors[CPUS_MAX];
    struct pools *pools;
    struct statements *statements;
    struct console *console;
    struct sessions *sessions;
    struct listeners listeners;
};

/* Makes all, with a reference of its own to conf; nothing runs yet. 0, or -errno after an error in
 * the log; parts_fini() is called in either case. */
NODISCARD int parts_init(struct parts *p, struct conf *conf, struct log *log);

/* Starts the reactors: clients are accepted from here on. 0, or -errno after an error in the log,
 * and then none runs. */
NODISCARD int parts_start(struct parts *p);

/* The reactors end with their turn. Nothing may be open on their loops. */
void parts_end(struct parts *p);

/* After parts_end(), if the reactors run, and once control's loop turns no more and nothing is open
 * on it. */
void parts_fini(struct parts *p);

#endif
