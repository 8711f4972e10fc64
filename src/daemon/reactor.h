/*
 * A reactor: one thread that turns one loop, pinned to a CPU where the configuration wants that.
 * Control makes them, tells them to end and waits for them.
 *
 * The loop is made before the thread, so that what the kernel refuses is known before anything
 * runs, and others may put watches and listeners on it meanwhile. From its first turn on it is the
 * reactor's.
 */
#ifndef WEIR_DAEMON_REACTOR_H
#define WEIR_DAEMON_REACTOR_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "weir/base/check.h"
#include "weir/base/log.h"
#include "weir/io/loop.h"
#include "weir/pool/thread.h"

#define REACTOR_UNPINNED (-1)

/* Owned by: control, which alone calls the functions below. */
struct reactor {
    struct thread *thread; /* NULL: not made */
    struct log *log;
    int cpu;       /* REACTOR_UNPINNED, or the CPU to stay on */
    char name[16]; /* of the thread, in the log and for the kernel: "reactor-0" */
    pthread_t id;
    bool running;
    struct letter end; /* control to reactor */
    sem_t released;    /* no more mail will be sent: the reactor may free its loop */
};

/* Makes the loop of t, whose number is set; control's letters are opened with t. log and what
 * config names outlive the reactor. 0 or -errno, and then *r is as it was. */
NODISCARD int reactor_init(struct reactor *r, struct thread *t, struct loop_config config,
                           struct log *log);

/* Starts the thread. cpu: see above. 0 or -errno. r does not move any more. A loop that the kernel
 * lets go on no longer ends the process: its clients cannot even be told. */
NODISCARD int reactor_start(struct reactor *r, int cpu);

/* Once, and only if it runs. The loop ends with this turn: nothing may be open on it. */
void reactor_end(struct reactor *r);

/* Nothing will be posted to the reactor any more, and it has been told to end: waits for its
 * thread, if there is one, and frees what is left. Not made: no effect. */
void reactor_fini(struct reactor *r);

#endif
