/*
 * The life of a sock: what its owner wishes, what the engine has, what is owed to the owner.
 *
 * Invariants: a callback is the last thing that happens to a sock in a function, because its owner
 * may hand the sock to another thread in it; the descriptor is closed only when the engine has
 * neither receive nor send of it; while anything is owed (due_link) a sock cannot be detached.
 * Runs on: the loop's thread.
 */
#include "weir/io/sock.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "weir/base/clock.h"

#include "engine.h"
#include "outq.h"

#define HIGH_MARK (256U << 10)
#define LOW_MARK (64U << 10)

/* What a peer may have sent while it is told that it has to go; more than that is a flood. */
#define DISCARD_SIZE 4096
#define DISCARD_MAX 32

static void linger_over(struct wheel_timer *t)
{
    sock_close(CONTAINER_OF(t, struct sock, linger));
}

void sock_open(struct sock *s, struct loop *l, int fd, const struct sock_ops *ops)
{
    *s = (struct sock){
        .ops = ops,
        .loop = l,
        .fd = fd,
        .high_mark = HIGH_MARK,
        .low_mark = LOW_MARK,
        .linger = {.fire = linger_over},
    };
    l->n_socks++;
}

void sock_connect(struct sock *s, struct loop *l, int fd, const struct sock_ops *ops,
                  const struct sockaddr *addr, socklen_t addr_len)
{
    sock_open(s, l, fd, ops);
    s->flags |= CONNECTING;
    /* connect(2) directly: on the ring it would be the same call, then the same poll. */
    if (connect(fd, addr, addr_len) == 0)
        sock_writable(s, 0);
    else if (errno == EINPROGRESS)
        l->engine->send_wait(s);
    else
        sock_fail(s, -errno);
}

void sock_owe(struct sock *s, unsigned due)
{
    ASSERT(!(s->flags & CLOSING));
    s->flags |= due;
    if (!list_linked(&s->due_link))
        list_push_back(&s->loop->due, &s->due_link);
}

/* The engine has finished with a sock that is being closed, or had nothing of it. */
static void closable(struct sock *s)
{
    if ((s->flags & (RX_BUSY | TX_BUSY)) || list_linked(&s->due_link))
        return;
    list_push_back(&s->loop->closing, &s->due_link);
}

/* Starts a receive if one is wanted and possible: not before connected() is told, or data could
 * come first. */
static void start_wanted(struct sock *s)
{
    const unsigned obstacles = RX_BUSY | RX_OVER | CONNECTING | DUE_CONNECTED | MUTE;

    if ((s->flags & RX_WANTED) && !(s->flags & obstacles))
        s->loop->engine->recv_start(s);
}

static void cancel_receive(struct sock *s)
{
    s->flags &= ~RX_WANTED;
    if (!(s->flags & RX_BUSY) || (s->flags & RX_CANCEL))
        return;
    s->flags |= RX_CANCEL;
    s->loop->engine->recv_cancel(s);
}

/* Where a connection attempt ends, well or not, the socket tells how. */
void sock_writable(struct sock *s, int res)
{
    int error = res < 0 ? -res : 0;
    socklen_t len = sizeof(error);

    if (s->flags & (FAILED | CLOSING)) {
        sock_send_over(s);
        return;
    }
    ASSERT(s->flags & CONNECTING);
    s->flags &= ~(unsigned)TX_BUSY;
    if (res >= 0 && getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    if (error != 0) {
        sock_fail(s, -error);
        return;
    }
    s->flags &= ~(unsigned)CONNECTING;
    if (!(s->flags & CLOSE_SENT))
        sock_owe(s, DUE_CONNECTED);
    if (s->n_unsent > 0 && !list_linked(&s->send_link))
        list_push_back(&s->loop->sending, &s->send_link);
}

void sock_receive(struct sock *s)
{
    if (s->flags & (RX_WANTED | RX_OVER | MUTE))
        return;
    s->flags &= ~((unsigned)RX_STOP | DUE_STOPPED);
    s->flags |= RX_ALWAYS;
    start_wanted(s);
}

void sock_receive_once(struct sock *s)
{
    if (s->flags & (RX_WANTED | RX_OVER | MUTE))
        return;
    ASSERT(!(s->flags & (RX_STOP | RX_BUSY)));
    s->flags |= RX_ONCE;
    start_wanted(s);
}

void sock_stop(struct sock *s)
{
    if (s->flags & (RX_STOP | MUTE))
        return;
    s->flags |= RX_STOP;
    cancel_receive(s);
    if (!(s->flags & RX_BUSY))
        sock_owe(s, DUE_STOPPED);
}

bool sock_receiving(const struct sock *s)
{
    return (s->flags & (RX_WANTED | RX_BUSY)) != 0;
}

/* No more will come: FIN, or the end that shutdown(2) in sock_send_failed() has made. */
static void receive_fin(struct sock *s)
{
    s->flags |= RX_OVER;
    s->flags &= ~RX_WANTED;
    if (s->flags & RX_STOP)
        sock_owe(s, DUE_STOPPED);
    if (s->flags & MUTE) /* an error has been told, or is owed */
        return;
    if (s->flags & TX_DEAD)
        sock_owe(s, DUE_ENDED);
    else
        s->ops->ended(s, 0);
}

void sock_recv_over(struct sock *s, int res)
{
    s->flags &= ~((unsigned)RX_BUSY | RX_CANCEL);
    if (s->flags & CLOSING) {
        closable(s);
        return;
    }
    if (res == 0) {
        receive_fin(s);
        return;
    }
    if (res < 0 && res != -ECANCELED) {
        sock_fail(s, res);
        return;
    }
    if (res > 0)
        s->flags &= ~(unsigned)RX_ONCE;
    if ((s->flags & TX_DEAD) && !(s->flags & (RX_WANTED | MUTE)))
        sock_owe(s, DUE_ENDED);
    if (s->flags & RX_STOP)
        sock_owe(s, DUE_STOPPED);
    start_wanted(s);
}

void sock_data(struct sock *s, struct span data)
{
    counter_add(&s->loop->stats.n_bytes_received, data.len);
    if (!(s->flags & MUTE))
        s->ops->received(s, data);
}

void sock_send_over(struct sock *s)
{
    s->flags &= ~(unsigned)TX_BUSY;
    if (s->flags & (TX_DEAD | CLOSING))
        outq_clear(s, s->loop->arena);
    if (s->flags & CLOSING)
        closable(s);
}

static void drop_all(struct sock *s)
{
    cancel_receive(s);
    sock_drop_unsent(s);
    if (s->flags & TX_BUSY)
        s->loop->engine->send_cancel(s);
}

void sock_fail(struct sock *s, int error)
{
    if (s->flags & (FAILED | CLOSING))
        return;
    if (s->flags & CLOSE_SENT) {
        sock_close(s);
        return;
    }
    s->error = error;
    s->flags |= FAILED | TX_DEAD | RX_OVER;
    s->flags &= ~((unsigned)RX_STOP | DUE_STOPPED | DUE_DRAINED | TX_ABOVE);
    drop_all(s);
    sock_owe(s, s->flags & CONNECTING ? DUE_CONNECTED : DUE_ENDED);
}

/* A server that goes away sends its reason and closes; a query sent to it then fails before the
 * reason has been read. So an armed receive is allowed to come to its end, which shutdown(2) makes
 * sure of. */
void sock_send_failed(struct sock *s, int error)
{
    if (!(s->flags & RX_WANTED) || (s->flags & (RX_OVER | MUTE))) {
        sock_fail(s, error);
        return;
    }
    s->error = error;
    s->flags |= TX_DEAD;
    s->flags &= ~((unsigned)DUE_DRAINED | TX_ABOVE);
    sock_drop_unsent(s);
    (void)shutdown(s->fd, SHUT_RDWR);
}

void sock_set_watermark(struct sock *s, uint32_t high, uint32_t low)
{
    ASSERT(low <= high);
    s->high_mark = high;
    s->low_mark = low;
    if (s->n_unsent > high)
        s->flags |= TX_ABOVE;
}

bool sock_detachable(const struct sock *s)
{
    return !(s->flags & (RX_WANTED | RX_STOP | RX_BUSY | TX_BUSY | CONNECTING | CLOSE_SENT |
                         CLOSING | DUE_ANY)) &&
           s->n_unsent == 0 && !list_linked(&s->due_link);
}

void sock_detach(struct sock *s)
{
    ASSERT(sock_detachable(s) && !list_linked(&s->send_link) && !list_linked(&s->recv_link));
    s->loop->engine->forget(s);
    s->loop->n_socks--;
    s->loop = NULL;
}

void sock_attach(struct sock *s, struct loop *l, const struct sock_ops *ops)
{
    ASSERT(s->loop == NULL);
    /* Still registered with the epoll instance of another loop: that needs no help to forget it. */
    if (s->epfd_plus_1 != 0 && s->epfd_plus_1 != l->epfd + 1) {
        (void)epoll_ctl(s->epfd_plus_1 - 1, EPOLL_CTL_DEL, s->fd, NULL);
        s->epfd_plus_1 = 0;
        s->flags &= ~((unsigned)TX_WATCH | RX_DATA | RX_HUP);
    }
    s->loop = l;
    s->ops = ops;
    l->n_socks++;
}

void sock_close(struct sock *s)
{
    if (s->flags & CLOSING)
        return;
    s->flags |= CLOSING;
    wheel_clear(&s->loop->wheel, &s->linger);
    if (list_linked(&s->due_link))
        list_remove(&s->due_link);
    drop_all(s);
    closable(s);
}

void sock_close_sent(struct sock *s, uint64_t timeout_ns)
{
    if (s->flags & (CLOSE_SENT | CLOSING))
        return;
    s->flags |= CLOSE_SENT;
    if (s->n_unsent == 0 || (s->flags & TX_DEAD)) {
        sock_close(s);
        return;
    }
    s->flags &= ~((unsigned)RX_STOP | DUE_ANY);
    cancel_receive(s);
    loop_timer_set(s->loop, &s->linger, timeout_ns);
}

/* Closing with unread bytes resets a TCP connection, and a reset makes the peer forget what it has
 * not read yet: the error message that was the reason for closing. */
static void discard_unread(int fd)
{
    uint8_t sink[DISCARD_SIZE];

    for (int i = 0; i < DISCARD_MAX; i++)
        if (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) <= 0)
            return;
}

static void finish_close(struct sock *s)
{
    struct loop *l = s->loop;

    ASSERT(outq_empty(s) && !list_linked(&s->send_link) && !list_linked(&s->recv_link));
    l->engine->forget(s);
    if (s->flags & CLOSE_SENT)
        discard_unread(s->fd);
    close(s->fd);
    s->fd = -1;
    s->loop = NULL;
    l->n_socks--;
    s->ops->closed(s);
}

/* Makes the first of the callbacks that s owes. */
static void tell(struct sock *s)
{
    unsigned owed = s->flags & DUE_ANY;
    unsigned first = owed & -owed;
    int error = s->error;

    s->flags &= ~first;
    if (owed != first)
        sock_owe(s, 0);
    switch (first) {
    case DUE_CONNECTED:
        start_wanted(s); /* which may fail: that is an error of its own, told later */
        s->ops->connected(s, error);
        break;
    case DUE_STOPPED:
        s->flags &= ~(unsigned)RX_STOP;
        s->ops->stopped(s);
        break;
    case DUE_DRAINED:
        if (s->ops->drained != NULL)
            s->ops->drained(s);
        break;
    case DUE_ENDED:
        /* The owner receives after a send has failed: the error waits for the end of that. */
        if ((s->flags & (RX_BUSY | FAILED)) == RX_BUSY)
            break;
        s->flags |= FAILED;
        s->ops->ended(s, s->error);
        break;
    default: /* taken back meanwhile */
        break;
    }
}

void sock_tell_all(struct loop *l)
{
    struct list now;
    struct list_link *link;

    list_init(&now);
    list_splice_back(&now, &l->due);
    while ((link = list_pop_front(&now)) != NULL)
        tell(LIST_ITEM(link, struct sock, due_link));
}

void sock_close_all(struct loop *l)
{
    struct list now;
    struct list_link *link;

    list_init(&now);
    list_splice_back(&now, &l->closing);
    while ((link = list_pop_front(&now)) != NULL)
        finish_close(LIST_ITEM(link, struct sock, due_link));
}
