/*
 * Asks a child process, `weir -t CONFIG`, whether a configuration can be loaded, before this
 * process tries: whatever kills the parser then kills only the child. Runs on: control.
 */
#ifndef WEIR_DAEMON_CHECKER_H
#define WEIR_DAEMON_CHECKER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "weir/base/check.h"
#include "weir/io/loop.h"

struct checker;

/* text: what the child wrote, or what happened to it; valid until the next checker_start(). */
typedef void checker_done_fn(struct checker *c, bool ok, const char *text);

/* Owned by: control, which embeds it. Idle or with one child. */
struct checker {
    struct loop *loop;
    checker_done_fn *done;
    struct loop_watch ended;  /* fd: the child's pidfd; -1: there is no child */
    struct wheel_timer limit; /* when the child is killed */
    int output;               /* a memfd that the child writes to */
    char text[4096];
};

void checker_init(struct checker *c, struct loop *loop, checker_done_fn *done);

/* Kills a child that still runs; done() is not called. Idempotent. */
void checker_fini(struct checker *c);

bool checker_busy(const struct checker *c);

/* Not while busy. 0, and done() is called later, from the loop; or -errno where no child can be
 * made. */
NODISCARD int checker_start(struct checker *c, const char *path);

#endif
