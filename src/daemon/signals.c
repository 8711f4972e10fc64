/*
 * A signalfd, watched by control's loop. USR1 and USR2 are ignored for as long as there is nothing
 * that they could pause and resume: their default would end the process. ABRT keeps its default,
 * the core.
 */
#include "signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

static sigset_t caught_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
}

static void quit(int signum)
{
    (void)signum;
    _exit(EXIT_SUCCESS); /* it was asked for */
}

int signals_prepare(void)
{
    const int ignored[] = {SIGPIPE, SIGUSR1, SIGUSR2};
    struct sigaction action = {.sa_handler = SIG_IGN};
    sigset_t set = caught_signals();

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        if (sigaction(ignored[i], &action, NULL) < 0)
            return -errno;
    }
    action.sa_handler = quit;
    if (sigaction(SIGQUIT, &action, NULL) < 0)
        return -errno;
    return -pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void on_readable(struct loop_watch *w, unsigned revents)
{
    struct signals *s = CONTAINER_OF(w, struct signals, watch);
    struct signalfd_siginfo info;

    (void)revents;
    /* One at a time: caught() may end it all. What is left is reported in the next turn. */
    if (read(w->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        s->caught(s, (int)info.ssi_signo);
}

int signals_init(struct signals *s, struct loop *loop, signals_caught_fn *caught)
{
    sigset_t set = caught_signals();
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

    if (fd < 0)
        return -errno;
    *s = (struct signals){
        .caught = caught,
        .watch = {.fd = fd, .events = POLLIN, .ready = on_readable},
    };

    int error = loop_watch_add(loop, &s->watch);

    if (error < 0)
        close(fd);
    return error;
}

void signals_fini(struct signals *s)
{
    if (s->watch.loop == NULL)
        return;
    loop_watch_remove(&s->watch);
    close(s->watch.fd);
}
