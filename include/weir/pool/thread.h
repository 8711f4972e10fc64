/*
 * What a thread of the daemon is to the layers above io: a number, a loop, and a way to be written
 * to.
 *
 * Reactors have the numbers 0 to n_reactors - 1, control has n_reactors. A letter is a piece of
 * mail that knows what is to be done with it; it is embedded in what it speaks of, so it can be in
 * one mailbox once, and belongs to the mailbox from thread_post() until open() is called.
 *
 * A round is a letter that visits every thread in turn and comes back: how one thread gathers what
 * the others alone may look at, without a lock.
 */
#ifndef WEIR_POOL_THREAD_H
#define WEIR_POOL_THREAD_H

#include "weir/base/check.h"
#include "weir/base/mailbox.h"
#include "weir/base/mask.h"
#include "weir/io/loop.h"

struct crew;
struct thread;

struct letter {
    struct mail mail;
    void (*open)(struct letter *l, struct thread *self); /* on the thread it was posted to */
};

/* A reactor or control. Set up before any thread starts; each pointer belongs to its layer. */
struct thread {
    unsigned number;
    struct loop *loop;
    struct crew *crew;
    void *session; /* the session layer's per-reactor state; NULL on control */
};

/* All threads of the process; read-only once they run. */
struct crew {
    unsigned n_reactors;
    struct thread threads[MASK_REACTORS_MAX + 1]; /* the last one in use is control */
};

static inline struct thread *crew_control(struct crew *c)
{
    return &c->threads[c->n_reactors];
}

static inline bool thread_is_control(const struct thread *t)
{
    return t->number == t->crew->n_reactors;
}

/* Any thread. */
static inline void thread_post(struct thread *to, struct letter *l)
{
    loop_post(to->loop, &l->mail);
}

/* The loop_mail_fn of every loop of the crew; ctx is its struct thread. */
void thread_open_mail(void *ctx, struct mail *m);

/* Belongs to the round from round_start() until done() is called. Plain data in what it is embedded
 * in travels with it. */
struct round {
    struct letter letter;
    unsigned home, next;
    void (*visit)(struct round *r, struct thread *self); /* on reactor 0, 1, ... and control */
    void (*done)(struct round *r, struct thread *self);  /* on the thread that started it */
};

/* visit and done are set. Always answered by done(), in a later turn. */
void round_start(struct round *r, struct thread *self);

#endif
