/*
 * Cancel keys and requests. A key is the number of the client's slot (the "pid") and 32 random
 * bits; the slot's word has both, and which reactor the client is on.
 *
 * Invariant: word is 0 but while the client can be cancelled, and is written by the client's
 * reactor alone. So any reactor may compare it to tell a wrong key from a right one, but only the
 * owner's comparison counts: the client may leave between the two.
 */
#include <stdlib.h>

#include "client.h"
#include "pgwire/endian.h"
#include "sessions.h"
#include "weir/base/slab.h"

#define SECRET_LEN 4
#define IN_USE UINT64_C(1)

/* On its way to the client's reactor; its own memory. */
struct cancel_letter {
    struct letter letter;
    struct client *client; /* not to be touched but for its word before that agrees */
    uint64_t word;
};

static uint64_t word_of(uint32_t secret, unsigned reactor)
{
    return (uint64_t)secret << 32 | (uint64_t)reactor << 1 | IN_USE;
}

static uint32_t secret_of(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

static unsigned reactor_of(uint64_t word)
{
    return (uint32_t)word >> 1;
}

/* The word is all that is shared; who acts on it is its writer. So relaxed is enough everywhere. */
static uint64_t load_word(const struct client *c)
{
    return atomic_load_explicit(&c->word, memory_order_relaxed);
}

void cancel_key_make(struct client *c, uint32_t *pid, uint8_t secret[4])
{
    digest_random(secret, SECRET_LEN);
    *pid = slab_handle(c->all->clients, c).index + 1;
    atomic_store_explicit(&c->word, word_of(pgw_load_u32(secret), c->thread->number),
                          memory_order_relaxed);
}

void cancel_key_drop(struct client *c)
{
    atomic_store_explicit(&c->word, 0, memory_order_relaxed);
}

static void count_unknown(struct thread *self)
{
    struct shard *shard = self->session;

    counter_add(&shard->counters.n_cancels_unknown, 1);
}

static void arrive(struct letter *l, struct thread *self)
{
    struct cancel_letter *cancel = CONTAINER_OF(l, struct cancel_letter, letter);
    struct client *c = cancel->client;

    if (load_word(c) == cancel->word) {
        ASSERT(c->thread == self);
        counter_add(&c->shard->counters.n_cancels, 1);
        if (c->phase != CLIENT_GUEST)
            relay_cancel(c);
    } else {
        count_unknown(self);
    }
    free(cancel);
}

void cancel_request(struct sessions *ss, struct thread *self, uint32_t pid, struct span secret)
{
    struct client *c = pid == 0 ? NULL : slab_at(ss->clients, pid - 1);

    uint64_t word = c == NULL ? 0 : load_word(c);

    if (!(word & IN_USE) || secret.len != SECRET_LEN ||
        secret_of(word) != pgw_load_u32(secret.ptr)) {
        count_unknown(self);
        return;
    }

    struct cancel_letter *cancel = malloc(sizeof(*cancel));

    if (cancel == NULL)
        return; /* as if the request had been lost on its way */
    *cancel = (struct cancel_letter){.letter.open = arrive, .client = c, .word = word};
    thread_post(&self->crew->threads[reactor_of(word)], &cancel->letter);
}
