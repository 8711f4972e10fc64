/*
 * The child writes into a memfd rather than a pipe: nobody has to read along, and a child with much
 * to say does not block on a full pipe. Its end is seen through a pidfd, so no SIGCHLD is needed
 * and no other child can be reaped by mistake. One that hangs is killed after CHECKER_LIMIT_NS.
 */
#include "checker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "weir/base/clock.h"

#define CHECKER_LIMIT_NS (30 * NS_PER_S)

/* /proc/self/exe is the program that runs, even if its file has been replaced since. The signal
 * mask and dispositions of this process are its own: the child starts with none. */
static int spawn(pid_t *pid, char *path, int output)
{
    char name[] = "weir";
    char option[] = "-t";
    char *const argv[] = {name, option, path, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

    int error = posix_spawn(pid, "/proc/self/exe", &actions, &attributes, argv, environ);

    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -error;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* What the child wrote, without the newlines at its end. */
static void read_output(struct checker *c)
{
    ssize_t n = pread(c->output, c->text, sizeof(c->text) - 1, 0);
    size_t len = n > 0 ? (size_t)n : 0;

    while (len > 0 && c->text[len - 1] == '\n')
        len--;
    c->text[len] = '\0';
}

static void forget_child(struct checker *c)
{
    loop_watch_remove(&c->ended);
    loop_timer_clear(c->loop, &c->limit);
    close_fd(&c->ended.fd);
    close_fd(&c->output);
}

static void on_end(struct loop_watch *w, unsigned revents)
{
    struct checker *c = CONTAINER_OF(w, struct checker, ended);
    siginfo_t info = {0};

    (void)revents;
    if (waitid(P_PIDFD, (id_t)w->fd, &info, WEXITED) < 0)
        info = (siginfo_t){.si_code = CLD_EXITED, .si_status = EXIT_FAILURE};
    read_output(c);
    forget_child(c);
    if (info.si_code != CLD_EXITED)
        snprintf(c->text, sizeof(c->text), "the check was ended by signal %d (%s)", info.si_status,
                 sigdescr_np(info.si_status));
    c->done(c, info.si_code == CLD_EXITED && info.si_status == EXIT_SUCCESS, c->text);
}

static void on_limit(struct wheel_timer *t)
{
    struct checker *c = CONTAINER_OF(t, struct checker, limit);

    pidfd_send_signal(c->ended.fd, SIGKILL, NULL, 0); /* on_end() follows */
}

void checker_init(struct checker *c, struct loop *loop, checker_done_fn *done)
{
    *c = (struct checker){
        .loop = loop,
        .done = done,
        .ended = {.fd = -1, .events = POLLIN, .ready = on_end},
        .limit = {.fire = on_limit},
        .output = -1,
    };
}

void checker_fini(struct checker *c)
{
    if (!checker_busy(c))
        return;
    pidfd_send_signal(c->ended.fd, SIGKILL, NULL, 0);
    waitid(P_PIDFD, (id_t)c->ended.fd, NULL, WEXITED);
    forget_child(c);
}

bool checker_busy(const struct checker *c)
{
    return c->ended.fd >= 0;
}

/* A child that cannot be watched is of no use, and must not stay behind. */
static int watch(struct checker *c, pid_t pid)
{
    int error;

    c->ended.fd = pidfd_open(pid, 0);
    error = c->ended.fd < 0 ? -errno : loop_watch_add(c->loop, &c->ended);
    if (error < 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        close_fd(&c->ended.fd);
        return error;
    }
    loop_timer_set(c->loop, &c->limit, CHECKER_LIMIT_NS);
    return 0;
}

int checker_start(struct checker *c, const char *path)
{
    char *argument = strdup(path);
    pid_t pid = 0;
    int error = -ENOMEM;

    ASSERT(!checker_busy(c));
    c->output = memfd_create("check", MFD_CLOEXEC);
    if (argument != NULL)
        error = c->output < 0 ? -errno : spawn(&pid, argument, c->output);
    free(argument);
    if (error == 0)
        error = watch(c, pid);
    if (error < 0)
        close_fd(&c->output);
    return error;
}
