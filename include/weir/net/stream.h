/*
 * The byte stream that everything above net speaks over: a sock with the options that a database
 * connection wants. What is sent and received through a stream is always plain text; a stream that
 * is encrypted does that below this interface, where owners do not see it.
 *
 * The callbacks are a sock's (io/sock.h), called with &stream->sock; stream_of() leads back. So a
 * plain stream costs nothing over its sock: no call, no branch.
 *
 * Invariants: those of sock. Owners touch stream->sock only through stream_of().
 * Runs on: the thread of the loop it is attached to.
 */
#ifndef WEIR_NET_STREAM_H
#define WEIR_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/base/check.h"
#include "weir/base/span.h"
#include "weir/io/loop.h"
#include "weir/io/sock.h"
#include "weir/net/addr.h"

struct stream {
    struct sock sock;
};

/* For TCP; a Unix socket ignores it. See tcp(7). */
struct stream_options {
    unsigned keepalive_idle_s;     /* 0: no keepalive */
    unsigned keepalive_interval_s; /* 0: as it is */
    unsigned keepalive_count;      /* 0: as it is */
    unsigned user_timeout_ms; /* how long sent bytes may stay unacknowledged; 0: the kernel's */
};

/* Sets o and TCP_NODELAY. On a listening socket: for the connections it will accept, which inherit
 * them without a system call of their own. An option that cannot be set leaves a working
 * connection, or the socket is broken and says so when it is used: neither is an error here. */
void stream_set_options(int fd, const struct stream_options *o);

static inline struct stream *stream_of(struct sock *s)
{
    return CONTAINER_OF(s, struct stream, sock);
}

/* Opens a socket and connects; answered by ops->connected. 0, or -errno and nothing was opened. to
 * is copied. */
NODISCARD int stream_dial(struct stream *s, struct loop *l, const struct sock_ops *ops,
                          const struct addr *to, const struct stream_options *o);

/* Takes over fd from a listener. */
static inline void stream_accept(struct stream *s, struct loop *l, const struct sock_ops *ops,
                                 int fd)
{
    sock_open(&s->sock, l, fd, ops);
}

/* The rest is as in io/sock.h. */

static inline void stream_receive(struct stream *s)
{
    sock_receive(&s->sock);
}

static inline void stream_receive_once(struct stream *s)
{
    sock_receive_once(&s->sock);
}

static inline void stream_stop(struct stream *s)
{
    sock_stop(&s->sock);
}

static inline bool stream_receiving(const struct stream *s)
{
    return sock_receiving(&s->sock);
}

static inline void stream_send(struct stream *s, struct span data)
{
    sock_send(&s->sock, data);
}

static inline size_t stream_unsent(const struct stream *s)
{
    return sock_unsent(&s->sock);
}

static inline void stream_set_watermark(struct stream *s, uint32_t high, uint32_t low)
{
    sock_set_watermark(&s->sock, high, low);
}

static inline bool stream_detachable(const struct stream *s)
{
    return sock_detachable(&s->sock);
}

static inline void stream_detach(struct stream *s)
{
    sock_detach(&s->sock);
}

static inline bool stream_detached(const struct stream *s)
{
    return s->sock.loop == NULL;
}

/* -1: closed. */
static inline int stream_fd(const struct stream *s)
{
    return s->sock.fd;
}

static inline void stream_attach(struct stream *s, struct loop *l, const struct sock_ops *ops)
{
    sock_attach(&s->sock, l, ops);
}

static inline void stream_close(struct stream *s)
{
    sock_close(&s->sock);
}

static inline void stream_close_sent(struct stream *s, uint64_t timeout_ns)
{
    sock_close_sent(&s->sock, timeout_ns);
}

#endif
