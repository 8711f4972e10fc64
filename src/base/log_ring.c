/*
 * Positions count bytes from the beginning and never wrap; a record lies at position modulo size
 * and is never cut in two: where it would be, the rest of the ring is skipped.
 */
#include "log_ring.h"

#include <stdlib.h>
#include <string.h>

#include "weir/base/yield.h"

/* In front of each record, aligned. */
struct header {
    uint32_t size; /* of the record with its header, aligned; 0: skip to the beginning */
    uint32_t len;  /* of the text */
    uint64_t wall_ns;
    uint64_t level;
};

#define ALIGNMENT sizeof(uint64_t)

struct log_ring *log_ring_new(struct log *log, const char *name, size_t size)
{
    struct log_ring *r = aligned_alloc(CACHE_LINE, sizeof(*r));

    if (r == NULL)
        return NULL;
    memset(r, 0, sizeof(*r));
    r->log = log;
    r->size = size;
    strncpy(r->name, name, sizeof(r->name) - 1);
    atomic_init(&r->head, 0);
    atomic_init(&r->tail, 0);
    atomic_init(&r->state, LOG_RING_QUIET);
    r->bytes = malloc(size);
    if (r->bytes != NULL)
        return r;
    log_ring_free(r);
    return NULL;
}

void log_ring_free(struct log_ring *r)
{
    if (r == NULL)
        return;
    free(r->bytes);
    free(r);
}

static bool has_room(struct log_ring *r, size_t head, size_t needed)
{
    if (r->size - (head - r->tail_seen) >= needed)
        return true;
    /* Pairs with the release in log_ring_drop(): what is overwritten has been read. */
    r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
    return r->size - (head - r->tail_seen) >= needed;
}

bool log_ring_put(struct log_ring *r, const struct log_record *record)
{
    size_t head = atomic_load_explicit(&r->head, memory_order_relaxed); /* our own */
    size_t size = (sizeof(struct header) + record->len + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    size_t to_end = r->size - (head & (r->size - 1));
    size_t skipped = size <= to_end ? 0 : to_end;
    struct header h = {(uint32_t)size, (uint32_t)record->len, record->wall_ns, record->level};
    char *at;

    counter_add(&r->sent, 1);
    if (!has_room(r, head, skipped + size)) {
        counter_add(&r->lost, 1);
        return false;
    }
    if (skipped > 0) {
        memset(r->bytes + (head & (r->size - 1)), 0, sizeof(h.size));
        head += skipped;
    }
    at = r->bytes + (head & (r->size - 1));
    memcpy(at, &h, sizeof(h));
    memcpy(at + sizeof(h), record->text, record->len);
    /* Publishes the record; pairs with the acquire in log_ring_head(). */
    atomic_store_explicit(&r->head, head + size, memory_order_release);
    return true;
}

bool log_ring_note(struct log_ring *r, enum log_ring_state state)
{
    YIELD_POINT(YIELD_LOG_PUT);
    /* An exchange even if it is noted already: a load could be done before our record is visible,
     * and the writer could have hushed and read in between. Pairs with the exchange in
     * log_ring_hush(). */
    return atomic_exchange_explicit(&r->state, state, memory_order_seq_cst) == LOG_RING_QUIET;
}

bool log_ring_hush(struct log_ring *r)
{
    unsigned old;

    YIELD_POINT(YIELD_LOG_HUSHING);
    /* Pairs with the exchange in log_ring_note(). */
    old = atomic_exchange_explicit(&r->state, LOG_RING_QUIET, memory_order_seq_cst);
    YIELD_POINT(YIELD_LOG_HUSHED);
    return old == LOG_RING_LEFT;
}

size_t log_ring_head(struct log_ring *r)
{
    /* Pairs with the release in log_ring_put(). */
    return atomic_load_explicit(&r->head, memory_order_acquire);
}

bool log_ring_peek(struct log_ring *r, size_t head, struct log_record *out)
{
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed); /* our own */
    size_t mask = r->size - 1;
    struct header h;

    if (tail == head)
        return false;
    memcpy(&h.size, r->bytes + (tail & mask), sizeof(h.size));
    if (h.size == 0)
        tail += r->size - (tail & mask);
    memcpy(&h, r->bytes + (tail & mask), sizeof(h));
    *out = (struct log_record){.wall_ns = h.wall_ns,
                               .level = (enum log_level)h.level,
                               .text = r->bytes + (tail & mask) + sizeof(h),
                               .len = h.len,
                               .end = tail + h.size};
    return true;
}

void log_ring_drop(struct log_ring *r, const struct log_record *record)
{
    /* Pairs with the acquire in has_room(). */
    atomic_store_explicit(&r->tail, record->end, memory_order_release);
}
