/*
 * What the parts of io share and nobody else sees: the loop itself, the small interface that
 * io_uring and epoll implement, and the states of a sock.
 *
 * The engines move bytes; who is owed which callback, in which order bytes go out and when a
 * descriptor may be closed is decided in one place for both, in sock.c and send.c.
 */
#ifndef IO_ENGINE_H
#define IO_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/base/list.h"
#include "weir/base/mailbox.h"
#include "weir/base/span.h"
#include "weir/base/wheel.h"
#include "weir/io/loop.h"
#include "weir/io/sock.h"

#include "scratch.h"

/* Bits of sock.flags. The owner's wishes, then what the engine holds, then what is owed. */
enum sock_flag {
    RX_ALWAYS = 1U << 0, /* sock_receive() is in force */
    RX_ONCE = 1U << 1,   /* sock_receive_once() is */
    RX_STOP = 1U << 2,   /* sock_stop() has not been answered */
    RX_OVER = 1U << 3,   /* FIN or an error came: nothing is ever received again */

    RX_BUSY = 1U << 4,   /* the engine has the receive */
    RX_CANCEL = 1U << 5, /* and was asked to give it up */
    RX_DATA = 1U << 6,   /* the socket is known to hold data or FIN */
    RX_HUP = 1U << 7,    /* epoll: FIN lies behind the data, so RX_DATA stays until it is read */
    RX_BULK = 1U << 8,   /* io_uring: receives use the large buffers */
    RX_NEXT = 1U << 21,  /* io_uring: waited for a buffer and its turn has come */

    TX_BUSY = 1U << 9,   /* the engine is sending the queue or waits for the connection */
    TX_WATCH = 1U << 10, /* epoll: registered for writability */
    TX_ABOVE = 1U << 11, /* more than the high mark was unsent: drained() will be owed */
    TX_DEAD = 1U << 12,  /* a send failed: error is set, bytes are dropped */

    CONNECTING = 1U << 13,
    FAILED = 1U << 14,     /* error is told or owed: no callback but that and closed() */
    CLOSE_SENT = 1U << 15, /* sock_close_sent(): no callback but closed() */
    CLOSING = 1U << 16,    /* sock_close(): the same, and nothing is sent either */

    /* Owed callbacks, made in this order. */
    DUE_CONNECTED = 1U << 17,
    DUE_STOPPED = 1U << 18,
    DUE_DRAINED = 1U << 19,
    DUE_ENDED = 1U << 20,
};

#define RX_WANTED ((unsigned)RX_ALWAYS | RX_ONCE)
#define DUE_ANY ((unsigned)DUE_CONNECTED | DUE_STOPPED | DUE_DRAINED | DUE_ENDED)
#define MUTE ((unsigned)FAILED | CLOSE_SENT | CLOSING) /* no more data, FIN, stopped or drained */

/* Bytes of somebody else that go out at the end of the turn. Lives in the loop's scratch. */
struct note {
    struct note *next;
    struct span data;
};

/* One per engine. All run on the loop's thread. */
struct engine {
    enum loop_engine id;
    void (*free)(struct loop *l);

    /* The turn is over: takes back what was lent for it, hands over what is queued. */
    int (*submit)(struct loop *l);
    /* The same, then waits for something to deliver: CLOCK_NEVER: for ever; 0: not at all. */
    int (*wait)(struct loop *l, uint64_t timeout_ns);
    /* True if deliver() has something to do without a wait. */
    bool (*pending)(struct loop *l);
    /* Makes the callbacks of a bounded number of completions. */
    void (*deliver)(struct loop *l);

    /* Begins a receive as the flags want it; sets RX_BUSY. */
    void (*recv_start)(struct sock *s);
    /* Ends it, now or later, by sock_recv_over(). */
    void (*recv_cancel)(struct sock *s);
    /* Sends (some of) the queue when the kernel has room, once; sets TX_BUSY; ends with
     * sock_queue_sent(). */
    void (*send_queue)(struct sock *s);
    /* Waits until a connecting socket is writable; sets TX_BUSY; ends with sock_writable(). */
    void (*send_wait)(struct sock *s);
    /* Ends either of the two, now or later, by clearing TX_BUSY through sock_send_over(). */
    void (*send_cancel)(struct sock *s);
    /* s leaves the loop, detached or closed; nothing of it is in the kernel. */
    void (*forget)(struct sock *s);

    int (*watch_add)(struct loop *l, struct loop_watch *w);
    void (*watch_remove)(struct loop *l, struct loop_watch *w);
};

/* First member of each engine's own struct. Runs on: its thread, but for the group below. */
struct loop {
    const struct engine *engine;
    struct arena *arena;
    loop_mail_fn *on_mail;
    void *ctx;
    int epfd; /* of the epoll engine, else -1 */
    bool stopping;
    uint64_t now_ns;
    struct list sending; /* socks with notes or a queue that can begin to move */
    struct list due;     /* socks that owe a callback other than closed() */
    struct list closing; /* socks that can be closed in the next turn */
    unsigned n_socks, n_watches;
    struct scratch scratch;
    struct wheel wheel;
    char description[192];

    /* shared: */
    int wake_fd;             /* eventfd, never read: each write is an edge */
    struct loop_stats stats; /* written by the loop's thread, read by any */
    struct mailbox mailbox;  /* any thread pushes */
};

/* loop.c: the common part of the engines' constructors and free functions. */
NODISCARD int loop_init(struct loop *l, const struct engine *engine,
                        const struct loop_config *config);
void loop_fini(struct loop *l);

/* config has no zeroes left and is checked. */
NODISCARD int poll_new(struct loop **out, const struct loop_config *config);
NODISCARD int uring_new(struct loop **out, const struct loop_config *config);

/* sock.c: what engines tell. */

/* The receive is no longer with the engine. res > 0: it received, sock_data() follows; 0: FIN;
 * -ECANCELED: it was cancelled; other -errno: the connection is broken. Starts the next receive if
 * one is wanted. */
void sock_recv_over(struct sock *s, int res);

/* Makes received(); the caller must not touch s afterwards. */
void sock_data(struct sock *s, struct span data);

/* The connection attempt is decided; res < 0: -errno, it could not be waited for. */
void sock_writable(struct sock *s, int res);

/* TX_BUSY is over. */
void sock_send_over(struct sock *s);

/* A callback is due at the end of this turn. */
void sock_owe(struct sock *s, unsigned due);

/* Makes the callbacks that are owed. */
void sock_tell_all(struct loop *l);

/* Closes what was to be closed in former turns and makes closed(). */
void sock_close_all(struct loop *l);

/* The connection is of no more use; ended() or connected() will tell. */
void sock_fail(struct sock *s, int error);

/* As above, but what the peer sent before is delivered first. */
void sock_send_failed(struct sock *s, int error);

/* send.c */

/* Sends the notes of all socks. */
void send_all(struct loop *l);

/* res: bytes of the queue that the kernel took, or -errno. */
void sock_queue_sent(struct sock *s, int64_t res);

/* Forgets what is unsent; bytes that the kernel is reading stay until it has done so. */
void sock_drop_unsent(struct sock *s);

#endif
