/*
 * Sending: short sends, order, the watermark, closing with bytes unsent, half-closed connections,
 * and how long the bytes have to live.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/random.h"
#include "rig.h"
#include "weir/base/clock.h"

static const struct loop_config defaults;

static void set_buffer(int fd, int which, int bytes)
{
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, which, &bytes, sizeof(bytes)), 0);
}

/* Sends len bytes of e's stream in spans of random sizes out of memory that is gone after the turn,
 * which is all the time that the bytes have to live. */
static void *send_in_pieces(struct end *e, size_t len, struct random *random)
{
    uint8_t *memory = malloc(2 * len), *to = memory;

    cr_assert_not_null(memory);
    while (len > 0) {
        size_t n = 1 + random_below(random, 65536);

        if (n > len)
            n = len;
        memcpy(to, rig_bytes(e->rig, e->sends, e->n_sent, n).ptr, n);
        sock_send(&e->sock, span_of(to, n));
        e->n_sent += n;
        len -= n;
        to += n + 1; /* not adjacent: what is adjacent may go out as one span */
        if (random_below(random, 8) == 0)
            sock_send(&e->sock, span_of(NULL, 0)); /* fine, and nothing */
    }
    return memory;
}

static void turn_and_wreck(struct rig *r, void *memory, size_t len)
{
    rig_turn(r);
    memset(memory, 0xee, 2 * len);
    free(memory);
}

/* 1 B to 1 MB a turn through socket buffers of 4 KB, to a peer that reads pieces of any size. */
static void short_sends(enum rig_variant variant, enum rig_transport transport)
{
    /* So small a buffer makes TCP wait for acknowledgements. */
    const size_t total = (transport == RIG_TCP ? 1 : 8) * (size_t)1024 * 1024;
    struct random random = {20240611 + transport};
    struct rig r;
    struct end e = {.sends = 3};
    struct peer p;
    int fds[2];

    rig_init(&r, variant, defaults);
    rig_pair(transport, fds);
    set_buffer(fds[0], SO_SNDBUF, 4096);
    set_buffer(fds[1], SO_SNDBUF, 4096);
    end_open(&e, &r, fds[0]);
    sock_receive(&e.sock);
    peer_init(&p, &r, fds[1]);
    p.expects = 3;
    peer_send(&p, total / 4); /* traffic the other way, which keeps the loop turning */
    rig_wait_begin(&r, RIG_PATIENCE_MS);
    while (p.n_received < total) {
        size_t len = 1 + random_below(&random, UINT64_C(1) << random_below(&random, 21));

        if (e.n_sent + len > total)
            len = total - e.n_sent;
        peer_read(&p, 1 + random_below(&random, 65536));
        if (len > 0 && sock_unsent(&e.sock) < total / 2)
            turn_and_wreck(&r, send_in_pieces(&e, len, &random), len);
        else
            rig_turn(&r);
        cr_assert_not(r.late, "%s: %ju of %zu bytes", rig_name(variant), (uintmax_t)p.n_received,
                      total);
    }
    rig_wait_end(&r);
    cr_assert_eq(sock_unsent(&e.sock), 0);
    cr_assert_gt(counter_read(&loop_stats(r.loop)->n_short_sends), 0);
    RIG_UNTIL(&r, e.n_received == total / 4);
    end_close(&e);
    peer_fini(&p);
    RIG_UNTIL(&r, e.n_closed == 1);
    rig_fini(&r);
}

ENGINE_TEST(send, short_sends_unix)
{
    short_sends(*variant, RIG_UNIX);
}

ENGINE_TEST(send, short_sends_tcp)
{
    short_sends(*variant, RIG_TCP);
}

/* Both ends are socks of one loop and both send. */
ENGINE_TEST(send, short_sends_to_each_other)
{
    enum { TOTAL = 4 * 1024 * 1024 };
    struct random random = {77};
    struct rig r;
    struct end e[2] = {{.sends = 0, .expects = 1}, {.sends = 1, .expects = 0}};
    int fds[2];

    rig_init(&r, *variant, defaults);
    rig_pair(RIG_UNIX, fds);
    for (int i = 0; i < 2; i++) {
        set_buffer(fds[i], SO_SNDBUF, 4096);
        end_open(&e[i], &r, fds[i]);
        sock_receive(&e[i].sock);
    }
    for (int i = 0; i < 2; i++)
        turn_and_wreck(&r, send_in_pieces(&e[i], TOTAL, &random), TOTAL);
    RIG_UNTIL(&r, e[0].n_received == TOTAL && e[1].n_received == TOTAL);
    cr_assert_eq(sock_unsent(&e[0].sock) + sock_unsent(&e[1].sock), 0);
    end_close(&e[0]);
    end_close(&e[1]);
    RIG_UNTIL(&r, e[0].n_closed == 1 && e[1].n_closed == 1);
    rig_fini(&r);
}

/* More spans in one turn than one system call takes (IOV_MAX is 1024), more sockets than the
 * submission queue has entries. */
ENGINE_TEST(send, many_spans_and_many_sockets)
{
    enum { N = 64, N_SPANS = 3000, SPAN = 3 };
    const uint64_t each = (uint64_t)N_SPANS * SPAN;
    static const struct loop_config small = {.sq_entries = 8, .cq_entries = 64};
    struct rig r;
    struct end e[N];
    struct peer p[N];

    rig_init(&r, *variant, small);
    rig_let_pass(&r, 1); /* how sends go best is found out in the first turn */
    for (int i = 0; i < N; i++) {
        int fds[2];

        rig_pair(RIG_UNIX, fds);
        e[i] = (struct end){.sends = 5};
        end_open(&e[i], &r, fds[0]);
        peer_init(&p[i], &r, fds[1]);
        p[i].expects = 5;
        peer_read(&p[i], 4096);
        for (size_t k = 0; k < N_SPANS; k++) {
            void *bytes = loop_scratch(r.loop, SPAN);

            cr_assert_not_null(bytes);
            memcpy(bytes, rig_bytes(&r, 5, k * SPAN, SPAN).ptr, SPAN);
            sock_send(&e[i].sock, span_of(bytes, SPAN));
        }
        cr_assert_eq(sock_unsent(&e[i].sock), each);
    }
    for (int i = 0; i < N; i++)
        RIG_UNTIL(&r, p[i].n_received == each);
    for (int i = 0; i < N; i++) {
        cr_assert_eq(sock_unsent(&e[i].sock), 0);
        end_close(&e[i]);
        peer_fini(&p[i]);
    }
    for (int i = 0; i < N; i++)
        RIG_UNTIL(&r, e[i].n_closed == 1);
    rig_fini(&r);
}

/* A pair with a sock at one end and a peer at the other. */
struct line {
    struct rig rig;
    struct end end;
    struct peer peer;
};

static void line_init(struct line *l, enum rig_variant variant, enum rig_transport transport)
{
    int fds[2];

    rig_init(&l->rig, variant, defaults);
    rig_pair(transport, fds);
    l->end = (struct end){0};
    end_open(&l->end, &l->rig, fds[0]);
    peer_init(&l->peer, &l->rig, fds[1]);
}

static void line_fini(struct line *l)
{
    peer_fini(&l->peer);
    if (!l->end.closing)
        end_close(&l->end);
    RIG_UNTIL(&l->rig, l->end.n_closed == 1);
    rig_fini(&l->rig);
}

ENGINE_TEST(send, drained_comes_once_for_each_time_above_the_mark)
{
    struct line l;

    line_init(&l, *variant, RIG_UNIX);
    set_buffer(l.end.sock.fd, SO_SNDBUF, 4096);
    sock_set_watermark(&l.end.sock, 100000, 20000);
    for (unsigned i = 1; i <= 3; i++) {
        end_send(&l.end, 300000);
        rig_let_pass(&l.rig, 5);
        cr_assert_eq(l.end.n_drained, i - 1);
        peer_read(&l.peer, 4096);
        RIG_UNTIL(&l.rig, l.end.n_drained == i);
        cr_assert_leq(sock_unsent(&l.end.sock), 20000);
        RIG_UNTIL(&l.rig, l.peer.n_received == l.end.n_sent);
        peer_read(&l.peer, 0);
    }
    /* Below the high mark there is nothing to tell. */
    end_send(&l.end, 90000);
    peer_read(&l.peer, 4096);
    RIG_UNTIL(&l.rig, l.peer.n_received == l.end.n_sent);
    rig_let_pass(&l.rig, 5);
    cr_assert_eq(l.end.n_drained, 3);
    line_fini(&l);
}

/* Who waits for the last byte to be with the kernel lowers both marks to nothing. */
ENGINE_TEST(send, marks_lowered_over_unsent_bytes_count_at_once)
{
    struct line l;

    line_init(&l, *variant, RIG_UNIX);
    set_buffer(l.end.sock.fd, SO_SNDBUF, 4096);
    end_send(&l.end, 90000);
    rig_let_pass(&l.rig, 5);
    cr_assert_gt(sock_unsent(&l.end.sock), 0);
    sock_set_watermark(&l.end.sock, 0, 0);
    peer_read(&l.peer, 4096);
    RIG_UNTIL(&l.rig, l.end.n_drained == 1);
    cr_assert_eq(sock_unsent(&l.end.sock), 0);
    line_fini(&l);
}

/* The peer has finished; we have not. */
ENGINE_TEST(send, goes_on_after_the_peers_fin)
{
    for (enum rig_transport t = 0; t < RIG_N_TRANSPORTS; t++) {
        struct line l;

        line_init(&l, *variant, t);
        sock_receive(&l.end.sock);
        cr_assert_eq(shutdown(l.peer.fd, SHUT_WR), 0);
        RIG_UNTIL(&l.rig, l.end.n_fins == 1);
        peer_read(&l.peer, 65536);
        for (uint64_t i = 1; i <= 10; i++) {
            end_send(&l.end, 100000);
            RIG_UNTIL(&l.rig, l.peer.n_received == i * 100000);
        }
        cr_assert_eq(l.end.n_errors, 0);
        line_fini(&l);
    }
}

ENGINE_TEST(send, close_sent_delivers_everything_first)
{
    for (enum rig_transport t = 0; t < RIG_N_TRANSPORTS; t++) {
        struct line l;

        line_init(&l, *variant, t);
        set_buffer(l.end.sock.fd, SO_SNDBUF, 65536);
        set_buffer(l.peer.fd, SO_RCVBUF, 65536); /* the kernel would take it all */
        sock_receive(&l.end.sock);
        end_send(&l.end, 3000000);
        rig_let_pass(&l.rig, 1);
        end_send(&l.end, 1000);
        l.end.closing = true;
        sock_close_sent(&l.end.sock, 60 * NS_PER_S);
        rig_let_pass(&l.rig, 20);
        cr_assert_eq(l.end.n_closed, 0);
        peer_read(&l.peer, 65536);
        RIG_UNTIL(&l.rig, l.peer.eof);
        cr_assert_eq(l.peer.n_received, 3001000);
        cr_assert_eq(l.peer.error, 0);
        line_fini(&l);
    }
}

ENGINE_TEST(send, close_sent_gives_up_after_its_time)
{
    struct line l;
    uint64_t start_ns;

    line_init(&l, *variant, RIG_UNIX);
    end_send(&l.end, 3000000);
    l.end.closing = true;
    start_ns = clock_now_ns();
    sock_close_sent(&l.end.sock, 50 * NS_PER_MS);
    RIG_UNTIL(&l.rig, l.end.n_closed == 1);
    cr_assert_geq(clock_now_ns() - start_ns, 45 * NS_PER_MS);
    line_fini(&l);
}

ENGINE_TEST(send, close_sent_ends_with_the_peer)
{
    struct line l;

    line_init(&l, *variant, RIG_UNIX);
    end_send(&l.end, 3000000);
    l.end.closing = true;
    sock_close_sent(&l.end.sock, 60 * NS_PER_S);
    rig_let_pass(&l.rig, 5);
    close(l.peer.fd);
    l.peer.fd = -1;
    RIG_UNTIL(&l.rig, l.end.n_closed == 1);
    line_fini(&l);
}

ENGINE_TEST(send, close_sent_with_nothing_to_send)
{
    struct line l;

    line_init(&l, *variant, RIG_TCP);
    sock_receive(&l.end.sock);
    rig_let_pass(&l.rig, 1);
    l.end.closing = true;
    sock_close_sent(&l.end.sock, 60 * NS_PER_S);
    cr_assert_eq(l.end.n_closed, 0); /* never from within the call */
    peer_read(&l.peer, 1);
    RIG_UNTIL(&l.rig, l.end.n_closed == 1 && l.peer.eof);
    cr_assert_eq(l.peer.error, 0);
    line_fini(&l);
}

/* What the peer has sent meanwhile must not turn the FIN behind the last words into a reset. */
ENGINE_TEST(send, close_sent_does_not_reset_who_has_sent_more)
{
    for (int sent_before = 0; sent_before < 2; sent_before++) {
        static const char unread[100000];
        struct line l;

        line_init(&l, *variant, RIG_TCP);
        cr_assert_eq(send(l.peer.fd, unread, sizeof(unread), 0), sizeof(unread));
        end_send(&l.end, 1000);
        if (sent_before)
            RIG_UNTIL(&l.rig, sock_unsent(&l.end.sock) == 0);
        l.end.closing = true;
        sock_close_sent(&l.end.sock, 60 * NS_PER_S);
        RIG_UNTIL(&l.rig, l.end.n_closed == 1);
        peer_read(&l.peer, 65536);
        RIG_UNTIL(&l.rig, l.peer.eof || l.peer.error != 0);
        cr_assert_eq(l.peer.error, 0);
        cr_assert_eq(l.peer.n_received, 1000);
        line_fini(&l);
    }
}

/* close() during a lingering close cuts it short. */
ENGINE_TEST(send, close_after_close_sent)
{
    struct line l;

    line_init(&l, *variant, RIG_UNIX);
    end_send(&l.end, 3000000);
    l.end.closing = true;
    sock_close_sent(&l.end.sock, 60 * NS_PER_S);
    rig_let_pass(&l.rig, 5);
    cr_assert_eq(l.end.n_closed, 0);
    sock_close(&l.end.sock);
    sock_close(&l.end.sock);
    RIG_UNTIL(&l.rig, l.end.n_closed == 1);
    line_fini(&l);
}

/* The peer is gone: an error comes, once, and closing works after it. */
ENGINE_TEST(send, to_a_peer_that_is_gone)
{
    for (enum rig_transport t = 0; t < RIG_N_TRANSPORTS; t++) {
        struct line l;

        line_init(&l, *variant, t);
        close(l.peer.fd);
        l.peer.fd = -1;
        for (int tries = 0; l.end.n_errors == 0 && tries < 1000; tries++) {
            end_send(&l.end, 1000);
            rig_let_pass(&l.rig, 1);
        }
        cr_assert_eq(l.end.n_errors, 1);
        cr_assert(l.end.error == -EPIPE || l.end.error == -ECONNRESET, "%s",
                  strerror(-l.end.error));
        end_send(&l.end, 1000); /* harmless */
        rig_let_pass(&l.rig, 5);
        line_fini(&l);
    }
}

/* A server says why it goes, and goes; the query that comes too late must not hide the reason. */
ENGINE_TEST(send, error_waits_for_what_the_peer_had_said)
{
    for (unsigned kind = 0; kind < 2 * RIG_N_TRANSPORTS; kind++) {
        struct line l;
        struct span reason;

        line_init(&l, *variant, kind / 2);
        if (kind % 2 == 0)
            sock_receive(&l.end.sock);
        else
            sock_receive_once(&l.end.sock);
        rig_let_pass(&l.rig, 1);
        reason = rig_bytes(&l.rig, 0, 0, 120);
        cr_assert_eq(send(l.peer.fd, reason.ptr, reason.len, 0), 120);
        close(l.peer.fd);
        l.peer.fd = -1;
        for (int tries = 0; l.end.n_errors + l.end.n_fins == 0 && tries < 1000; tries++) {
            end_send(&l.end, 10);
            rig_let_pass(&l.rig, 1);
        }
        cr_assert_eq(l.end.n_received, 120);
        line_fini(&l);
    }
}

ENGINE_TEST(send, scratch_lives_to_the_end_of_the_turn)
{
    struct line l;
    size_t max;

    line_init(&l, *variant, RIG_UNIX);
    peer_read(&l.peer, 65536);
    max = loop_scratch_max(l.rig.loop);
    cr_assert_geq(max, 4096);
    cr_assert_null(loop_scratch(l.rig.loop, max + 1));
    for (int round = 0; round < 100; round++) {
        for (size_t len = 1; len <= max; len = len * 3 + 1) {
            uint8_t *bytes = loop_scratch(l.rig.loop, len);

            cr_assert_not_null(bytes);
            cr_assert_eq((uintptr_t)bytes % 16, 0);
            for (size_t at = 0; at < len; at += RIG_BYTES_MAX) {
                size_t n = len - at < RIG_BYTES_MAX ? len - at : RIG_BYTES_MAX;

                memcpy(bytes + at, rig_bytes(&l.rig, 0, l.end.n_sent + at, n).ptr, n);
            }
            sock_send(&l.end.sock, span_of(bytes, len));
            l.end.n_sent += len;
        }
        RIG_UNTIL(&l.rig, l.peer.n_received == l.end.n_sent);
    }
    line_fini(&l);
}
