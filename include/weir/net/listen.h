/*
 * Listening sockets. A Unix socket file left behind by a process that died is replaced; one that
 * somebody still listens on is an error, as it is for a TCP port. There is no SO_REUSEPORT: a
 * second daemon must not be able to take a share of the connections unnoticed.
 *
 * Blocks on the file system for a moment: start-up and control only.
 */
#ifndef WEIR_NET_LISTEN_H
#define WEIR_NET_LISTEN_H

#include <stddef.h>
#include <sys/types.h>

#include "weir/base/check.h"
#include "weir/net/addr.h"
#include "weir/net/stream.h"

struct listen_options {
    int backlog;                    /* 0: 4096; the kernel cuts it to net.core.somaxconn */
    mode_t unix_mode;               /* permissions of a Unix socket's file */
    struct stream_options accepted; /* for every connection */
};

struct listen_socket {
    int fd;           /* non-blocking and close-on-exec; -1: closed */
    struct addr addr; /* as bound: port 0 has become the port the kernel chose */
};

/* 0 or -errno; -EADDRINUSE: somebody listens there; -EWOULDBLOCK: somebody has kept the folder of a
 * Unix socket locked (flock(2)) for two seconds, which is how long this may block. */
NODISCARD int listen_open(struct listen_socket *out, const struct addr *a,
                          const struct listen_options *o);

/* Opens all of list into out, which has room for list->n, and sets *n_out to how many there are:
 * fewer than list->n where the machine lacks an optional address. On failure nothing stays open and
 * *failed is the index of the address at fault. 0 or -errno. */
NODISCARD int listen_open_all(struct listen_socket *out, size_t *n_out,
                              const struct addr_list *list, const struct listen_options *o,
                              size_t *failed);

/* Removes the file of a Unix socket, too. Twice is fine. */
void listen_close(struct listen_socket *s);

#endif
