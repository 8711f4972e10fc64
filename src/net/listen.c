/*
 * Opening listening sockets. The care is for Unix socket files: bind() refuses an existing one
 * whether or not anybody listens there, so a stale one has to be recognised (connect() says
 * "refused"), removed and bound anew while no other process does the same.
 */
#include "weir/net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG_DEFAULT 4096

/* Others hold the lock for some system calls only, unless they mean us harm: anybody who may read
 * the folder can take it. */
#define LOCK_TRIES 200
#define LOCK_PAUSE_MS 10

static int backlog(const struct listen_options *o)
{
    return o->backlog > 0 ? o->backlog : BACKLOG_DEFAULT;
}

/* 0 or -errno; -EWOULDBLOCK: somebody has held it for two seconds. */
static int lock_patiently(int fd)
{
    int tries = 0;

    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK || ++tries == LOCK_TRIES)
            return -errno;
        (void)poll(NULL, 0, LOCK_PAUSE_MS);
    }
    return 0;
}

/* Locks the folder of path until the descriptor is closed. Two daemons that start at once would
 * otherwise both find the file of a dead one, and the second would remove the first one's new
 * socket. No file stays behind. Returns the descriptor or -errno. */
static int lock_folder(const char *path)
{
    char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL || slash == path ? 1 : (size_t)(slash - path);
    int fd, error;

    if (len >= sizeof(folder))
        return -ENAMETOOLONG;
    memcpy(folder, slash == NULL ? "." : path, len);
    folder[len] = '\0';
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    error = lock_patiently(fd);
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

/* Whether the file of a Unix socket is left over from a process that has gone. Anything but a
 * socket is somebody's data and never ours to remove. */
static bool is_stale(const struct addr *a)
{
    struct stat st;
    bool stale;
    int fd;

    if (lstat(addr_path(a), &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    stale = connect(fd, &a->any, a->len) != 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int bind_to(int fd, const struct addr *a)
{
    return bind(fd, &a->any, a->len) == 0 ? 0 : -errno;
}

static int bind_path(int fd, const struct addr *a, mode_t mode)
{
    int error = bind_to(fd, a);

    if (error == -EADDRINUSE && is_stale(a) && unlink(addr_path(a)) == 0)
        error = bind_to(fd, a);
    /* Nobody can connect before listen(), so nobody sees the mode that the umask made. */
    if (error == 0 && chmod(addr_path(a), mode) != 0)
        error = -errno;
    return error;
}

static int bind_inet(int fd, const struct addr *a, const struct stream_options *accepted)
{
    int on = 1;

    /* REUSEADDR: connections of a former daemon in TIME_WAIT do not keep the port. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return -errno;
    /* V6ONLY: "::" leaves IPv4 to an entry of its own, whatever net.ipv6.bindv6only says. */
    if (a->any.sa_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0)
        return -errno;
    stream_set_options(fd, accepted);
    return bind_to(fd, a);
}

static int listen_path(int fd, const struct addr *a, const struct listen_options *o)
{
    int lock = lock_folder(addr_path(a));
    int error;

    if (lock < 0)
        return lock;
    error = bind_path(fd, a, o->unix_mode);
    if (error == 0 && listen(fd, backlog(o)) != 0)
        error = -errno;
    close(lock);
    return error;
}

static int listen_elsewhere(int fd, const struct addr *a, const struct listen_options *o)
{
    int error = addr_is_unix(a) ? bind_to(fd, a) : bind_inet(fd, a, &o->accepted);

    if (error == 0 && listen(fd, backlog(o)) != 0)
        error = -errno;
    return error;
}

int listen_open(struct listen_socket *out, const struct addr *a, const struct listen_options *o)
{
    struct listen_socket s;
    int error;

    s.fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s.fd < 0)
        return -errno;
    error = addr_path(a) != NULL ? listen_path(s.fd, a, o) : listen_elsewhere(s.fd, a, o);
    if (error == 0)
        error = addr_local(s.fd, &s.addr);
    if (error != 0) {
        close(s.fd);
        return error;
    }
    *out = s;
    return 0;
}

/* What a machine without IPv6 answers. */
static bool family_is_missing(int error)
{
    return error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL;
}

int listen_open_all(struct listen_socket *out, size_t *n_out, const struct addr_list *list,
                    const struct listen_options *o, size_t *failed)
{
    size_t n = 0;

    for (size_t i = 0; i < list->n; i++) {
        const struct addr_item *item = &list->items[i];
        int error = listen_open(&out[n], &item->addr, o);

        if (error == 0) {
            n++;
        } else if (!item->optional || !family_is_missing(error)) {
            while (n > 0)
                listen_close(&out[--n]);
            *failed = i;
            return error;
        }
    }
    *n_out = n;
    return 0;
}

void listen_close(struct listen_socket *s)
{
    if (s->fd < 0)
        return;
    if (addr_path(&s->addr) != NULL)
        (void)unlink(addr_path(&s->addr));
    close(s->fd);
    s->fd = -1;
}
