/*
 * Chains in one table of a fixed size. Who looks for a statement walks a chain without a lock; a
 * chain is changed under the lock of its shard. The table does not grow: max_bytes says how many
 * statements there can be.
 *
 * A statement that nobody holds is in the queue, unused longest first, more or less; how it comes
 * there and leaves it is in refs.h. When room is needed, the first one dies, is unlinked, and is
 * freed after a round.
 *
 * A dropped statement keeps its link to the next one, for those who stand on it. When the round has
 * been everywhere, whoever had come by it without a reference has ended that turn: so nothing is
 * freed under somebody's feet, and no address is used again while somebody compares it.
 *
 * Invariants: of equal keys one statement is not dead; what is not in its chain is dead;
 * n_bytes <= max_bytes.
 * Threads: any of the crew. No lock is taken under another one.
 */
#include "weir/pool/statements.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "weir/base/list.h"
#include "weir/base/yield.h"
#include "weir/pool/thread.h"
#include "weir/pool/traces.h"

#include "refs.h"

#define N_SHARDS 64 /* also the smallest number of buckets */
#define N_BUCKETS_MAX ((size_t)1 << 22)
#define BYTES_PER_BUCKET 512 /* about what a statement takes */
#define MALLOC_OVERHEAD 16

#define MAX_SPARED 256 /* in a row, so that looking for one to drop takes microseconds */

/* Dropped beyond what is needed, so that it is done seldom: this part of all, at most so much. */
#define BATCH_PART 64
#define BATCH_MAX ((size_t)16384)

struct entry {
    struct statement statement;
    struct hash128 hash;
    _Atomic(struct entry *) next; /* in the chain; written under the shard's lock */
    struct list_link link;        /* in the queue, or among the dropped; under the queue's lock */
    struct refs refs;
    uint8_t parse[];
};

/* Each has every N_SHARDS-th chain. */
struct shard {
    _Alignas(CACHE_LINE) pthread_mutex_t lock; /* covers the writing of its chains */
};

struct queue {
    _Alignas(CACHE_LINE) pthread_mutex_t lock;
    struct list unused;
    struct list dropped; /* since the round began */
    struct list leaving; /* the round frees them; empty: there is none under way */
};

struct statements {
    /* never change: */
    struct hash_key key;
    struct crew *crew;
    size_t max_bytes;
    size_t mask;                      /* the number of buckets, a power of two, less one */
    _Atomic(struct entry *) *buckets; /* the chains */
    /* shared: */
    struct shard shards[N_SHARDS];
    struct queue queue;
    struct round round;
    _Atomic uint64_t last_id;
    _Atomic size_t n_bytes, n_statements;
    _Atomic uint32_t n_epochs; /* that have ended */
};

/* A key, and its hash. */
struct wanted {
    struct hash128 hash;
    struct span parse;
    uint64_t context;
};

/* ---- a statement ---- */

static struct entry *entry_of(struct statement *s)
{
    return CONTAINER_OF(s, struct entry, statement);
}

struct span statement_parse(const struct statement *s)
{
    return span_of(CONTAINER_OF_CONST(s, struct entry, statement)->parse, s->len);
}

unsigned statement_name(uint64_t id, char out[STATEMENT_NAME_SIZE])
{
    const unsigned prefix_len = sizeof(STATEMENT_NAME_PREFIX) - 1;
    unsigned n_digits = (67 - (unsigned)__builtin_clzll(id | 1)) / 4;

    memcpy(out, STATEMENT_NAME_PREFIX, prefix_len);
    out += prefix_len;
    for (unsigned i = n_digits; i-- > 0; id >>= 4)
        out[i] = "0123456789abcdef"[id & 15];
    out[n_digits] = '\0';
    return prefix_len + n_digits;
}

static size_t entry_size(size_t len)
{
    return sizeof(struct entry) + MALLOC_OVERHEAD + len;
}

static bool entry_is(const struct entry *e, const struct wanted *w)
{
    return hash128_equal(e->hash, w->hash) && e->statement.context == w->context &&
           span_equal(statement_parse(&e->statement), w->parse);
}

struct statement *statement_get(struct statement *s)
{
    refs_add(&entry_of(s)->refs);
    return s;
}

/* ---- the store ---- */

static void entries_free(struct list *l)
{
    struct list_link *link;

    while ((link = list_pop_front(l)) != NULL)
        free(LIST_ITEM(link, struct entry, link));
}

static size_t buckets_for(size_t max_bytes)
{
    size_t n_buckets = N_SHARDS;

    while (n_buckets < max_bytes / BYTES_PER_BUCKET && n_buckets < N_BUCKETS_MAX)
        n_buckets *= 2;
    return n_buckets;
}

static int init(struct statements *ss, const struct hash_key *key)
{
    pthread_mutex_init(&ss->queue.lock, NULL);
    list_init(&ss->queue.unused);
    list_init(&ss->queue.dropped);
    list_init(&ss->queue.leaving);
    for (unsigned i = 0; i < N_SHARDS; i++)
        pthread_mutex_init(&ss->shards[i].lock, NULL);
    ss->mask = buckets_for(ss->max_bytes) - 1;
    ss->buckets = calloc(ss->mask + 1, sizeof(ss->buckets[0]));
    if (ss->buckets == NULL)
        return -ENOMEM;
    if (key == NULL)
        return hash_key_init(&ss->key);
    ss->key = *key;
    return 0;
}

int statements_new(struct statements **out, struct crew *crew, size_t max_bytes,
                   const struct hash_key *key)
{
    struct statements *ss = aligned_alloc(_Alignof(struct statements), sizeof(*ss));
    int err;

    if (ss == NULL)
        return -ENOMEM;
    memset(ss, 0, sizeof(*ss));
    ss->crew = crew;
    ss->max_bytes = max_bytes;
    err = init(ss, key);
    if (err != 0) {
        statements_free(ss);
        return err;
    }
    *out = ss;
    return 0;
}

/* No other thread runs any more. */
static void chain_free(struct entry *e)
{
    while (e != NULL) {
        struct entry *next = atomic_load_explicit(&e->next, memory_order_relaxed);

        ASSERT(refs_count(&e->refs) == 0);
        free(e);
        e = next;
    }
}

void statements_free(struct statements *ss)
{
    if (ss == NULL)
        return;
    for (size_t i = 0; ss->buckets != NULL && i <= ss->mask; i++)
        chain_free(atomic_load_explicit(&ss->buckets[i], memory_order_relaxed));
    free(ss->buckets);
    entries_free(&ss->queue.dropped);
    entries_free(&ss->queue.leaving);
    for (unsigned i = 0; i < N_SHARDS; i++)
        pthread_mutex_destroy(&ss->shards[i].lock);
    pthread_mutex_destroy(&ss->queue.lock);
    free(ss);
}

/* 0 is left out, though it takes a while to come. */
uint32_t statements_epoch(const struct statements *ss)
{
    return atomic_load_explicit(&ss->n_epochs, memory_order_relaxed) | 1;
}

void statements_end_epoch(struct statements *ss)
{
    atomic_fetch_add_explicit(&ss->n_epochs, 2, memory_order_relaxed);
}

size_t statements_max_bytes(const struct statements *ss)
{
    return ss->max_bytes;
}

struct statements_counts statements_count(const struct statements *ss)
{
    return (struct statements_counts){
        .n_statements = atomic_load_explicit(&ss->n_statements, memory_order_relaxed),
        .n_bytes = atomic_load_explicit(&ss->n_bytes, memory_order_relaxed),
    };
}

static _Atomic(struct entry *) *bucket_of(const struct statements *ss, struct hash128 hash)
{
    return &ss->buckets[hash.low & ss->mask];
}

static struct shard *shard_of(struct statements *ss, struct hash128 hash)
{
    return &ss->shards[hash.low % N_SHARDS];
}

/* ---- dropping ---- */

static void chain_remove(struct statements *ss, const struct entry *e)
{
    struct shard *shard = shard_of(ss, e->hash);
    _Atomic(struct entry *) *at = bucket_of(ss, e->hash);
    struct entry *here;

    pthread_mutex_lock(&shard->lock);
    while ((here = atomic_load_explicit(at, memory_order_relaxed)) != e)
        at = &here->next;
    /* release: pairs with the acquire in find(): who comes by here sees what is behind e whole */
    atomic_store_explicit(at, atomic_load_explicit(&e->next, memory_order_relaxed),
                          memory_order_release);
    pthread_mutex_unlock(&shard->lock);
}

static void on_visit(struct round *r, struct thread *self)
{
    (void)r, (void)self; /* that it has come is all: another turn has begun */
}

/* All threads have begun a turn since the leaving ones were dropped. */
static void on_home(struct round *r, struct thread *self)
{
    struct statements *ss = CONTAINER_OF(r, struct statements, round);
    struct queue *q = &ss->queue;
    struct list gone;
    bool again;

    list_init(&gone);
    pthread_mutex_lock(&q->lock);
    list_splice_back(&gone, &q->leaving);
    list_splice_back(&q->leaving, &q->dropped);
    again = !list_empty(&q->leaving);
    pthread_mutex_unlock(&q->lock);
    entries_free(&gone);
    if (again)
        round_start(r, self);
}

/* Has entries freed when that is safe; nobody comes by them any more who is not there yet. */
static void retire(struct statements *ss, struct thread *self, struct list *entries)
{
    struct queue *q = &ss->queue;
    bool begins;

    pthread_mutex_lock(&q->lock);
    list_splice_back(&q->dropped, entries);
    begins = list_empty(&q->leaving);
    if (begins)
        list_splice_back(&q->leaving, &q->dropped);
    pthread_mutex_unlock(&q->lock);
    if (begins) {
        ss->round = (struct round){.visit = on_visit, .done = on_home};
        round_start(&ss->round, self);
    }
}

/* The statement that goes next, dead now. NULL: none may be dropped. Under the queue's lock. */
static struct entry *queue_drop(struct queue *q)
{
    unsigned n_spared = 0;
    struct list_link *link;

    while ((link = list_pop_front(&q->unused)) != NULL) {
        struct entry *e = LIST_ITEM(link, struct entry, link);

        switch (refs_judge(&e->refs, n_spared < MAX_SPARED)) {
        case REFS_IS_HELD:
            break;
        case REFS_IS_SPARED:
            n_spared++;
            list_push_back(&q->unused, link);
            break;
        case REFS_IS_DROPPED:
            return e;
        }
    }
    return NULL;
}

/* Drops statements of n_bytes together, or all that may be dropped. False: there was none. */
static bool drop_unused(struct statements *ss, struct thread *self, size_t n_bytes)
{
    size_t n_dropped = 0, n_bytes_dropped = 0;
    struct list dropped;
    struct entry *e;

    list_init(&dropped);
    pthread_mutex_lock(&ss->queue.lock);
    while (n_bytes_dropped < n_bytes && (e = queue_drop(&ss->queue)) != NULL) {
        n_dropped++;
        n_bytes_dropped += entry_size(e->statement.len);
        list_push_back(&dropped, &e->link);
    }
    /* Under the lock: who finds nothing to drop after us finds the room. */
    atomic_fetch_sub_explicit(&ss->n_statements, n_dropped, memory_order_relaxed);
    atomic_fetch_sub_explicit(&ss->n_bytes, n_bytes_dropped, memory_order_relaxed);
    pthread_mutex_unlock(&ss->queue.lock);
    if (n_dropped == 0)
        return false;
    YIELD_POINT(YIELD_STATEMENTS_DROPPED);
    LIST_FOREACH (link, &dropped) {
        chain_remove(ss, LIST_ITEM(link, struct entry, link));
    }
    retire(ss, self, &dropped);
    return true;
}

static bool room_try_get(struct statements *ss, size_t n)
{
    size_t n_bytes = atomic_load_explicit(&ss->n_bytes, memory_order_relaxed);

    do {
        if (n > ss->max_bytes - n_bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&ss->n_bytes, &n_bytes, n_bytes + n,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

bool statements_get_room(struct statements *ss, struct thread *self, size_t n)
{
    size_t batch = ss->max_bytes / BATCH_PART;

    ASSERT(self->crew == ss->crew); /* a round comes by */
    if (n > ss->max_bytes)
        return false;
    if (batch > BATCH_MAX)
        batch = BATCH_MAX;
    while (!room_try_get(ss, n))
        if (!drop_unused(ss, self, n + batch))
            return room_try_get(ss, n); /* another thread may have dropped all there was */
    return true;
}

void statements_put_room(struct statements *ss, size_t n)
{
    atomic_fetch_sub_explicit(&ss->n_bytes, n, memory_order_relaxed);
}

/* ---- finding and making ---- */

/* With a reference, or NULL. Walks past dead ones: what was put in since they died stands before
 * them, so a look under the lock decides. */
static struct entry *find(const struct statements *ss, const struct wanted *w)
{
    /* acquire, here and below: pairs with the releases in insert() and chain_remove() */
    struct entry *e = atomic_load_explicit(bucket_of(ss, w->hash), memory_order_acquire);

    while (e != NULL && !(entry_is(e, w) && refs_take(&e->refs)))
        e = atomic_load_explicit(&e->next, memory_order_acquire);
    return e;
}

/* With one reference; in nothing yet. NULL: no memory. */
static struct entry *entry_new(struct statements *ss, const struct wanted *w)
{
    struct entry *e = malloc(sizeof(*e) + w->parse.len);

    if (e == NULL)
        return NULL;
    e->statement = (struct statement){
        .id = atomic_fetch_add_explicit(&ss->last_id, 1, memory_order_relaxed) + 1,
        .context = w->context,
        .len = w->parse.len,
        .traces = traces_of_text(w->parse),
    };
    e->hash = w->hash;
    e->link = (struct list_link){NULL, NULL};
    refs_init(&e->refs);
    memcpy(e->parse, w->parse.ptr, w->parse.len);
    return e;
}

/* Puts a new one in, unless somebody else was faster: then his, with a reference. */
static struct entry *insert(struct statements *ss, struct entry *e, const struct wanted *w)
{
    _Atomic(struct entry *) *bucket = bucket_of(ss, w->hash);
    struct shard *shard = shard_of(ss, w->hash);
    struct entry *other;

    pthread_mutex_lock(&shard->lock);
    other = find(ss, w);
    if (other == NULL) {
        atomic_init(&e->next, atomic_load_explicit(bucket, memory_order_relaxed));
        /* release: pairs with the acquire in find() */
        atomic_store_explicit(bucket, e, memory_order_release);
    }
    pthread_mutex_unlock(&shard->lock);
    return other == NULL ? e : other;
}

/* Makes the statement; NULL: no room or no memory. */
static struct entry *add(struct statements *ss, struct thread *self, const struct wanted *w)
{
    size_t n_bytes = entry_size(w->parse.len);
    struct entry *mine, *e;

    YIELD_POINT(YIELD_STATEMENTS_MISSED);
    if (!statements_get_room(ss, self, n_bytes))
        return find(ss, w); /* another thread may have made it and hold it */
    mine = entry_new(ss, w);
    e = mine == NULL ? NULL : insert(ss, mine, w);
    if (e != NULL && e == mine) {
        atomic_fetch_add_explicit(&ss->n_statements, 1, memory_order_relaxed);
        return e;
    }
    statements_put_room(ss, n_bytes);
    free(mine);
    return e;
}

struct statement *statements_intern(struct statements *ss, struct thread *self, struct span parse,
                                    uint64_t context)
{
    struct wanted w = {hash128(&ss->key, parse), parse, context};
    struct entry *e;

    ASSERT(self->crew == ss->crew); /* a round comes by */
    w.hash.low ^= hash64_u64(&ss->key, context);
    e = find(ss, &w);
    if (e == NULL)
        e = add(ss, self, &w);
    return e == NULL ? NULL : &e->statement;
}

/* Nobody held it, at least for a moment. */
static void queue_add(struct queue *q, struct entry *e)
{
    pthread_mutex_lock(&q->lock);
    if (refs_queue(&e->refs))
        list_push_back(&q->unused, &e->link);
    pthread_mutex_unlock(&q->lock);
}

void statement_put(struct statements *ss, struct thread *self, struct statement *s)
{
    ASSERT(self->crew == ss->crew); /* a round comes by: s is not freed in this turn */
    if (s != NULL && refs_put(&entry_of(s)->refs))
        queue_add(&ss->queue, entry_of(s));
}
