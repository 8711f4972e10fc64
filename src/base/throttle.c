/*
 * A bucket is the time at which it will be full again: each token taken moves that by an interval,
 * and there is none when it is more than all intervals but one away.
 *
 * Invariants: keys of the buckets in use in a row differ; a bucket's time never goes back.
 * Thread: any; the mutex covers the rows.
 */
#include "weir/base/throttle.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "weir/base/hash.h"

#define N_ROWS 1024
#define ROW_LEN 8

struct bucket {
    uint64_t hash; /* of the key that took from it last */
    uint64_t full_ns;
};

struct throttle {
    struct hash_key secret;
    pthread_mutex_t mutex;
    uint64_t interval_ns;
    uint64_t most_ns; /* as far ahead as a bucket's time may be for it to have a token */
    struct bucket rows[N_ROWS][ROW_LEN];
};

int throttle_new(struct throttle **out, uint32_t n_tokens, uint64_t interval_ns)
{
    struct throttle *t = aligned_alloc(_Alignof(struct throttle), sizeof(*t));
    int error;

    ASSERT(n_tokens > 0 && interval_ns > 0 && interval_ns < UINT64_MAX / 2 / n_tokens);
    if (t == NULL)
        return -ENOMEM;
    memset(t->rows, 0, sizeof(t->rows)); /* all full */
    t->interval_ns = interval_ns;
    t->most_ns = (n_tokens - 1) * interval_ns;
    error = hash_key_init(&t->secret);
    if (error < 0) {
        free(t);
        return error;
    }
    pthread_mutex_init(&t->mutex, NULL);
    *out = t;
    return 0;
}

void throttle_free(struct throttle *t)
{
    if (t == NULL)
        return;
    pthread_mutex_destroy(&t->mutex);
    free(t);
}

/* The bucket that the key has, or takes over: the one that is full first. Under the mutex. */
static struct bucket *bucket_of(struct throttle *t, uint64_t hash)
{
    struct bucket *row = t->rows[hash % N_ROWS], *fullest = &row[0];

    for (unsigned i = 0; i < ROW_LEN; i++) {
        if (row[i].hash == hash)
            return &row[i];
        if (row[i].full_ns < fullest->full_ns)
            fullest = &row[i];
    }
    return fullest;
}

static bool has_token(const struct throttle *t, const struct bucket *b, uint64_t now_ns)
{
    return b->full_ns <= now_ns + t->most_ns;
}

bool throttle_allows(struct throttle *t, struct span key, uint64_t now_ns)
{
    uint64_t hash = hash64(&t->secret, key);
    bool allowed;

    pthread_mutex_lock(&t->mutex);
    allowed = has_token(t, bucket_of(t, hash), now_ns);
    pthread_mutex_unlock(&t->mutex);
    return allowed;
}

bool throttle_charge(struct throttle *t, struct span key, uint64_t now_ns)
{
    uint64_t hash = hash64(&t->secret, key);
    bool was_last = false;

    pthread_mutex_lock(&t->mutex);

    struct bucket *b = bucket_of(t, hash);

    if (has_token(t, b, now_ns)) {
        b->hash = hash;
        b->full_ns = (b->full_ns > now_ns ? b->full_ns : now_ns) + t->interval_ns;
        was_last = !has_token(t, b, now_ns);
    }
    pthread_mutex_unlock(&t->mutex);
    return was_last;
}
