/*
 * What the race tests share. They are plain programs, since Criterion does not run under TSan, and
 * are run in every build. Each is bounded and seeded; two environment variables change that:
 * RACE_SEED (default 1) and WEIR_SOAK (set: twenty times longer).
 * A seed fixes what each thread does, not how they interleave; where the order matters, a pause
 * forces it.
 */
#ifndef TESTS_RACE_H
#define TESTS_RACE_H

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/random.h"
#include "weir/base/check.h"
#include "weir/base/mailbox.h"
#include "weir/base/yield.h"

/* Seconds from race_begin() after which the program fails: somebody hangs. Times the factor. */
#define RACE_DEADLINE_S 110

struct race {
    uint64_t seed;
    uint64_t factor;      /* how many times longer */
    uint64_t deadline_ms; /* CLOCK_MONOTONIC */
};

/* Reads the environment, prints the seed, starts the deadline. Call first. */
struct race race_begin(const char *name);

/* Says what is wrong, and ends the program with status 1. */
__attribute__((noreturn)) void race_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);

#define RACE_CHECK(expr)                                                                           \
    do {                                                                                           \
        if (!(expr))                                                                               \
            race_fail("%s:%d: %s does not hold", __FILE__, __LINE__, #expr);                       \
    } while (0)

/* The random numbers of one thread. */
struct random race_random(const struct race *race, unsigned thread);

/* Now and then gives the core of this thread away: between steps that others may come
 * between. The yield points of the modules do the same. */
void race_yield(void);

/* Runs fn(arg of size `size` number 0 .. n - 1) in n threads and waits for all. In a build with
 * yield points each thread now and then gives its core away at one of them. */
void race_run(const struct race *race, unsigned n, void (*fn)(void *), void *args, size_t size);

/* A mailbox whose reader sleeps on an eventfd, the way a reactor does. */
struct race_box {
    struct mailbox mail;
    int event_fd;
    uint64_t n_sleeps; /* the reader's */
};

void race_box_init(struct race_box *b);
void race_box_fini(struct race_box *b);

/* Any thread. */
void race_box_post(struct race_box *b, struct mail *m);

/* The reader: sleeps unless there is mail. A sleep until the deadline fails the program. */
void race_box_sleep(struct race_box *b, const struct race *race);

/* One function in one thread of its own that stops at a yield point until it is told to go on. */
struct race_pause {
    enum yield_point at; /* written while the thread stands still */
    bool to_the_end;     /* stop no more; likewise */
    void (*fn)(void *);
    void *arg;
    sem_t reached, go;
    unsigned long thread;
};

/* Starts fn(arg) and returns when it stands at the point; fails if it ends before. */
void race_pause_start(struct race_pause *p, enum yield_point at, void (*fn)(void *), void *arg);

/* Lets it go on from where it stands, and returns when it stands at the next point. */
void race_pause_move(struct race_pause *p, enum yield_point to);

/* Lets it go on and waits for its end. */
void race_pause_end(struct race_pause *p);

#endif
