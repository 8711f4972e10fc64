/*
 * Clients that send the next query as soon as the last is answered, all in one thread. Prints one
 * line: transactions in all, and of the last four fifths of the time the rate and the latency.
 *
 * usage: load CONNECT CONNECTIONS SECONDS query | prepared | pipeline | echo
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "weir/base/clock.h"
#include "wire.h"

enum { MAX_CLIENTS = 10000, PIPELINE = 10, MAX_LATENCY_US = 1000000 };

struct client {
    struct frames frames;
    int fd;
    size_t n_echoed;
    uint64_t sent_ns;
};

struct load {
    struct client clients[MAX_CLIENTS];
    uint32_t latencies[MAX_LATENCY_US]; /* how many took so many microseconds */
    struct bytes request, prepare;
    bool echo;
    unsigned depth; /* transactions in a request */
    int epoll;
    uint64_t n_all, n_measured, n_errors, measure_from_ns;
};

static void make_request(struct load *l, const char *mode)
{
    bool simple = strcmp(mode, "query") == 0 || strcmp(mode, "echo") == 0;

    l->echo = strcmp(mode, "echo") == 0;
    l->depth = strcmp(mode, "pipeline") == 0 ? PIPELINE : 1;
    if (simple) {
        bytes_put_message(&l->request, PGW_F_QUERY, "select 1", 9);
        return;
    }
    bytes_put_message(&l->prepare, PGW_F_PARSE, "s\0select 1\0\0", 13);
    bytes_put_message(&l->prepare, PGW_F_SYNC, NULL, 0);
    for (unsigned i = 0; i < l->depth; i++) {
        bytes_put_message(&l->request, PGW_F_BIND, "\0s\0\0\0\0\0\0", 9);
        bytes_put_message(&l->request, PGW_F_EXECUTE, "\0\0\0\0", 5);
    }
    bytes_put_message(&l->request, PGW_F_SYNC, NULL, 0);
}

/* Whether data completes the answer to the request. */
static bool is_answered(struct load *l, struct client *c, struct span data)
{
    bool ready = false;
    int type;

    if (l->echo) {
        c->n_echoed += data.len;
        ready = c->n_echoed == l->request.len;
        c->n_echoed = ready ? 0 : c->n_echoed;
        return ready;
    }
    while ((type = frames_next(&c->frames, &data)) != 0) {
        ready |= type == PGW_B_READY_FOR_QUERY;
        l->n_errors += type == PGW_B_ERROR_RESPONSE;
    }
    return ready;
}

static void ask(struct load *l, struct client *c, uint64_t now_ns)
{
    c->sent_ns = now_ns;
    if (send_whole(c->fd, bytes_span(&l->request)) != 0)
        l->n_errors++;
}

static void count(struct load *l, const struct client *c, uint64_t now_ns)
{
    uint64_t took_us = (now_ns - c->sent_ns) / NS_PER_US;

    l->n_all += l->depth;
    if (now_ns < l->measure_from_ns)
        return;
    l->n_measured += l->depth;
    l->latencies[took_us < MAX_LATENCY_US ? took_us : MAX_LATENCY_US - 1]++;
}

static void hear(struct load *l, struct client *c, uint64_t now_ns)
{
    uint8_t buffer[65536];
    ssize_t n = recv(c->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        die("a connection was closed");
    if (!is_answered(l, c, span_of(buffer, (size_t)n)))
        return;
    count(l, c, now_ns);
    ask(l, c, now_ns);
}

static void connect_client(struct load *l, struct client *c, const struct addr *to)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    uint8_t buffer[256];
    bool ready = l->echo || l->prepare.len == 0;

    c->fd = l->echo ? dial(to) : log_in(to, NULL);
    if (send_whole(c->fd, bytes_span(&l->prepare)) != 0 || fcntl(c->fd, F_SETFL, 0) != 0)
        die("cannot prepare: %s", strerror(errno));
    while (!ready) {
        ssize_t n = recv(c->fd, buffer, sizeof(buffer), 0);

        if (n <= 0)
            die("cannot prepare: %s", strerror(errno));
        ready = is_answered(l, c, span_of(buffer, (size_t)n));
    }
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0 ||
        epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

/* The latency that a share of the transactions did not exceed. */
static unsigned percentile_us(const struct load *l, double share)
{
    uint64_t n_requests = l->n_measured / l->depth, seen = 0;

    for (unsigned us = 0; us < MAX_LATENCY_US; us++) {
        seen += l->latencies[us];
        if ((double)seen >= share * (double)n_requests)
            return us;
    }
    return MAX_LATENCY_US;
}

static void run(struct load *l, unsigned n, double seconds)
{
    struct epoll_event events[512];
    uint64_t start_ns = clock_now_ns(), now_ns = start_ns;
    uint64_t end_ns = start_ns + (uint64_t)(seconds * 1e9);

    l->measure_from_ns = start_ns + (end_ns - start_ns) / 5;
    for (unsigned i = 0; i < n; i++)
        ask(l, &l->clients[i], now_ns);
    while (now_ns < end_ns) {
        int n_ready = epoll_wait(l->epoll, events, 512, 1000);

        now_ns = clock_now_ns();
        for (int i = 0; i < n_ready; i++)
            hear(l, events[i].data.ptr, now_ns);
    }
    printf("transactions %ju tps %.0f p50_us %u p99_us %u errors %ju\n", (uintmax_t)l->n_all,
           (double)l->n_measured * 1e9 / (double)(now_ns - l->measure_from_ns),
           percentile_us(l, 0.5), percentile_us(l, 0.99), (uintmax_t)l->n_errors);
}

int main(int argc, char **argv)
{
    struct load *l = calloc(1, sizeof(*l));
    struct addr to;
    unsigned n;

    if (argc < 5)
        die("usage: load CONNECT CONNECTIONS SECONDS query | prepared | pipeline | echo");
    if (l == NULL)
        die("out of memory");
    to = parse_place(argv[1]);
    n = (unsigned)strtoul(argv[2], NULL, 10);
    if (n == 0 || n > MAX_CLIENTS)
        die("1 to %d connections", MAX_CLIENTS);
    make_request(l, argv[4]);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < n; i++)
        connect_client(l, &l->clients[i], &to);
    run(l, n, strtod(argv[3], NULL));
    return l->n_errors != 0;
}
