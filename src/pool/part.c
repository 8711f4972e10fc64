/*
 * What one reactor has of a pool: how it is made, what control tells it, and what anybody may ask
 * of a pool. A letter's flag is set by who posts it and cleared by who reads it, before it acts:
 * so it is in one mailbox once, and what comes after the clearing is told anew.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "weir/base/clock.h"
#include "weir/pool/pool.h"

#include "fifo.h"
#include "internal.h"

/* ---- letters ---- */

/* The clients that wait for a greeting may go on, or are told that none will come. */
static void answer_awaiting(struct pool_part *part, struct thread *self,
                            const struct pool_failure *failure)
{
    struct list answered; /* those who come meanwhile are not */
    struct list_link *link;

    list_init(&answered);
    list_splice_back(&answered, &part->awaiting);
    mask_clear(&part->pool->awaiting, self->number);
    while ((link = list_pop_front(&answered)) != NULL) {
        struct waiter *w = LIST_ITEM(link, struct waiter, link);

        if (failure == NULL)
            w->served(w, self, NULL);
        else
            w->failed(w, self, failure);
    }
}

static void read_look(struct letter *l, struct thread *self)
{
    struct pool_part *part = CONTAINER_OF(l, struct pool_part, look);

    atomic_store_explicit(&part->look_posted, false, memory_order_seq_cst); /* pairs with tell() */
    if (pool_greeting(part->pool) != NULL)
        answer_awaiting(part, self, NULL);
    pool_look(part, self);
}

static void read_failed(struct letter *l, struct thread *self)
{
    struct pool_part *part = CONTAINER_OF(l, struct pool_part, failed);
    unsigned n = part->n_waiters; /* those who come meanwhile are told by their own letter */
    const struct pool_failure *why;
    struct waiter *w;

    atomic_store_explicit(&part->failed_posted, false, memory_order_seq_cst); /* pairs: tell() */
    why = atomic_load_explicit(&part->pool->refusal, memory_order_seq_cst); /* control stores it */
    if (why == NULL) {
        pool_look(part, self); /* out of date: there is another attempt by now */
        return;
    }
    answer_awaiting(part, self, why);
    while (n-- > 0 && (w = fifo_pop(part)) != NULL) {
        fifo_publish(part, self);
        w->failed(w, self, why);
    }
}

static void tell(atomic_bool *posted, struct letter *l, struct thread *to)
{
    /* Pairs with the store of who reads it. */
    if (!atomic_exchange_explicit(posted, true, memory_order_seq_cst))
        thread_post(to, l);
}

void part_tell_look(struct pool_part *part, struct thread *to)
{
    tell(&part->look_posted, &part->look, to);
}

void part_tell_failed(struct pool_part *part, struct thread *to)
{
    tell(&part->failed_posted, &part->failed, to);
}

/* ---- making ---- */

int part_make(struct pool *p, unsigned reactor)
{
    struct pool_part *part;

    if (pool_part(p, reactor) != NULL)
        return 0;
    part = aligned_alloc(CACHE_LINE, sizeof(*part));
    if (part == NULL)
        return -ENOMEM;
    memset(part, 0, sizeof(*part));
    part->pool = p;
    shelf_init(&part->shelf);
    demand_init(&part->demand);
    list_init(&part->waiters);
    list_init(&part->awaiting);
    part->look.open = read_look;
    part->failed.open = read_failed;
    if (shelves_add(&p->shelves, reactor, &part->shelf) != &part->shelf)
        free(part); /* somebody was faster: control, which prefills, or the reactor */
    return 0;
}

struct pool_part *part_own(const struct pool *p, const struct thread *self)
{
    struct pool_part *part = pool_part(p, self->number);

    ASSERT(part != NULL); /* pool_join() came first */
    return part;
}

int pool_join(struct pool *p, struct thread *self)
{
    return part_make(p, self->number);
}

/* ---- questions ---- */

const struct greeting *pool_greeting(const struct pool *p)
{
    return atomic_load_explicit(&p->greeting,
                                memory_order_seq_cst); /* pairs with control's store */
}

const struct pool_failure *pool_last_failure(const struct pool *p)
{
    return atomic_load_explicit(&p->cause, memory_order_seq_cst); /* pairs with control's stores */
}

const char *pool_database(const struct pool *p)
{
    return p->database;
}

const char *pool_user(const struct pool *p)
{
    return p->user;
}

const struct conf_policy *pool_policy(const struct pool *p)
{
    return &p->conf.policy;
}

uint64_t pool_oldest_us(const struct pool *p)
{
    uint64_t set = mask_read(&p->has_waiters), oldest = 0;

    while (set != 0) {
        uint64_t us = atomic_load_explicit(&pool_part(p, mask_pop_after(&set, 0))->oldest_us,
                                           memory_order_relaxed); /* a hint */

        if (us != 0 && (oldest == 0 || us < oldest))
            oldest = us;
    }
    return oldest;
}

static uint64_t oldest_of_all_us(const struct pool *p)
{
    uint64_t us = pool_oldest_us(p);
    uint64_t own_us = atomic_load_explicit(&p->own_oldest_us, memory_order_relaxed);

    return us == 0 || (own_us != 0 && own_us < us) ? own_us : us;
}

bool pool_waited(const struct pool *p, uint64_t now_ns, uint64_t at_least_ns)
{
    uint64_t oldest_ns = oldest_of_all_us(p) * NS_PER_US;

    return oldest_ns != 0 && now_ns >= oldest_ns && now_ns - oldest_ns >= at_least_ns;
}

static unsigned count_idle(const struct shelf *h)
{
    unsigned n = 0;

    for (unsigned i = 0; i < SHELF_WORDS; i++)
        n += (unsigned)__builtin_popcountll(shelf_word(h, i));
    return n;
}

void pool_count(const struct pool *p, struct pool_counts *out)
{
    *out = (struct pool_counts){
        .n_servers = atomic_load_explicit(&p->n_servers, memory_order_seq_cst),
        .n_opening = atomic_load_explicit(&p->n_opening, memory_order_relaxed) + /* for people */
                     atomic_load_explicit(&p->n_own_opening, memory_order_relaxed),
        .n_closing = atomic_load_explicit(&p->n_closing, memory_order_relaxed),
        .n_waiters = atomic_load_explicit(&p->n_own_waiting, memory_order_relaxed),
        .oldest_us = oldest_of_all_us(p),
        .n_idle_words = atomic_load_explicit(&p->n_idle_words, memory_order_relaxed),
    };
    for (unsigned r = 0; r < p->crew->n_reactors; r++) {
        const struct pool_part *part = pool_part(p, r);

        if (part == NULL)
            continue;
        out->n_idle += count_idle(&part->shelf);
        out->n_waiters += demand_unclaimed(&part->demand) + demand_promised(&part->demand);
    }
}
