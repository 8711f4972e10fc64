/* Mail from other threads: all of it, in the order of each sender, and no wake-up is lost. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "rig.h"
#include "weir/base/clock.h"

enum { N_SENDERS = 4, N_LETTERS = 20000 };

struct letter {
    struct mail mail;
    unsigned sender, number;
};

struct office {
    struct rig rig;
    unsigned next[N_SENDERS], n_received;
};

struct sender {
    pthread_t thread;
    struct office *office;
    struct letter *letters;
    unsigned index;
};

static void sort_letter(void *ctx, struct mail *m)
{
    struct office *o = ctx;
    struct letter *l = CONTAINER_OF(m, struct letter, mail);

    cr_assert_eq(l->number, o->next[l->sender], "sender %u", l->sender);
    o->next[l->sender]++;
    o->n_received++;
}

static void *send_letters(void *arg)
{
    struct sender *s = arg;

    for (unsigned i = 0; i < N_LETTERS; i++) {
        s->letters[i] = (struct letter){.sender = s->index, .number = i};
        loop_post(s->office->rig.loop, &s->letters[i].mail);
    }
    return NULL;
}

ENGINE_TEST(mail, of_four_threads)
{
    struct office o = {.n_received = 0};
    struct sender s[N_SENDERS];

    rig_init(&o.rig, *variant, (struct loop_config){.on_mail = sort_letter, .ctx = &o});
    for (unsigned i = 0; i < N_SENDERS; i++) {
        s[i] = (struct sender){
            .office = &o, .index = i, .letters = malloc(N_LETTERS * sizeof(struct letter))};
        cr_assert_not_null(s[i].letters);
        cr_assert_eq(pthread_create(&s[i].thread, NULL, send_letters, &s[i]), 0);
    }
    RIG_UNTIL(&o.rig, o.n_received == N_SENDERS * N_LETTERS);
    for (unsigned i = 0; i < N_SENDERS; i++) {
        pthread_join(s[i].thread, NULL);
        free(s[i].letters);
    }
    rig_fini(&o.rig);
}

/* Two loops wake each other in turn; each is asleep, or about to be, when its mail comes. */
struct player {
    struct rig rig;
    struct player *other;
    unsigned n_rounds, n_played;
    uint64_t worst_ns;
    pthread_barrier_t *over;
};

struct ball {
    struct mail mail;
    uint64_t sent_ns;
};

static void hit(void *ctx, struct mail *m)
{
    struct player *p = ctx;
    struct ball *b = CONTAINER_OF(m, struct ball, mail);
    uint64_t now_ns = clock_now_ns();

    if (now_ns - b->sent_ns > p->worst_ns)
        p->worst_ns = now_ns - b->sent_ns;
    p->n_played++;
    b->sent_ns = now_ns;
    if (p->n_played <= p->n_rounds)
        loop_post(p->other->rig.loop, m);
}

static void play(struct player *p)
{
    for (unsigned n = 0; n < p->n_rounds; n += 1000)
        RIG_UNTIL(&p->rig, p->n_played >= n);
    RIG_UNTIL(&p->rig, p->n_played >= p->n_rounds);
}

static void *play_elsewhere(void *arg)
{
    struct player *p = arg;

    play(p);
    pthread_barrier_wait(p->over); /* nobody posts any more */
    loop_free(p->rig.loop);
    p->rig.loop = NULL;
    return NULL;
}

ENGINE_TEST(mail, wakes_a_sleeper)
{
    unsigned n_rounds = rig_soak() ? 1000000 : 5000;
    struct player p[2] = {{.other = &p[1], .n_rounds = n_rounds},
                          {.other = &p[0], .n_rounds = n_rounds}};
    struct ball b = {.sent_ns = clock_now_ns()};
    pthread_barrier_t over;
    pthread_t thread;

    pthread_barrier_init(&over, NULL, 2);
    p[1].over = &over;
    for (int i = 0; i < 2; i++)
        rig_init(&p[i].rig, *variant, (struct loop_config){.on_mail = hit, .ctx = &p[i]});
    cr_assert_eq(pthread_create(&thread, NULL, play_elsewhere, &p[1]), 0);
    loop_post(p[0].rig.loop, &b.mail);
    play(&p[0]);
    RIG_UNTIL(&p[0].rig, p[0].n_played == n_rounds + 1); /* the last ball of the other */
    pthread_barrier_wait(&over);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&over);
    cr_assert_eq(p[1].n_played, n_rounds);
    for (int i = 0; i < 2; i++) {
        cr_assert_lt(p[i].worst_ns, NS_PER_S, "%s: mail took %ju us", rig_name(*variant),
                     (uintmax_t)(p[i].worst_ns / NS_PER_US));
        rig_fini(&p[i].rig);
    }
}

/* Mail posted by the loop's own thread, from a callback, is read in a later turn. */
struct own {
    struct rig rig;
    struct mail mail;
    unsigned n_received;
};

static void post_again(void *ctx, struct mail *m)
{
    struct own *o = ctx;

    if (++o->n_received < 100)
        loop_post(o->rig.loop, m);
}

ENGINE_TEST(mail, to_oneself)
{
    struct own o = {.n_received = 0};

    rig_init(&o.rig, *variant, (struct loop_config){.on_mail = post_again, .ctx = &o});
    loop_post(o.rig.loop, &o.mail);
    RIG_UNTIL(&o.rig, o.n_received == 100);
    rig_fini(&o.rig);
}
