/*
 * Helpers under load: several threads submit, every job runs exactly once and is answered exactly
 * once, also those still queued when jobs_free() is called.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "weir/base/jobs.h"

#define N_SUBMITTERS 4
#define N_EACH 20000

struct task {
    struct job job;
    unsigned n_run, n_done; /* written by the one helper that has the job, read after jobs_free() */
};

struct submitter {
    pthread_t thread;
    struct jobs *jobs;
    struct task *tasks;
};

static void run(struct job *j)
{
    LIST_ITEM(j, struct task, job)->n_run++;
}

static void done(struct job *j)
{
    LIST_ITEM(j, struct task, job)->n_done++;
}

static void *submit_all(void *arg)
{
    struct submitter *s = arg;

    for (unsigned i = 0; i < N_EACH; i++) {
        s->tasks[i].job = (struct job){.run = run, .done = done};
        jobs_submit(s->jobs, &s->tasks[i].job);
    }
    return NULL;
}

int main(void)
{
    static struct task tasks[N_SUBMITTERS][N_EACH];
    struct submitter submitters[N_SUBMITTERS];
    struct jobs *jobs;
    unsigned n_wrong = 0;

    if (jobs_new(&jobs, 3) != 0)
        return 1;
    for (unsigned i = 0; i < N_SUBMITTERS; i++) {
        submitters[i] = (struct submitter){.jobs = jobs, .tasks = tasks[i]};
        if (pthread_create(&submitters[i].thread, NULL, submit_all, &submitters[i]) != 0)
            return 1;
    }
    for (unsigned i = 0; i < N_SUBMITTERS; i++)
        pthread_join(submitters[i].thread, NULL);
    jobs_free(jobs);
    for (unsigned i = 0; i < N_SUBMITTERS; i++)
        for (unsigned k = 0; k < N_EACH; k++)
            n_wrong += tasks[i][k].n_run != 1 || tasks[i][k].n_done != 1;
    printf("%u jobs, %u of them not run and answered exactly once\n", N_SUBMITTERS * N_EACH,
           n_wrong);
    return n_wrong != 0;
}
