/* Signals through signalfd(2). */
#include "weir/io/signals.h"

#include <errno.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* One per turn: the watch is level-triggered, and after raised() s may be gone. */
static void read_signal(struct loop_watch *w, unsigned revents)
{
    struct signals *s = CONTAINER_OF(w, struct signals, watch);
    struct signalfd_siginfo info;

    (void)revents;
    if (read(w->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        s->raised(s, (int)info.ssi_signo);
}

int signals_open(struct signals *s, struct loop *l, const sigset_t *set)
{
    int rc = pthread_sigmask(SIG_BLOCK, set, NULL);
    int fd;

    if (rc != 0)
        return -rc;
    fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    s->watch = (struct loop_watch){.fd = fd, .events = POLLIN, .ready = read_signal};
    rc = loop_watch_add(l, &s->watch);
    if (rc != 0)
        close(fd);
    return rc;
}

void signals_close(struct signals *s)
{
    if (s->watch.loop == NULL)
        return;
    loop_watch_remove(&s->watch);
    close(s->watch.fd);
}
