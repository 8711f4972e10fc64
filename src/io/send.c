/*
 * The way out. sock_send() notes spans; at the end of the turn the notes of a sock are sent with
 * one system call, what the kernel does not take is copied to the queue and sent when there is room
 * (send_queue), and while a queue is on its way notes go straight to its end.
 *
 * Rejected: sends on the ring that complete without a completion when they succeed (MSG_WAITALL,
 * MSG_DONTWAIT, CQE_SKIP_SUCCESS). Measured with 64 connections they cost 5 (Unix) to 25 ns (TCP)
 * more than send(2), with 8 connections 70 and 100 ns; and their result is known only after the
 * wait, so buffers, spans and the completion queue would all have to last longer.
 *
 * Invariants: notes are sent only while the queue is empty, so bytes never overtake each other;
 * n_unsent is the length of notes and queue together.
 */
#include <errno.h>
#include <sys/socket.h>

#include "engine.h"
#include "outq.h"

#define MAX_IOVECS 64

void sock_send(struct sock *s, struct span data)
{
    struct loop *l = s->loop;
    struct note *note = s->last;

    if (data.len == 0 || (s->flags & (TX_DEAD | CLOSE_SENT | CLOSING)))
        return;
    if (note != NULL && note->data.ptr + note->data.len == data.ptr) {
        note->data.len += data.len;
    } else {
        note = scratch_get(&l->scratch, sizeof(*note));
        if (note == NULL) {
            sock_fail(s, -ENOBUFS);
            return;
        }
        *note = (struct note){.data = data};
        if (s->last == NULL)
            s->first = note;
        else
            s->last->next = note;
        s->last = note;
    }
    s->n_unsent += data.len;
    if (s->n_unsent > s->high_mark)
        s->flags |= TX_ABOVE;
    if (!list_linked(&s->send_link))
        list_push_back(&l->sending, &s->send_link);
}

static void count_sent(struct sock *s, size_t n)
{
    s->n_unsent -= n;
    counter_add(&s->loop->stats.n_bytes_sent, n);
}

/* What follows from n_unsent having become smaller. */
static void unsent_fell(struct sock *s)
{
    if (s->n_unsent == 0 && (s->flags & CLOSE_SENT)) {
        sock_close(s);
        return;
    }
    if ((s->flags & TX_ABOVE) && s->n_unsent <= s->low_mark) {
        s->flags &= ~(unsigned)TX_ABOVE;
        if (!(s->flags & MUTE))
            sock_owe(s, DUE_DRAINED);
    }
}

/* Copies the notes but their first skip bytes to the queue. */
static bool queue_notes(struct sock *s, size_t skip)
{
    bool room = true;

    for (struct note *note = s->first; note != NULL && room; note = note->next) {
        size_t n = skip < note->data.len ? skip : note->data.len;

        skip -= n;
        room = outq_push(s, s->loop->arena, span_skip(note->data, n));
    }
    s->first = s->last = NULL;
    return room;
}

/* The kernel's form of a span, without the const that it lacks. */
static struct iovec iovec_of(struct span data)
{
    struct iovec v;

    _Static_assert(sizeof(v) == sizeof(data), "pointer and length, both");
    memcpy(&v, &data, sizeof(v));
    return v;
}

/* One system call. Returns the number of bytes that the kernel took, or -errno. */
static ssize_t send_notes(const struct sock *s)
{
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    struct iovec iov[MAX_IOVECS];
    struct msghdr msg = {.msg_iov = iov};
    ssize_t n;

    if (s->first == s->last) {
        n = send(s->fd, s->first->data.ptr, s->first->data.len, flags);
    } else {
        for (struct note *note = s->first; note != NULL && msg.msg_iovlen < MAX_IOVECS;
             note = note->next)
            iov[msg.msg_iovlen++] = iovec_of(note->data);
        n = sendmsg(s->fd, &msg, flags);
    }
    return n < 0 ? -errno : n;
}

static void try_notes(struct sock *s)
{
    ssize_t n = send_notes(s);

    if (n < 0 && n != -EAGAIN && n != -EINTR) {
        sock_send_failed(s, (int)n);
        return;
    }
    count_sent(s, n > 0 ? (size_t)n : 0);
    if (s->n_unsent == 0) {
        s->first = s->last = NULL;
    } else {
        counter_add(&s->loop->stats.n_short_sends, 1);
        if (!queue_notes(s, n > 0 ? (size_t)n : 0)) {
            sock_fail(s, -ENOBUFS);
            return;
        }
        s->loop->engine->send_queue(s);
    }
    unsent_fell(s);
}

void sock_queue_sent(struct sock *s, int64_t res)
{
    sock_send_over(s);
    if (s->flags & (TX_DEAD | CLOSING))
        return;
    if (res < 0 && res != -EAGAIN && res != -EINTR) {
        sock_send_failed(s, (int)res);
        return;
    }
    if (res > 0) {
        outq_drop(s, s->loop->arena, (size_t)res);
        count_sent(s, (size_t)res);
    }
    if (!outq_empty(s))
        s->loop->engine->send_queue(s);
    unsent_fell(s);
}

void sock_drop_unsent(struct sock *s)
{
    s->first = s->last = NULL;
    s->n_unsent = 0;
    if (list_linked(&s->send_link))
        list_remove(&s->send_link);
    if (!(s->flags & TX_BUSY))
        outq_clear(s, s->loop->arena);
}

static void send_one(struct sock *s)
{
    if (!(s->flags & TX_BUSY) && outq_empty(s))
        try_notes(s);
    else if (!queue_notes(s, 0))
        sock_fail(s, -ENOBUFS);
    else if (!(s->flags & TX_BUSY))
        s->loop->engine->send_queue(s);
}

void send_all(struct loop *l)
{
    struct list_link *link;

    while ((link = list_pop_front(&l->sending)) != NULL)
        send_one(LIST_ITEM(link, struct sock, send_link));
}
