/*
 * What it costs to find a statement that is in the store, and to put it again: CPU ns per intern
 * and put, the mean of all threads, the best of several runs. Each thread has texts of its own, or
 * all have the same.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "weir/base/clock.h"
#include "weir/pool/statements.h"
#include "weir/pool/thread.h"

#define N_THREADS_MAX 2
#define N_RUNS 7
#define N_OPS 1000000 /* of each thread */
#define N_STATEMENTS 1024
#define LEN_MAX 4000
#define MAX_BYTES ((size_t)64 << 20)

struct bench {
    struct crew crew;
    struct statements *statements;
    pthread_barrier_t together;
};

struct member {
    struct bench *bench;
    struct thread *thread;
    unsigned n_texts;
    uint64_t cpu_ns;
    size_t len;
    uint8_t text[LEN_MAX];
};

/* The n-th text of this member. */
static struct span text_of(struct member *me, unsigned n)
{
    memcpy(me->text, &n, sizeof(n));
    return span_of(me->text, me->len);
}

static void intern(struct member *me, unsigned n)
{
    struct statements *ss = me->bench->statements;
    struct statement *s = statements_intern(ss, me->thread, text_of(me, n), 0);

    if (s == NULL)
        abort();
    statement_put(ss, me->thread, s);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static void *member_main(void *arg)
{
    struct member *me = arg;
    uint64_t start;

    for (unsigned i = 0; i < me->n_texts; i++)
        intern(me, i);
    pthread_barrier_wait(&me->bench->together);
    start = cpu_ns();
    for (unsigned i = 0, n = 0; i < N_OPS; i++) {
        intern(me, n);
        n = n + 1 < me->n_texts ? n + 1 : 0;
    }
    me->cpu_ns = cpu_ns() - start;
    return NULL;
}

/* ns per operation of one thread, the mean of all. */
static double run_once(struct bench *b, unsigned n_threads, struct member *members)
{
    pthread_t threads[N_THREADS_MAX];
    uint64_t sum_ns = 0;

    pthread_barrier_init(&b->together, NULL, n_threads);
    for (unsigned i = 0; i < n_threads; i++)
        if (pthread_create(&threads[i], NULL, member_main, &members[i]) != 0)
            abort();
    for (unsigned i = 0; i < n_threads; i++) {
        pthread_join(threads[i], NULL);
        sum_ns += members[i].cpu_ns;
    }
    pthread_barrier_destroy(&b->together);
    return (double)sum_ns / n_threads / N_OPS;
}

static void measure(const char *what, unsigned n_threads, unsigned n_texts, size_t len, bool shared)
{
    static struct bench b;
    static struct member members[N_THREADS_MAX];
    double best = 0;

    b.crew.n_reactors = n_threads;
    if (statements_new(&b.statements, &b.crew, MAX_BYTES, NULL) != 0)
        abort();
    for (unsigned i = 0; i < n_threads; i++) {
        struct member *me = &members[i];

        b.crew.threads[i] = (struct thread){.number = i, .crew = &b.crew};
        *me = (struct member){&b, &b.crew.threads[i], n_texts, 0, len, {0}};
        memset(me->text, shared ? 'x' : 'a' + (int)i, len);
    }
    for (unsigned i = 0; i < N_RUNS; i++) {
        double ns = run_once(&b, n_threads, members);

        best = i == 0 || ns < best ? ns : best;
    }
    printf("%-48s %7.1f ns\n", what, best);
    statements_free(b.statements);
}

int main(void)
{
    measure("1 thread, 1 text of 100 bytes", 1, 1, 100, false);
    measure("1 thread, 1,024 texts of 100 bytes", 1, N_STATEMENTS, 100, false);
    measure("1 thread, 1,024 texts of 1,000 bytes", 1, N_STATEMENTS, 1000, false);
    measure("1 thread, 1,024 texts of 4,000 bytes", 1, N_STATEMENTS, 4000, false);
    measure("2 threads, 1,024 texts of 100 bytes each", 2, N_STATEMENTS, 100, false);
    measure("2 threads, the same 1,024 texts of 100 bytes", 2, N_STATEMENTS, 100, true);
    measure("2 threads, the same text of 100 bytes", 2, 1, 100, true);
    return 0;
}
