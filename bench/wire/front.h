/*
 * What echo and relay share: the loop with the engine that the command line names, and the
 * listening socket.
 */
#ifndef BENCH_WIRE_FRONT_H
#define BENCH_WIRE_FRONT_H

#include "weir/io/loop.h"

/* "io_uring", "io_uring-6.1" or "epoll"; ends the program where that cannot be had. */
struct loop *front_loop(const char *engine);

/* Accepts at place; accepted() gets the connections. Runs until the program is killed. */
__attribute__((noreturn)) void front_run(struct loop *l, const char *place,
                                         struct loop_listener *listener);

#endif
