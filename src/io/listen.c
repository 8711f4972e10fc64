/*
 * Listening sockets: a watch, and accept4(2) until there is nothing left.
 *
 * Rejected: a multishot accept on the ring. It saves one or two of the dozens of system calls that
 * a connection costs, and brings descriptors that arrive after the listener has gone, another shape
 * on old kernels, and a kernel bug (6.6 to 6.8: descriptors that do not exist).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "weir/base/clock.h"

#include "engine.h"

#define ACCEPTS_PER_TURN 64 /* the clients that are here already want their turn too */
#define PAUSE_NS (100 * NS_PER_MS)

/* Errors that tell about the connection, not about us: the next one may be fine. See accept(2). */
static bool connection_lost(int error)
{
    return error == ECONNABORTED || error == EINTR || error == EPROTO || error == ENETDOWN ||
           error == ENETUNREACH || error == EHOSTDOWN || error == EHOSTUNREACH || error == ENONET ||
           error == ENOPROTOOPT;
}

/* Out of descriptors or memory: the connection stays in the backlog and would wake us for ever. */
static void pause_accepting(struct loop_listener *ln)
{
    counter_add(&ln->loop->stats.n_accept_pauses, 1);
    loop_watch_remove(&ln->watch);
    loop_timer_set(ln->loop, &ln->retry, PAUSE_NS);
}

static void resume_accepting(struct wheel_timer *t)
{
    struct loop_listener *ln = CONTAINER_OF(t, struct loop_listener, retry);

    if (loop_watch_add(ln->loop, &ln->watch) != 0)
        loop_timer_set(ln->loop, &ln->retry, PAUSE_NS);
}

static void accept_some(struct loop_watch *w, unsigned revents)
{
    struct loop_listener *ln = CONTAINER_OF(w, struct loop_listener, watch);

    (void)revents;
    for (unsigned n = 0; n < ACCEPTS_PER_TURN; n++) {
        int fd = accept4(ln->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            if (connection_lost(errno))
                continue;
            if (errno != EAGAIN)
                pause_accepting(ln);
            return;
        }
        ln->accepted(ln, fd);
        if (ln->loop == NULL)
            return;
    }
}

int loop_listen(struct loop *l, struct loop_listener *ln)
{
    int flags = fcntl(ln->fd, F_GETFL);
    int rc;

    ASSERT(ln->loop == NULL);
    if (flags < 0 || fcntl(ln->fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return -errno;
    ln->watch = (struct loop_watch){.fd = ln->fd, .events = POLLIN, .ready = accept_some};
    ln->retry = (struct wheel_timer){.fire = resume_accepting};
    rc = loop_watch_add(l, &ln->watch);
    if (rc == 0)
        ln->loop = l;
    return rc;
}

void loop_unlisten(struct loop_listener *ln)
{
    if (ln->loop == NULL)
        return;
    loop_watch_remove(&ln->watch);
    loop_timer_clear(ln->loop, &ln->retry);
    ln->loop = NULL;
}
