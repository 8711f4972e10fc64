/*
 * A question belongs to two: to the helper that works on it and to the thread that waits. Whoever
 * is the second to say so in `state` has it for good: the helper that finds it dropped frees it,
 * and the thread that finds it answered has to expect the letter.
 */
#include "resolve.h"

#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "weir/base/jobs.h"

enum { RESOLVE_RUNNING, RESOLVE_ANSWERED, RESOLVE_DROPPED };

struct resolve {
    struct job job;
    struct letter letter;
    atomic_int state;
    struct thread *home;
    resolve_fn *done;
    void *ctx;
    char host[RESOLVE_HOST_MAX + 1];
    char port[sizeof("65535")];
    struct resolve_answer answer; /* the helper's until it is answered */
};

static void take_addresses(struct resolve_answer *out, const struct addrinfo *found)
{
    for (; found != NULL && out->n_addrs < RESOLVE_ADDRS_MAX; found = found->ai_next) {
        struct addr *a = &out->addrs[out->n_addrs];

        if (found->ai_addrlen > sizeof(a->un))
            continue;
        memcpy(&a->any, found->ai_addr, found->ai_addrlen);
        a->len = found->ai_addrlen;
        out->n_addrs++;
    }
}

static void ask(struct job *j)
{
    static const struct addrinfo hints = {
        .ai_flags = AI_NUMERICSERV, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct resolve *r = CONTAINER_OF(j, struct resolve, job);
    struct addrinfo *found;
    int error = getaddrinfo(r->host, r->port, &hints, &found);

    if (error != 0) {
        r->answer.error = gai_strerror(error);
        return;
    }
    take_addresses(&r->answer, found);
    freeaddrinfo(found);
    if (r->answer.n_addrs == 0)
        r->answer.error = gai_strerror(EAI_NODATA);
}

static void answer(struct job *j)
{
    struct resolve *r = CONTAINER_OF(j, struct resolve, job);
    int running = RESOLVE_RUNNING;

    /* Acquire: whoever dropped it has done with it. Pairs with resolve_drop(). */
    if (atomic_compare_exchange_strong_explicit(&r->state, &running, RESOLVE_ANSWERED,
                                                memory_order_acq_rel, memory_order_acquire))
        thread_post(r->home, &r->letter);
    else
        free(r);
}

static void arrived(struct letter *l, struct thread *self)
{
    struct resolve *r = CONTAINER_OF(l, struct resolve, letter);

    (void)self;
    r->done(r->ctx, &r->answer);
    free(r);
}

struct resolve *resolve_start(const struct resolve_config *config, struct thread *self)
{
    struct resolve *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return NULL;
    r->job.run = ask;
    r->job.done = answer;
    r->letter.open = arrived;
    r->home = self;
    r->done = config->done;
    r->ctx = config->ctx;
    (void)snprintf(r->host, sizeof(r->host), "%s", config->host);
    (void)snprintf(r->port, sizeof(r->port), "%u", (unsigned)(uint16_t)config->port);
    jobs_submit(config->jobs, &r->job);
    return r;
}

bool resolve_drop(struct resolve *r)
{
    int running = RESOLVE_RUNNING;

    /* Release: pairs with answer(). */
    return atomic_compare_exchange_strong_explicit(&r->state, &running, RESOLVE_DROPPED,
                                                   memory_order_release, memory_order_relaxed);
}
