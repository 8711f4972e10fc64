/*
 * The yardstick: a relay that does nothing but relay, and an echo, written straight on the kernel's
 * interfaces. It looks for no error, bounds no memory and trusts everybody; what weir's own loop
 * costs more than this is the price of being right.
 *
 * Clients share the servers: whoever asks gets an idle one until its reply is complete.
 *
 * usage: bare io_uring | epoll  LISTEN  SERVER | echo  [N_SERVERS]
 */
#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "weir/net/stream.h"
#include "wire.h"

enum { MAX_FDS = 20000, N_BUFFERS = 1024, BUFFER_SIZE = 16384, NO_BUFFER = N_BUFFERS };

/* What a client asked while all servers were busy. */
struct question {
    const uint8_t *ptr;
    size_t len;
    unsigned buffer;
};

struct peer {
    bool is_server, greeted;
    int partner; /* descriptor of whom it is linked to; 0: nobody */
    struct question question;
};

/* How the bytes go out: the two engines differ in nothing else that the relay sees. */
struct relay {
    struct peer peers[MAX_FDS]; /* by descriptor */
    int idle[MAX_FDS], n_idle;
    int waiting[MAX_FDS]; /* ring of clients */
    unsigned first_waiting, end_waiting;
    struct bytes hello;
    bool echo;
    void (*send)(struct relay *r, int fd, struct question what);
    void (*release)(struct relay *r, unsigned buffer);
    int epoll;
    struct io_uring ring;
    struct io_uring_buf_ring *buffer_ring;
    uint8_t *buffers;
};

static void link_up(struct relay *r, int client, int server, struct question what)
{
    r->peers[client].partner = server;
    r->peers[server].partner = client;
    r->send(r, server, what);
}

static void from_client(struct relay *r, int fd, struct question what)
{
    struct peer *c = &r->peers[fd];

    if (r->echo) {
        r->send(r, fd, what);
    } else if (!c->greeted) {
        c->greeted = true;
        r->send(r, fd, (struct question){r->hello.ptr, r->hello.len, NO_BUFFER});
        r->release(r, what.buffer);
    } else if (what.ptr[0] == PGW_F_TERMINATE) {
        r->release(r, what.buffer);
    } else if (c->partner != 0) {
        r->send(r, c->partner, what);
    } else if (r->n_idle > 0) {
        link_up(r, fd, r->idle[--r->n_idle], what);
    } else {
        c->question = what;
        r->waiting[r->end_waiting++ % MAX_FDS] = fd;
    }
}

static void from_server(struct relay *r, int fd, struct question what)
{
    bool done = ends_idle(span_of(what.ptr, what.len));
    int client = r->peers[fd].partner;

    if (client != 0)
        r->send(r, client, what);
    else
        r->release(r, what.buffer);
    if (!done)
        return;
    r->peers[client].partner = 0;
    r->peers[fd].partner = 0;
    if (r->first_waiting == r->end_waiting) {
        r->idle[r->n_idle++] = fd;
    } else {
        int next = r->waiting[r->first_waiting++ % MAX_FDS];

        link_up(r, next, fd, r->peers[next].question);
    }
}

static void received(struct relay *r, int fd, struct question what)
{
    if (r->peers[fd].is_server)
        from_server(r, fd, what);
    else
        from_client(r, fd, what);
}

static void hung_up(struct relay *r, int fd)
{
    if (r->peers[fd].is_server)
        die("a server hung up");
    /* A question that waits is asked all the same; its answer finds nobody. */
    r->peers[r->peers[fd].partner].partner = 0;
    r->peers[fd].partner = 0;
    close(fd);
}

static void accepted(struct relay *r, int fd)
{
    static const struct stream_options none;

    if (fd >= MAX_FDS)
        die("too many connections");
    stream_set_options(fd, &none);
    r->peers[fd].greeted = false;
}

/* One buffer: what has to wait is copied. */

static void epoll_send(struct relay *r, int fd, struct question what)
{
    (void)send_whole(fd, span_of(what.ptr, what.len));
    r->release(r, what.buffer);
}

static void epoll_release(struct relay *r, unsigned buffer)
{
    (void)r;
    (void)buffer;
}

static void epoll_watch(struct relay *r, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void epoll_receive(struct relay *r, int fd)
{
    static uint8_t buffer[256 * 1024];
    ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    struct question what = {buffer, n > 0 ? (size_t)n : 0, NO_BUFFER};
    unsigned n_waiting = r->end_waiting;

    if (n <= 0) {
        hung_up(r, fd);
        return;
    }
    received(r, fd, what);
    if (r->end_waiting != n_waiting) {
        static uint8_t kept[MAX_FDS][1024]; /* queries are short here */

        if (what.len > sizeof(kept[0]))
            die("a query of %zu bytes has to wait", what.len);
        memcpy(kept[fd], buffer, what.len);
        r->peers[fd].question.ptr = kept[fd];
    }
}

static void epoll_run(struct relay *r, int listener)
{
    struct epoll_event events[256];

    epoll_watch(r, listener);
    for (;;) {
        int n = epoll_wait(r->epoll, events, 256, -1);

        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;

            if (fd != listener) {
                epoll_receive(r, fd);
            } else if ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                accepted(r, fd);
                epoll_watch(r, fd);
            }
        }
    }
}

/* Each receive gets a buffer of the ring, which is given back when its bytes have been sent. */

enum { OP_ACCEPT, OP_RECEIVE, OP_SEND };

static uint64_t tag(uint64_t op, int fd, unsigned buffer)
{
    return op << 56 | (uint64_t)fd << 24 | buffer;
}

static struct io_uring_sqe *uring_sqe(struct relay *r)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);

    while (sqe == NULL) {
        io_uring_submit(&r->ring);
        sqe = io_uring_get_sqe(&r->ring);
    }
    return sqe;
}

static void uring_release(struct relay *r, unsigned buffer)
{
    if (buffer == NO_BUFFER)
        return;
    io_uring_buf_ring_add(r->buffer_ring, r->buffers + (size_t)buffer * BUFFER_SIZE, BUFFER_SIZE,
                          (unsigned short)buffer, io_uring_buf_ring_mask(N_BUFFERS), 0);
    io_uring_buf_ring_advance(r->buffer_ring, 1);
}

static void uring_arm(struct relay *r, int fd)
{
    struct io_uring_sqe *sqe = uring_sqe(r);

    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    io_uring_sqe_set_data64(sqe, tag(OP_RECEIVE, fd, NO_BUFFER));
}

static void uring_send(struct relay *r, int fd, struct question what)
{
    struct io_uring_sqe *sqe = uring_sqe(r);

    io_uring_prep_send(sqe, fd, what.ptr, what.len, MSG_NOSIGNAL | MSG_WAITALL);
    io_uring_sqe_set_data64(sqe, tag(OP_SEND, fd, what.buffer));
}

static void uring_received(struct relay *r, int fd, const struct io_uring_cqe *cqe)
{
    unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

    if (cqe->res > 0) {
        if (!(cqe->flags & IORING_CQE_F_MORE))
            uring_arm(r, fd);
        received(
            r, fd,
            (struct question){r->buffers + (size_t)buffer * BUFFER_SIZE, (size_t)cqe->res, buffer});
    } else if (cqe->res == -ENOBUFS) {
        uring_arm(r, fd);
    } else {
        hung_up(r, fd);
    }
}

static void uring_complete(struct relay *r, const struct io_uring_cqe *cqe)
{
    int fd = (int)(cqe->user_data >> 24 & 0xffffffff);

    switch (cqe->user_data >> 56) {
    case OP_ACCEPT:
        if (cqe->res >= 0) {
            accepted(r, cqe->res);
            uring_arm(r, cqe->res);
        }
        break;
    case OP_RECEIVE:
        uring_received(r, fd, cqe);
        break;
    default:
        uring_release(r, cqe->user_data & 0xffffff);
    }
}

static void uring_init(struct relay *r)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
                                     .cq_entries = 8192};
    struct io_uring_buf_reg reg = {.ring_entries = N_BUFFERS};

    r->buffer_ring = aligned_alloc(4096, N_BUFFERS * sizeof(struct io_uring_buf));
    r->buffers = aligned_alloc(4096, (size_t)N_BUFFERS * BUFFER_SIZE);
    if (r->buffer_ring == NULL || r->buffers == NULL)
        die("out of memory");
    memset(r->buffer_ring, 0, N_BUFFERS * sizeof(struct io_uring_buf));
    reg.ring_addr = (uintptr_t)r->buffer_ring;
    if (io_uring_queue_init_params(1024, &r->ring, &params) != 0 ||
        io_uring_register_ring_fd(&r->ring) < 0 ||
        io_uring_register_buf_ring(&r->ring, &reg, 0) != 0)
        die("io_uring is refused");
    for (unsigned i = 0; i < N_BUFFERS; i++)
        uring_release(r, i);
}

static void uring_run(struct relay *r, int listener)
{
    struct io_uring_sqe *sqe = uring_sqe(r);

    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0);
    io_uring_sqe_set_data64(sqe, tag(OP_ACCEPT, listener, NO_BUFFER));
    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;

        io_uring_submit_and_wait(&r->ring, 1);
        io_uring_for_each_cqe(&r->ring, head, cqe)
        {
            uring_complete(r, cqe);
            n++;
        }
        io_uring_cq_advance(&r->ring, n);
    }
}

static void add_servers(struct relay *r, const char *place, unsigned n, bool uring)
{
    struct addr to = parse_place(place);

    for (unsigned i = 0; i < n; i++) {
        int fd = log_in(&to, i == 0 ? &r->hello : NULL);

        r->peers[fd] = (struct peer){.is_server = true};
        r->idle[r->n_idle++] = fd;
        if (uring)
            uring_arm(r, fd);
        else
            epoll_watch(r, fd);
    }
}

int main(int argc, char **argv)
{
    static struct relay r;
    bool uring;

    if (argc < 4)
        die("usage: bare io_uring | epoll  LISTEN  SERVER | echo  [N_SERVERS]");
    uring = strcmp(argv[1], "io_uring") == 0;
    r.echo = strcmp(argv[3], "echo") == 0;
    r.send = uring ? uring_send : epoll_send;
    r.release = uring ? uring_release : epoll_release;
    if (uring)
        uring_init(&r);
    else
        r.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!r.echo)
        add_servers(&r, argv[3], argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 16, uring);
    if (uring)
        uring_run(&r, listen_at(argv[2]));
    else
        epoll_run(&r, listen_at(argv[2]));
}
