/*
 * The thread of a reactor. The loop is made by control's thread, so that what the kernel refuses is
 * known before anything runs. From its first turn on it is the reactor's, which therefore frees it,
 * but not before control has said that nothing will be posted to it any more.
 */
#include "reactor.h"

#include <errno.h>
#include <stdio.h>

#include "cpus.h"
#include "weir/base/log.h"

static void on_mail(void *ctx, struct mail *m)
{
    struct reactor *r = ctx;

    ASSERT(m == &r->stop);
    loop_stop(r->loop);
}

static void *run(void *ctx)
{
    struct reactor *r = ctx;

    r->status = log_attach(r->config.log, r->name);
    if (r->status == 0)
        r->status = loop_run(r->loop);
    log_detach();
    loop_post(r->config.control, &r->ended);
    while (sem_wait(&r->released) < 0)
        ASSERT(errno == EINTR);
    loop_free(r->loop);
    return NULL;
}

/* A CPU may have been taken away since the plan was made: slower then, but no reason not to run. */
static int create_thread(struct reactor *r)
{
    pthread_attr_t attr;
    int error = -EINVAL;

    pthread_attr_init(&attr);
    if (r->config.cpu != REACTOR_UNPINNED) {
        error = cpus_pin(&attr, (uint16_t)r->config.cpu);
        if (error == 0)
            error = -pthread_create(&r->thread, &attr, run, r);
        if (error < 0)
            log_warning(NULL, "reactor cannot be pinned", "reactor=%u cpu=%d", r->config.index,
                        r->config.cpu);
    }
    pthread_attr_destroy(&attr);
    return error < 0 ? -pthread_create(&r->thread, NULL, run, r) : 0;
}

int reactor_start(struct reactor *r, const struct reactor_config *config)
{
    struct loop_config loop_config = {
        .engine = config->engine,
        .arena = config->arena,
        .on_mail = on_mail,
        .ctx = r,
    };

    *r = (struct reactor){.config = *config};
    snprintf(r->name, sizeof(r->name), "reactor-%u", config->index);

    int error = loop_new(&r->loop, &loop_config);

    if (error < 0)
        return error;
    sem_init(&r->released, 0, 0);
    error = create_thread(r);
    if (error < 0) {
        sem_destroy(&r->released);
        loop_free(r->loop);
        return error;
    }
    pthread_setname_np(r->thread, r->name);
    return 0;
}

void reactor_stop(struct reactor *r)
{
    loop_post(r->loop, &r->stop);
}

void reactor_join(struct reactor *r)
{
    sem_post(&r->released);
    pthread_join(r->thread, NULL);
    sem_destroy(&r->released);
}
