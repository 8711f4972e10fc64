/*
 * The io_uring engine: one enter per turn submits everything, runs the completions that the kernel
 * has put off until we come (DEFER_TASKRUN), and waits.
 *
 * Invariants: every operation with a completion has a slot until its last completion; a slot whose
 * object has gone (a removed watch) waits for that completion with object NULL. Nothing here makes
 * the kernel start worker threads: no operation that blocks is put on the ring. Nothing is
 * submitted in the middle of a turn: what finds the submission queue full waits in extra.
 */
#include "uring.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#include "weir/base/clock.h"

#include "outq.h"

#define DELIVER_MAX 256 /* completions between two enters */
#define NAP_NS NS_PER_MS

static bool grow_extra(struct uring_loop *u)
{
    struct io_uring_sqe *bigger = reallocarray(u->extra, 2 * u->max_extra, sizeof(*u->extra));

    if (bigger == NULL)
        return false;
    u->extra = bigger;
    u->max_extra *= 2;
    return true;
}

struct io_uring_sqe *uring_sqe(struct uring_loop *u)
{
    struct io_uring_sqe *sqe = u->n_extra == 0 ? io_uring_get_sqe(&u->ring) : NULL;

    if (sqe != NULL)
        return sqe;
    if (u->n_extra == u->max_extra && !grow_extra(u)) {
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

bool uring_next(struct uring_loop *u, struct completion *out)
{
    struct io_uring_cq *cq = &u->ring.cq;
    unsigned head = *cq->khead;
    const struct io_uring_cqe *cqe = &cq->cqes[head & cq->ring_mask];

    /* Acquire: the kernel releases the tail when the entry is written. */
    if (head == io_uring_smp_load_acquire(cq->ktail))
        return false;
    *out = (struct completion){.name = cqe->user_data, .res = cqe->res, .flags = cqe->flags};
    io_uring_smp_store_release(cq->khead, head + 1); /* the kernel may write the entry again */
    return true;
}

static bool has_completions(const struct uring_loop *u)
{
    return *u->ring.cq.khead != io_uring_smp_load_acquire(u->ring.cq.ktail);
}

/* Completions that did not fit into the ring wait in the kernel; the next enter moves them. */
static bool overflowed(const struct uring_loop *u)
{
    return IO_URING_READ_ONCE(*u->ring.sq.kflags) & IORING_SQ_CQ_OVERFLOW;
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
    int rc;

    do {
        queue_extra(u);
        all = u->n_extra == 0;
        rc = u->error != 0 ? u->error : enter(u, n_queued(u), all ? wait_nr : 0, timeout_ns);
    } while (rc >= 0 && (!all || n_queued(u) > 0));
    if (rc == -EAGAIN) /* the kernel has no memory for operations: let others give some back */
        (void)enter(u, 0, 1, NAP_NS);
    if (overflowed(u))
        counter_add(&u->loop.stats.n_overflows, 1);
    if (!passing(rc))
        u->error = rc;
    return u->error;
}

static int uring_wait(struct loop *l, uint64_t timeout_ns)
{
    struct uring_loop *u = uring_loop(l);
    int rc = u->bound ? 0 : uring_bind(u);

    if (rc != 0)
        return rc;
    uring_buffers_back(u);
    return uring_enter(u, timeout_ns > 0, timeout_ns);
}

static int uring_submit(struct loop *l)
{
    struct uring_loop *u = uring_loop(l);
    int rc = u->bound ? 0 : uring_bind(u);

    uring_buffers_back(u);
    return rc == 0 && n_queued(u) > 0 ? uring_enter(u, 0, 0) : rc;
}

static bool uring_pending(struct loop *l)
{
    struct uring_loop *u = uring_loop(l);

    return has_completions(u) || overflowed(u) || !list_empty(&u->starved) ||
           !list_empty(&u->unlucky);
}

/* Begins an operation of the way out; NULL if there is no slot: s has failed then. */
static struct io_uring_sqe *begin_send(struct sock *s, enum op_kind kind)
{
    struct uring_loop *u = uring_loop(s->loop);

    s->send_slot = slots_get(&u->slots, (uint8_t)kind, s);
    if (s->send_slot == 0) {
        sock_fail(s, -ENOBUFS);
        return NULL;
    }
    s->flags |= TX_BUSY;
    return uring_sqe(u);
}

/* One chunk; the kernel waits for room by itself and completes when all of it is taken. */
static void uring_send_queue(struct sock *s)
{
    struct span front = outq_front(s);
    struct io_uring_sqe *sqe = begin_send(s, OP_SEND);

    if (sqe == NULL)
        return;
    io_uring_prep_send(sqe, s->fd, front.ptr, front.len, MSG_WAITALL | MSG_NOSIGNAL);
    sqe->user_data = slots_name(&uring_loop(s->loop)->slots, s->send_slot);
}

static void uring_send_wait(struct sock *s)
{
    struct io_uring_sqe *sqe = begin_send(s, OP_CONNECT);

    if (sqe == NULL)
        return;
    io_uring_prep_poll_add(sqe, s->fd, POLLOUT);
    sqe->user_data = slots_name(&uring_loop(s->loop)->slots, s->send_slot);
}

static void uring_send_cancel(struct sock *s)
{
    uring_cancel(uring_loop(s->loop), s->send_slot);
}

static void send_over(struct sock *s, enum op_kind kind, int res)
{
    s->send_slot = 0;
    if (kind == OP_SEND)
        sock_queue_sent(s, res);
    else
        sock_writable(s, res);
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

static void deliver_one(struct uring_loop *u, const struct completion *c)
{
    uint32_t index = slots_find(&u->slots, c->name);
    struct slot slot;

    if (index == 0) {
        if (c->name != NAME_IGNORED && c->name != NAME_TRIAL)
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
    case OP_CONNECT:
        send_over(slot.object, slot.kind, c->res);
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
    struct completion c;

    for (unsigned n = 0; n < DELIVER_MAX && uring_next(u, &c); n++)
        deliver_one(u, &c);
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
    .send_queue = uring_send_queue,
    .send_wait = uring_send_wait,
    .send_cancel = uring_send_cancel,
    .forget = uring_forget,
    .watch_add = uring_watch_add,
    .watch_remove = uring_watch_remove,
};
