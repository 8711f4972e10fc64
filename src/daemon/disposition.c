/*
 * QUIT alone has a handler, because it must end the process even where control hangs. ABRT keeps
 * its default, the core. USR1 and USR2 are ignored for as long as there is nothing that they could
 * pause and resume: their default would end the process.
 */
#include "disposition.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

sigset_t disposition_caught(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
}

static void quit(int signo)
{
    (void)signo;
    _exit(EXIT_SUCCESS); /* it was asked for */
}

int disposition_init(void)
{
    const int ignored[] = {SIGPIPE, SIGUSR1, SIGUSR2};
    struct sigaction action = {.sa_handler = SIG_IGN};
    sigset_t caught = disposition_caught();

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        if (sigaction(ignored[i], &action, NULL) < 0)
            return -errno;
    }
    action.sa_handler = quit;
    if (sigaction(SIGQUIT, &action, NULL) < 0)
        return -errno;
    return -pthread_sigmask(SIG_BLOCK, &caught, NULL);
}
