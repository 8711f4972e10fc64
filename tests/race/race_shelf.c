/*
 * Threads that take servers from the shelves of one pool and give them back: from home, stolen, or
 * exactly this one; each starts without a shelf. Proven: a server is in one hand at a time (its
 * holder, and TSan over its plain fields), what a holder wrote is seen by the next one, none is
 * lost, and at rest every shelf that holds one is named by the mask.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "race.h"
#include "weir/base/shelf.h"

#define N_THREADS_MAX 8
#define N_STEPS_ALL 200000 /* of all threads together, each size of pool */

struct server {
    atomic_uint holder; /* 0: on a shelf. Relaxed: only the shelf must order its users */
    uint64_t n_uses;    /* plain: the holder's */
};

struct pool {
    struct shelves shelves;
    _Atomic(struct shelf *) each[N_THREADS_MAX];
    struct shelf *made[2][N_THREADS_MAX]; /* two threads make each: one is hung in */
    unsigned n_threads, n_servers;
    struct server servers[SHELF_SERVERS_MAX];
};

struct member {
    struct pool *pool;
    unsigned id;
    struct random random;
    uint64_t n_steps;
    uint64_t n_used;
};

/* The reactor itself and its neighbour, which stands for control here, both make its shelf. */
static void make_shelf(struct pool *p, unsigned reactor, struct shelf *mine)
{
    struct shelf *has = shelves_add(&p->shelves, reactor, mine);

    RACE_CHECK(has != NULL && has == shelves_get(&p->shelves, reactor));
}

static unsigned take_this(struct member *me)
{
    struct pool *p = me->pool;
    struct shelf *h;
    unsigned number;

    RACE_CHECK(p->n_threads > 0 && p->n_servers > 0);
    h = shelves_get(&p->shelves, (unsigned)random_below(&me->random, p->n_threads));
    number = (unsigned)random_below(&me->random, p->n_servers);
    return h != NULL && shelf_take_this(h, number) ? number : SHELF_NONE;
}

static void use(struct member *me, struct server *s)
{
    unsigned holder = atomic_exchange_explicit(&s->holder, me->id + 1, memory_order_relaxed);

    RACE_CHECK(holder == 0);
    s->n_uses++;
    me->n_used++;
    holder = atomic_exchange_explicit(&s->holder, 0, memory_order_relaxed);
    RACE_CHECK(holder == me->id + 1);
}

static void run_member(void *arg)
{
    struct member *me = arg;
    struct pool *p = me->pool;
    unsigned next = (me->id + 1) % p->n_threads;

    make_shelf(p, me->id, p->made[0][me->id]);
    make_shelf(p, next, p->made[1][next]);
    if (me->id == 0) { /* the servers are opened now, while the others look for them already */
        for (unsigned number = 0; number < p->n_servers; number++) {
            shelves_make_room(&p->shelves, number);
            shelves_give(&p->shelves, number % 2 ? next : 0, number);
        }
    }
    for (uint64_t i = 0; i < me->n_steps; i++) {
        unsigned number =
            random_below(&me->random, 8) ? shelves_take(&p->shelves, me->id) : take_this(me);

        if (number == SHELF_NONE)
            continue;
        use(me, &p->servers[number]);
        shelves_give(&p->shelves, random_below(&me->random, 8) ? me->id : next, number);
    }
}

static void check_at_rest(struct pool *p)
{
    unsigned places[SHELF_SERVERS_MAX] = {0};

    for (unsigned r = 0; r < p->n_threads; r++)
        for (unsigned i = 0; i < SHELF_WORDS; i++) {
            uint64_t word = shelf_word(shelves_get(&p->shelves, r), i);

            RACE_CHECK(word == 0 || (mask_read(&p->shelves.has_idle) & mask_bit(r)));
            for (; word != 0; word &= word - 1)
                places[i * 64 + (unsigned)__builtin_ctzll(word)]++;
        }
    for (unsigned n = 0; n < SHELF_SERVERS_MAX; n++)
        RACE_CHECK(places[n] == (n < p->n_servers ? 1 : 0));
}

static void pool_init(struct pool *p, unsigned n_threads, unsigned n_servers)
{
    shelves_init(&p->shelves, n_threads, p->each);
    p->n_threads = n_threads;
    p->n_servers = n_servers;
    for (unsigned k = 0; k < 2; k++)
        for (unsigned r = 0; r < n_threads; r++) {
            p->made[k][r] = aligned_alloc(CACHE_LINE, sizeof(struct shelf));
            RACE_CHECK(p->made[k][r] != NULL);
            shelf_init(p->made[k][r]);
        }
}

static void run(const struct race *race, unsigned n_threads, unsigned n_servers)
{
    struct pool *p = aligned_alloc(CACHE_LINE, sizeof(*p));
    struct member members[N_THREADS_MAX] = {0};
    uint64_t used = 0, counted = 0;

    RACE_CHECK(p != NULL);
    pool_init(p, n_threads, n_servers);
    for (unsigned n = 0; n < n_servers; n++)
        p->servers[n] = (struct server){0};
    for (unsigned i = 0; i < n_threads; i++)
        members[i] = (struct member){.pool = p,
                                     .id = i,
                                     .random = race_random(race, i),
                                     .n_steps = race->factor * N_STEPS_ALL / n_threads};
    race_run(race, n_threads, run_member, members, sizeof(members[0]));
    check_at_rest(p);
    for (unsigned i = 0; i < n_threads; i++)
        used += members[i].n_used;
    for (unsigned n = 0; n < n_servers; n++)
        counted += p->servers[n].n_uses;
    RACE_CHECK(used == counted && used > 0);
    printf("%u threads, %u servers: %" PRIu64 " uses\n", n_threads, n_servers, used);
    for (unsigned k = 0; k < 2; k++)
        for (unsigned r = 0; r < n_threads; r++)
            free(p->made[k][r]);
    free(p);
}

int main(void)
{
    static const unsigned n_servers[] = {1, 2, 3, 130};
    struct race race = race_begin("race_shelf");

    for (unsigned n = 1; n <= N_THREADS_MAX; n *= 2)
        for (unsigned i = 0; i < sizeof(n_servers) / sizeof(n_servers[0]); i++)
            run(&race, n, n_servers[i]);
    return 0;
}
