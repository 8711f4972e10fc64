/*
 * A receive ends for many reasons: no buffer, a full completion queue, sock_stop(), the peer's FIN,
 * a reset. Each time it goes on or has ended, exactly once, and no byte is lost or doubled: what
 * was not delivered can still be read from the socket.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/random.h"
#include "rig.h"

static const struct loop_config defaults;

struct line {
    struct rig rig;
    struct end end;
    struct peer peer;
};

static void line_init(struct line *l, enum rig_variant variant, enum rig_transport transport,
                      struct loop_config config)
{
    int fds[2];

    rig_init(&l->rig, variant, config);
    rig_pair(transport, fds);
    end_open(&l->end, &l->rig, fds[0]);
    peer_init(&l->peer, &l->rig, fds[1]);
}

static void line_fini(struct line *l)
{
    peer_fini(&l->peer);
    end_close(&l->end);
    RIG_UNTIL(&l->rig, l->end.n_closed == 1);
    rig_fini(&l->rig);
}

/* At once, without the loop: so that what follows finds the bytes in the socket. */
static void send_now(struct peer *p, size_t len)
{
    struct span data = rig_bytes(p->rig, p->sends, p->n_sent, len);

    cr_assert_eq(send(p->fd, data.ptr, data.len, MSG_NOSIGNAL), (ssize_t)len);
    p->n_sent += len;
    p->n_to_send += len;
}

static void reset(struct peer *p)
{
    struct linger now = {.l_onoff = 1};

    cr_assert_eq(setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(p->fd);
    p->fd = -1;
}

/* Reads what lies in e's socket as if it had been received. */
static void read_rest(struct end *e)
{
    uint8_t data[65536];
    ssize_t n;

    while ((n = recv(e->sock.fd, data, sizeof(data), MSG_DONTWAIT)) > 0)
        end_ops.received(&e->sock, span_of(data, (size_t)n));
    cr_assert(n < 0 && errno == EAGAIN);
}

/* 256 sockets with more data than a completion queue of 64 can speak of. */
ENGINE_TEST(receive, completion_queue_overflows)
{
    enum { N = 256, N_BYTES = 32768 };
    static const struct loop_config small = {
        .sq_entries = 64, .cq_entries = 64, .n_buffers = 1024, .buffer_size = 1024};
    struct rig r;
    struct end *ends = calloc(N, sizeof(*ends));
    struct peer *peers = calloc(N, sizeof(*peers));

    rig_init(&r, *variant, small);
    for (unsigned i = 0; i < N; i++) {
        int fds[2];

        rig_pair(RIG_UNIX, fds);
        ends[i].expects = i;
        end_open(&ends[i], &r, fds[0]);
        sock_receive(&ends[i].sock);
        peer_init(&peers[i], &r, fds[1]);
        peers[i].sends = i;
    }
    for (int round = 1; round <= 3; round++) {
        rig_let_pass(&r, 1); /* all are armed */
        for (int i = 0; i < N; i++)
            send_now(&peers[i], N_BYTES);
        for (int i = 0; i < N; i++)
            RIG_UNTIL(&r, ends[i].n_received == (uint64_t)round * N_BYTES);
    }
    if (*variant == RIG_URING) {
        cr_expect_gt(counter_read(&loop_stats(r.loop)->n_overflows), 0);
        cr_expect_gt(counter_read(&loop_stats(r.loop)->n_rearmed), 0);
    }
    for (int i = 0; i < N; i++) {
        peer_fini(&peers[i]);
        RIG_UNTIL(&r, ends[i].n_fins == 1);
        end_close(&ends[i]);
        RIG_UNTIL(&r, ends[i].n_closed == 1);
    }
    rig_fini(&r);
    free(ends);
    free(peers);
}

ENGINE_TEST(receive, fin_behind_data_in_one_batch)
{
    for (enum rig_transport t = 0; t < RIG_N_TRANSPORTS; t++) {
        struct line l = {0};

        line_init(&l, *variant, t, defaults);
        sock_receive(&l.end.sock);
        rig_let_pass(&l.rig, 1);
        send_now(&l.peer, 5);
        send_now(&l.peer, 60000);
        close(l.peer.fd);
        l.peer.fd = -1;
        RIG_UNTIL(&l.rig, l.end.n_fins == 1);
        cr_assert_eq(l.end.n_received, 60005);
        sock_receive(&l.end.sock); /* no effect after FIN */
        sock_receive_once(&l.end.sock);
        cr_assert_not(sock_receiving(&l.end.sock));
        rig_let_pass(&l.rig, 5);
        cr_assert_eq(l.end.n_errors, 0);
        line_fini(&l);
    }
}

/* Everything is in the socket before the receive is asked for. */
ENGINE_TEST(receive, armed_after_data_and_fin)
{
    for (enum rig_transport t = 0; t < RIG_N_TRANSPORTS; t++) {
        struct line l = {0};

        line_init(&l, *variant, t, defaults);
        send_now(&l.peer, 60000);
        close(l.peer.fd);
        l.peer.fd = -1;
        rig_let_pass(&l.rig, 1);
        cr_assert_eq(l.end.n_received + l.end.n_fins, 0); /* nobody asked */
        sock_receive(&l.end.sock);
        RIG_UNTIL(&l.rig, l.end.n_fins == 1);
        cr_assert_eq(l.end.n_received, 60000);
        line_fini(&l);
    }
}

ENGINE_TEST(receive, reset_is_an_error_once)
{
    struct line l = {0};

    line_init(&l, *variant, RIG_TCP, defaults);
    sock_receive(&l.end.sock);
    rig_let_pass(&l.rig, 1);
    reset(&l.peer);
    RIG_UNTIL(&l.rig, l.end.n_errors == 1);
    cr_assert_eq(l.end.error, -ECONNRESET);
    cr_assert_not(sock_receiving(&l.end.sock));
    sock_receive(&l.end.sock); /* of no more use, and harmless */
    end_send(&l.end, 10);
    rig_let_pass(&l.rig, 5);
    line_fini(&l);
}

/* Closing with unread bytes resets a connection (RFC 1122, 4.2.2.13), also of Unix sockets. */
ENGINE_TEST(receive, reset_behind_data)
{
    for (enum rig_transport t = 0; t < RIG_N_TRANSPORTS; t++) {
        struct line l = {0};

        line_init(&l, *variant, t, defaults);
        end_send(&l.end, 10);
        rig_let_pass(&l.rig, 1);
        send_now(&l.peer, 3000);
        close(l.peer.fd); /* with 10 bytes unread */
        l.peer.fd = -1;
        sock_receive(&l.end.sock);
        RIG_UNTIL(&l.rig, l.end.n_errors + l.end.n_fins == 1);
        cr_assert(l.end.n_received == 3000 || l.end.n_errors == 1);
        rig_let_pass(&l.rig, 5);
        cr_assert_eq(l.end.n_errors + l.end.n_fins, 1);
        line_fini(&l);
    }
}

ENGINE_TEST(receive, once_is_once)
{
    struct line l = {0};

    line_init(&l, *variant, RIG_UNIX, defaults);
    sock_receive_once(&l.end.sock);
    cr_assert(sock_receiving(&l.end.sock));
    sock_receive_once(&l.end.sock); /* no effect */
    rig_let_pass(&l.rig, 2);
    for (uint64_t i = 1; i <= 5; i++) {
        uint64_t before = l.end.n_received;

        send_now(&l.peer, 100);
        RIG_UNTIL(&l.rig, l.end.n_received > before);
        cr_assert_not(sock_receiving(&l.end.sock));
        cr_assert(sock_detachable(&l.end.sock));
        send_now(&l.peer, 100);
        before = l.end.n_received;
        rig_let_pass(&l.rig, 3);
        cr_assert_eq(l.end.n_received, before);
        sock_receive_once(&l.end.sock);
        RIG_UNTIL(&l.rig, l.end.n_received == i * 200);
        sock_receive_once(&l.end.sock);
    }
    close(l.peer.fd);
    l.peer.fd = -1;
    RIG_UNTIL(&l.rig, l.end.n_fins == 1);
    cr_assert_not(sock_receiving(&l.end.sock));
    line_fini(&l);
}

ENGINE_TEST(receive, stop_with_nothing_in_flight)
{
    for (int once = 0; once < 2; once++) {
        struct line l = {0};

        line_init(&l, *variant, RIG_UNIX, defaults);
        for (unsigned i = 1; i <= 20; i++) {
            if (once)
                sock_receive_once(&l.end.sock);
            else
                sock_receive(&l.end.sock);
            rig_let_pass(&l.rig, 1);
            sock_stop(&l.end.sock);
            RIG_UNTIL(&l.rig, l.end.n_stopped == i);
            cr_assert_not(sock_receiving(&l.end.sock));
            cr_assert(sock_detachable(&l.end.sock));
        }
        send_now(&l.peer, 1000);
        rig_let_pass(&l.rig, 5);
        cr_assert_eq(l.end.n_received, 0);
        sock_receive(&l.end.sock);
        RIG_UNTIL(&l.rig, l.end.n_received == 1000);
        line_fini(&l);
    }
}

ENGINE_TEST(receive, stop_that_was_not_needed)
{
    struct line l = {0};

    line_init(&l, *variant, RIG_UNIX, defaults);
    sock_stop(&l.end.sock);
    RIG_UNTIL(&l.rig, l.end.n_stopped == 1);
    line_fini(&l);
}

/* Data is on its way when the receive is stopped: it is delivered before stopped(), or still in the
 * socket afterwards. */
ENGINE_TEST(receive, stop_races_with_data)
{
    struct random random = {5150};

    for (enum rig_transport t = 0; t < RIG_N_TRANSPORTS; t++) {
        struct line l = {0};

        line_init(&l, *variant, t, defaults);
        for (unsigned i = 1; i <= 500; i++) {
            size_t before = random_below(&random, 20000), after = random_below(&random, 20000);

            if (random_below(&random, 2) == 0)
                sock_receive(&l.end.sock);
            else
                sock_receive_once(&l.end.sock);
            if (random_below(&random, 2) == 0)
                rig_let_pass(&l.rig, 1);
            send_now(&l.peer, before);
            sock_stop(&l.end.sock);
            send_now(&l.peer, after);
            RIG_UNTIL(&l.rig, l.end.n_stopped == i);
            read_rest(&l.end);
            if (t == RIG_TCP)
                RIG_UNTIL(&l.rig, (read_rest(&l.end), l.end.n_received == l.peer.n_sent));
            cr_assert_eq(l.end.n_received, l.peer.n_sent);
        }
        line_fini(&l);
    }
}

/* The end comes while the receive is being stopped: either is told, each at most once. */
ENGINE_TEST(receive, stop_races_with_the_end)
{
    for (int kind = 0; kind < 4; kind++) {
        struct line l = {0};

        line_init(&l, *variant, RIG_TCP, defaults);
        sock_receive(&l.end.sock);
        rig_let_pass(&l.rig, 1);
        if (kind % 2 == 0)
            send_now(&l.peer, 3000);
        if (kind < 2) {
            close(l.peer.fd);
            l.peer.fd = -1;
        } else {
            reset(&l.peer);
        }
        sock_stop(&l.end.sock);
        RIG_UNTIL(&l.rig, l.end.n_stopped + l.end.n_errors > 0);
        rig_let_pass(&l.rig, 3);
        cr_assert_leq(l.end.n_stopped, 1);
        cr_assert_not(sock_receiving(&l.end.sock));
        line_fini(&l);
    }
}

static void stop_here(struct end *e, struct span data)
{
    (void)data;
    if (sock_receiving(&e->sock))
        sock_stop(&e->sock);
}

static void go_on(struct end *e)
{
    sock_receive(&e->sock);
}

/* From within the callbacks, over and over, through data of many buffers. */
ENGINE_TEST(receive, stopped_and_resumed_from_callbacks)
{
    enum { TOTAL = 4 * 1024 * 1024 };

    for (enum rig_transport t = 0; t < RIG_N_TRANSPORTS; t++) {
        struct line l = {.end = {.on_received = stop_here, .on_stopped = go_on}};

        line_init(&l, *variant, t, defaults);
        sock_receive(&l.end.sock);
        peer_send(&l.peer, TOTAL);
        RIG_UNTIL(&l.rig, l.end.n_received == TOTAL);
        cr_assert_gt(l.end.n_stopped, 3);
        line_fini(&l);
    }
}

/* Streams that fill their buffers get the large ones, and go back. */
ENGINE_TEST(receive, bulk_and_back)
{
    const uint64_t each = UINT64_C(32) * 1024 * 1024;
    struct line l = {0};

    line_init(&l, *variant, RIG_UNIX, defaults);
    sock_receive(&l.end.sock);
    for (uint64_t total = each; total <= 3 * each; total += each) {
        peer_send(&l.peer, total - l.peer.n_to_send);
        RIG_UNTIL(&l.rig, l.end.n_received == total);
        for (int i = 0; i < 20; i++) {
            send_now(&l.peer, 10);
            total += 10;
            RIG_UNTIL(&l.rig, l.end.n_received == total);
        }
    }
    line_fini(&l);
}

/* More sockets in bulk than there are large buffers. */
ENGINE_TEST(receive, bulk_buffers_run_out)
{
    enum { N = 12, N_BYTES = 2 * 1024 * 1024 };
    static const struct loop_config one = {.n_bulk_buffers = 1};
    struct rig r;
    struct end ends[N];
    struct peer peers[N];

    rig_init(&r, *variant, one);
    for (unsigned i = 0; i < N; i++) {
        int fds[2];

        rig_pair(RIG_UNIX, fds);
        ends[i] = (struct end){.expects = i};
        end_open(&ends[i], &r, fds[0]);
        sock_receive(&ends[i].sock);
        peer_init(&peers[i], &r, fds[1]);
        peers[i].sends = i;
        peer_send(&peers[i], N_BYTES);
    }
    for (int i = 0; i < N; i++)
        RIG_UNTIL(&r, ends[i].n_received == N_BYTES);
    for (int i = 0; i < N; i++) {
        peer_fini(&peers[i]);
        end_close(&ends[i]);
        RIG_UNTIL(&r, ends[i].n_closed == 1);
    }
    rig_fini(&r);
}
