/*
 * The io_uring engine's own parts. uring.c has the ring and the turn, uring_setup.c makes the ring,
 * uring_recv.c and uring_send.c do what their names say.
 */
#ifndef IO_URING_H
#define IO_URING_H

#include <liburing.h>

#include "engine.h"
#include "slots.h"

/* What a slot stands for. */
enum op_kind {
    OP_RECV,    /* object: sock */
    OP_SEND,    /* object: sock; its queue's first chunk */
    OP_CONNECT, /* object: sock; writability */
    OP_WATCH,   /* object: loop_watch, NULL after its removal */
    OP_WAKE,    /* object: the loop; writes to the eventfd */
};

/* user_data of operations without a slot; indexes of slots are smaller than the bits. */
#define NAME_IGNORED UINT64_C(0)        /* cancels: what they cancelled tells */
#define NAME_INLINE (UINT64_C(1) << 31) /* | index in inline_sends */

/* What came out of the ring. */
struct completion {
    uint64_t name;
    int res;
    unsigned flags;
};

/* A group of receive buffers. Twice as many as the kernel's ring has places: while one half is lent
 * to a turn and to its sends, the other can be filled. */
struct buffer_group {
    struct io_uring_buf_ring *ring;
    uint8_t *memory;
    size_t buffer_size;
    unsigned n_places; /* of the ring, a power of two */
    unsigned n_ready;  /* buffers in the ring, those of completions not yet delivered included */
    uint16_t first_id;
    uint16_t *free; /* a stack: what was used last is still in the cache */
    unsigned n_free;
    uint16_t *lent; /* until the turn's end */
    unsigned n_lent;
};

/* A send whose success makes no completion: the kernel tells before the enter returns if it did not
 * take everything. */
struct inline_send {
    struct sock *sock;
    int64_t res;
};

struct uring_loop {
    struct loop loop;
    struct io_uring ring;
    struct slots slots;
    bool bound;     /* to the thread that turned it first */
    bool multishot; /* receives continue without being asked again */
    bool inline_ok; /* the kernel passed the trial of inline sends */
    unsigned enter_flags;
    int error; /* the ring is of no more use */

    /* Operations that found the submission queue full, in order. */
    struct io_uring_sqe *extra;
    size_t n_extra, next_extra, max_extra;

    /* Completions taken from the ring and not yet delivered. */
    struct completion *backlog;
    size_t n_backlog, next_backlog, max_backlog;

    struct buffer_group small, bulk;
    struct list starved; /* socks that hold data and wait for a buffer, FIFO */
    struct list unlucky; /* those whose turn came and others took the buffer: next time first */

    struct inline_send *inline_sends; /* of the next enter */
    size_t n_inline, max_inline;
};

static inline struct uring_loop *uring_loop(struct loop *l)
{
    return CONTAINER_OF(l, struct uring_loop, loop);
}

/* uring.c */

/* An operation to fill in with one of io_uring_prep_*() and a name; never NULL. */
struct io_uring_sqe *uring_sqe(struct uring_loop *u);

void uring_cancel(struct uring_loop *u, uint32_t index);

/* Submits everything and runs what the kernel has deferred; waits for wait_nr completions, at most
 * timeout_ns. Whatever completed is in the backlog afterwards, or in inline_sends. */
NODISCARD int uring_enter(struct uring_loop *u, unsigned wait_nr, uint64_t timeout_ns);

/* Doubles an array of *max elements; array points at the pointer to it. False without memory. */
NODISCARD bool uring_grow(void *array, size_t *max, size_t element);

/* Begins to watch the eventfd. */
void uring_arm_wake(struct uring_loop *u);

extern const struct engine uring_engine;

/* uring_setup.c */
void uring_teardown(struct uring_loop *u);

/* On the thread that is going to turn the loop. */
NODISCARD int uring_bind(struct uring_loop *u);

/* uring_recv.c */
NODISCARD int uring_buffers_init(struct uring_loop *u, const struct loop_config *config);
void uring_buffers_fini(struct uring_loop *u);

/* Before an enter: fills the rings, starts the starved as far as there are buffers. */
void uring_buffers_ready(struct uring_loop *u);

/* After it: what was lent is free. */
void uring_buffers_back(struct uring_loop *u);

void uring_recv_start(struct sock *s);
void uring_recv_cancel(struct sock *s);
void uring_received(struct uring_loop *u, struct sock *s, const struct completion *c);

/* Takes the buffer of a completion that nobody waits for. */
void uring_drop_data(struct uring_loop *u, const struct completion *c);

/* uring_send.c */
void uring_send_notes(struct sock *s);
void uring_send_queue(struct sock *s);
void uring_send_wait(struct sock *s);
void uring_send_cancel(struct sock *s);

/* Tells the socks what became of their inline sends. */
void uring_settle(struct uring_loop *u);

/* res: of the one that index names. */
void uring_inline_failed(struct uring_loop *u, uint32_t index, int res);

#endif
