/*
 * Reactors that intern and put statements of the same texts over real loops, in a store without
 * room for all of them: dropping, and the rounds after which memory is freed, happen all the time.
 * Once there is room for fewer than they would hold, once for chains of several. Proven: a
 * statement that is held has its text and its context, equal keys that are held at one time are one
 * statement, and the bytes stay within their bound. TSan and ASan see memory that is freed too
 * early.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "race.h"
#include "weir/pool/statements.h"
#include "weir/pool/thread.h"

#define N_REACTORS 3
#define N_THREADS (N_REACTORS + 1) /* control too */
#define N_KEYS_MAX 400
#define LEN 60   /* of a text */
#define N_HELD 4 /* by one thread at most */
#define N_TURNS 15000
#define N_STEPS 16 /* in a turn */

/* Equal keys, one statement: what a thread claims it holds, from after it has the reference until
 * before it gives it back. All relaxed: an order that claims made would hide that the store makes
 * none. */
#define CLAIM(key, id) ((uint64_t)(key) << 48 | (id))
#define CLAIM_KEY(claim) ((unsigned)((claim) >> 48))

struct worker {
    struct race_test *test;
    struct thread *thread;
    struct letter work, stop;
    struct random random;
    uint64_t n_turns;
    uint64_t n_interned, n_refused;
    struct statement *held[N_HELD];
    unsigned keys[N_HELD];
    _Atomic uint64_t claims[N_HELD]; /* 0: none */
};

struct race_test {
    struct race race;
    unsigned n_keys;
    size_t max_bytes;
    uint8_t text[N_KEYS_MAX / 2 + LEN];
    struct crew crew;
    struct arena *arenas[N_THREADS];
    struct statements *statements;
    struct worker workers[N_THREADS];
    atomic_uint n_busy;
};

/* Parts of a longer text; two contexts. */
static struct span text_of(const struct race_test *t, unsigned key)
{
    return span_of(t->text + key / 2, LEN);
}

static uint64_t context_of(unsigned key)
{
    return key % 2;
}

static void check(const struct race_test *t, const struct statement *s, unsigned key)
{
    RACE_CHECK(s->context == context_of(key));
    RACE_CHECK(span_equal(statement_parse(s), text_of(t, key)));
}

/* Read while we hold a statement with this key: whoever claims the key then holds it too. */
static void check_claims(struct race_test *t, unsigned key, uint64_t id)
{
    for (unsigned i = 0; i < N_THREADS * N_HELD; i++) {
        uint64_t claim =
            atomic_load_explicit(&t->workers[i / N_HELD].claims[i % N_HELD], memory_order_relaxed);

        RACE_CHECK(claim == 0 || CLAIM_KEY(claim) != key || claim == CLAIM(key, id));
    }
}

static void take(struct worker *w, unsigned slot)
{
    unsigned key = (unsigned)random_below(&w->random, w->test->n_keys);
    struct statement *s =
        statements_intern(w->test->statements, w->thread, text_of(w->test, key), context_of(key));

    if (s == NULL) {
        w->n_refused++;
        return;
    }
    w->n_interned++;
    check(w->test, s, key);
    check_claims(w->test, key, s->id);
    w->held[slot] = s;
    w->keys[slot] = key;
    atomic_store_explicit(&w->claims[slot], CLAIM(key, s->id), memory_order_relaxed);
}

static void put(struct worker *w, unsigned slot)
{
    struct statement *s = w->held[slot];

    if (s == NULL)
        return;
    check(w->test, s, w->keys[slot]);
    w->held[slot] = NULL;
    /* The put publishes this: who makes the key anew comes after it. */
    atomic_store_explicit(&w->claims[slot], 0, memory_order_relaxed);
    if (random_below(&w->random, 4) == 0)
        statement_put(w->test->statements, w->thread, statement_get(s));
    statement_put(w->test->statements, w->thread, s);
}

static void step(struct worker *w)
{
    unsigned slot = (unsigned)random_below(&w->random, N_HELD);

    if (w->held[slot] == NULL)
        take(w, slot);
    else
        put(w, slot);
    RACE_CHECK(statements_count(w->test->statements).n_bytes <= w->test->max_bytes);
    race_yield();
}

static void finish(struct worker *w)
{
    for (unsigned slot = 0; slot < N_HELD; slot++)
        put(w, slot);
    /* acq_rel: what the others did comes before the stop */
    if (atomic_fetch_sub_explicit(&w->test->n_busy, 1, memory_order_acq_rel) > 1)
        return;
    for (unsigned i = 0; i < N_THREADS; i++)
        thread_post(&w->test->crew.threads[i], &w->test->workers[i].stop);
}

static void on_work(struct letter *l, struct thread *self)
{
    struct worker *w = CONTAINER_OF(l, struct worker, work);

    for (unsigned i = 0; i < N_STEPS; i++)
        step(w);
    if (++w->n_turns < N_TURNS * w->test->race.factor)
        thread_post(self, &w->work); /* the next turn */
    else
        finish(w);
}

static void on_stop(struct letter *l, struct thread *self)
{
    (void)l;
    loop_stop(self->loop);
}

static void work(void *arg)
{
    struct worker *w = arg;

    thread_post(w->thread, &w->work);
    RACE_CHECK(loop_run(w->thread->loop) == 0);
}

static void worker_init(struct race_test *t, unsigned i)
{
    static const struct arena_config chunks = {.chunk_size = 65536, .n_chunks = 16};
    struct worker *w = &t->workers[i];
    struct loop_config config = {.engine = LOOP_ENGINE_EPOLL, .on_mail = thread_open_mail};

    *w = (struct worker){.test = t, .thread = &t->crew.threads[i]};
    w->work.open = on_work;
    w->stop.open = on_stop;
    w->random = race_random(&t->race, i);
    RACE_CHECK(arena_new(&t->arenas[i], &chunks) == 0);
    config.arena = t->arenas[i];
    config.ctx = w->thread;
    *w->thread = (struct thread){.number = i, .crew = &t->crew};
    RACE_CHECK(loop_new(&w->thread->loop, &config) == 0);
}

static void test_init(struct race_test *t, struct race race, unsigned n_keys, size_t max_bytes)
{
    struct random random = race_random(&race, N_THREADS);
    struct hash_key key;

    *t = (struct race_test){.race = race, .n_keys = n_keys, .max_bytes = max_bytes};
    for (size_t i = 0; i < sizeof(t->text); i++)
        t->text[i] = (uint8_t)random_next(&random);
    t->crew.n_reactors = N_REACTORS;
    hash_key_fixed(&key, race.seed);
    RACE_CHECK(statements_new(&t->statements, &t->crew, max_bytes, &key) == 0);
    atomic_init(&t->n_busy, N_THREADS);
    for (unsigned i = 0; i < N_THREADS; i++)
        worker_init(t, i);
}

static void test_fini(struct race_test *t)
{
    statements_free(t->statements);
    for (unsigned i = 0; i < N_THREADS; i++) {
        loop_free(t->crew.threads[i].loop);
        arena_free(t->arenas[i]);
    }
}

/* Says what happened; every second one or more is to be made, not found. */
static void report(struct race_test *t, bool refuses)
{
    struct thread *thread = &t->crew.threads[0];
    struct statement *last = statements_intern(t->statements, thread, span_str("last"), 0);
    uint64_t n_interned = 0, n_refused = 0;

    for (unsigned i = 0; i < N_THREADS; i++) {
        n_interned += t->workers[i].n_interned;
        n_refused += t->workers[i].n_refused;
    }
    RACE_CHECK(last != NULL);
    printf("%" PRIu64 " interned, of these %" PRIu64 " made, %" PRIu64 " refused\n", n_interned,
           last->id, n_refused); /* ids count what was made */
    RACE_CHECK(last->id > n_interned / 2 && last->id < n_interned / 10 * 9);
    RACE_CHECK(refuses == (n_refused > 0));
    statement_put(t->statements, thread, last);
}

static void run(struct race race, unsigned n_keys, size_t max_bytes, bool refuses)
{
    static struct race_test t;

    test_init(&t, race, n_keys, max_bytes);
    race_run(&race, N_THREADS, work, t.workers, sizeof(t.workers[0]));
    report(&t, refuses);
    test_fini(&t);
}

int main(void)
{
    struct race race = race_begin("race_statements");

    run(race, 40, 1500, true);
    run(race, N_KEYS_MAX, 20000, false);
    return 0;
}
