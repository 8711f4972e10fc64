/*
 * The epoll engine, for kernels and containers that refuse io_uring.
 *
 * Sockets are registered once, edge-triggered; RX_DATA remembers that there may be something to
 * read, so arming a receive costs no system call. Writability is registered only while a send
 * waits for room: the peer of a Unix socket would wake us with every read otherwise. A detached
 * socket stays registered: taken back by the same loop it costs nothing, another loop removes it
 * (sock_attach).
 *
 * What arrives in a turn is put one behind the other into one area that is used anew each turn, so
 * a quiet loop stays within few cache lines. A turn reads each socket once, at most READ_MAX bytes;
 * who has more, or finds the area full, comes to the end of the line.
 *
 * Invariants: an event carries the generation of the registration it was made for and is dropped if
 * that is no longer current; socks on readable have RX_BUSY and RX_DATA.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "weir/base/clock.h"
#include "weir/base/poison.h"

#include "engine.h"
#include "outq.h"

#define MAX_EVENTS 256
#define MAX_FDS (1U << 22)
#define READ_MAX ((size_t)64 << 10)
#define SPAN_ALIGN 16
#define QUEUE_IOVECS 8

enum registered_kind {
    KIND_NONE,
    KIND_WAKE,
    KIND_SOCK,
    KIND_WATCH,
};

/* What a descriptor stands for in this loop. */
struct registration {
    void *object; /* NULL: detached, or gone */
    uint32_t generation;
    uint8_t kind;
    bool missed; /* an event came while detached */
};

struct poll_loop {
    struct loop loop;
    struct registration *fds; /* by descriptor; address space for all, pages as needed */
    size_t n_fds;
    struct list readable; /* socks whose receive can be tried */
    uint8_t *area;        /* what was received this turn */
    size_t area_size, area_used;
    unsigned n_events, next_event;
    struct epoll_event events[MAX_EVENTS];
};

static struct poll_loop *poll_loop(struct loop *l)
{
    return CONTAINER_OF(l, struct poll_loop, loop);
}

static uint64_t event_data(int fd, uint32_t generation)
{
    return (uint64_t)generation << 32 | (uint32_t)fd;
}

static int registration_add(struct poll_loop *p, int fd, unsigned events, void *object,
                            enum registered_kind kind)
{
    struct epoll_event ev = {.events = events};
    struct registration *r;

    if ((size_t)fd >= p->n_fds)
        return -EMFILE;
    r = &p->fds[fd];
    ev.data.u64 = event_data(fd, r->generation + 1);
    if (epoll_ctl(p->loop.epfd, EPOLL_CTL_ADD, fd, &ev) != 0)
        return -errno;
    *r = (struct registration){.object = object, .generation = r->generation + 1, .kind = kind};
    return 0;
}

/* Sees to it that events of s arrive at s. */
static int sock_register(struct poll_loop *p, struct sock *s)
{
    struct registration *r;
    int rc;

    /* Without a registration here the number is that of a loop that is gone. */
    if (s->epfd_plus_1 == 0 || p->fds[s->fd].kind == KIND_NONE) {
        rc = registration_add(p, s->fd, EPOLLIN | EPOLLRDHUP | EPOLLET, s, KIND_SOCK);
        if (rc == 0)
            s->epfd_plus_1 = p->loop.epfd + 1;
        return rc;
    }
    r = &p->fds[s->fd];
    if (r->object == NULL) { /* detached and attached again */
        r->object = s;
        if (r->missed) /* data, FIN or both */
            s->flags |= RX_DATA | RX_HUP;
        r->missed = false;
    }
    return 0;
}

/* Also where it is on already: the edge may be behind us, and this makes a new one. */
static int sock_watch_room(struct poll_loop *p, struct sock *s, bool on)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};

    ev.data.u64 = event_data(s->fd, p->fds[s->fd].generation);
    s->flags &= ~(unsigned)TX_WATCH;
    if (on) {
        ev.events |= EPOLLOUT;
        s->flags |= TX_WATCH;
    }
    return epoll_ctl(p->loop.epfd, EPOLL_CTL_MOD, s->fd, &ev) == 0 ? 0 : -errno;
}

static void poll_recv_start(struct sock *s)
{
    struct poll_loop *p = poll_loop(s->loop);
    int rc = sock_register(p, s);

    if (rc != 0) {
        sock_fail(s, rc);
        return;
    }
    s->flags |= RX_BUSY;
    if ((s->flags & RX_DATA) && !list_linked(&s->recv_link))
        list_push_back(&p->readable, &s->recv_link);
}

static void poll_recv_cancel(struct sock *s)
{
    if (list_linked(&s->recv_link))
        list_remove(&s->recv_link);
    sock_recv_over(s, -ECANCELED);
}

static void poll_send_wait(struct sock *s)
{
    struct poll_loop *p = poll_loop(s->loop);
    int rc = sock_register(p, s);

    s->flags |= TX_BUSY;
    if (rc == 0)
        rc = sock_watch_room(p, s, true);
    if (rc != 0)
        sock_fail(s, rc);
}

static void poll_send_cancel(struct sock *s)
{
    sock_send_over(s);
}

static void poll_forget(struct sock *s)
{
    struct poll_loop *p = poll_loop(s->loop);

    if (s->epfd_plus_1 != 0)
        p->fds[s->fd].object = NULL;
}

static int poll_watch_add(struct loop *l, struct loop_watch *w)
{
    return registration_add(poll_loop(l), w->fd, w->events, w, KIND_WATCH);
}

static void poll_watch_remove(struct loop *l, struct loop_watch *w)
{
    poll_loop(l)->fds[w->fd].object = NULL;
    (void)epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, NULL);
}

static void send_queue_now(struct sock *s)
{
    struct iovec iov[QUEUE_IOVECS];
    struct msghdr msg = {.msg_iov = iov};
    ssize_t n;

    msg.msg_iovlen = (size_t)outq_iovec(s, iov, QUEUE_IOVECS);
    n = sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    sock_queue_sent(s, n < 0 ? -errno : n);
}

static void writable(struct poll_loop *p, struct sock *s)
{
    if (s->flags & CONNECTING)
        sock_writable(s, 0);
    else if (s->flags & TX_BUSY)
        send_queue_now(s);
    else
        (void)sock_watch_room(p, s, false);
}

static void sock_event(struct poll_loop *p, struct sock *s, unsigned events)
{
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        s->flags |= RX_DATA;
        if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            s->flags |= RX_HUP;
        if ((s->flags & RX_BUSY) && !list_linked(&s->recv_link))
            list_push_back(&p->readable, &s->recv_link);
    }
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) && (s->flags & (TX_BUSY | TX_WATCH)))
        writable(p, s);
}

static void deliver_event(struct poll_loop *p, const struct epoll_event *ev)
{
    struct registration *r = &p->fds[(uint32_t)ev->data.u64];

    if (ev->data.u64 >> 32 != r->generation) {
        counter_add(&p->loop.stats.n_stale, 1);
        return;
    }
    if (r->object == NULL) {
        r->missed = true;
        return;
    }
    if (r->kind == KIND_SOCK) {
        sock_event(p, r->object, ev->events);
    } else if (r->kind == KIND_WATCH) {
        struct loop_watch *w = r->object;

        w->ready(w, ev->events);
    }
}

/* Makes received() or ended(). */
static void receive(struct poll_loop *p, struct sock *s)
{
    size_t room = p->area_size - p->area_used;
    size_t max = room < READ_MAX ? room : READ_MAX;
    uint8_t *to = p->area + p->area_used;
    ssize_t n;

    unpoison(to, max);
    n = recv(s->fd, to, max, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        poison(to, max);
        s->flags &= ~((unsigned)RX_DATA | RX_HUP);
        return;
    }
    if (n <= 0) {
        poison(to, max);
        sock_recv_over(s, n < 0 ? -errno : 0);
        return;
    }
    poison(to + n, max - (size_t)n);
    p->area_used += ((size_t)n + SPAN_ALIGN - 1) & ~(size_t)(SPAN_ALIGN - 1);
    /* Read whole and no FIN: an edge will tell when there is more. */
    if ((size_t)n < max && !(s->flags & RX_HUP))
        s->flags &= ~(unsigned)RX_DATA;
    sock_recv_over(s, (int)n);
    sock_data(s, span_of(to, (size_t)n));
}

static void deliver_readable(struct poll_loop *p)
{
    struct list now;

    list_init(&now);
    list_splice_back(&now, &p->readable);
    while (!list_empty(&now) && p->area_used < p->area_size)
        receive(p, LIST_ITEM(list_pop_front(&now), struct sock, recv_link));
    if (list_empty(&now))
        return;
    /* No room: first in the line of the next turn. */
    LIST_FOREACH (link, &now) {
        counter_add(&p->loop.stats.n_starved, 1);
    }
    list_splice_back(&now, &p->readable);
    list_splice_back(&p->readable, &now);
}

static void poll_deliver(struct loop *l)
{
    struct poll_loop *p = poll_loop(l);

    while (p->next_event < p->n_events)
        deliver_event(p, &p->events[p->next_event++]);
    deliver_readable(p);
}

static bool poll_pending(struct loop *l)
{
    return !list_empty(&poll_loop(l)->readable);
}

static int poll_submit(struct loop *l)
{
    struct poll_loop *p = poll_loop(l);

    p->area_used = 0;
    poison(p->area, p->area_size);
    return 0;
}

/* Rounded up: a wait that ends just before the timer would be followed by another. */
static int timeout_ms(uint64_t timeout_ns)
{
    uint64_t ms = timeout_ns / NS_PER_MS + (timeout_ns % NS_PER_MS != 0);

    if (timeout_ns == CLOCK_NEVER)
        return -1;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

static int poll_wait(struct loop *l, uint64_t timeout_ns)
{
    struct poll_loop *p = poll_loop(l);
    int n;

    (void)poll_submit(l);
    counter_add(&l->stats.n_enters, 1);
    n = epoll_wait(l->epfd, p->events, MAX_EVENTS, timeout_ms(timeout_ns));
    p->next_event = 0;
    p->n_events = n > 0 ? (unsigned)n : 0;
    return n < 0 && errno != EINTR ? -errno : 0;
}

static void poll_free(struct loop *l)
{
    struct poll_loop *p = poll_loop(l);

    if (l->epfd >= 0)
        close(l->epfd);
    loop_fini(l);
    unpoison(p->area, p->area_size);
    free(p->area);
    if (p->fds != NULL)
        munmap(p->fds, p->n_fds * sizeof(*p->fds));
    free(p);
}

static const struct engine poll_engine = {
    .id = LOOP_ENGINE_EPOLL,
    .free = poll_free,
    .submit = poll_submit,
    .wait = poll_wait,
    .pending = poll_pending,
    .deliver = poll_deliver,
    .recv_start = poll_recv_start,
    .recv_cancel = poll_recv_cancel,
    .send_queue = poll_send_wait,
    .send_wait = poll_send_wait,
    .send_cancel = poll_send_cancel,
    .forget = poll_forget,
    .watch_add = poll_watch_add,
    .watch_remove = poll_watch_remove,
};

/* Address space for every descriptor the process may ever have. */
static int reserve_fds(struct poll_loop *p)
{
    struct rlimit limit;
    void *fds;

    p->n_fds = MAX_FDS;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < MAX_FDS)
        p->n_fds = limit.rlim_max;
    fds = mmap(NULL, p->n_fds * sizeof(*p->fds), PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fds == MAP_FAILED)
        return -errno;
    p->fds = fds;
    return 0;
}

static int open_epoll(struct poll_loop *p)
{
    p->loop.epfd = epoll_create1(EPOLL_CLOEXEC);
    if (p->loop.epfd < 0)
        return -errno;
    return registration_add(p, p->loop.wake_fd, EPOLLIN | EPOLLET, p, KIND_WAKE);
}

int poll_new(struct loop **out, const struct loop_config *config)
{
    struct poll_loop *p = aligned_alloc(CACHE_LINE, sizeof(*p));
    int rc;

    if (p == NULL)
        return -ENOMEM;
    *p = (struct poll_loop){.area_size = (size_t)config->n_buffers * config->buffer_size};
    list_init(&p->readable);
    rc = loop_init(&p->loop, &poll_engine, config);
    if (rc != 0) {
        free(p);
        return rc;
    }
    p->area = aligned_alloc(SPAN_ALIGN, p->area_size);
    rc = p->area == NULL ? -ENOMEM : reserve_fds(p);
    if (rc == 0)
        rc = open_epoll(p);
    if (rc != 0) {
        poll_free(&p->loop);
        return rc;
    }
    snprintf(p->loop.description, sizeof(p->loop.description), "epoll");
    *out = &p->loop;
    return 0;
}
