/*
 * A reactor: one thread that turns one loop, pinned to a CPU where the configuration wants that.
 * Control makes them, tells them to stop and hears by mail when they have.
 */
#ifndef WEIR_DAEMON_REACTOR_H
#define WEIR_DAEMON_REACTOR_H

#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>

#include "weir/base/arena.h"
#include "weir/base/check.h"
#include "weir/base/log.h"
#include "weir/base/mailbox.h"
#include "weir/io/loop.h"

#define REACTOR_UNPINNED (-1)

struct reactor_config {
    unsigned index;
    int cpu; /* REACTOR_UNPINNED, or the CPU to stay on */
    enum loop_engine engine;
    struct arena *arena;  /* outlives the reactor */
    struct loop *control; /* is sent `ended` */
    struct log *log;
};

/* Owned by: control, which alone calls the functions below; `loop` turns on the reactor's thread.
 */
struct reactor {
    struct reactor_config config;
    char name[16]; /* of the thread, in the log and for the kernel: "reactor-0" */
    struct loop *loop;
    pthread_t thread;
    struct mail stop;  /* control to reactor */
    struct mail ended; /* reactor to control, the last thing that it does */
    int status;        /* 0 or -errno of its loop; written by the reactor before it sends `ended` */
    sem_t released;    /* no more mail will be sent: the reactor may free its loop */
};

/* 0 or -errno, and then there is no thread. r does not move while the reactor runs. */
NODISCARD int reactor_start(struct reactor *r, const struct reactor_config *config);

/* Once. `ended` follows, unless it is under way already. */
void reactor_stop(struct reactor *r);

/* Waits for the thread, whose `ended` has come. */
void reactor_join(struct reactor *r);

#endif
