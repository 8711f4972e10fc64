/*
 * Many producers, one consumer that really sleeps. Each producer has a few letters and sends one
 * again when it has come back, so the consumer runs out of mail and sleeps all the time. Proven:
 * every letter arrives once, those of one producer in order, what was written before the push is
 * seen, and no wake-up is lost (a lost one fails at the deadline).
 */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>

#include "race.h"

#define N_PRODUCERS_MAX 8
#define N_LETTERS 3        /* of each producer */
#define N_ROUNDS_ALL 60000 /* letters sent by all producers together */

struct letter {
    struct mail mail;
    unsigned from;
    uint64_t number;     /* counted by its producer */
    atomic_bool at_home; /* written by both; publishes the letter back to its producer */
};

struct member {
    const struct race *race;
    struct race_box *box;
    unsigned id; /* 0: the consumer */
    unsigned n_producers;
    uint64_t n_rounds; /* of each producer */
    struct letter letters[N_LETTERS];
};

static void produce(struct member *me)
{
    for (uint64_t i = 0; i < me->n_rounds; i++) {
        struct letter *l = &me->letters[i % N_LETTERS];

        /* acquire: pairs with the release in consume() */
        while (!atomic_load_explicit(&l->at_home, memory_order_acquire))
            sched_yield();
        atomic_store_explicit(&l->at_home, false, memory_order_relaxed);
        l->from = me->id;
        l->number = i;
        race_box_post(me->box, &l->mail);
    }
}

static void consume(struct member *me)
{
    uint64_t expected[N_PRODUCERS_MAX + 1] = {0};
    uint64_t left = me->n_rounds * me->n_producers;

    while (left > 0) {
        struct mail *m = mailbox_take_all(&me->box->mail);

        if (m == NULL)
            race_box_sleep(me->box, me->race);
        while (m != NULL) {
            struct letter *l = CONTAINER_OF(m, struct letter, mail);

            m = m->next; /* once at home it is its producer's again */
            RACE_CHECK(l->from >= 1 && l->from <= me->n_producers);
            RACE_CHECK(l->number == expected[l->from]++);
            left--;
            /* release: pairs with the acquire in produce() */
            atomic_store_explicit(&l->at_home, true, memory_order_release);
        }
    }
    RACE_CHECK(mailbox_take_all(&me->box->mail) == NULL);
}

static void run_member(void *arg)
{
    struct member *me = arg;

    if (me->id == 0)
        consume(me);
    else
        produce(me);
}

static void run(const struct race *race, unsigned n_producers)
{
    struct member members[N_PRODUCERS_MAX + 1];
    struct race_box box;

    race_box_init(&box);
    for (unsigned i = 0; i <= n_producers; i++) {
        members[i] = (struct member){.race = race,
                                     .box = &box,
                                     .id = i,
                                     .n_producers = n_producers,
                                     .n_rounds = race->factor * N_ROUNDS_ALL / n_producers};
        for (unsigned k = 0; k < N_LETTERS; k++)
            atomic_init(&members[i].letters[k].at_home, true);
    }
    race_run(race, n_producers + 1, run_member, members, sizeof(members[0]));
    printf("%u producers: %" PRIu64 " letters, %" PRIu64 " sleeps\n", n_producers,
           (members[0].n_rounds * n_producers), box.n_sleeps);
    RACE_CHECK(box.n_sleeps > 0);
    race_box_fini(&box);
}

int main(void)
{
    struct race race = race_begin("race_mailbox");

    for (unsigned n = 1; n <= N_PRODUCERS_MAX; n *= 2)
        run(&race, n);
    return 0;
}
