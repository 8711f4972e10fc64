/*
 * Helpers: a few threads that do what takes too long for a reactor or for control (key derivation,
 * later directory look-ups and certificate files). They own no socket and no state: a job goes in,
 * an answer comes out by whatever done() does, usually a letter.
 *
 * Not on the path of a query, so a mutex and a condition do. Jobs run in the order they came.
 * Lock: jobs->mutex covers the queue and nothing else; no other lock is taken under it, and no
 * callback runs under it.
 */
#ifndef WEIR_BASE_JOBS_H
#define WEIR_BASE_JOBS_H

#include "weir/base/check.h"
#include "weir/base/list.h"

struct jobs;

/* Embedded in what it works for; belongs to the helpers from jobs_submit() until done() is called.
 */
struct job {
    struct list_link link;
    void (*run)(struct job *j); /* on a helper */
    void (*done)(
        struct job *j); /* on the same helper, right after; the job is the callee's again */
};

/* n_threads from 1 to 16. 0, -EINVAL, -ENOMEM or -EAGAIN (no thread to be had). */
NODISCARD int jobs_new(struct jobs **out, unsigned n_threads);

/* Runs what is queued, then ends the threads. NULL is fine. */
void jobs_free(struct jobs *js);

/* Any thread. */
void jobs_submit(struct jobs *js, struct job *j);

#endif
