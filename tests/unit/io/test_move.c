/* A sock that moves between loops, on the same thread and to another one, as servers move between
 * reactors. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"

static const struct loop_config defaults;

/* Attaches e to r's loop; from then on r is asked to wait for it. */
static void move_to(struct end *e, struct rig *r)
{
    sock_detach(&e->sock);
    e->rig = r;
    sock_attach(&e->sock, r->loop, e->sock.ops);
}

ENGINE_TEST(move, there_and_back)
{
    for (enum rig_transport t = 0; t < RIG_N_TRANSPORTS; t++) {
        struct rig r[2];
        struct end e = {.sends = 1, .expects = 2};
        struct peer p;
        int fds[2];

        rig_init(&r[0], *variant, defaults);
        rig_init(&r[1], *variant, defaults);
        rig_pair(t, fds);
        end_open(&e, &r[0], fds[0]);
        peer_init(&p, &r[0], fds[1]);
        p.sends = 2;
        for (unsigned i = 1; i <= 100; i++) {
            struct rig *here = &r[i % 2];
            struct span data = rig_bytes(here, 2, p.n_sent, 777);
            uint8_t echo[333];

            move_to(&e, here);
            sock_receive_once(&e.sock);
            end_send(&e, 333);
            cr_assert_eq(send(fds[1], data.ptr, data.len, 0), 777);
            p.n_sent += 777;
            RIG_UNTIL(here, e.n_received == i * UINT64_C(777) && sock_detachable(&e.sock));
            cr_assert_eq(recv(fds[1], echo, sizeof(echo), 0), 333);
            cr_assert(rig_bytes_match(here, 1, (i - 1) * UINT64_C(333), span_of(echo, 333)));
        }
        /* Closed while it belongs to nobody's list of things to wait for. */
        move_to(&e, &r[0]);
        end_close(&e);
        RIG_UNTIL(&r[0], e.n_closed == 1);
        peer_fini(&p);
        rig_fini(&r[0]);
        rig_fini(&r[1]);
    }
}

/* Receiving for ever has to be stopped first; what came in between is not lost. */
ENGINE_TEST(move, after_a_stop)
{
    struct rig r[2];
    struct end e = {.expects = 0};
    struct peer p;
    int fds[2];

    rig_init(&r[0], *variant, defaults);
    rig_init(&r[1], *variant, defaults);
    rig_pair(RIG_UNIX, fds);
    end_open(&e, &r[0], fds[0]);
    peer_init(&p, &r[0], fds[1]);
    for (unsigned i = 0; i < 50; i++) {
        struct span data = rig_bytes(&r[0], 0, p.n_sent, 5000);
        unsigned n_stopped = e.n_stopped;

        sock_receive(&e.sock);
        cr_assert_not(sock_detachable(&e.sock));
        cr_assert_eq(send(fds[1], data.ptr, data.len, 0), 5000);
        p.n_sent += 5000;
        if (i % 3 == 0)
            rig_let_pass(e.rig, 1);
        sock_stop(&e.sock);
        RIG_UNTIL(e.rig, e.n_stopped > n_stopped);
        cr_assert(sock_detachable(&e.sock));
        move_to(&e, &r[i % 2]);
    }
    sock_receive(&e.sock);
    RIG_UNTIL(e.rig, e.n_received == p.n_sent);
    end_close(&e);
    RIG_UNTIL(e.rig, e.n_closed == 1);
    peer_fini(&p);
    rig_fini(&r[0]);
    rig_fini(&r[1]);
}

/* What comes while nobody has the sock, as on a shelf, is found afterwards. */
ENGINE_TEST(move, data_and_fin_while_detached)
{
    for (unsigned i = 0; i < 8; i++) {
        struct rig r[2];
        struct end e = {.expects = 0};
        struct peer p;
        int fds[2];

        rig_init(&r[0], *variant, defaults);
        rig_init(&r[1], *variant, defaults);
        rig_pair(i % 2 == 0 ? RIG_UNIX : RIG_TCP, fds);
        end_open(&e, &r[0], fds[0]);
        peer_init(&p, &r[0], fds[1]);
        sock_receive_once(&e.sock); /* the loop knows the descriptor */
        cr_assert_eq(send(fds[1], rig_bytes(&r[0], 0, 0, 100).ptr, 100, 0), 100);
        RIG_UNTIL(&r[0], e.n_received == 100);
        sock_detach(&e.sock);
        cr_assert_eq(send(fds[1], rig_bytes(&r[0], 0, 100, 100).ptr, 100, 0), 100);
        if (i & 2)
            cr_assert_eq(shutdown(fds[1], SHUT_WR), 0);
        rig_let_pass(&r[0], 2);
        cr_assert_eq(e.n_received, 100);
        e.rig = &r[i / 4];
        sock_attach(&e.sock, e.rig->loop, e.sock.ops);
        sock_receive(&e.sock);
        RIG_UNTIL(e.rig, e.n_received == 200 && e.n_fins == (i & 2) / 2);
        end_close(&e);
        RIG_UNTIL(e.rig, e.n_closed == 1);
        peer_fini(&p);
        rig_fini(&r[0]);
        rig_fini(&r[1]);
    }
}

ENGINE_TEST(move, not_with_anything_under_way)
{
    struct rig r;
    struct end e = {.sends = 1};
    struct peer p;
    int fds[2];

    rig_init(&r, *variant, defaults);
    rig_pair(RIG_UNIX, fds);
    end_open(&e, &r, fds[0]);
    peer_init(&p, &r, fds[1]);
    p.expects = 1;
    cr_assert(sock_detachable(&e.sock));
    end_send(&e, 1);
    cr_assert_not(sock_detachable(&e.sock)); /* noted */
    rig_let_pass(&r, 1);
    cr_assert(sock_detachable(&e.sock)); /* taken by the kernel */
    end_send(&e, 2000000);
    rig_let_pass(&r, 1);
    cr_assert_not(sock_detachable(&e.sock)); /* queued */
    peer_read(&p, 65536);
    RIG_UNTIL(&r, p.n_received == 2000001);
    RIG_UNTIL(&r, sock_detachable(&e.sock));
    sock_receive_once(&e.sock);
    cr_assert_not(sock_detachable(&e.sock));
    end_close(&e);
    RIG_UNTIL(&r, e.n_closed == 1);
    peer_fini(&p);
    rig_fini(&r);
}

/* One query's worth on each of two reactors in turn, the sock handed over by mail. */
struct reactor {
    struct rig rig;
    struct travel *travel;
    struct reactor *other;
    struct mail quit;
    pthread_barrier_t *over;
};

struct travel {
    struct mail mail;
    struct end end;
    int peer_fd;
    uint64_t n_hops, n_to_hop;
    bool arrived; /* back where it began */
};

enum { QUERY = 50, REPLY = 100 };

static void query(struct travel *t, struct rig *here)
{
    struct span reply = rig_bytes(here, 0, t->n_hops * REPLY, REPLY);

    t->end.rig = here;
    sock_attach(&t->end.sock, here->loop, t->end.sock.ops);
    end_send(&t->end, QUERY);
    sock_receive_once(&t->end.sock);
    cr_assert_eq(send(t->peer_fd, reply.ptr, reply.len, 0), REPLY);
}

static void answered(struct end *e, struct span data)
{
    struct travel *t = e->ctx;
    struct reactor *here = CONTAINER_OF(e->rig, struct reactor, rig);
    uint8_t taken[QUERY];

    cr_assert_eq(data.len, REPLY);
    cr_assert_eq(recv(t->peer_fd, taken, sizeof(taken), MSG_DONTWAIT), QUERY);
    t->n_hops++;
    sock_detach(&e->sock);
    loop_post(here->other->rig.loop, &t->mail); /* from here on it is the other's */
}

static void on_mail(void *ctx, struct mail *m)
{
    struct reactor *here = ctx;
    struct travel *t = here->travel;

    if (m == &here->quit)
        loop_stop(here->rig.loop);
    else if (t->n_hops < t->n_to_hop)
        query(t, &here->rig);
    else
        t->arrived = true;
}

static void *run_elsewhere(void *arg)
{
    struct reactor *r = arg;

    cr_assert_eq(loop_run(r->rig.loop), 0);
    pthread_barrier_wait(r->over); /* loop_post() has returned: nobody else has the loop in hand */
    loop_free(r->rig.loop);
    r->rig.loop = NULL;
    return NULL;
}

ENGINE_TEST(move, between_threads)
{
    struct travel t = {.end = {.ctx = &t, .on_received = answered}, .n_to_hop = 2001};
    pthread_barrier_t over;
    struct reactor r[2] = {{.travel = &t, .other = &r[1]},
                           {.travel = &t, .other = &r[0], .over = &over}};
    pthread_t thread;
    int fds[2];

    pthread_barrier_init(&over, NULL, 2);
    for (int i = 0; i < 2; i++)
        rig_init(&r[i].rig, *variant, (struct loop_config){.on_mail = on_mail, .ctx = &r[i]});
    rig_pair(RIG_UNIX, fds);
    t.peer_fd = fds[1];
    end_open(&t.end, &r[0].rig, fds[0]);
    sock_detach(&t.end.sock);
    cr_assert_eq(pthread_create(&thread, NULL, run_elsewhere, &r[1]), 0);
    loop_post(r[1].rig.loop, &t.mail);
    RIG_UNTIL(&r[0].rig, t.arrived);
    cr_assert_eq(t.n_hops, t.n_to_hop);
    loop_post(r[1].rig.loop, &r[1].quit);
    pthread_barrier_wait(&over);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&over);
    t.end.rig = &r[0].rig;
    sock_attach(&t.end.sock, r[0].rig.loop, t.end.sock.ops);
    end_close(&t.end);
    RIG_UNTIL(&r[0].rig, t.end.n_closed == 1);
    close(t.peer_fd);
    rig_fini(&r[0].rig);
    rig_fini(&r[1].rig);
}

/* The next loop may get the number of the epoll instance that is gone. */
ENGINE_TEST(move, outlives_its_loop)
{
    struct rig r;
    struct end e = {0};
    int fds[2];

    rig_init(&r, *variant, defaults);
    rig_pair(RIG_UNIX, fds);
    end_open(&e, &r, fds[0]);
    for (unsigned i = 0; i < 3; i++) {
        struct span word = rig_bytes(&r, 0, e.n_received, 3);

        sock_receive_once(&e.sock);
        cr_assert_eq(send(fds[1], word.ptr, word.len, 0), 3);
        RIG_UNTIL(&r, e.n_received == (i + 1) * UINT64_C(3) && sock_detachable(&e.sock));
        sock_detach(&e.sock);
        rig_fini(&r);
        rig_init(&r, *variant, defaults);
        sock_attach(&e.sock, r.loop, e.sock.ops);
    }
    end_close(&e);
    RIG_UNTIL(&r, e.n_closed == 1);
    close(fds[1]);
    rig_fini(&r);
}
