/*
 * The file sink. It writes no more at once than a pipe takes whole (PIPE_BUF), and only when the
 * descriptor says that it can: so a reader that has stopped cannot hold the writer thread in
 * write(), and lines of several processes in one pipe do not mix. The descriptor may be shared with
 * others, as standard error is, so it is left blocking.
 */
#include "weir/base/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

#define N_LINES_MAX 64
#define WAIT_MS 100

int log_file_open(const char *path, int *fd)
{
    int opened = path[0] != '\0'
                     ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640)
                     : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

    if (opened < 0)
        return -errno;
    *fd = opened;
    return 0;
}

/* 0, -EAGAIN: nobody reads, or -errno. */
static int wait_writable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int n = poll(&p, 1, WAIT_MS);

    if (n > 0 && !(p.revents & POLLNVAL)) /* an error or a hang-up is write's to tell */
        return 0;
    if (n > 0)
        return -EBADF;
    return n == 0 || errno == EINTR ? -EAGAIN : -errno;
}

/* Counts off what has been written, whole lines first. */
static unsigned lines_done(struct log_file *f, const struct log_line *lines, size_t n_bytes)
{
    unsigned n = 0;

    n_bytes += f->n_begun;
    for (; n_bytes > 0 && n_bytes >= lines[n].len; n++)
        n_bytes -= lines[n].len;
    f->n_begun = n_bytes;
    return n;
}

/* writev() does not write there, its struct just cannot say so. */
static void *readable(const char *text)
{
    return (void *)(uintptr_t)text; /* NOLINT(performance-no-int-to-ptr): for -Wcast-qual */
}

static int write_some(struct log_file *f, const struct log_line *lines, unsigned n,
                      unsigned *n_done)
{
    struct iovec iov[N_LINES_MAX];
    size_t n_bytes = 0;
    ssize_t written;
    unsigned i;

    for (i = 0; i < n && i < N_LINES_MAX; i++) {
        size_t begun = i == 0 ? f->n_begun : 0;

        if (n_bytes + lines[i].len - begun > PIPE_BUF)
            break;
        iov[i].iov_base = readable(lines[i].text + begun);
        iov[i].iov_len = lines[i].len - begun;
        n_bytes += lines[i].len - begun;
    }
    written = writev(f->fd, iov, (int)i);
    if (written < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    *n_done = lines_done(f, lines, (size_t)written);
    return 0;
}

static void change(struct log_file *f)
{
    /* Pairs with the exchange in log_file_change(). */
    int fd = atomic_exchange_explicit(&f->next_fd, -1, memory_order_acquire);

    if (fd < 0)
        return;
    close(f->fd);
    f->fd = fd;
    f->torn = false;
}

/* A line that was given up in its middle is ended, so that the next one is not its end. */
static int end_torn(struct log_file *f)
{
    if (f->torn && write(f->fd, "\n", 1) != 1)
        return -errno;
    f->torn = false;
    return 0;
}

static int file_write(struct log_sink *s, const struct log_line *lines, unsigned n,
                      unsigned *n_written)
{
    struct log_file *f = CONTAINER_OF(s, struct log_file, sink);
    int error = 0;

    *n_written = 0;
    while (*n_written < n && error == 0) {
        unsigned n_done = 0;

        if (f->n_begun == 0) /* a line goes to one file */
            change(f);
        if ((error = wait_writable(f->fd)) == 0 && (error = end_torn(f)) == 0 &&
            (error = write_some(f, lines + *n_written, n - *n_written, &n_done)) == 0)
            *n_written += n_done;
    }
    if (error != 0 && error != -EAGAIN && f->n_begun > 0) {
        f->torn = true;
        f->n_begun = 0;
    }
    return error;
}

void log_file_init(struct log_file *f, int fd)
{
    *f = (struct log_file){.sink = {.write = file_write}, .fd = fd};
    atomic_init(&f->next_fd, -1);
}

void log_file_fini(struct log_file *f)
{
    change(f);
    close(f->fd);
}

void log_file_change(struct log_file *f, int fd)
{
    /* Pairs with the exchange in change(). */
    int old = atomic_exchange_explicit(&f->next_fd, fd, memory_order_acq_rel);

    if (old >= 0)
        close(old); /* two changes, and no line in between */
}
