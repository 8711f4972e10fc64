/*
 * Sends back what it gets, over weir's loop.
 *
 * usage: echo io_uring | io_uring-6.1 | epoll  LISTEN
 */
#include <stdlib.h>

#include "front.h"
#include "weir/io/sock.h"
#include "weir/net/stream.h"
#include "wire.h"

static void received(struct sock *s, struct span data)
{
    sock_send(s, data);
}

static void ended(struct sock *s, int error)
{
    (void)error;
    sock_close(s);
}

static void closed(struct sock *s)
{
    free(stream_of(s));
}

static const struct sock_ops ops = {.received = received, .ended = ended, .closed = closed};

static void accepted(struct loop_listener *ln, int fd)
{
    static const struct stream_options none;
    struct stream *s = calloc(1, sizeof(*s));

    if (s == NULL)
        die("out of memory");
    stream_set_options(fd, &none);
    stream_accept(s, ln->loop, &ops, fd);
    stream_receive(s);
}

int main(int argc, char **argv)
{
    struct loop_listener listener = {.accepted = accepted};

    if (argc != 3)
        die("usage: echo io_uring | io_uring-6.1 | epoll  LISTEN");
    front_run(front_loop(argv[1]), argv[2], &listener);
}
