/*
 * A connected stream socket on a loop. Embedded by value in its owner.
 *
 * Receiving: continuous (clients) or once per call (servers, whose receive is asked for together
 * with the send of the query). Sending: sock_send() only notes the bytes; at the end of the turn
 * all that was noted for a socket goes out in one vectored send, and what the kernel does not take
 * is copied to chunks of the arena and sent later, in order. So bytes passed to sock_send() must
 * live until the end of the turn, as received data and loop_scratch() do, and no longer.
 *
 * Invariants: at most one receive and one send of a socket are with the kernel at any time; bytes
 * go out in the order of the sock_send() calls or not at all; after closed() the kernel holds
 * nothing of the sock; ended() with an error is the last callback but closed().
 *
 * Runs on: the thread of the loop it is attached to. A sock with nothing in the kernel may be
 * detached and attached elsewhere: that is how servers move between reactors, without a system
 * call (with epoll: two where the loop is another one).
 */
#ifndef WEIR_IO_SOCK_H
#define WEIR_IO_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "weir/base/check.h"
#include "weir/base/list.h"
#include "weir/base/span.h"
#include "weir/io/loop.h"

struct sock;
struct note;  /* src/io/engine.h */
struct chunk; /* src/io/outq.h */

/* Any of these may call any sock function on any sock of the loop, sock_close(s) included. */
struct sock_ops {
    /* data lives until the end of this turn; never empty. */
    void (*received)(struct sock *s, struct span data);
    /* error 0: the peer sent FIN; sending still works. error < 0: -errno, the socket is of no more
     * use (-ENOBUFS: unsent bytes found no room in the arena). Where a send fails while receiving,
     * what the peer had sent before is delivered first. At most one call of each kind. */
    void (*ended)(struct sock *s, int error);
    /* Unsent bytes had been above sock_set_watermark()'s high mark and fell to the low one. May be
     * NULL. */
    void (*drained)(struct sock *s);
    /* Answer to sock_connect(): 0 or -errno (the socket is of no more use). May be NULL if that is
     * never called. */
    void (*connected)(struct sock *s, int error);
    /* Answer to sock_stop(): nothing is being received any more; what came first has been
     * delivered. May be NULL if that is never called. */
    void (*stopped)(struct sock *s);
    /* Answer to sock_close(), in a later turn: the descriptor is closed and the memory is the
     * owner's again, also that of spans which the owner has passed to other socks. */
    void (*closed)(struct sock *s);
};

/* Open so that it can be embedded; all members are the layer's own. */
struct sock {
    const struct sock_ops *ops;
    struct loop *loop; /* NULL while detached */
    int fd;
    int error;          /* what ended() has told or will tell */
    uint32_t flags;     /* src/io/engine.h */
    uint32_t recv_slot; /* io_uring: operations in the kernel; 0: none */
    uint32_t send_slot;
    int epfd_plus_1; /* epoll: the instance that fd is registered with; 0: none */
    uint32_t high_mark, low_mark;
    uint8_t n_full;             /* receives in a row that filled their buffer */
    size_t n_unsent;            /* noted this turn and queued */
    struct note *first, *last;  /* spans noted this turn */
    struct chunk *head, *tail;  /* what the kernel did not take */
    struct list_link recv_link; /* on the engine's list of socks to be received from */
    struct list_link send_link; /* on the loop's list of socks that have something to send */
    struct list_link due_link;  /* on a list of socks that owe their owner a callback */
    struct wheel_timer linger;  /* bounds sock_close_sent() */
};

/* s is zeroed or was closed; fd is connected and non-blocking and belongs to s from now on. */
void sock_open(struct sock *s, struct loop *l, int fd, const struct sock_ops *ops);

/* As sock_open(), for a socket not yet connected. Whatever comes of it, connected() tells. Sends
 * and receives asked for meanwhile begin when it is. */
void sock_connect(struct sock *s, struct loop *l, int fd, const struct sock_ops *ops,
                  const struct sockaddr *addr, socklen_t addr_len);

/* Receive until sock_stop(), FIN or an error. No effect while already receiving, after FIN or after
 * an error. Takes back a sock_stop() that has not been answered: no answer comes then. */
void sock_receive(struct sock *s);

/* Receive once: one received() or ended(), then nothing is armed. No effect while already
 * receiving, after FIN or after an error. Not between sock_stop() and its answer. */
void sock_receive_once(struct sock *s);

/* End receiving; answered by stopped(), in this turn or a later one, also where nothing was armed,
 * but not after an error. Data may still be delivered before the answer. */
void sock_stop(struct sock *s);

/* True from sock_receive() or sock_receive_once() until nothing is armed any more. */
bool sock_receiving(const struct sock *s);

/* Sends data after everything passed before. Empty spans are fine. After an error the bytes are
 * dropped. */
void sock_send(struct sock *s, struct span data);

/* Bytes passed to sock_send() that the kernel has not taken yet. */
static inline size_t sock_unsent(const struct sock *s)
{
    return s->n_unsent;
}

/* Where drained() is called; default 256 KB and 64 KB. low <= high. Takes effect at once: with 0
 * and 0 while bytes are unsent, drained() tells that the kernel has taken the last of them. */
void sock_set_watermark(struct sock *s, uint32_t high, uint32_t low);

/* Nothing may be received, unsent or in the kernel, no callback may be due: asserts that.
 * Afterwards the sock belongs to no thread; fd stays open. */
void sock_detach(struct sock *s);
bool sock_detachable(const struct sock *s);

/* The other half, on the loop's thread. The caller has acquired the sock from whoever detached it;
 * ops are those of its new user. */
void sock_attach(struct sock *s, struct loop *l, const struct sock_ops *ops);

/* Ends everything at once, drops what is unsent; answered by closed(). No other callback comes
 * after this call. Closing twice is fine. */
void sock_close(struct sock *s);

/* Stops delivering, closes when everything unsent is with the kernel, an error comes, or after
 * timeout_ns. What the peer has sent and nobody has read is dropped first (128 KB at most): closing
 * over it would reset a TCP connection, last words included. */
void sock_close_sent(struct sock *s, uint64_t timeout_ns);

#endif
