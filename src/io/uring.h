/*
 * The io_uring engine's own parts: uring.c has the ring and the turn, uring_setup.c makes the ring,
 * uring_recv.c receives.
 */
#ifndef IO_URING_H
#define IO_URING_H

#include <liburing.h>

#include "engine.h"
#include "slots.h"

/* What a slot stands for. */
enum op_kind {
    OP_RECV,    /* object: sock */
    OP_SEND,    /* object: sock; the front of its queue */
    OP_CONNECT, /* object: sock; writability */
    OP_WATCH,   /* object: loop_watch, NULL after its removal */
    OP_WAKE,    /* writes to the loop's eventfd */
};

/* user_data of operations without a slot: what came of them is of no interest. */
#define NAME_IGNORED UINT64_C(0)
#define NAME_TRIAL (UINT64_C(1) << 32) /* see uring_setup.c */

/* What came out of the ring. */
struct completion {
    uint64_t name;
    int res;
    unsigned flags;
};

/* A group of receive buffers. Each is in the kernel's ring or lent until the turn's end. */
struct buffer_group {
    struct io_uring_buf_ring *ring;
    uint8_t *memory;
    size_t buffer_size;
    unsigned n_buffers; /* a power of two */
    uint16_t first_id;
    uint16_t n_lent;
    uint16_t *lent;
};

struct uring_loop {
    struct loop loop;
    struct io_uring ring;
    struct slots slots;
    bool bound;     /* to the thread that turned it first */
    bool multishot; /* receives can go on without being asked for again, once bound */
    unsigned enter_flags;
    int error; /* the ring is of no more use */

    /* Operations that found the submission queue full, in order. */
    struct io_uring_sqe *extra;
    size_t n_extra, next_extra, max_extra;

    struct buffer_group small, bulk;
    struct list starved; /* socks that hold data and wait for a buffer, FIFO */
    struct list unlucky; /* those whose turn came and others took the buffer: next time first */
};

static inline struct uring_loop *uring_loop(struct loop *l)
{
    return CONTAINER_OF(l, struct uring_loop, loop);
}

extern const struct engine uring_engine;

/* uring.c */

/* An operation to fill in with one of io_uring_prep_*() and a name; never NULL. */
struct io_uring_sqe *uring_sqe(struct uring_loop *u);
void uring_cancel(struct uring_loop *u, uint32_t index);

/* Submits everything and runs what the kernel has deferred; waits for wait_nr completions, at most
 * timeout_ns. */
NODISCARD int uring_enter(struct uring_loop *u, unsigned wait_nr, uint64_t timeout_ns);

/* Takes the oldest completion out of the ring; false if there is none. */
bool uring_next(struct uring_loop *u, struct completion *out);

/* Begins to watch the eventfd. */
void uring_arm_wake(struct uring_loop *u);

/* uring_setup.c */

void uring_teardown(struct uring_loop *u);

/* On the thread that is going to turn the loop. */
NODISCARD int uring_bind(struct uring_loop *u);

/* uring_recv.c */

NODISCARD int uring_buffers_init(struct uring_loop *u, const struct loop_config *config);
void uring_buffers_fini(struct uring_loop *u);

/* The turn is over: what was lent is free, the starved are started as far as there are buffers. */
void uring_buffers_back(struct uring_loop *u);

void uring_recv_start(struct sock *s);
void uring_recv_cancel(struct sock *s);
void uring_received(struct uring_loop *u, struct sock *s, const struct completion *c);

/* Takes the buffer of a completion that nobody waits for. */
void uring_drop_data(struct uring_loop *u, const struct completion *c);

#endif
