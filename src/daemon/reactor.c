/*
 * The thread of a reactor. It frees its loop itself, because a loop is its thread's from the first
 * turn on, but not before control has said that nothing will be posted to it any more.
 */
#include "reactor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpus.h"

static void on_end(struct letter *l, struct thread *self)
{
    (void)l;
    loop_stop(self->loop);
}

/* The log's writer may not get to it before the process ends, so the last line goes out at once. */
static void give_up(const struct reactor *r, int error)
{
    log_detach();
    log_error(NULL, "reactor cannot go on", "reactor=%u error=%s", r->thread->number,
              strerrordesc_np(-error));
    _exit(EXIT_FAILURE);
}

static void *run(void *ctx)
{
    struct reactor *r = ctx;
    int error = log_attach(r->log, r->name);

    if (error == 0)
        error = loop_run(r->thread->loop);
    if (error < 0)
        give_up(r, error);
    log_detach();
    while (sem_wait(&r->released) < 0)
        ASSERT(errno == EINTR);
    loop_free(r->thread->loop);
    return NULL;
}

int reactor_init(struct reactor *r, struct thread *t, struct loop_config config, struct log *log)
{
    config.on_mail = thread_open_mail;
    config.ctx = t;

    int error = loop_new(&t->loop, &config);

    if (error < 0)
        return error;
    *r = (struct reactor){.thread = t, .log = log, .end.open = on_end};
    snprintf(r->name, sizeof(r->name), "reactor-%u", t->number);
    sem_init(&r->released, 0, 0);
    return 0;
}

/* A CPU may have been taken away since the plan was made: slower then, but no reason not to run. */
static int create_thread(struct reactor *r)
{
    pthread_attr_t attr;
    int error = -EINVAL;

    pthread_attr_init(&attr);
    if (r->cpu != REACTOR_UNPINNED) {
        error = cpus_pin(&attr, (uint16_t)r->cpu);
        if (error == 0)
            error = -pthread_create(&r->id, &attr, run, r);
        if (error < 0)
            log_warning(NULL, "reactor cannot be pinned", "reactor=%u cpu=%d", r->thread->number,
                        r->cpu);
    }
    pthread_attr_destroy(&attr);
    return error < 0 ? -pthread_create(&r->id, NULL, run, r) : 0;
}

int reactor_start(struct reactor *r, int cpu)
{
    r->cpu = cpu;

    int error = create_thread(r);

    if (error < 0)
        return error;
    r->running = true;
    pthread_setname_np(r->id, r->name);
    return 0;
}

void reactor_end(struct reactor *r)
{
    thread_post(r->thread, &r->end);
}

void reactor_fini(struct reactor *r)
{
    if (r->thread == NULL)
        return;
    if (r->running) {
        sem_post(&r->released);
        pthread_join(r->id, NULL);
    } else {
        loop_free(r->thread->loop);
    }
    sem_destroy(&r->released);
    r->thread = NULL;
}
