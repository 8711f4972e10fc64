/*
 * The waiting half of the pool's protocol in small: acquire, release and grant over the real
 * shelves, demand words, masks and mailboxes, with threads as reactors and a counter as the queue
 * of waiters (waiters of one reactor are interchangeable). Clients also leave while they wait, so
 * grants arrive that find nobody. It goes in many short rounds, since a waiter that was forgotten
 * shows only when nobody comes after it. Proven: nobody hangs, a server is in one place, and at the
 * end all are on shelves and nothing is promised. Opening, death and reload need the pool itself.
 */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "race.h"
#include "weir/base/demand.h"
#include "weir/base/shelf.h"

#define N_REACTORS 4
#define N_CLIENTS_MAX 3 /* of a reactor: they wait or hold a server */
#define N_SERVERS_MAX 3
#define N_TODO_MAX 4   /* transactions of a reactor in a round */
#define N_ROUNDS 12000 /* so some 10^5 transactions */

struct server {
    struct mail mail; /* while granted */
    unsigned number;
    uint64_t n_uses;   /* plain: TSan sees two holders */
    atomic_uint place; /* 0: on a shelf or in the mail; else the holder's id + 1 */
};

struct pool {
    struct shelves shelves;
    struct mask has_waiters;
    atomic_uint n_at_work; /* reactors that have not finished the round */
    struct server servers[N_SERVERS_MAX];
    unsigned n_servers;
    _Atomic(struct shelf *) each[N_REACTORS];
    struct reactor *reactors;
    const struct race *race;
};

struct reactor {
    struct shelf shelf;
    struct race_box box;
    struct demand demand;
    struct mail stop; /* all have finished the round */

    /* its own: */
    struct pool *pool;
    unsigned id;
    struct random random;
    unsigned todo;                        /* transactions not begun in this round */
    uint32_t n_waiters;                   /* its queue */
    struct server *in_use[N_SERVERS_MAX]; /* by its clients */
    unsigned n_in_use;
    bool stopped;
    uint64_t n_done, n_left, n_grants, n_surplus;
};

static void hold(const struct reactor *me, struct server *s)
{
    unsigned place = atomic_exchange_explicit(&s->place, me->id + 1, memory_order_relaxed);

    RACE_CHECK(place == 0);
    s->n_uses++;
}

static void let_go(const struct reactor *me, struct server *s)
{
    unsigned place = atomic_exchange_explicit(&s->place, 0, memory_order_relaxed);

    RACE_CHECK(place == me->id + 1);
}

static struct server *take(struct reactor *me)
{
    unsigned number = shelves_take(&me->pool->shelves, me->id);
    struct server *s;

    if (number == SHELF_NONE)
        return NULL;
    s = &me->pool->servers[number];
    hold(me, s);
    return s;
}

/* After every change of the queue. */
static void queue_changed(struct reactor *me)
{
    demand_set(&me->demand, me->n_waiters);
    if (me->n_waiters > 0)
        mask_set(&me->pool->has_waiters, me->id);
    else
        mask_clear(&me->pool->has_waiters, me->id);
}

static void link_server(struct reactor *me, struct server *s)
{
    RACE_CHECK(me->n_in_use < N_SERVERS_MAX);
    me->in_use[me->n_in_use++] = s;
}

static void serve(struct reactor *me, struct server *s)
{
    me->n_waiters--;
    link_server(me, s);
    queue_changed(me);
}

static void acquire(struct reactor *me)
{
    struct server *s = me->n_waiters == 0 ? take(me) : NULL; /* no overtaking at home */

    if (s != NULL) {
        link_server(me, s);
        return;
    }
    me->n_waiters++;
    queue_changed(me); /* publish, then look once more */
    race_yield();
    while (demand_unclaimed(&me->demand) > 0 && (s = take(me)) != NULL)
        serve(me, s);
}

/* To a waiter of another reactor, if one can be claimed. */
static bool grant(struct reactor *me, struct server *s)
{
    uint64_t others = mask_read(&me->pool->has_waiters) & ~mask_bit(me->id);

    while (others != 0) {
        struct reactor *r = &me->pool->reactors[mask_pop_after(&others, me->id)];

        if (demand_claim(&r->demand)) {
            race_yield();
            let_go(me, s);
            race_box_post(&r->box, &s->mail);
            return true;
        }
    }
    return false;
}

static bool anyone_waits(struct reactor *me)
{
    uint64_t set = mask_read(&me->pool->has_waiters);

    while (set != 0)
        if (demand_unclaimed(&me->pool->reactors[mask_pop_after(&set, me->id)].demand) > 0)
            return true;
    return false;
}

static void release(struct reactor *me, struct server *s)
{
    while (s != NULL) {
        if (me->n_waiters > 0 && random_below(&me->random, 2)) { /* fairness may say so */
            serve(me, s);
            return;
        }
        if (grant(me, s))
            return;
        race_yield();
        if (me->n_waiters > 0) {
            serve(me, s);
            return;
        }
        let_go(me, s);
        shelves_give(&me->pool->shelves, me->id, s->number); /* give, then look */
        race_yield();
        if (!anyone_waits(me))
            return;
        s = take(me); /* and claim with a server in the hand; if there is none, its taker claims */
    }
}

static void grant_arrived(struct reactor *me, struct server *s)
{
    bool wanted = me->n_waiters > 0;

    hold(me, s);
    me->n_grants++;
    if (wanted) {
        me->n_waiters--;
        link_server(me, s);
    }
    demand_arrived(&me->demand, me->n_waiters);
    if (wanted) {
        if (me->n_waiters == 0)
            mask_clear(&me->pool->has_waiters, me->id);
    } else {
        me->n_surplus++;
        release(me, s);
    }
}

static void read_mail(struct reactor *me)
{
    struct mail *m = mailbox_take_all(&me->box.mail);

    while (m != NULL) {
        struct mail *next = m->next;

        if (m == &me->stop)
            me->stopped = true;
        else
            grant_arrived(me, CONTAINER_OF(m, struct server, mail));
        m = next;
    }
}

/* A client leaves, times out or is cancelled while it waits. Nothing is taken back: if a server is
 * under way for it, it is for the next one, or arrives too late. */
static void leave(struct reactor *me)
{
    me->n_waiters--;
    me->n_left++;
    queue_changed(me);
}

/* One step of a client of ours: false if there is none to take. */
static bool step(struct reactor *me)
{
    bool room = me->n_waiters + me->n_in_use < 1 + me->id % N_CLIENTS_MAX;

    if (me->todo > 0 && room && (me->n_in_use == 0 || random_below(&me->random, 2))) {
        me->todo--;
        acquire(me);
        return true;
    }
    if (me->n_in_use == 0)
        return false;
    if (random_below(&me->random, 2))
        sched_yield(); /* the transaction takes its time, so that others come to wait */
    else
        release(me, me->in_use[--me->n_in_use]);
    return true;
}

static void work(struct reactor *me)
{
    while (me->todo > 0 || me->n_waiters > 0 || me->n_in_use > 0) {
        read_mail(me);
        if (step(me))
            continue;
        race_box_sleep(&me->box, me->pool->race);
        if (me->n_waiters > 0 && random_below(&me->random, 8) == 0)
            leave(me); /* before the grant that woke us is read */
    }
}

/* The last one to finish the round tells all; every grant was posted before that. */
static void wait_for_all(struct reactor *me)
{
    struct pool *p = me->pool;

    if (atomic_fetch_sub_explicit(&p->n_at_work, 1, memory_order_seq_cst) == 1) {
        atomic_store_explicit(&p->n_at_work, N_REACTORS, memory_order_seq_cst);
        for (unsigned i = 0; i < N_REACTORS; i++)
            race_box_post(&p->reactors[i].box, &p->reactors[i].stop);
    }
    for (me->stopped = false; !me->stopped; read_mail(me))
        race_box_sleep(&me->box, p->race);
}

static void run_reactor(void *arg)
{
    struct reactor *me = arg;

    for (uint64_t i = 0; i < me->pool->race->factor * N_ROUNDS; i++) {
        me->todo = 1 + random_below(&me->random, N_TODO_MAX);
        me->n_done += me->todo;
        work(me);
        wait_for_all(me);
    }
}

static void check_at_rest(struct pool *p)
{
    unsigned n_shelved = 0;

    RACE_CHECK(mask_read(&p->has_waiters) == 0);
    for (unsigned i = 0; i < N_REACTORS; i++) {
        struct reactor *r = &p->reactors[i];
        uint64_t word = shelf_word(&r->shelf, 0);

        RACE_CHECK(demand_unclaimed(&r->demand) == 0 && demand_promised(&r->demand) == 0);
        RACE_CHECK(mailbox_take_all(&r->box.mail) == NULL);
        RACE_CHECK(word == 0 || (mask_read(&p->shelves.has_idle) & mask_bit(i)));
        n_shelved += (unsigned)__builtin_popcountll(word);
    }
    RACE_CHECK(n_shelved == p->n_servers);
}

static void report(const struct pool *p)
{
    uint64_t done = 0, left = 0, grants = 0, surplus = 0, sleeps = 0;

    for (unsigned i = 0; i < N_REACTORS; i++) {
        done += p->reactors[i].n_done;
        left += p->reactors[i].n_left;
        grants += p->reactors[i].n_grants;
        surplus += p->reactors[i].n_surplus;
        sleeps += p->reactors[i].box.n_sleeps;
    }
    printf("%u servers: %" PRIu64 " transactions, %" PRIu64 " grants (%" PRIu64
           " too late), %" PRIu64 " clients left, %" PRIu64 " sleeps\n",
           p->n_servers, done, grants, surplus, left, sleeps);
}

static void run(const struct race *race, unsigned n_servers)
{
    struct pool p = {.n_servers = n_servers, .race = race};

    p.reactors = aligned_alloc(CACHE_LINE, N_REACTORS * sizeof(struct reactor));
    RACE_CHECK(p.reactors != NULL);
    shelves_init(&p.shelves, N_REACTORS, p.each);
    mask_init(&p.has_waiters);
    atomic_init(&p.n_at_work, N_REACTORS);
    for (unsigned i = 0; i < N_REACTORS; i++) {
        struct reactor *r = &p.reactors[i];

        *r = (struct reactor){.pool = &p, .id = i, .random = race_random(race, i)};
        shelf_init(&r->shelf);
        demand_init(&r->demand);
        race_box_init(&r->box);
        RACE_CHECK(shelves_add(&p.shelves, i, &r->shelf) == &r->shelf);
    }
    for (unsigned n = 0; n < n_servers; n++) {
        p.servers[n].number = n;
        shelves_give(&p.shelves, 0, n);
    }
    race_run(race, N_REACTORS, run_reactor, p.reactors, sizeof(p.reactors[0]));
    check_at_rest(&p);
    report(&p);
    for (unsigned i = 0; i < N_REACTORS; i++)
        race_box_fini(&p.reactors[i].box);
    free(p.reactors);
}

int main(void)
{
    struct race race = race_begin("race_pool");

    for (unsigned n = 1; n <= N_SERVERS_MAX; n++)
        run(&race, n);
    return 0;
}
