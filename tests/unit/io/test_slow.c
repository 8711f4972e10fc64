/*
 * A peer that does not read, or reads slowly, while another sends all it can: memory stays bounded
 * and the other sockets of the loop are served as if nothing were the matter. The relay here
 * applies the watermark as the pooler does: above it the source is no longer received from.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"
#include "weir/base/clock.h"

enum {
    N_SMALL_BUFFERS = 256,
    SMALL_BUFFER = 2048,
    N_BULK_BUFFERS = 8,
    BULK_BUFFER = 65536,
    HIGH = 256 * 1024,
    LOW = 64 * 1024,
    CHUNK = 65536,
};

static const struct loop_config buffers = {
    .n_buffers = N_SMALL_BUFFERS,
    .buffer_size = SMALL_BUFFER,
    .n_bulk_buffers = N_BULK_BUFFERS,
    .bulk_buffer_size = BULK_BUFFER,
};

/* What one slow peer may make the loop hold: the high mark, and what was in receive buffers when it
 * was passed; and a chunk that is not yet full. */
static const size_t bound =
    HIGH + N_SMALL_BUFFERS * SMALL_BUFFER + N_BULK_BUFFERS * BULK_BUFFER + CHUNK;

/* Two sockets whose data goes to each other, and the peers behind them. */
struct relay {
    struct rig rig;
    struct end ends[2];
    struct peer peers[2];
    bool once; /* receive as servers do */
    size_t most_chunks;
};

/* A third party: sends a byte, waits for it to come back, sends the next. */
struct pinger {
    struct end end;
    struct peer peer;
    struct wheel_timer next;
    uint64_t sent_ns, worst_ns;
    unsigned n_rounds;
};

static void receive(struct relay *r, struct end *e)
{
    if (r->once)
        sock_receive_once(&e->sock);
    else
        sock_receive(&e->sock);
}

static void forward(struct end *e, struct span data)
{
    struct relay *r = e->ctx;
    struct end *to = &r->ends[e == &r->ends[0]];

    sock_send(&to->sock, data);
    if (arena_n_used(r->rig.arena) > r->most_chunks)
        r->most_chunks = arena_n_used(r->rig.arena);
    if (sock_unsent(&to->sock) <= HIGH)
        receive(r, e);
    else if (!r->once)
        sock_stop(&e->sock);
}

/* Perhaps before the stop was answered: that takes it back. */
static void resume(struct end *e)
{
    struct relay *r = e->ctx;

    receive(r, &r->ends[e == &r->ends[0]]);
}

static void relay_init(struct relay *r, enum rig_variant variant, enum rig_transport transport,
                       bool once)
{
    rig_init(&r->rig, variant, buffers);
    r->once = once;
    r->most_chunks = 0;
    for (unsigned i = 0; i < 2; i++) {
        int fds[2];

        rig_pair(transport, fds);
        r->ends[i] =
            (struct end){.ctx = r, .on_received = forward, .on_drained = resume, .expects = i};
        end_open(&r->ends[i], &r->rig, fds[0]);
        sock_set_watermark(&r->ends[i].sock, HIGH, LOW);
        peer_init(&r->peers[i], &r->rig, fds[1]);
        r->peers[i].sends = i;
        r->peers[i].expects = 1 - i;
        receive(r, &r->ends[i]);
    }
}

static void relay_fini(struct relay *r)
{
    for (int i = 0; i < 2; i++) {
        peer_fini(&r->peers[i]);
        end_close(&r->ends[i]);
    }
    RIG_UNTIL(&r->rig, r->ends[0].n_closed + r->ends[1].n_closed == 2);
    rig_fini(&r->rig);
}

static void ping(struct pinger *p)
{
    struct span byte = rig_bytes(p->peer.rig, 0, p->n_rounds, 1);

    p->sent_ns = clock_now_ns();
    cr_assert_eq(send(p->peer.fd, byte.ptr, 1, MSG_NOSIGNAL), 1);
}

static void pong(struct end *e, struct span data)
{
    sock_send(&e->sock, data);
}

static void pinger_ready(struct loop_watch *w, unsigned revents)
{
    struct pinger *p = CONTAINER_OF(w, struct pinger, peer.watch);
    uint64_t took_ns = clock_now_ns() - p->sent_ns;
    char byte;

    (void)revents;
    cr_assert_eq(recv(p->peer.fd, &byte, 1, 0), 1);
    p->n_rounds++;
    if (took_ns > p->worst_ns)
        p->worst_ns = took_ns;
    loop_timer_set(p->peer.rig->loop, &p->next, NS_PER_MS);
}

static void pinger_next(struct wheel_timer *t)
{
    ping(CONTAINER_OF(t, struct pinger, next));
}

static void pinger_init(struct pinger *p, struct rig *r)
{
    int fds[2];

    *p = (struct pinger){.end = {.on_received = pong}, .next = {.fire = pinger_next}};
    rig_pair(RIG_UNIX, fds);
    end_open(&p->end, r, fds[0]);
    sock_receive(&p->end.sock);
    peer_init(&p->peer, r, fds[1]);
    p->peer.watch.ready = pinger_ready;
    peer_read(&p->peer, 1);
    ping(p);
}

static void pinger_fini(struct pinger *p)
{
    /* Half a second: a machine with other work pauses us, too. */
    cr_assert_lt(p->worst_ns, 500 * NS_PER_MS, "a third party waited %ju us",
                 (uintmax_t)(p->worst_ns / NS_PER_US));
    loop_timer_clear(p->peer.rig->loop, &p->next);
    peer_fini(&p->peer);
    end_close(&p->end);
    RIG_UNTIL(p->end.rig, p->end.n_closed == 1);
}

static uint64_t stream_len(void)
{
    return UINT64_C(1024 * 1024) * (rig_soak() ? 1024 : 64);
}

static void check_memory(const struct relay *r, unsigned n_slow, size_t resident_before_kb)
{
    cr_assert_leq(r->most_chunks * CHUNK, n_slow * bound, "%zu chunks", r->most_chunks);
    cr_assert_leq(rig_resident_kb(), resident_before_kb + 16384, "%zu KB, before: %zu",
                  rig_resident_kb(), resident_before_kb);
}

/* One direction: nothing is read at first, then all of it, slowly at the start. */
static void one_way(enum rig_variant variant, enum rig_transport transport, unsigned from)
{
    struct relay r;
    struct pinger p;
    size_t resident_kb;
    unsigned n_rounds;

    relay_init(&r, variant, transport, false);
    pinger_init(&p, &r.rig);
    resident_kb = rig_resident_kb();
    peer_send(&r.peers[from], stream_len());
    RIG_UNTIL(&r.rig, sock_unsent(&r.ends[1 - from].sock) > HIGH);
    n_rounds = p.n_rounds;
    RIG_UNTIL(&r.rig, p.n_rounds >= n_rounds + 50);
    cr_assert_lt(r.peers[from].n_sent, stream_len());

    peer_read(&r.peers[1 - from], 100);
    n_rounds = p.n_rounds;
    RIG_UNTIL(&r.rig, p.n_rounds >= n_rounds + 50);
    peer_read(&r.peers[1 - from], RIG_BYTES_MAX);
    RIG_UNTIL(&r.rig, r.peers[1 - from].n_received == stream_len());
    check_memory(&r, 1, resident_kb);
    cr_assert_gt(r.ends[1 - from].n_drained, 0);
    pinger_fini(&p);
    relay_fini(&r);
}

ENGINE_TEST(slow, reader_unix)
{
    one_way(*variant, RIG_UNIX, 0);
}

ENGINE_TEST(slow, reader_tcp)
{
    one_way(*variant, RIG_TCP, 0);
}

ENGINE_TEST(slow, reader_on_the_other_side)
{
    one_way(*variant, RIG_TCP, 1);
}

/* Both directions at once, nobody reads at first; receives of one call each in the second round. */
static void both_ways(enum rig_variant variant, bool once)
{
    struct relay r;
    size_t resident_kb;

    relay_init(&r, variant, RIG_UNIX, once);
    resident_kb = rig_resident_kb();
    peer_send(&r.peers[0], stream_len() / 2);
    peer_send(&r.peers[1], stream_len() / 2);
    RIG_UNTIL(&r.rig, sock_unsent(&r.ends[0].sock) > HIGH && sock_unsent(&r.ends[1].sock) > HIGH);
    peer_read(&r.peers[0], RIG_BYTES_MAX);
    peer_read(&r.peers[1], 5000);
    RIG_UNTIL(&r.rig, r.peers[0].n_received == stream_len() / 2 &&
                          r.peers[1].n_received == stream_len() / 2);
    check_memory(&r, 2, resident_kb);
    relay_fini(&r);
}

ENGINE_TEST(slow, both_ways)
{
    both_ways(*variant, false);
}

ENGINE_TEST(slow, both_ways_once)
{
    both_ways(*variant, true);
}

/* No chunk is left for what a peer does not read: that socket ends, the others do not notice. */
ENGINE_TEST(slow, arena_is_exhausted)
{
    static const struct arena_config few = {.chunk_size = 4096, .n_chunks = 4};
    struct arena *arena;
    struct loop_config config = buffers;
    struct rig r;
    struct end e = {.rig = &r};
    struct pinger p;
    int fds[2];

    cr_assert_eq(arena_new(&arena, &few), 0);
    config.arena = arena;
    rig_init(&r, *variant, config);
    pinger_init(&p, &r);
    rig_pair(RIG_UNIX, fds);
    end_open(&e, &r, fds[0]);
    rig_wait_begin(&r, RIG_PATIENCE_MS);
    while (e.n_errors == 0) {
        end_send(&e, 65536);
        rig_turn(&r);
        cr_assert_not(r.late);
    }
    rig_wait_end(&r);
    cr_assert_eq(e.error, -ENOBUFS);
    RIG_UNTIL(&r, p.n_rounds >= 20);
    end_close(&e);
    RIG_UNTIL(&r, e.n_closed == 1);
    close(fds[1]);
    pinger_fini(&p);
    cr_assert_eq(arena_n_used(arena), 0);
    rig_fini(&r);
    arena_free(arena);
}
