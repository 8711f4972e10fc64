/* Connecting and accepting. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "rig.h"
#include "weir/base/clock.h"

static const struct loop_config defaults;

struct place {
    int fd;
    struct sockaddr_storage addr;
    socklen_t len;
};

static void place_init(struct place *p, int family, int backlog)
{
    *p = (struct place){.fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    cr_assert_geq(p->fd, 0);
    p->addr.ss_family = (sa_family_t)family;
    p->len = family == AF_UNIX ? sizeof(sa_family_t) : sizeof(struct sockaddr_in);
    if (family == AF_INET)
        ((struct sockaddr_in *)&p->addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(bind(p->fd, (struct sockaddr *)&p->addr, p->len), 0);
    p->len = sizeof(p->addr);
    cr_assert_eq(getsockname(p->fd, (struct sockaddr *)&p->addr, &p->len), 0);
    if (backlog >= 0)
        cr_assert_eq(listen(p->fd, backlog), 0);
}

static void dial(struct end *e, struct rig *r, const struct place *p)
{
    int fd = socket(p->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    cr_assert_geq(fd, 0);
    end_connect(e, r, fd, (const struct sockaddr *)&p->addr, p->len);
}

struct porter {
    struct loop_listener listener; /* first */
    struct rig *rig;
    int fds[64];
    unsigned n_accepted;
    bool leaves; /* stops listening at the first */
};

static void take(struct loop_listener *ln, int fd)
{
    struct porter *p = CONTAINER_OF(ln, struct porter, listener);

    cr_assert_lt(p->n_accepted, 64);
    p->fds[p->n_accepted++] = fd;
    if (p->leaves)
        loop_unlisten(ln);
}

static const int families[] = {AF_UNIX, AF_INET};

ENGINE_TEST(connect, both_sides_talk)
{
    for (int k = 0; k < 2; k++) {
        struct rig r;
        struct place place;
        struct porter porter = {.listener.accepted = take};
        struct end near = {.sends = 1, .expects = 2}, far = {.sends = 2, .expects = 1};

        rig_init(&r, *variant, defaults);
        place_init(&place, families[k], 8);
        porter.listener.fd = place.fd;
        cr_assert_eq(loop_listen(r.loop, &porter.listener), 0);
        dial(&near, &r, &place);
        sock_receive(&near.sock); /* begins when connected */
        end_send(&near, 100000);
        RIG_UNTIL(&r, near.n_connected == 1 && porter.n_accepted == 1);
        cr_assert_eq(near.connect_error, 0);
        cr_assert(fcntl(porter.fds[0], F_GETFL) & O_NONBLOCK);
        cr_assert(fcntl(porter.fds[0], F_GETFD) & FD_CLOEXEC);
        end_open(&far, &r, porter.fds[0]);
        sock_receive(&far.sock);
        end_send(&far, 200000);
        RIG_UNTIL(&r, near.n_received == 200000 && far.n_received == 100000);
        end_close(&near);
        RIG_UNTIL(&r, far.n_fins == 1 && near.n_closed == 1);
        end_close(&far);
        RIG_UNTIL(&r, far.n_closed == 1);
        loop_unlisten(&porter.listener);
        close(place.fd);
        rig_fini(&r);
    }
}

ENGINE_TEST(connect, refused)
{
    for (int k = 0; k < 2; k++) {
        struct rig r;
        struct place place;
        struct end e = {.sends = 1};

        rig_init(&r, *variant, defaults);
        place_init(&place, families[k], -1); /* bound, nobody listens */
        for (int i = 0; i < 3; i++) {
            dial(&e, &r, &place);
            sock_receive(&e.sock);
            end_send(&e, 1000);
            RIG_UNTIL(&r, e.n_connected == 1);
            cr_assert_eq(e.connect_error, -ECONNREFUSED, "%s", strerror(-e.connect_error));
            rig_let_pass(&r, 2); /* no other callback: rig.c checks */
            end_close(&e);
            RIG_UNTIL(&r, e.n_closed == 1);
        }
        close(place.fd);
        rig_fini(&r);
    }
}

ENGINE_TEST(connect, to_a_path_that_is_not_there)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "/no/such/socket"};
    struct rig r;
    struct end e = {.sends = 1};

    rig_init(&r, *variant, defaults);
    end_connect(&e, &r, socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                (struct sockaddr *)&addr, sizeof(addr));
    addr.sun_path[1] = 'x'; /* the address was copied */
    RIG_UNTIL(&r, e.n_connected == 1);
    cr_assert_eq(e.connect_error, -ENOENT);
    end_close(&e);
    RIG_UNTIL(&r, e.n_closed == 1);
    rig_fini(&r);
}

/* A peer that never answers: nothing comes until the owner loses patience and closes. */
ENGINE_TEST(connect, without_an_answer)
{
    struct rig r;
    struct place place;
    struct end e = {.sends = 1};
    int filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    rig_init(&r, *variant, defaults);
    place_init(&place, AF_INET, 0);
    cr_assert_eq(connect(filler, (struct sockaddr *)&place.addr, place.len), 0);
    dial(&e, &r, &place);
    end_send(&e, 1000);
    rig_let_pass(&r, 20);
    cr_assert_eq(e.n_connected, 0);
    end_close(&e);
    RIG_UNTIL(&r, e.n_closed == 1);
    cr_assert_eq(e.n_connected, 0);
    close(filler);
    close(place.fd);
    rig_fini(&r);
}

ENGINE_TEST(connect, closed_before_the_answer)
{
    for (int k = 0; k < 2; k++) {
        struct rig r;
        struct place place;
        struct end e = {.sends = 1};

        rig_init(&r, *variant, defaults);
        place_init(&place, families[k], 64);
        for (int i = 0; i < 30; i++) {
            dial(&e, &r, &place);
            if (i % 3 == 1)
                end_send(&e, 10);
            end_close(&e);
            RIG_UNTIL(&r, e.n_closed == 1);
            cr_assert_eq(e.n_connected, 0);
        }
        close(place.fd);
        rig_fini(&r);
    }
}

/* Sent, and closed when that is sent, all before the connection stands. */
ENGINE_TEST(connect, close_sent_before_the_answer)
{
    for (int k = 0; k < 2; k++) {
        struct rig r;
        struct place place;
        struct porter porter = {.listener.accepted = take};
        struct end e = {.sends = 1};
        struct peer p;

        rig_init(&r, *variant, defaults);
        place_init(&place, families[k], 8);
        porter.listener.fd = place.fd;
        cr_assert_eq(loop_listen(r.loop, &porter.listener), 0);
        dial(&e, &r, &place);
        end_send(&e, 16); /* as a CancelRequest */
        e.closing = true;
        sock_close_sent(&e.sock, NS_PER_S);
        RIG_UNTIL(&r, porter.n_accepted == 1);
        peer_init(&p, &r, porter.fds[0]);
        p.expects = 1;
        peer_read(&p, 100);
        RIG_UNTIL(&r, p.eof && e.n_closed == 1);
        cr_assert_eq(p.n_received, 16);
        peer_fini(&p);
        loop_unlisten(&porter.listener);
        close(place.fd);
        rig_fini(&r);
    }
}

ENGINE_TEST(listen, crowd_at_the_door)
{
    enum { N = 64 };
    struct rig r;
    struct place place;
    struct porter porter = {.listener.accepted = take};
    int clients[N];

    rig_init(&r, *variant, defaults);
    place_init(&place, AF_UNIX, N);
    porter.listener.fd = place.fd;
    for (int i = 0; i < N / 2; i++) { /* half of them before we listen */
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(clients[i], (struct sockaddr *)&place.addr, place.len), 0);
    }
    cr_assert_eq(loop_listen(r.loop, &porter.listener), 0);
    RIG_UNTIL(&r, porter.n_accepted == N / 2);
    for (int i = N / 2; i < N; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(clients[i], (struct sockaddr *)&place.addr, place.len), 0);
    }
    RIG_UNTIL(&r, porter.n_accepted == N);
    loop_unlisten(&porter.listener);
    for (int i = 0; i < N; i++) {
        close(clients[i]);
        close(porter.fds[i]);
    }
    close(place.fd);
    rig_fini(&r);
}

/* A client that left before it was accepted does not stop the others. */
ENGINE_TEST(listen, client_left_before)
{
    struct rig r;
    struct place place;
    struct porter porter = {.listener.accepted = take};
    struct linger now = {.l_onoff = 1};
    int fd;

    rig_init(&r, *variant, defaults);
    place_init(&place, AF_INET, 8);
    porter.listener.fd = place.fd;
    for (int i = 0; i < 3; i++) {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(fd, (struct sockaddr *)&place.addr, place.len), 0);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
        close(fd);
    }
    cr_assert_eq(loop_listen(r.loop, &porter.listener), 0);
    rig_let_pass(&r, 5);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&place.addr, place.len), 0);
    cr_assert_eq(send(fd, "x", 1, 0), 1);
    RIG_UNTIL(&r, porter.n_accepted > 0);
    for (bool seen = false; !seen;) {
        char byte;

        RIG_UNTIL(&r, porter.n_accepted > 0);
        seen = recv(porter.fds[porter.n_accepted - 1], &byte, 1, MSG_PEEK) == 1;
        if (!seen)
            rig_turn(&r);
    }
    loop_unlisten(&porter.listener);
    for (unsigned i = 0; i < porter.n_accepted; i++)
        close(porter.fds[i]);
    close(fd);
    close(place.fd);
    rig_fini(&r);
}

/* No accepted() after loop_unlisten(), from within the callback or between turns; those who wait
 * stay in the backlog for whoever listens next. */
ENGINE_TEST(listen, unlisten_leaves_the_rest)
{
    struct rig r;
    struct place place;
    struct porter porter = {.listener.accepted = take, .leaves = true};
    int clients[8];

    rig_init(&r, *variant, defaults);
    place_init(&place, AF_UNIX, 8);
    porter.listener.fd = place.fd;
    for (int i = 0; i < 8; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(clients[i], (struct sockaddr *)&place.addr, place.len), 0);
    }
    for (unsigned i = 1; i <= 4; i++) {
        cr_assert_eq(loop_listen(r.loop, &porter.listener), 0);
        RIG_UNTIL(&r, porter.n_accepted == i);
        rig_let_pass(&r, 2);
        cr_assert_eq(porter.n_accepted, i);
        cr_assert_null(porter.listener.loop);
    }
    cr_assert_eq(loop_listen(r.loop, &porter.listener), 0);
    loop_unlisten(&porter.listener);
    loop_unlisten(&porter.listener);
    rig_let_pass(&r, 2);
    cr_assert_eq(porter.n_accepted, 4);
    porter.leaves = false;
    cr_assert_eq(loop_listen(r.loop, &porter.listener), 0);
    RIG_UNTIL(&r, porter.n_accepted == 8);
    loop_unlisten(&porter.listener);
    for (int i = 0; i < 8; i++) {
        close(clients[i]);
        close(porter.fds[i]);
    }
    close(place.fd);
    rig_fini(&r);
}

static void heard(struct end *e, struct span data)
{
    (void)data;
    cr_assert_eq(e->n_connected, 1, "received before connected");
}

static void left(struct end *e)
{
    cr_assert_eq(e->n_connected, 1, "ended before connected");
}

/* A server that speaks, or leaves, as soon as it has accepted. */
ENGINE_TEST(connect, comes_before_all_else)
{
    for (int leaves = 0; leaves < 2; leaves++) {
        struct end e = {.on_received = heard, .on_ended = left};
        struct rig r;
        struct place place;
        int fd;

        rig_init(&r, *variant, defaults);
        place_init(&place, AF_INET, 8);
        dial(&e, &r, &place);
        sock_receive(&e.sock);
        fd = accept(place.fd, NULL, NULL);
        cr_assert_geq(fd, 0);
        if (leaves) {
            close(fd);
            RIG_UNTIL(&r, e.n_fins == 1);
        } else {
            struct span word = rig_bytes(&r, 0, 0, 3);

            cr_assert_eq(send(fd, word.ptr, word.len, 0), 3);
            RIG_UNTIL(&r, e.n_received == 3);
            close(fd);
        }
        end_close(&e);
        RIG_UNTIL(&r, e.n_closed == 1);
        close(place.fd);
        rig_fini(&r);
    }
}
