/*
 * Sending on the ring.
 *
 * The notes of a turn go out as one send that the kernel must take at once or not (MSG_DONTWAIT)
 * and whole or it counts as failed (MSG_WAITALL), with no completion where it succeeds: so in the
 * usual case a send is an entry in the submission queue and nothing else. What became of it is
 * known when the enter returns. The queue, which exists where the kernel did not take everything,
 * is sent chunk by chunk with an ordinary send that waits for room.
 *
 * Invariant: a sock has at most one of inline send, queue send and connect with the kernel.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "outq.h"
#include "uring.h"

#define INLINE_FLAGS (MSG_WAITALL | MSG_DONTWAIT | MSG_NOSIGNAL)

/* The message that describes all notes; NULL if there is no scratch memory for it. */
static struct msghdr *make_message(struct sock *s)
{
    struct scratch *scratch = &s->loop->scratch;
    struct msghdr *msg = scratch_get(scratch, sizeof(*msg));
    size_t n = 0;

    for (const struct note *note = s->first; note != NULL && n < IOV_MAX; note = note->next)
        n++;
    if (msg == NULL)
        return NULL;
    *msg = (struct msghdr){.msg_iov = scratch_get(scratch, n * sizeof(struct iovec))};
    if (msg->msg_iov == NULL)
        return NULL;
    for (const struct note *note = s->first; msg->msg_iovlen < n; note = note->next)
        msg->msg_iov[msg->msg_iovlen++] = iovec_of(note->data);
    return msg;
}

static bool append_inline(struct uring_loop *u, struct sock *s, size_t len)
{
    if (u->n_inline == u->max_inline &&
        !uring_grow(&u->inline_sends, &u->max_inline, sizeof(*u->inline_sends)))
        return false;
    u->inline_sends[u->n_inline++] = (struct inline_send){.sock = s, .res = (int64_t)len};
    return true;
}

static size_t message_len(const struct msghdr *msg)
{
    size_t len = 0;

    for (size_t i = 0; i < msg->msg_iovlen; i++)
        len += msg->msg_iov[i].iov_len;
    return len;
}

void uring_send_notes(struct sock *s)
{
    struct uring_loop *u = uring_loop(s->loop);
    bool single = s->first == s->last;
    struct msghdr *msg = single || !u->inline_ok ? NULL : make_message(s);
    struct io_uring_sqe *sqe;

    if (!u->inline_ok || (!single && msg == NULL) ||
        !append_inline(u, s, single ? s->first->data.len : message_len(msg))) {
        send_notes_directly(s);
        return;
    }
    sqe = uring_sqe(u);
    if (single)
        io_uring_prep_send(sqe, s->fd, s->first->data.ptr, s->first->data.len, INLINE_FLAGS);
    else
        io_uring_prep_sendmsg(sqe, s->fd, msg, INLINE_FLAGS);
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = NAME_INLINE | (u->n_inline - 1);
}

void uring_inline_failed(struct uring_loop *u, uint32_t index, int res)
{
    ASSERT(index < u->n_inline);
    u->inline_sends[index].res = res;
}

void uring_settle(struct uring_loop *u)
{
    for (size_t i = 0; i < u->n_inline; i++)
        sock_notes_sent(u->inline_sends[i].sock, u->inline_sends[i].res);
    u->n_inline = 0;
}

/* Begins an operation of the way out: prepared by the caller, then given its name. */
static bool take_slot(struct uring_loop *u, struct sock *s, enum op_kind kind)
{
    s->send_slot = slots_get(&u->slots, (uint8_t)kind, s);
    if (s->send_slot == 0) {
        sock_fail(s, -ENOBUFS);
        return false;
    }
    s->flags |= TX_BUSY;
    return true;
}

void uring_send_queue(struct sock *s)
{
    struct uring_loop *u = uring_loop(s->loop);
    struct span front = outq_front(s);
    struct io_uring_sqe *sqe;

    if (!take_slot(u, s, OP_SEND))
        return;
    sqe = uring_sqe(u);
    io_uring_prep_send(sqe, s->fd, front.ptr, front.len, MSG_WAITALL | MSG_NOSIGNAL);
    sqe->user_data = slots_name(&u->slots, s->send_slot);
}

void uring_send_wait(struct sock *s)
{
    struct uring_loop *u = uring_loop(s->loop);
    struct io_uring_sqe *sqe;

    if (!take_slot(u, s, OP_CONNECT))
        return;
    sqe = uring_sqe(u);
    io_uring_prep_poll_add(sqe, s->fd, POLLOUT);
    sqe->user_data = slots_name(&u->slots, s->send_slot);
}

void uring_send_cancel(struct sock *s)
{
    uring_cancel(uring_loop(s->loop), s->send_slot);
}
