/*
 * Signals as events of control's loop. They are blocked in every thread, so that none of them ever
 * interrupts a thread in the middle of something; QUIT alone keeps a handler, because it must work
 * even where control hangs.
 */
#ifndef WEIR_DAEMON_SIGNALS_H
#define WEIR_DAEMON_SIGNALS_H

#include "weir/base/check.h"
#include "weir/io/loop.h"

struct signals;

/* signum: SIGHUP, SIGTERM or SIGINT. */
typedef void signals_caught_fn(struct signals *s, int signum);

/* Runs on: control, which embeds it. */
struct signals {
    signals_caught_fn *caught;
    struct loop_watch watch;
};

/* Before the first thread is made: threads inherit the mask. 0 or -errno. */
NODISCARD int signals_prepare(void);

/* 0 or -errno. */
NODISCARD int signals_init(struct signals *s, struct loop *loop, signals_caught_fn *caught);

/* Idempotent. */
void signals_fini(struct signals *s);

#endif
