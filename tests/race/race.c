/* Threads, deadlines, sleepers and pauses of the race tests. */
#include "race.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define SOAK_FACTOR 20

/* What yield_point() knows of the thread that comes by. Thread-local: yield points are deep in the
 * code under test and have no argument for it. */
struct here {
    struct race_pause *pause; /* stop at its point */
    struct random random;     /* or now and then give the core away */
};

static _Thread_local struct here here;

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct race race_begin(const char *name)
{
    const char *seed = getenv("RACE_SEED");
    struct race race = {
        .seed = seed != NULL ? strtoull(seed, NULL, 10) : 1,
        .factor = getenv("WEIR_SOAK") != NULL ? SOAK_FACTOR : 1,
    };

    race.deadline_ms = now_ms() + race.factor * RACE_DEADLINE_S * 1000;
    alarm((unsigned)race.factor * RACE_DEADLINE_S + 5); /* for hangs that nobody notices */
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%s: RACE_SEED=%" PRIu64 "\n", name, race.seed);
    return race;
}

void race_fail(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fputs("FAILED: ", stderr);
    vfprintf(stderr, fmt, args);
    fputs("\n", stderr);
    va_end(args);
    _exit(1);
}

struct random race_random(const struct race *race, unsigned thread)
{
    return (struct random){race->seed << 16 | thread};
}

/* ---- threads */

struct start {
    void (*fn)(void *);
    void *arg;
    struct random random;
    pthread_barrier_t *together;
};

static void *thread_main(void *arg)
{
    struct start *s = arg;

    here.random = s->random;
    pthread_barrier_wait(s->together);
    s->fn(s->arg);
    return NULL;
}

void race_yield(void)
{
    if (random_below(&here.random, 16) == 0)
        sched_yield();
}

void race_run(const struct race *race, unsigned n, void (*fn)(void *), void *args, size_t size)
{
    pthread_t *threads = calloc(n, sizeof(*threads));
    struct start *starts = calloc(n, sizeof(*starts));
    pthread_barrier_t together;

    RACE_CHECK(threads != NULL && starts != NULL && pthread_barrier_init(&together, NULL, n) == 0);
    for (unsigned i = 0; i < n; i++) {
        starts[i] =
            (struct start){fn, (char *)args + i * size, race_random(race, 1000 + i), &together};
        RACE_CHECK(pthread_create(&threads[i], NULL, thread_main, &starts[i]) == 0);
    }
    for (unsigned i = 0; i < n; i++)
        RACE_CHECK(pthread_join(threads[i], NULL) == 0);
    pthread_barrier_destroy(&together);
    free(starts);
    free(threads);
}

/* ---- a mailbox with a sleeper */

void race_box_init(struct race_box *b)
{
    mailbox_init(&b->mail);
    b->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    RACE_CHECK(b->event_fd >= 0);
    b->n_sleeps = 0;
}

void race_box_fini(struct race_box *b)
{
    close(b->event_fd);
}

void race_box_post(struct race_box *b, struct mail *m)
{
    if (mailbox_push(&b->mail, m))
        RACE_CHECK(eventfd_write(b->event_fd, 1) == 0);
}

static void sleep_on(struct race_box *b, const struct race *race)
{
    struct pollfd p = {.fd = b->event_fd, .events = POLLIN};
    eventfd_t n;
    int ready;

    do {
        uint64_t now = now_ms();

        if (now >= race->deadline_ms)
            race_fail("asleep until the deadline: a wake-up was lost, or nobody had one for us");
        ready = poll(&p, 1, (int)(race->deadline_ms - now));
    } while (ready <= 0);
    RACE_CHECK(eventfd_read(b->event_fd, &n) == 0);
}

void race_box_sleep(struct race_box *b, const struct race *race)
{
    if (!mailbox_sleep(&b->mail))
        return;
    b->n_sleeps++;
    sleep_on(b, race);
    mailbox_awake(&b->mail);
}

/* ---- pauses */

static void wait_for(sem_t *s)
{
    while (sem_wait(s) != 0)
        RACE_CHECK(errno == EINTR);
}

void yield_point(enum yield_point point)
{
    struct race_pause *p = here.pause;

    if (p != NULL && !p->to_the_end && p->at == point) {
        sem_post(&p->reached);
        wait_for(&p->go);
    } else {
        race_yield();
    }
}

static void *pause_main(void *arg)
{
    struct race_pause *p = arg;

    here.pause = p;
    p->fn(p->arg);
    if (!p->to_the_end)
        race_fail("yield point %d was not reached", (int)p->at);
    return NULL;
}

void race_pause_start(struct race_pause *p, enum yield_point at, void (*fn)(void *), void *arg)
{
    pthread_t thread;

    *p = (struct race_pause){.at = at, .fn = fn, .arg = arg};
    RACE_CHECK(sem_init(&p->reached, 0, 0) == 0 && sem_init(&p->go, 0, 0) == 0);
    RACE_CHECK(pthread_create(&thread, NULL, pause_main, p) == 0);
    p->thread = thread;
    wait_for(&p->reached);
}

void race_pause_move(struct race_pause *p, enum yield_point to)
{
    p->at = to;
    sem_post(&p->go);
    wait_for(&p->reached);
}

void race_pause_end(struct race_pause *p)
{
    p->to_the_end = true;
    sem_post(&p->go);
    RACE_CHECK(pthread_join(p->thread, NULL) == 0);
    sem_destroy(&p->reached);
    sem_destroy(&p->go);
}
