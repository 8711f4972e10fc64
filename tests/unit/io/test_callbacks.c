/* Every callback may send, on its own sock and on others; and none is ever called from within the
 * call that it answers. */
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rig.h"
#include "weir/base/clock.h"

static const struct loop_config defaults;

/* A letter for each callback that spoke; the reader at the other end collects them. */
struct choir {
    struct rig rig;
    struct end collector; /* every callback sends to it */
    int ear;              /* the other end */
    struct end singer;
    int singer_peer;
    struct loop_watch watch;
    struct wheel_timer timer;
    struct mail mail;
    char heard[16];
    size_t n_heard;
};

static void sing(struct choir *c, const char *letter)
{
    sock_send(&c->collector.sock, span_of(letter, 1));
}

static void hear(struct choir *c)
{
    ssize_t n = recv(c->ear, c->heard + c->n_heard, sizeof(c->heard) - c->n_heard, MSG_DONTWAIT);

    c->n_heard += n > 0 ? (size_t)n : 0;
}

/* Turns until the letter has arrived, and nothing but it. */
static void expect(struct choir *c, char letter)
{
    for (int tries = 0; c->n_heard == 0 && tries < 2000; tries++) {
        rig_let_pass(&c->rig, 1);
        hear(c);
    }
    cr_assert_eq(c->n_heard, 1, "%s: %zu letters instead of '%c'", rig_name(c->rig.variant),
                 c->n_heard, letter);
    cr_assert_eq(c->heard[0], letter, "%s: '%c' instead of '%c'", rig_name(c->rig.variant),
                 c->heard[0], letter);
    c->n_heard = 0;
}

static void on_received(struct end *e, struct span data)
{
    (void)data;
    sing(e->ctx, "r");
}

static void on_ended(struct end *e)
{
    sing(e->ctx, e->error == 0 ? "f" : "e");
}

static void on_drained(struct end *e)
{
    sing(e->ctx, "d");
}

static void on_connected(struct end *e)
{
    sing(e->ctx, "c");
}

static void on_stopped(struct end *e)
{
    sing(e->ctx, "s");
}

static void on_closed(struct end *e)
{
    sing(e->ctx, "x");
}

static void on_ready(struct loop_watch *w, unsigned revents)
{
    (void)revents;
    loop_watch_remove(w);
    sing(CONTAINER_OF(w, struct choir, watch), "w");
}

static void on_fire(struct wheel_timer *t)
{
    sing(CONTAINER_OF(t, struct choir, timer), "t");
}

static void on_mail(void *ctx, struct mail *m)
{
    (void)m;
    sing(ctx, "m");
}

static void choir_init(struct choir *c, enum rig_variant variant)
{
    int fds[2];

    rig_init(&c->rig, variant, (struct loop_config){.on_mail = on_mail, .ctx = c});
    rig_pair(RIG_UNIX, fds);
    end_open(&c->collector, &c->rig, fds[0]);
    c->ear = fds[1];
    c->singer = (struct end){.ctx = c,
                             .on_received = on_received,
                             .on_ended = on_ended,
                             .on_drained = on_drained,
                             .on_connected = on_connected,
                             .on_stopped = on_stopped,
                             .on_closed = on_closed};
    c->timer.fire = on_fire;
}

static void choir_fini(struct choir *c)
{
    end_close(&c->collector);
    RIG_UNTIL(&c->rig, c->collector.n_closed == 1);
    close(c->ear);
    rig_fini(&c->rig);
}

static void swallow(int fd, size_t len)
{
    char data[65536];

    while (len > 0) {
        ssize_t n = recv(fd, data, len < sizeof(data) ? len : sizeof(data), MSG_DONTWAIT);

        if (n <= 0)
            return;
        len -= (size_t)n;
    }
}

ENGINE_TEST(callbacks, of_a_sock_send)
{
    struct choir *c = calloc(1, sizeof(*c));
    const struct span data = {(const uint8_t *)"", 1};
    int fds[2];

    cr_assert_not_null(c);
    choir_init(c, *variant);
    rig_pair(RIG_UNIX, fds);
    end_open(&c->singer, &c->rig, fds[0]);
    c->singer.expects = 0;
    sock_receive(&c->singer.sock);
    cr_assert_eq(send(fds[1], rig_bytes(&c->rig, 0, 0, 1).ptr, 1, 0), 1);
    expect(c, 'r');
    sock_stop(&c->singer.sock);
    expect(c, 's');
    sock_set_watermark(&c->singer.sock, 1000000, 500000);
    end_send(&c->singer, 2000000);
    rig_let_pass(&c->rig, 1);
    for (int tries = 0; c->singer.n_drained == 0 && tries < 2000; tries++) {
        swallow(fds[1], 200000);
        rig_let_pass(&c->rig, 1);
    }
    expect(c, 'd');
    sock_receive(&c->singer.sock);
    cr_assert_eq(shutdown(fds[1], SHUT_WR), 0);
    expect(c, 'f');
    close(fds[1]);
    sock_send(&c->singer.sock, data);
    expect(c, 'e');
    end_close(&c->singer);
    expect(c, 'x');
    choir_fini(c);
    free(c);
}

ENGINE_TEST(callbacks, of_the_loop_send)
{
    struct choir *c = calloc(1, sizeof(*c));

    cr_assert_not_null(c);
    choir_init(c, *variant);
    c->watch =
        (struct loop_watch){.fd = eventfd(1, EFD_NONBLOCK), .events = POLLIN, .ready = on_ready};
    cr_assert_eq(loop_watch_add(c->rig.loop, &c->watch), 0);
    expect(c, 'w');
    loop_timer_set(c->rig.loop, &c->timer, NS_PER_MS);
    expect(c, 't');
    loop_post(c->rig.loop, &c->mail);
    expect(c, 'm');
    close(c->watch.fd);
    choir_fini(c);
    free(c);
}

ENGINE_TEST(callbacks, of_a_connect_send)
{
    struct choir *c = calloc(1, sizeof(*c));
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_not_null(c);
    choir_init(c, *variant);
    cr_assert_eq(bind(listener, (struct sockaddr *)&addr, len), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    end_connect(&c->singer, &c->rig, socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
                (struct sockaddr *)&addr, len);
    expect(c, 'c');
    end_close(&c->singer);
    expect(c, 'x');
    close(listener);
    choir_fini(c);
    free(c);
}

static void close_me(struct end *e, struct span data)
{
    (void)data;
    end_close(e);
}

static void close_me_too(struct end *e)
{
    end_close(e);
}

/* A sock may be closed from within each of its own callbacks. */
ENGINE_TEST(callbacks, may_close_their_own_sock)
{
    for (int kind = 0; kind < 4; kind++) {
        struct end e = {0};
        struct peer p;
        struct rig r;
        int fds[2];

        rig_init(&r, *variant, defaults);
        rig_pair(RIG_UNIX, fds);
        e.on_received = kind == 0 ? close_me : NULL;
        e.on_ended = kind == 1 ? close_me_too : NULL;
        e.on_stopped = kind == 2 ? close_me_too : NULL;
        e.on_drained = kind == 3 ? close_me_too : NULL;
        end_open(&e, &r, fds[0]);
        peer_init(&p, &r, fds[1]);
        sock_receive(&e.sock);
        rig_let_pass(&r, 1);
        if (kind == 0)
            peer_send(&p, 100000);
        else if (kind == 1)
            cr_assert_eq(shutdown(fds[1], SHUT_WR), 0);
        else if (kind == 2)
            sock_stop(&e.sock);
        else
            end_send(&e, 2000000);
        rig_let_pass(&r, 1);
        peer_read(&p, 65536);
        RIG_UNTIL(&r, e.n_closed == 1);
        peer_fini(&p);
        rig_fini(&r);
    }
}

/* Whatever is called, nothing comes before the next turn. */
ENGINE_TEST(callbacks, never_come_from_within_a_call)
{
    struct end e = {0};
    struct rig r;
    int fds[2];

    rig_init(&r, *variant, defaults);
    rig_pair(RIG_UNIX, fds);
    cr_assert_eq(send(fds[1], rig_bytes(&r, 0, 0, 10).ptr, 10, 0), 10);
    end_open(&e, &r, fds[0]);
    sock_receive(&e.sock);
    end_send(&e, 3000000);
    sock_stop(&e.sock);
    sock_receive(&e.sock); /* takes the stop back */
    cr_assert_eq(e.n_received + e.n_stopped, 0);
    RIG_UNTIL(&r, e.n_received == 10);
    sock_stop(&e.sock);
    cr_assert_eq(e.n_stopped, 0);
    RIG_UNTIL(&r, e.n_stopped == 1);
    close(fds[1]);
    end_close(&e);
    sock_close(&e.sock);
    cr_assert_eq(e.n_closed, 0);
    RIG_UNTIL(&r, e.n_closed == 1);
    rig_fini(&r);
}

/* Bytes of an owner that are on their way to somebody else, as a client's query is to a server,
 * when the owner goes: closed() gives memory back, so it may not come before the bytes are gone. */
struct passer {
    struct end from;
    struct end *to;
    uint8_t *memory;
};

static void pass_on_and_close(struct end *e, struct span data)
{
    struct passer *p = e->ctx;

    memcpy(p->memory, data.ptr, data.len);
    sock_send(&p->to->sock, span_of(p->memory, data.len));
    end_close(e);
}

static void wreck_memory(struct end *e)
{
    struct passer *p = e->ctx;

    memset(p->memory, 0xee, 1000);
    free(p->memory);
    p->memory = NULL;
}

ENGINE_TEST(callbacks, closed_comes_after_what_was_sent_is_gone)
{
    struct rig r;
    struct end to = {0};
    struct passer p = {
        .from = {.ctx = &p, .on_received = pass_on_and_close, .on_closed = wreck_memory},
        .to = &to,
        .memory = malloc(1000)};
    struct peer source, sink;
    int fds[4];

    rig_init(&r, *variant, defaults);
    rig_pair(RIG_UNIX, fds);
    rig_pair(RIG_UNIX, fds + 2);
    end_open(&p.from, &r, fds[0]);
    end_open(&to, &r, fds[2]);
    peer_init(&source, &r, fds[1]);
    peer_init(&sink, &r, fds[3]);
    peer_read(&sink, 1000);
    sock_receive_once(&p.from.sock);
    peer_send(&source, 1000);
    RIG_UNTIL(&r, sink.n_received == 1000 && p.memory == NULL);
    end_close(&to);
    RIG_UNTIL(&r, to.n_closed == 1);
    peer_fini(&source);
    peer_fini(&sink);
    rig_fini(&r);
}

/* More socks than one turn delivers to; their FINs are under way while the first spoils them all.
 */
#define N_CROWD 300

static void spoil_all(struct end *e, struct span data)
{
    struct end *crowd = e->ctx;
    struct loop *l = e->rig->loop;

    while (loop_scratch(l, loop_scratch_max(l)) != NULL)
        ;
    while (loop_scratch(l, 16) != NULL)
        ;
    for (unsigned i = 0; i < N_CROWD; i++)
        sock_send(&crowd[i].sock, data); /* finds no memory: -ENOBUFS */
}

ENGINE_TEST(callbacks, an_error_ends_a_sock_once_whatever_is_under_way)
{
    struct end *crowd = calloc(N_CROWD, sizeof(*crowd));
    int peers[N_CROWD];
    struct rig r;

    rig_init(&r, *variant, defaults);
    crowd[0].on_received = spoil_all;
    crowd[0].ctx = crowd;
    for (unsigned i = 0; i < N_CROWD; i++) {
        struct span word = rig_bytes(&r, 0, 0, 3);
        int fds[2];

        rig_pair(RIG_UNIX, fds);
        peers[i] = fds[1];
        if (i == 0)
            cr_assert_eq(send(fds[1], word.ptr, word.len, 0), 3);
        else
            cr_assert_eq(shutdown(fds[1], SHUT_WR), 0);
        end_open(&crowd[i], &r, fds[0]);
        sock_receive(&crowd[i].sock);
    }
    rig_let_pass(&r, 30);
    for (unsigned i = 0; i < N_CROWD; i++) {
        cr_assert_leq(crowd[i].n_errors, 1, "sock %u", i);
        cr_assert_leq(crowd[i].n_fins, 1, "sock %u", i);
        end_close(&crowd[i]);
    }
    for (unsigned i = 0; i < N_CROWD; i++) {
        RIG_UNTIL(&r, crowd[i].n_closed == 1);
        close(peers[i]);
    }
    rig_fini(&r);
    free(crowd);
}
