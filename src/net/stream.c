/* Opening streams and their socket options; all that a plain stream does later is inline. */
#include "weir/net/stream.h"

#include <errno.h>
#include <netinet/tcp.h>

static bool set_option(int fd, int level, int name, unsigned value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

void stream_set_options(int fd, const struct stream_options *o)
{
    /* Small messages, an answer awaited for each: Nagle's delay would hold every one of them. */
    if (!set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1))
        return; /* not TCP */
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, o->keepalive_idle_s > 0);
    if (o->keepalive_idle_s > 0)
        set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, o->keepalive_idle_s);
    if (o->keepalive_interval_s > 0)
        set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, o->keepalive_interval_s);
    if (o->keepalive_count > 0)
        set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, o->keepalive_count);
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, o->user_timeout_ms);
}

int stream_dial(struct stream *s, struct loop *l, const struct sock_ops *ops, const struct addr *to,
                const struct stream_options *o)
{
    int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    stream_set_options(fd, o);
    sock_connect(&s->sock, l, fd, ops, &to->any, to->len);
    return 0;
}
