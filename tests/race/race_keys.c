/*
 * Threads that learn, look up and forget the keys of the same few users, more of them than there is
 * room for: a pair that is found is whole and of the user who was asked for.
 */
#include <string.h>

#include "race.h"
#include "weir/auth/keys.h"

#define N_THREADS 4
#define N_STEPS 20000
#define N_USERS 8
#define MAX_KEYS 5

struct worker {
    struct keys *keys;
    struct random random;
    uint64_t n_steps;
    uint64_t n_found;
};

/* Bytes that name the user, and differ from put to put. */
static struct key_pair pair_make(uint8_t user, uint8_t number)
{
    struct key_pair pair;

    memset(pair.client_key, number, sizeof(pair.client_key));
    memset(pair.server_key, (uint8_t)(number + user), sizeof(pair.server_key));
    return pair;
}

static void pair_check(const struct key_pair *pair, uint8_t user)
{
    struct key_pair expected = pair_make(user, pair->client_key[0]);

    RACE_CHECK(memcmp(pair, &expected, sizeof(expected)) == 0);
}

static void step(struct worker *w)
{
    uint8_t user = (uint8_t)random_below(&w->random, N_USERS);
    struct scram_verifier v = {.iterations = 4096, .salt_len = 16, .salt = {user}};
    struct key_pair pair;

    switch (random_below(&w->random, 8)) {
    case 0:
        keys_drop(w->keys, span_of(&user, 1), &v);
        break;
    case 1:
    case 2:
        pair = pair_make(user, (uint8_t)random_next(&w->random));
        keys_put(w->keys, span_of(&user, 1), &v, &pair);
        break;
    default:
        if (!keys_find(w->keys, span_of(&user, 1), &v, &pair))
            break;
        pair_check(&pair, user);
        w->n_found++;
    }
}

static void work(void *arg)
{
    struct worker *w = arg;

    for (uint64_t i = 0; i < w->n_steps; i++) {
        step(w);
        race_yield();
    }
}

int main(void)
{
    struct race race = race_begin("keys");
    struct worker workers[N_THREADS];
    struct keys *keys = NULL;

    RACE_CHECK(keys_new(&keys, MAX_KEYS) == 0);
    for (unsigned i = 0; i < N_THREADS; i++)
        workers[i] = (struct worker){keys, race_random(&race, i), N_STEPS * race.factor, 0};
    race_run(&race, N_THREADS, work, workers, sizeof(workers[0]));
    for (unsigned i = 0; i < N_THREADS; i++)
        RACE_CHECK(workers[i].n_found > 0);
    keys_free(keys);
    return 0;
}
