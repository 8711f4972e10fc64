/*
 * Far fewer receive buffers than sockets with data. Nothing may be lost or stand still, and the
 * sockets that found no buffer are served in turn.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"

enum {
    N_SOCKS = 500,
    N_BYTES = 64 * 1024,
};

static const struct loop_config two_buffers = {
    .n_buffers = 2, .buffer_size = 2048, .n_bulk_buffers = 1, .bulk_buffer_size = 16384};

struct crowd {
    struct rig rig;
    struct end ends[N_SOCKS];
    struct peer peers[N_SOCKS];
    unsigned n_served, n_done, n_closed;
    uint64_t most_when_all_served; /* bytes of the luckiest when the last one got its first */
};

static void count_served(struct end *e, struct span data)
{
    struct crowd *c = e->ctx;

    c->n_done += e->n_received == N_BYTES;
    if (e->n_received != data.len || ++c->n_served != N_SOCKS)
        return;
    for (int i = 0; i < N_SOCKS; i++)
        if (c->ends[i].n_received > c->most_when_all_served)
            c->most_when_all_served = c->ends[i].n_received;
}

static void echo_and_count(struct end *e, struct span data)
{
    struct crowd *c = e->ctx;

    sock_send(&e->sock, data);
    c->n_done += e->n_received == N_BYTES;
}

static void count_closed(struct end *e)
{
    ((struct crowd *)e->ctx)->n_closed++;
}

static struct crowd *crowd_new(enum rig_variant variant, enum rig_transport transport,
                               void (*on_received)(struct end *e, struct span data))
{
    struct crowd *c = calloc(1, sizeof(*c));

    cr_assert_not_null(c);
    rig_init(&c->rig, variant, two_buffers);
    for (unsigned i = 0; i < N_SOCKS; i++) {
        int fds[2];

        rig_pair(transport, fds);
        c->ends[i].ctx = c;
        c->ends[i].on_received = on_received;
        c->ends[i].on_closed = count_closed;
        c->ends[i].expects = c->ends[i].sends = i;
        end_open(&c->ends[i], &c->rig, fds[0]);
        peer_init(&c->peers[i], &c->rig, fds[1]);
        c->peers[i].expects = c->peers[i].sends = i;
    }
    return c;
}

static void crowd_free(struct crowd *c)
{
    for (int i = 0; i < N_SOCKS; i++) {
        end_close(&c->ends[i]);
        peer_fini(&c->peers[i]);
    }
    RIG_UNTIL(&c->rig, c->n_closed == N_SOCKS);
    rig_fini(&c->rig);
    free(c);
}

/* All have data before the first is served. */
static void serve_all(enum rig_variant variant, enum rig_transport transport)
{
    struct crowd *c = crowd_new(variant, transport, count_served);

    for (int i = 0; i < N_SOCKS; i++) {
        struct peer *p = &c->peers[i];
        struct span first = rig_bytes(&c->rig, p->sends, 0, N_BYTES);
        ssize_t n = send(p->fd, first.ptr, first.len, MSG_NOSIGNAL);

        cr_assert_geq(n, 8192);
        p->n_sent = (uint64_t)n;
        p->n_to_send = (uint64_t)n;
        peer_send(p, N_BYTES - p->n_sent);
        sock_receive(&c->ends[i].sock);
    }
    RIG_UNTIL(&c->rig, c->n_done == N_SOCKS);
    cr_expect_leq(c->most_when_all_served, N_BYTES / 2, "%s: one had %ju bytes before all had some",
                  rig_name(variant), (uintmax_t)c->most_when_all_served);
    if (variant != RIG_EPOLL)
        cr_assert_gt(counter_read(&loop_stats(c->rig.loop)->n_starved), N_SOCKS / 2);
    crowd_free(c);
}

ENGINE_TEST(starve, all_served_in_turn_unix)
{
    serve_all(*variant, RIG_UNIX);
}

ENGINE_TEST(starve, all_served_in_turn_tcp)
{
    serve_all(*variant, RIG_TCP);
}

/* Everything comes back to peers that read little at a time, while all of them send. */
ENGINE_TEST(starve, slow_readers)
{
    struct crowd *c = crowd_new(*variant, RIG_UNIX, echo_and_count);

    for (size_t i = 0; i < N_SOCKS; i++) {
        sock_receive(&c->ends[i].sock);
        peer_send(&c->peers[i], N_BYTES);
        peer_read(&c->peers[i], 1000 + i);
    }
    RIG_UNTIL(&c->rig, c->n_done == N_SOCKS);
    for (int i = 0; i < N_SOCKS; i++)
        RIG_UNTIL(&c->rig, c->peers[i].n_received == N_BYTES);
    crowd_free(c);
}

/* Receives of one call each (servers) are answered although they starve. */
static void receive_again(struct end *e, struct span data)
{
    count_served(e, data);
    if (e->n_received < N_BYTES)
        sock_receive_once(&e->sock);
}

ENGINE_TEST(starve, receives_of_one_call)
{
    struct crowd *c = crowd_new(*variant, RIG_UNIX, receive_again);

    for (int i = 0; i < N_SOCKS; i++) {
        peer_send(&c->peers[i], N_BYTES);
        sock_receive_once(&c->ends[i].sock);
    }
    RIG_UNTIL(&c->rig, c->n_done == N_SOCKS);
    crowd_free(c);
}

/* A socket that is closed while it waits for a buffer gets closed() and nothing else. */
ENGINE_TEST(starve, closed_while_starved)
{
    struct crowd *c = crowd_new(*variant, RIG_UNIX, NULL);

    for (int i = 0; i < N_SOCKS; i++) {
        peer_send(&c->peers[i], N_BYTES);
        sock_receive(&c->ends[i].sock);
    }
    RIG_UNTIL(&c->rig, c->ends[0].n_received > 0);
    crowd_free(c);
}
