/*
 * The ring between a thread that logs and the log's writer: one producer, one consumer, records of
 * any length in fixed memory, none of which ever waits for the other.
 *
 * The ring also is the piece of mail by which the producer tells the writer that something is in
 * it. It can be in the mailbox once: whoever finds it QUIET posts it, and the writer makes it QUIET
 * before it reads. The last word of a thread is LEFT, and after that the ring is the writer's.
 */
#ifndef WEIR_BASE_LOG_RING_H
#define WEIR_BASE_LOG_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/base/check.h"
#include "weir/base/counter.h"
#include "weir/base/list.h"
#include "weir/base/log.h"
#include "weir/base/mailbox.h"

enum log_ring_state {
    LOG_RING_QUIET, /* not in the mailbox */
    LOG_RING_NOTED, /* in the mailbox: there is something to read */
    LOG_RING_LEFT,  /* the same, and the thread has ended */
};

#define LOG_RING_NAME_SIZE 16

/* First what the producer uses, then, on a line of its own, what the writer writes for each record.
 */
struct log_ring {
    _Alignas(CACHE_LINE) struct log *log; /* never changes, like the next three */
    size_t size;                          /* a power of two */
    char *bytes;
    char name[LOG_RING_NAME_SIZE];
    struct list_link link; /* in the log's list, under its mutex */

    _Atomic size_t head; /* where the next record goes; the producer's to write */
    size_t tail_seen;    /* a value of tail; the producer's alone */
    struct counter sent; /* lines, lost ones included; the producer's to write */
    struct counter lost; /* no room; the producer's to write */
    struct mail mail;    /* whose it is says state, which both write */
    atomic_uint state;

    _Alignas(
        CACHE_LINE) _Atomic size_t tail; /* where the next record is read; the writer's to write */
    uint64_t lost_seen;                  /* a value of lost; the writer's alone */
};

/* What stands in the ring; text points into it until the record is dropped. */
struct log_record {
    uint64_t wall_ns;
    enum log_level level;
    const char *text;
    size_t len;
    size_t end; /* where the next record begins */
};

/* Memory for one; NULL if there is none. */
NODISCARD struct log_ring *log_ring_new(struct log *log, const char *name, size_t size);
void log_ring_free(struct log_ring *r);

/* Producer. Copies the record's level, time and text in and counts it as sent. False: there was no
 * room, and it counts as lost too. True: note the ring. */
NODISCARD bool log_ring_put(struct log_ring *r, const struct log_record *record);

/* Producer. True: the ring must be posted. LEFT must be the last thing that it does with the ring.
 */
NODISCARD bool log_ring_note(struct log_ring *r, enum log_ring_state state);

/* Writer, before it reads. True: the thread has left, nothing will come after what is there now. */
NODISCARD bool log_ring_hush(struct log_ring *r);

/* Writer. How far the producer has come; peek up to there. */
NODISCARD size_t log_ring_head(struct log_ring *r);

/* Writer. The next record; false: there is none before `head`. */
NODISCARD bool log_ring_peek(struct log_ring *r, size_t head, struct log_record *out);
void log_ring_drop(struct log_ring *r, const struct log_record *record);

#endif
