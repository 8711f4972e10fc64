#include "rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/random.h"
#include "weir/base/clock.h"

/* The stream is a table of random bytes repeated; a prime length, so that no buffer size divides
 * it. */
#define STREAM_PERIOD 65521

static const char *const variant_names[RIG_N_VARIANTS] = {"io_uring", "epoll",
                                                          "io_uring as of Linux 6.1"};

struct criterion_test_params rig_variants(void)
{
    static enum rig_variant variants[] = {RIG_URING, RIG_EPOLL, RIG_URING_6_1};

    return cr_make_param_array(enum rig_variant, variants, RIG_N_VARIANTS);
}

const char *rig_name(enum rig_variant variant)
{
    return variant_names[variant];
}

struct loop_config rig_config(enum rig_variant variant)
{
    return (struct loop_config){
        .engine = variant == RIG_EPOLL ? LOOP_ENGINE_EPOLL : LOOP_ENGINE_URING,
        .profile_6_1 = variant == RIG_URING_6_1,
    };
}

static void lose_patience(struct wheel_timer *t)
{
    CONTAINER_OF(t, struct rig, patience)->late = true;
}

static uint8_t *stream_new(void)
{
    uint8_t *bytes = malloc(STREAM_PERIOD + RIG_BYTES_MAX);
    struct random random = {0x9e3779b97f4a7c15};

    cr_assert_not_null(bytes);
    for (size_t i = 0; i < STREAM_PERIOD; i++)
        bytes[i] = (uint8_t)random_next(&random);
    for (size_t i = 0; i < RIG_BYTES_MAX; i++)
        bytes[STREAM_PERIOD + i] = bytes[i % STREAM_PERIOD];
    return bytes;
}

void rig_init(struct rig *r, enum rig_variant variant, struct loop_config config)
{
    static const struct arena_config chunks = {.chunk_size = 65536, .n_chunks = 4096};
    struct loop_config engine = rig_config(variant);
    int error;

    *r = (struct rig){.variant = variant, .patience.fire = lose_patience, .stream = stream_new()};
    config.engine = engine.engine;
    config.profile_6_1 = engine.profile_6_1;
    if (config.arena == NULL) {
        cr_assert_eq(arena_new(&r->arena, &chunks), 0);
        config.arena = r->arena;
    }
    error = loop_new(&r->loop, &config);
    if (variant != RIG_EPOLL && (error == -EPERM || error == -ENOSYS))
        cr_skip_test("io_uring is refused here");
    cr_assert_eq(error, 0, "%s: %s", rig_name(variant), strerror(-error));
}

void rig_fini(struct rig *r)
{
    loop_free(r->loop);
    if (r->arena != NULL) {
        cr_assert_eq(arena_n_used(r->arena), 0, "%s: %zu chunks are lost", rig_name(r->variant),
                     arena_n_used(r->arena));
        arena_free(r->arena);
    }
    free(r->stream);
}

void rig_turn(struct rig *r)
{
    int error = loop_turn(r->loop);

    cr_assert_eq(error, 0, "%s: loop_turn: %s", rig_name(r->variant), strerror(-error));
}

void rig_wait_begin(struct rig *r, unsigned patience_ms)
{
    r->late = false;
    loop_timer_set(r->loop, &r->patience, patience_ms * NS_PER_MS);
}

void rig_wait_turn(struct rig *r, const char *for_what)
{
    rig_turn(r);
    cr_assert_not(r->late, "%s: never came: %s", rig_name(r->variant), for_what);
}

void rig_wait_end(struct rig *r)
{
    loop_timer_clear(r->loop, &r->patience);
}

void rig_let_pass(struct rig *r, unsigned ms)
{
    rig_wait_begin(r, ms);
    while (!r->late)
        rig_turn(r);
}

static void tcp_pair(int fds[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    cr_assert_geq(listener, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&a, len), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&a, &len), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fds[0], 0);
    cr_assert_eq(connect(fds[0], (struct sockaddr *)&a, len), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    cr_assert_geq(fds[1], 0);
    cr_assert_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    close(listener);
}

void rig_pair(enum rig_transport transport, int fds[2])
{
    if (transport == RIG_TCP)
        tcp_pair(fds);
    else
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

struct span rig_bytes(const struct rig *r, unsigned number, uint64_t offset, size_t len)
{
    /* Streams start at different places of the table. */
    uint64_t start = (number * UINT64_C(7919) + offset) % STREAM_PERIOD;

    cr_assert_leq(len, RIG_BYTES_MAX);
    return span_of(r->stream + start, len);
}

bool rig_bytes_match(const struct rig *r, unsigned number, uint64_t offset, struct span data)
{
    while (data.len > 0) {
        size_t len = data.len < RIG_BYTES_MAX ? data.len : RIG_BYTES_MAX;

        if (!span_equal(rig_bytes(r, number, offset, len), span_of(data.ptr, len)))
            return false;
        data = span_skip(data, len);
        offset += len;
    }
    return true;
}

static struct end *end_of(struct sock *s)
{
    struct end *e = CONTAINER_OF(s, struct end, sock);

    cr_assert_eq(e->n_closed, 0, "%s: a callback after closed()", rig_name(e->rig->variant));
    return e;
}

/* For every callback but closed(). */
static struct end *live_end_of(struct sock *s)
{
    struct end *e = end_of(s);

    cr_assert_not(e->closing, "%s: a callback after sock_close()", rig_name(e->rig->variant));
    cr_assert(e->n_errors == 0 && e->connect_error == 0, "%s: a callback after an error",
              rig_name(e->rig->variant));
    return e;
}

static void end_received(struct sock *s, struct span data)
{
    struct end *e = live_end_of(s);

    cr_assert_gt(data.len, 0);
    cr_assert_eq(e->n_fins, 0, "%s: data after the end", rig_name(e->rig->variant));
    cr_assert(rig_bytes_match(e->rig, e->expects, e->n_received, data),
              "%s: wrong bytes at %ju of stream %u", rig_name(e->rig->variant),
              (uintmax_t)e->n_received, e->expects);
    e->n_received += data.len;
    if (e->on_received != NULL)
        e->on_received(e, data);
}

static void end_ended(struct sock *s, int error)
{
    struct end *e = live_end_of(s);

    cr_assert_leq(error, 0);
    if (error == 0)
        cr_assert_eq(++e->n_fins, 1, "%s: the end twice", rig_name(e->rig->variant));
    else
        cr_assert_eq(++e->n_errors, 1, "%s: an error twice", rig_name(e->rig->variant));
    e->error = error;
    if (e->on_ended != NULL)
        e->on_ended(e);
}

static void end_drained(struct sock *s)
{
    struct end *e = live_end_of(s);

    e->n_drained++;
    if (e->on_drained != NULL)
        e->on_drained(e);
}

static void end_connected(struct sock *s, int error)
{
    struct end *e = live_end_of(s);

    cr_assert_eq(++e->n_connected, 1);
    e->connect_error = error;
    if (e->on_connected != NULL)
        e->on_connected(e);
}

static void end_stopped(struct sock *s)
{
    struct end *e = live_end_of(s);

    cr_assert_not(sock_receiving(s));
    e->n_stopped++;
    if (e->on_stopped != NULL)
        e->on_stopped(e);
}

static void end_closed(struct sock *s)
{
    struct end *e = end_of(s);

    cr_assert(e->closing, "%s: closed() unasked", rig_name(e->rig->variant));
    e->n_closed++;
    if (e->on_closed != NULL)
        e->on_closed(e);
}

const struct sock_ops end_ops = {
    .received = end_received,
    .ended = end_ended,
    .drained = end_drained,
    .connected = end_connected,
    .stopped = end_stopped,
    .closed = end_closed,
};

static void end_reset(struct end *e, struct rig *r)
{
    *e = (struct end){
        .rig = r,
        .expects = e->expects,
        .sends = e->sends,
        .ctx = e->ctx,
        .on_received = e->on_received,
        .on_ended = e->on_ended,
        .on_drained = e->on_drained,
        .on_connected = e->on_connected,
        .on_stopped = e->on_stopped,
        .on_closed = e->on_closed,
    };
}

void end_open(struct end *e, struct rig *r, int fd)
{
    end_reset(e, r);
    sock_open(&e->sock, r->loop, fd, &end_ops);
}

void end_connect(struct end *e, struct rig *r, int fd, const struct sockaddr *addr, socklen_t len)
{
    end_reset(e, r);
    sock_connect(&e->sock, r->loop, fd, &end_ops, addr, len);
}

void end_close(struct end *e)
{
    e->closing = true;
    sock_close(&e->sock);
}

void end_send(struct end *e, size_t len)
{
    while (len > 0) {
        size_t n = len < RIG_BYTES_MAX ? len : RIG_BYTES_MAX;

        sock_send(&e->sock, rig_bytes(e->rig, e->sends, e->n_sent, n));
        e->n_sent += n;
        len -= n;
    }
}

static void peer_watch(struct peer *p)
{
    unsigned events =
        (p->read_size > 0 && !p->eof ? POLLIN : 0U) | (p->n_sent < p->n_to_send ? POLLOUT : 0U);

    if (p->watch.loop != NULL && p->watch.events == events)
        return;
    if (p->watch.loop != NULL)
        loop_watch_remove(&p->watch);
    p->watch.events = events;
    if (events != 0)
        cr_assert_eq(loop_watch_add(p->rig->loop, &p->watch), 0);
}

static void peer_fail(struct peer *p)
{
    if (errno == EAGAIN || errno == EINTR)
        return;
    p->error = errno;
    p->eof = true;
    p->n_to_send = p->n_sent;
}

static void peer_do_read(struct peer *p)
{
    uint8_t data[RIG_BYTES_MAX];
    ssize_t n = recv(p->fd, data, p->read_size < sizeof(data) ? p->read_size : sizeof(data), 0);

    if (n < 0) {
        peer_fail(p);
        return;
    }
    p->eof = n == 0;
    cr_assert(rig_bytes_match(p->rig, p->expects, p->n_received, span_of(data, (size_t)n)),
              "%s: a peer got wrong bytes at %ju of stream %u", rig_name(p->rig->variant),
              (uintmax_t)p->n_received, p->expects);
    p->n_received += (size_t)n;
}

static void peer_do_send(struct peer *p)
{
    uint64_t left = p->n_to_send - p->n_sent;
    struct span data =
        rig_bytes(p->rig, p->sends, p->n_sent, left < RIG_BYTES_MAX ? left : RIG_BYTES_MAX);
    ssize_t n = send(p->fd, data.ptr, data.len, MSG_NOSIGNAL);

    if (n < 0)
        peer_fail(p);
    else
        p->n_sent += (size_t)n;
}

static void peer_ready(struct loop_watch *w, unsigned revents)
{
    struct peer *p = CONTAINER_OF(w, struct peer, watch);

    if (p->read_size > 0 && !p->eof && (revents & (POLLIN | POLLHUP | POLLERR)))
        peer_do_read(p);
    if (p->n_sent < p->n_to_send && (revents & (POLLOUT | POLLHUP | POLLERR)))
        peer_do_send(p);
    peer_watch(p);
}

void peer_init(struct peer *p, struct rig *r, int fd)
{
    *p = (struct peer){.rig = r, .fd = fd, .watch = {.fd = fd, .ready = peer_ready}};
}

void peer_read(struct peer *p, size_t read_size)
{
    p->read_size = read_size;
    peer_watch(p);
}

void peer_send(struct peer *p, uint64_t len)
{
    p->n_to_send += len;
    peer_watch(p);
}

void peer_fini(struct peer *p)
{
    if (p->watch.loop != NULL)
        loop_watch_remove(&p->watch);
    close(p->fd);
}

unsigned rig_count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    cr_assert_not_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

size_t rig_resident_kb(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long total, resident;

    cr_assert_not_null(f);
    cr_assert_eq(fscanf(f, "%lu %lu", &total, &resident), 2);
    (void)fclose(f);
    return resident * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

bool rig_soak(void)
{
    const char *value = getenv("WEIR_SOAK");

    return value != NULL && strcmp(value, "1") == 0;
}
