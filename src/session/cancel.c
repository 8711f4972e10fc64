/*
 * Cancel keys and requests. A key is the number of the client's slot (the "pid") and a secret: 32
 * random bits, or what HMAC makes of these and the pid under a key of the process. The slot's word
 * has those bits, which of the two the secret is, and which reactor the client is on.
 *
 * A long secret cannot be guessed. A short one could by somebody who may try billions of times; so
 * once many unknown keys have come from one place, short ones from there are looked at seldom, and
 * those from elsewhere as ever. Right keys cost nothing, however many come.
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
#include "weir/base/throttle.h"

#define SHORT_LEN 4

/* A word: 32 random bits, the reactor's number above these two. */
#define IN_USE UINT64_C(1)
#define IS_LONG UINT64_C(2)
#define REACTOR_SHIFT 2

/* On its way to the client's reactor; its own memory. */
struct cancel_letter {
    struct letter letter;
    struct client *client; /* not to be touched but for its word before that agrees */
    uint64_t word;
};

static unsigned reactor_of(uint64_t word)
{
    return (uint32_t)word >> REACTOR_SHIFT;
}

/* The word is all that is shared; who acts on it is its writer. So relaxed is enough everywhere. */
static uint64_t load_word(const struct client *c)
{
    return atomic_load_explicit(&c->word, memory_order_relaxed);
}

/* The key of the client whose slot and word these are. */
static struct cancel_key key_of(const struct sessions *ss, uint32_t pid, uint64_t word)
{
    _Static_assert(CANCEL_SECRET_MAX == SHA256_LEN, "a long secret is what HMAC makes");
    struct cancel_key key = {.pid = pid, .len = SHORT_LEN};
    uint8_t text[2 * sizeof(uint32_t)];

    pgw_store_u32(key.secret, (uint32_t)(word >> 32));
    if (word & IS_LONG) {
        pgw_store_u32(text, pid);
        pgw_store_u32(text + sizeof(uint32_t), (uint32_t)(word >> 32));
        digest_hmac(ss->cancel_secret, span_of(text, sizeof(text)), key.secret);
        key.len = sizeof(key.secret);
    }
    return key;
}

void cancel_key_make(struct client *c, bool is_long, struct cancel_key *out)
{
    uint64_t word = (uint64_t)c->thread->number << REACTOR_SHIFT | IN_USE;
    uint32_t random;

    digest_random(&random, sizeof(random));
    word |= (uint64_t)random << 32 | (is_long ? IS_LONG : 0);
    *out = key_of(c->all, slab_handle(c->all->clients, c).index + 1, word);
    atomic_store_explicit(&c->word, word, memory_order_relaxed);
}

void cancel_key_drop(struct client *c)
{
    atomic_store_explicit(&c->word, 0, memory_order_relaxed);
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
    } else { /* it has left meanwhile */
        struct shard *shard = self->session;

        counter_add(&shard->counters.n_cancels_unknown, 1);
    }
    free(cancel);
}

/* The word of the client that this is the key of; 0: it is nobody's. */
static uint64_t find_word(const struct sessions *ss, const struct client *c, uint32_t pid,
                          struct span secret)
{
    uint64_t word = c == NULL ? 0 : load_word(c);
    struct cancel_key key = key_of(ss, pid, word);
    bool agrees = secret.len == key.len && digest_same(secret.ptr, key.secret, key.len);

    return agrees ? word : 0;
}

static void take_unknown(const struct client *from, struct span origin)
{
    char text[ADDR_TEXT_SIZE] = "gone";
    struct addr peer;

    counter_add(&from->shard->counters.n_cancels_unknown, 1);
    if (!throttle_charge(from->all->unknown_cancels, origin, loop_now_ns(from->thread->loop)))
        return;
    if (addr_peer(stream_fd(&from->stream), &peer) == 0)
        addr_text(&peer, text);
    log_warning(&from->log, "too many unknown cancel keys", "address=%s", text);
}

void cancel_request(const struct client *from, uint32_t pid, struct span secret)
{
    struct sessions *ss = from->all;
    struct addr_origin whence = addr_origin(stream_fd(&from->stream));
    struct span origin = span_of(&whence, sizeof(whence));
    struct client *c;
    uint64_t word;

    if (secret.len == SHORT_LEN &&
        !throttle_allows(ss->unknown_cancels, origin, loop_now_ns(from->thread->loop))) {
        counter_add(&from->shard->counters.n_cancels_dropped, 1);
        return;
    }
    c = pid == 0 ? NULL : slab_at(ss->clients, pid - 1);
    word = find_word(ss, c, pid, secret);
    if (word == 0) {
        take_unknown(from, origin);
        return;
    }

    struct cancel_letter *cancel = malloc(sizeof(*cancel));

    if (cancel == NULL)
        return; /* as if the request had been lost on its way */
    *cancel = (struct cancel_letter){.letter.open = arrive, .client = c, .word = word};
    thread_post(&from->thread->crew->threads[reactor_of(word)], &cancel->letter);
}
