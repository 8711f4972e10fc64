/*
 * Slots that are used again while completions of their former user are still on the way: nothing
 * of the former connection may reach the new one, and nothing of the new one may be lost.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/random.h"
#include "rig.h"

static const struct loop_config defaults;

enum { N_ROUNDS = 1000 };

/* The end of a connection as its peer may make it. */
static void end_somehow(int fd, struct random *random)
{
    static const struct linger now = {.l_onoff = 1};

    switch (random_below(random, 3)) {
    case 0:
        close(fd);
        return;
    case 1:
        cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
        close(fd);
        return;
    default:
        shutdown(fd, SHUT_WR);
        close(fd);
    }
}

static void send_now(struct rig *r, int fd, unsigned number, size_t len)
{
    struct span data = rig_bytes(r, number, 0, len);

    cr_assert_eq(send(fd, data.ptr, data.len, MSG_NOSIGNAL), (ssize_t)len);
}

/* What is in flight when the sock is closed: data, an answer, an end, a cancel, or all of it. True
 * if the peer's descriptor is closed. */
static bool make_a_mess(struct end *e, int peer_fd, uint64_t n_peer_sent, struct random *random)
{
    bool ended = random_below(random, 2) == 0;

    if (random_below(random, 2) == 0)
        end_send(e, 1 + random_below(random, 400000));
    if (random_below(random, 2) == 0) {
        struct span more =
            rig_bytes(e->rig, e->expects, n_peer_sent, 1 + random_below(random, 5000));

        cr_assert_eq(send(peer_fd, more.ptr, more.len, MSG_NOSIGNAL), (ssize_t)more.len);
    }
    if (ended)
        end_somehow(peer_fd, random);
    if (random_below(random, 4) == 0)
        sock_stop(&e->sock);
    return ended;
}

/* One connection after the other in the same sock; each is closed with something in flight. The
 * streams differ, so a byte of the wrong one is seen. */
static void same_sock(enum rig_variant variant, enum rig_transport transport)
{
    struct random random = {31337 + transport};
    struct rig r;
    struct end e = {0};

    rig_init(&r, variant, defaults);
    for (unsigned i = 0; i < N_ROUNDS; i++) {
        size_t early = 1 + random_below(&random, 5000);
        int fds[2];

        rig_pair(transport, fds);
        e.expects = i;
        end_open(&e, &r, fds[0]);
        if (random_below(&random, 4) != 0)
            sock_receive(&e.sock);
        else
            sock_receive_once(&e.sock);
        send_now(&r, fds[1], i, early);
        if (random_below(&random, 2) == 0)
            RIG_UNTIL(&r, e.n_received > 0);
        bool peer_is_closed = make_a_mess(&e, fds[1], early, &random);

        end_close(&e);
        RIG_UNTIL(&r, e.n_closed == 1);
        if (!peer_is_closed)
            close(fds[1]);
    }
    rig_fini(&r);
}

ENGINE_TEST(reuse, of_one_sock_unix)
{
    same_sock(*variant, RIG_UNIX);
}

ENGINE_TEST(reuse, of_one_sock_tcp)
{
    same_sock(*variant, RIG_TCP);
}

struct fleet {
    struct rig rig;
    struct end ends[32];
    int peers[32];
    struct random random;
    unsigned n_opened, number;
};

static void fleet_open(struct fleet *f, unsigned at)
{
    int fds[2];

    rig_pair(RIG_UNIX, fds);
    f->ends[at].expects = f->number++;
    end_open(&f->ends[at], &f->rig, fds[0]);
    sock_receive(&f->ends[at].sock);
    f->peers[at] = fds[1];
    send_now(&f->rig, fds[1], f->ends[at].expects, 1 + random_below(&f->random, 9000));
    f->n_opened++;
}

/* Opens the next connection in the very callback that frees the slots of the last. */
static void reopen(struct end *e)
{
    struct fleet *f = e->ctx;
    unsigned at = (unsigned)(e - f->ends);

    close(f->peers[at]);
    f->peers[at] = -1;
    if (f->n_opened < 5000)
        fleet_open(f, at);
}

/* Closes itself, or another that may have completions in the same batch. */
static void close_some(struct end *e, struct span data)
{
    struct fleet *f = e->ctx;
    unsigned at = (unsigned)(random_below(&f->random, 32));

    if (f->ends[at].n_closed == 0) {
        sock_send(&f->ends[at].sock, data); /* to one that is being closed: harmless */
        if (!f->ends[at].closing)
            end_close(&f->ends[at]);
    }
    if (!e->closing)
        end_close(e);
}

ENGINE_TEST(reuse, of_many_socks_from_callbacks)
{
    struct fleet *f = calloc(1, sizeof(*f));

    cr_assert_not_null(f);
    rig_init(&f->rig, *variant, defaults);
    f->random.state = 4711;
    for (unsigned i = 0; i < 32; i++) {
        f->ends[i].ctx = f;
        f->ends[i].on_received = close_some;
        f->ends[i].on_closed = reopen;
        fleet_open(f, i);
    }
    for (unsigned i = 0; i < 32; i++)
        RIG_UNTIL(&f->rig, f->peers[i] == -1);
    cr_assert_geq(f->n_opened, 5000);
    rig_fini(&f->rig);
    free(f);
}

/* The first to be served closes all others, which had data in the same batch: they hear closed()
 * and nothing else (rig.c checks that). */
static void close_others(struct end *e, struct span data)
{
    struct fleet *f = e->ctx;

    (void)data;
    for (unsigned i = 0; i < 32; i++)
        if (&f->ends[i] != e && !f->ends[i].closing)
            end_close(&f->ends[i]);
}

ENGINE_TEST(reuse, one_closes_all_others_of_the_turn)
{
    struct fleet *f = calloc(1, sizeof(*f));
    unsigned n_closed = 0;

    cr_assert_not_null(f);
    rig_init(&f->rig, *variant, defaults);
    f->random.state = 99;
    for (unsigned i = 0; i < 32; i++) {
        f->ends[i].ctx = f;
        f->ends[i].on_received = close_others;
        fleet_open(f, i);
        if (i % 2 == 0)
            end_send(&f->ends[i], 1000000); /* which nobody reads */
    }
    for (unsigned i = 0; i < 32; i++) {
        if (!f->ends[i].closing)
            RIG_UNTIL(&f->rig, f->ends[i].n_received > 0 || f->ends[i].closing);
    }
    for (unsigned i = 0; i < 32; i++) {
        close(f->peers[i]);
        if (f->ends[i].closing)
            RIG_UNTIL(&f->rig, f->ends[i].n_closed == 1);
        n_closed += f->ends[i].n_closed;
    }
    cr_assert_eq(n_closed, 31);
    for (unsigned i = 0; i < 32; i++) {
        if (f->ends[i].closing)
            continue;
        end_close(&f->ends[i]);
        RIG_UNTIL(&f->rig, f->ends[i].n_closed == 1);
    }
    rig_fini(&f->rig);
    free(f);
}
