/*
 * The io_uring engine: one enter per turn submits everything, runs the completions that the kernel
 * has put off until we come (DEFER_TASKRUN), and waits.
 *
 * Completions are moved out of the ring at once, all of them, and delivered from the backlog: so
 * the ring does not overflow behind a long callback, and an inline send that failed is found
 * however many completions lie before it.
 *
 * Invariants: every operation with a completion has a slot until its last completion; a slot whose
 * object has gone (a removed watch) waits for that completion with object NULL; after uring_enter()
 * the kernel has taken every operation. Nothing here makes the kernel start worker threads: no
 * operation that blocks is put on the ring.
 */
#include "uring.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#include "weir/base/clock.h"

#define DELIVER_MAX 256 /* completions between two enters */
#define NAP_NS NS_PER_MS

bool uring_grow(void *array_ptr, size_t *max, size_t element)
{
    void *bigger, *array;

    memcpy(&array, array_ptr, sizeof(array));
    bigger = reallocarray(array, 2 * *max, element);
    if (bigger == NULL)
        return false;
    memcpy(array_ptr, &bigger, sizeof(bigger));
    *max *= 2;
    return true;
}

struct io_uring_sqe *uring_sqe(struct uring_loop *u)
{
    struct io_uring_sqe *sqe = u->n_extra == 0 ? io_uring_get_sqe(&u->ring) : NULL;

    if (sqe != NULL)
        return sqe;
    if (u->n_extra == u->max_extra && !uring_grow(&u->extra, &u->max_extra, sizeof(*u->extra))) {
        u->error = -ENOMEM; /* the next enter tells, and submits nothing any more */
        return &u->extra[0];
    }
    return &u->extra[u->n_extra++];
}

void uring_cancel(struct uring_loop *u, uint32_t index)
{
    struct slot *slot = slots_at(&u->slots, index);
    struct io_uring_sqe *sqe;

    if (slot->cancelled)
        return;
    slot->cancelled = true;
    sqe = uring_sqe(u);
    io_uring_prep_cancel64(sqe, slots_name(&u->slots, index), 0);
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = NAME_IGNORED;
}

static unsigned n_queued(const struct uring_loop *u)
{
    return u->ring.sq.sqe_tail - *u->ring.sq.khead;
}

/* liburing's own submit functions leave GETEVENTS out when a completion is visible already, and
 * then the kernel does not run what it has deferred. */
static int enter(struct uring_loop *u, unsigned n_submit, unsigned wait_nr, uint64_t timeout_ns)
{
    struct io_uring_sq *sq = &u->ring.sq;
    struct io_uring_getevents_arg arg = {.sigmask_sz = _NSIG / 8};
    struct __kernel_timespec ts;

    if (wait_nr > 0 && timeout_ns != CLOCK_NEVER) {
        ts.tv_sec = (long long)(timeout_ns / NS_PER_S);
        ts.tv_nsec = (long long)(timeout_ns % NS_PER_S);
        arg.ts = (uintptr_t)&ts;
    }
    sq->sqe_head = sq->sqe_tail;
    io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    counter_add(&u->loop.stats.n_enters, 1);
    return io_uring_enter2((unsigned)u->ring.enter_ring_fd, n_submit, wait_nr,
                           IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | u->enter_flags,
                           (sigset_t *)(void *)&arg, sizeof(arg));
}

static bool take_completion(struct uring_loop *u, const struct io_uring_cqe *cqe)
{
    if (cqe->user_data & NAME_INLINE) {
        uring_inline_failed(u, (uint32_t)cqe->user_data & ~(uint32_t)NAME_INLINE, cqe->res);
        return true;
    }
    if (u->n_backlog == u->max_backlog &&
        !uring_grow(&u->backlog, &u->max_backlog, sizeof(*u->backlog)))
        return false;
    u->backlog[u->n_backlog++] =
        (struct completion){.name = cqe->user_data, .res = cqe->res, .flags = cqe->flags};
    return true;
}

/* Everything visible in the ring. */
static int take_completions(struct uring_loop *u)
{
    struct io_uring_cq *cq = &u->ring.cq;
    unsigned head = *cq->khead;
    unsigned tail = io_uring_smp_load_acquire(cq->ktail); /* the kernel's release of the entries */
    bool room = true;

    while (head != tail && room)
        room = take_completion(u, &cq->cqes[head++ & cq->ring_mask]);
    io_uring_smp_store_release(cq->khead, head); /* the kernel may use the entries again */
    return room ? 0 : -ENOMEM;
}

static bool overflowed(const struct uring_loop *u)
{
    return IO_URING_READ_ONCE(*u->ring.sq.kflags) & IORING_SQ_CQ_OVERFLOW;
}

/* The ring, and what did not fit in and waits in the kernel's memory. */
static int take_all_completions(struct uring_loop *u)
{
    int rc = take_completions(u);

    while (rc == 0 && overflowed(u)) {
        counter_add(&u->loop.stats.n_overflows, 1);
        rc = enter(u, 0, 0, 0);
        if (rc == -EBUSY || rc == -EINTR || rc == -ETIME)
            rc = 0;
        if (rc == 0)
            rc = take_completions(u);
    }
    return rc;
}

/* As many of the extra operations as the queue has places. */
static void queue_extra(struct uring_loop *u)
{
    while (u->next_extra < u->n_extra) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

        if (sqe == NULL)
            return;
        *sqe = u->extra[u->next_extra++];
    }
    u->next_extra = u->n_extra = 0;
}

/* Conditions that pass: a timeout, a signal, a full completion ring, no memory at the moment. */
static bool passing(int rc)
{
    return rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN;
}

int uring_enter(struct uring_loop *u, unsigned wait_nr, uint64_t timeout_ns)
{
    bool all;

    do {
        int rc;

        queue_extra(u);
        all = u->n_extra == 0;
        rc = enter(u, n_queued(u), all && u->n_backlog == 0 ? wait_nr : 0, timeout_ns);
        if (!passing(rc))
            u->error = rc;
        if (u->error == 0)
            u->error = take_all_completions(u);
        if (u->error != 0)
            return u->error;
        if (rc == -EAGAIN) /* the kernel has no memory for operations: let others give some back */
            (void)enter(u, 0, 1, NAP_NS);
    } while (!all || n_queued(u) > 0);
    return 0;
}

static int hand_over(struct uring_loop *u, unsigned wait_nr, uint64_t timeout_ns)
{
    int rc = uring_enter(u, wait_nr, timeout_ns);

    if (rc != 0)
        return rc;
    uring_settle(u);
    uring_buffers_back(u);
    return 0;
}

static int uring_wait(struct loop *l, uint64_t timeout_ns)
{
    struct uring_loop *u = uring_loop(l);
    int rc = u->bound ? 0 : uring_bind(u);

    if (rc != 0)
        return rc;
    uring_buffers_ready(u);
    return hand_over(u, timeout_ns > 0, timeout_ns);
}

static int uring_submit(struct loop *l)
{
    struct uring_loop *u = uring_loop(l);
    int rc = u->bound ? 0 : uring_bind(u);

    uring_buffers_ready(u);
    /* Twice where a send was not taken whole: what is left of it is an operation, too. */
    while (rc == 0 && n_queued(u) > 0)
        rc = hand_over(u, 0, 0);
    uring_buffers_back(u);
    return rc;
}

static bool uring_pending(struct loop *l)
{
    struct uring_loop *u = uring_loop(l);

    return u->n_backlog > 0 || !list_empty(&u->starved) || !list_empty(&u->unlucky);
}

static void arm_watch(struct uring_loop *u, struct loop_watch *w)
{
    struct io_uring_sqe *sqe = uring_sqe(u);

    io_uring_prep_poll_add(sqe, w->fd, w->events);
    sqe->user_data = slots_name(&u->slots, w->slot);
}

static int uring_watch_add(struct loop *l, struct loop_watch *w)
{
    struct uring_loop *u = uring_loop(l);

    w->slot = slots_get(&u->slots, OP_WATCH, w);
    if (w->slot == 0)
        return -ENOBUFS;
    arm_watch(u, w);
    return 0;
}

static void uring_watch_remove(struct loop *l, struct loop_watch *w)
{
    struct uring_loop *u = uring_loop(l);

    slots_at(&u->slots, w->slot)->object = NULL;
    uring_cancel(u, w->slot);
}

/* Armed again before the callback: that may free w. The kernel looks at the descriptor only when
 * the turn is over, so what the callback has read does not make it ready again. */
static void watch_ready(struct uring_loop *u, struct loop_watch *w, int res)
{
    w->slot = slots_get(&u->slots, OP_WATCH, w);
    ASSERT(w->slot != 0); /* one was put back just now */
    arm_watch(u, w);
    w->ready(w, res < 0 ? POLLERR : (unsigned)res);
}

void uring_arm_wake(struct uring_loop *u)
{
    struct io_uring_sqe *sqe = uring_sqe(u);
    uint32_t slot = slots_get(&u->slots, OP_WAKE, u);

    io_uring_prep_poll_multishot(sqe, u->loop.wake_fd, POLLIN);
    sqe->user_data = slots_name(&u->slots, slot);
}

static struct sock *sock_of(void *object)
{
    return object;
}

static void deliver_one(struct uring_loop *u, const struct completion *c)
{
    uint32_t index = slots_find(&u->slots, c->name);
    struct slot slot;

    if (c->name == NAME_IGNORED)
        return;
    if (index == 0) {
        counter_add(&u->loop.stats.n_stale, 1);
        uring_drop_data(u, c);
        return;
    }
    slot = *slots_at(&u->slots, index);
    if (!(c->flags & IORING_CQE_F_MORE))
        slots_put(&u->slots, index);
    switch ((enum op_kind)slot.kind) {
    case OP_RECV:
        uring_received(u, slot.object, c);
        break;
    case OP_SEND:
        sock_of(slot.object)->send_slot = 0;
        sock_queue_sent(slot.object, c->res);
        break;
    case OP_CONNECT:
        sock_of(slot.object)->send_slot = 0;
        sock_writable(slot.object);
        break;
    case OP_WATCH:
        if (slot.object != NULL)
            watch_ready(u, slot.object, c->res);
        break;
    case OP_WAKE:
        if (!(c->flags & IORING_CQE_F_MORE))
            uring_arm_wake(u);
        break;
    }
}

static void uring_deliver(struct loop *l)
{
    struct uring_loop *u = uring_loop(l);

    for (unsigned n = 0; n < DELIVER_MAX && u->next_backlog < u->n_backlog; n++) {
        struct completion c = u->backlog[u->next_backlog++];

        deliver_one(u, &c);
    }
    /* The rest moves to the front: a few entries, and only where more than a turn's worth came. */
    u->n_backlog -= u->next_backlog;
    memmove(u->backlog, u->backlog + u->next_backlog, u->n_backlog * sizeof(*u->backlog));
    u->next_backlog = 0;
}

static void uring_forget(struct sock *s)
{
    ASSERT(s->recv_slot == 0 && s->send_slot == 0);
    s->flags &= ~(unsigned)RX_DATA;
}

static void uring_free(struct loop *l)
{
    struct uring_loop *u = uring_loop(l);

    uring_teardown(u);
    loop_fini(l);
    free(u);
}

const struct engine uring_engine = {
    .id = LOOP_ENGINE_URING,
    .free = uring_free,
    .submit = uring_submit,
    .wait = uring_wait,
    .pending = uring_pending,
    .deliver = uring_deliver,
    .recv_start = uring_recv_start,
    .recv_cancel = uring_recv_cancel,
    .send_notes = uring_send_notes,
    .send_queue = uring_send_queue,
    .send_wait = uring_send_wait,
    .send_cancel = uring_send_cancel,
    .forget = uring_forget,
    .watch_add = uring_watch_add,
    .watch_remove = uring_watch_remove,
};
