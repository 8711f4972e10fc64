/*
 * The queue of jobs and the threads that work it off.
 */
#include "weir/base/jobs.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#define JOBS_THREADS_MAX 16

struct jobs {
    pthread_mutex_t mutex; /* covers everything below but threads and n_threads */
    pthread_cond_t work;   /* signalled when the queue grows or stopping is set */
    struct list queue;
    bool stopping;
    unsigned n_threads; /* set by jobs_new() */
    pthread_t threads[JOBS_THREADS_MAX];
};

/* The next job, or NULL when it is time to end. Called and returns with the mutex held. */
static struct job *next_job(struct jobs *js)
{
    struct list_link *link;

    while ((link = list_pop_front(&js->queue)) == NULL && !js->stopping)
        pthread_cond_wait(&js->work, &js->mutex);
    return link == NULL ? NULL : LIST_ITEM(link, struct job, link);
}

static void *helper_main(void *arg)
{
    struct jobs *js = arg;
    struct job *j;

    pthread_setname_np(pthread_self(), "weir-helper");
    pthread_mutex_lock(&js->mutex);
    while ((j = next_job(js)) != NULL) {
        pthread_mutex_unlock(&js->mutex);
        j->run(j);
        j->done(j); /* j may be gone now */
        pthread_mutex_lock(&js->mutex);
    }
    pthread_mutex_unlock(&js->mutex);
    return NULL;
}

int jobs_new(struct jobs **out, unsigned n_threads)
{
    struct jobs *js;

    if (n_threads < 1 || n_threads > JOBS_THREADS_MAX)
        return -EINVAL;
    js = calloc(1, sizeof(*js));
    if (js == NULL)
        return -ENOMEM;
    pthread_mutex_init(&js->mutex, NULL);
    pthread_cond_init(&js->work, NULL);
    list_init(&js->queue);
    while (js->n_threads < n_threads) {
        int error = pthread_create(&js->threads[js->n_threads], NULL, helper_main, js);

        if (error != 0) {
            jobs_free(js);
            return -error;
        }
        js->n_threads++;
    }
    *out = js;
    return 0;
}

void jobs_free(struct jobs *js)
{
    if (js == NULL)
        return;
    pthread_mutex_lock(&js->mutex);
    js->stopping = true;
    pthread_cond_broadcast(&js->work);
    pthread_mutex_unlock(&js->mutex);
    for (unsigned i = 0; i < js->n_threads; i++)
        pthread_join(js->threads[i], NULL);
    pthread_cond_destroy(&js->work);
    pthread_mutex_destroy(&js->mutex);
    free(js);
}

void jobs_submit(struct jobs *js, struct job *j)
{
    pthread_mutex_lock(&js->mutex);
    ASSERT(!js->stopping);
    list_push_back(&js->queue, &j->link);
    pthread_cond_signal(&js->work);
    pthread_mutex_unlock(&js->mutex);
}
