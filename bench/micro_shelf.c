/*
 * What the pool's primitives cost when many threads use them at once: shelves, demand words and
 * mailboxes, at 1 to 16 threads, each pinned to one of the CPUs in turn. A figure is CPU time per
 * operation, in ns, the mean of all threads, the median of several runs. Threads of one CPU take
 * turns: they do not fight for a line, so the column of as many threads as CPUs is the dearest.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "weir/base/clock.h"
#include "weir/base/demand.h"
#include "weir/base/mailbox.h"
#include "weir/base/shelf.h"

#define N_THREADS_MAX 16
#define N_OPS_ALL 4000000 /* of all threads together */
#define N_RUNS 5
#define N_LETTERS 64
#define VICTIM N_THREADS_MAX /* the reactor that is stolen from */

struct letter {
    struct mail mail;
    atomic_bool at_home;
};

/* What one thread has, as a reactor would. */
struct member {
    struct shelf shelf;
    struct mailbox box;
    struct demand demand;
    struct bench *bench;
    unsigned id;
    unsigned n_ops;
    uint64_t cpu_ns; /* spent */
    struct letter letters[N_LETTERS];
};

struct bench {
    struct shelves shelves;
    struct shelf victim;
    struct demand wanted; /* of all */
    _Atomic(struct shelf *) each[N_THREADS_MAX + 1];
    atomic_uint n_missing; /* threads that have not come to the start */
    unsigned n_threads;
    void (*run)(struct member *);
    cpu_set_t cpus; /* that we may use */
    struct member members[N_THREADS_MAX];
};

static void own_shelf(struct member *me)
{
    struct shelves *v = &me->bench->shelves;

    shelves_give(v, me->id, me->id);
    for (unsigned i = 0; i < me->n_ops; i++)
        shelves_give(v, me->id, shelves_take(v, me->id));
    (void)!shelf_take_this(&me->shelf, me->id);
}

static void steal(struct member *me)
{
    struct shelves *v = &me->bench->shelves;

    shelves_give(v, VICTIM, me->id);
    for (unsigned i = 0; i < me->n_ops; i++) {
        unsigned number = shelves_take(v, me->id);

        if (number != SHELF_NONE)
            shelves_give(v, VICTIM, number);
    }
    while (shelves_take(v, me->id) == SHELF_NONE)
        sched_yield(); /* another one has ours in its hand, and will give it back */
}

static void nothing_idle(struct member *me)
{
    for (unsigned i = 0; i < me->n_ops; i++)
        (void)!shelves_take(&me->bench->shelves, me->id);
}

static void own_demand(struct member *me)
{
    for (unsigned i = 0; i < me->n_ops; i++) {
        demand_set(&me->demand, 1);
        if (demand_claim(&me->demand))
            demand_arrived(&me->demand, 0);
    }
}

static void one_demand(struct member *me)
{
    for (unsigned i = 0; i < me->n_ops; i++)
        if (demand_claim(&me->bench->wanted))
            demand_arrived(&me->bench->wanted, N_THREADS_MAX);
}

static void own_mailbox(struct member *me)
{
    for (unsigned i = 0; i < me->n_ops; i++) {
        (void)!mailbox_push(&me->box, &me->letters[0].mail);
        (void)!mailbox_take_all(&me->box);
    }
}

static void post(struct mailbox *to, struct letter *l)
{
    /* acquire: pairs with the release in read_box() */
    while (!atomic_load_explicit(&l->at_home, memory_order_acquire))
        sched_yield();
    atomic_store_explicit(&l->at_home, false, memory_order_relaxed);
    (void)!mailbox_push(to, &l->mail);
}

static unsigned read_box(struct mailbox *box)
{
    unsigned n = 0;

    for (struct mail *m = mailbox_take_all(box), *next; m != NULL; m = next, n++) {
        struct letter *l = CONTAINER_OF(m, struct letter, mail);

        next = m->next;
        /* release: pairs with the acquire in post() */
        atomic_store_explicit(&l->at_home, true, memory_order_release);
    }
    return n;
}

/* Everybody posts to the first, who also reads. */
static void one_mailbox(struct member *me)
{
    struct mailbox *box = &me->bench->members[0].box;
    unsigned left = me->n_ops * me->bench->n_threads;

    for (unsigned i = 0; i < me->n_ops; i++) {
        if (me->id == 0 && i % N_LETTERS == 0)
            left -= read_box(box);
        post(box, &me->letters[i % N_LETTERS]);
    }
    while (me->id == 0 && left > 0) {
        unsigned n = read_box(box);

        left -= n;
        if (n == 0)
            sched_yield();
    }
}

/* ---- measuring */

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* The CPUs in turn: left alone, threads that start together may all run on one. */
static void pin(const cpu_set_t *allowed, unsigned id)
{
    unsigned skip = id % (unsigned)CPU_COUNT(allowed);
    cpu_set_t one;
    int cpu = 0;

    while (!CPU_ISSET(cpu, allowed) || skip-- > 0)
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    (void)pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
}

static void *member_main(void *arg)
{
    struct member *me = arg;
    struct bench *b = me->bench;
    uint64_t before_ns;

    pin(&b->cpus, me->id);
    atomic_fetch_sub_explicit(&b->n_missing, 1, memory_order_seq_cst);
    while (atomic_load_explicit(&b->n_missing, memory_order_seq_cst) > 0)
        sched_yield();
    before_ns = cpu_ns();
    b->run(me);
    me->cpu_ns = cpu_ns() - before_ns;
    return NULL;
}

static void init(struct bench *b, unsigned n_threads, void (*run)(struct member *))
{
    atomic_init(&b->n_missing, n_threads);
    b->n_threads = n_threads;
    b->run = run;
    shelves_init(&b->shelves, N_THREADS_MAX + 1, b->each);
    shelf_init(&b->victim);
    (void)!shelves_add(&b->shelves, VICTIM, &b->victim);
    demand_init(&b->wanted);
    demand_set(&b->wanted, N_THREADS_MAX);
    for (unsigned i = 0; i < n_threads; i++) {
        struct member *me = &b->members[i];

        me->bench = b;
        me->id = i;
        me->n_ops = N_OPS_ALL / n_threads;
        shelf_init(&me->shelf);
        (void)!shelves_add(&b->shelves, i, &me->shelf);
        mailbox_init(&me->box);
        demand_init(&me->demand);
        for (unsigned k = 0; k < N_LETTERS; k++)
            atomic_init(&me->letters[k].at_home, true);
    }
}

/* ns per operation. */
static double run_once(struct bench *b, unsigned n_threads, void (*run)(struct member *))
{
    pthread_t threads[N_THREADS_MAX];
    uint64_t sum_ns = 0, n_ops = 0;

    init(b, n_threads, run);
    for (unsigned i = 0; i < n_threads; i++)
        if (pthread_create(&threads[i], NULL, member_main, &b->members[i]) != 0)
            exit(EXIT_FAILURE); /* NOLINT(concurrency-mt-unsafe): the others wait for this one */
    for (unsigned i = 0; i < n_threads; i++) {
        pthread_join(threads[i], NULL);
        sum_ns += b->members[i].cpu_ns;
        n_ops += b->members[i].n_ops;
    }
    return (double)sum_ns / (double)n_ops;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double median_of_runs(struct bench *b, unsigned n_threads, void (*run)(struct member *))
{
    double ns[N_RUNS];

    for (int i = 0; i < N_RUNS; i++)
        ns[i] = run_once(b, n_threads, run);
    qsort(ns, N_RUNS, sizeof(ns[0]), compare);
    return ns[N_RUNS / 2];
}

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(struct member *);
    } rows[] = {
        {"own shelf: take, give", own_shelf},
        {"another's shelf: steal, give back", steal},
        {"nothing idle anywhere: take", nothing_idle},
        {"own demand: set, claim, arrived", own_demand},
        {"one demand for all: claim, arrived", one_demand},
        {"own mailbox: push, take", own_mailbox},
        {"one mailbox for all: push, take", one_mailbox},
    };
    struct bench *b = aligned_alloc(CACHE_LINE, sizeof(*b));

    if (b == NULL || sched_getaffinity(0, sizeof(b->cpus), &b->cpus) != 0)
        return EXIT_FAILURE;
    printf("CPU ns per operation on %d CPUs; more threads than that take turns\n",
           CPU_COUNT(&b->cpus));
    printf("%-36s", "threads");
    for (unsigned n = 1; n <= N_THREADS_MAX; n *= 2)
        printf("%8u", n);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        printf("\n%-36s", rows[i].name);
        for (unsigned n = 1; n <= N_THREADS_MAX; n *= 2)
            printf("%8.1f", median_of_runs(b, n, rows[i].run));
        fflush(stdout);
    }
    printf("\n");
    free(b);
    return EXIT_SUCCESS;
}
