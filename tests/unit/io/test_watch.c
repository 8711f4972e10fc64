/* Watches of any descriptor: level-triggered, once a turn, removable at any moment. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/random.h"
#include "rig.h"

static const struct loop_config defaults;

struct bell {
    struct loop_watch watch; /* first */
    struct bell *removes, *adds;
    struct rig *rig;
    unsigned n_rung, last_events;
};

static void rung(struct loop_watch *w, unsigned revents)
{
    struct bell *b = CONTAINER_OF(w, struct bell, watch);

    cr_assert_neq(revents, 0);
    b->n_rung++;
    b->last_events = revents;
    if (b->removes != NULL)
        loop_watch_remove(&b->removes->watch);
    if (b->adds != NULL && b->adds->watch.loop == NULL)
        cr_assert_eq(loop_watch_add(b->rig->loop, &b->adds->watch), 0);
}

static struct bell bell_on(struct rig *r, int fd, unsigned events)
{
    return (struct bell){.watch = {.fd = fd, .events = events, .ready = rung}, .rig = r};
}

static void poke(int fd)
{
    const uint64_t one = 1;

    cr_assert_eq(write(fd, &one, sizeof(one)), sizeof(one));
}

static void unpoke(int fd)
{
    uint64_t n;

    cr_assert_eq(read(fd, &n, sizeof(n)), sizeof(n));
}

ENGINE_TEST(watch, is_level_triggered)
{
    struct rig r;
    struct bell b;
    unsigned n;

    rig_init(&r, *variant, defaults);
    b = bell_on(&r, eventfd(0, EFD_NONBLOCK), POLLIN);
    cr_assert_eq(loop_watch_add(r.loop, &b.watch), 0);
    rig_let_pass(&r, 3);
    cr_assert_eq(b.n_rung, 0);
    for (unsigned round = 1; round <= 3; round++) {
        poke(b.watch.fd);
        RIG_UNTIL(&r, b.n_rung >= round * 50); /* nobody reads: again and again */
        cr_assert_eq(b.last_events, POLLIN);
        unpoke(b.watch.fd);
        rig_let_pass(&r, 2); /* one that was on its way may still come */
        n = b.n_rung;
        rig_let_pass(&r, 5);
        cr_assert_eq(b.n_rung, n);
        b.n_rung = round * 50;
    }
    loop_watch_remove(&b.watch);
    close(b.watch.fd);
    rig_fini(&r);
}

ENGINE_TEST(watch, once_in_a_turn)
{
    struct rig r;
    struct bell b;

    rig_init(&r, *variant, defaults);
    b = bell_on(&r, eventfd(1, EFD_NONBLOCK), POLLIN);
    cr_assert_eq(loop_watch_add(r.loop, &b.watch), 0);
    for (unsigned i = 0; i < 100; i++) {
        unsigned before = b.n_rung;

        rig_turn(&r);
        cr_assert_leq(b.n_rung, before + 1);
    }
    cr_assert_gt(b.n_rung, 20);
    loop_watch_remove(&b.watch);
    close(b.watch.fd);
    rig_fini(&r);
}

/* Not again after the removal, though it stays ready: neither removed by itself, nor by another
 * that is ready in the same turn, nor between turns. */
ENGINE_TEST(watch, removed_is_silent)
{
    struct rig r;
    struct bell b[3];

    rig_init(&r, *variant, defaults);
    for (int i = 0; i < 3; i++) {
        b[i] = bell_on(&r, eventfd(1, EFD_NONBLOCK), POLLIN);
        cr_assert_eq(loop_watch_add(r.loop, &b[i].watch), 0);
    }
    b[0].removes = &b[0]; /* itself */
    b[1].removes = &b[2]; /* each other: the first one to be called */
    b[2].removes = &b[1];
    rig_let_pass(&r, 5);
    cr_assert_eq(b[0].n_rung, 1);
    cr_assert((b[1].n_rung == 0) != (b[2].n_rung == 0), "%u %u", b[1].n_rung, b[2].n_rung);
    for (int i = 0; i < 3; i++) {
        unsigned n = b[i].n_rung;

        loop_watch_remove(&b[i].watch); /* no effect where it is not watched */
        cr_assert_null(b[i].watch.loop);
        rig_let_pass(&r, 2);
        cr_assert_eq(b[i].n_rung, n);
        close(b[i].watch.fd);
    }
    rig_fini(&r);
}

/* The memory of a watch and its descriptor are the caller's after the removal, at once. */
ENGINE_TEST(watch, memory_and_descriptor_are_reused)
{
    struct rig r;
    struct bell *b;

    rig_init(&r, *variant, defaults);
    for (unsigned i = 0; i < 500; i++) {
        b = malloc(sizeof(*b));
        cr_assert_not_null(b);
        *b = bell_on(&r, eventfd(i % 2, EFD_NONBLOCK), POLLIN);
        cr_assert_eq(loop_watch_add(r.loop, &b->watch), 0);
        if (i % 3 == 0)
            rig_let_pass(&r, 1);
        cr_assert(b->n_rung == 0 || i % 2 == 1);
        loop_watch_remove(&b->watch);
        close(b->watch.fd);
        free(b);
    }
    rig_let_pass(&r, 2);
    rig_fini(&r);
}

/* The first to ring removes the other, which is ready too, and opens something else under the same
 * number: an event of the former must not be taken for one of the latter. */
struct successor {
    struct loop_watch watch;
    struct successor *other;
    struct loop *loop;
    unsigned n_rung;
};

static void rung_by_mistake(struct loop_watch *w, unsigned revents)
{
    (void)revents;
    CONTAINER_OF(w, struct successor, watch)->n_rung += 1000;
}

static void replace_the_other(struct loop_watch *w, unsigned revents)
{
    struct successor *other = CONTAINER_OF(w, struct successor, watch)->other;
    int fd = other->watch.fd;

    (void)revents;
    CONTAINER_OF(w, struct successor, watch)->n_rung++;
    loop_watch_remove(w);
    loop_watch_remove(&other->watch);
    close(fd);
    other->watch = (struct loop_watch){
        .fd = eventfd(0, EFD_NONBLOCK), .events = POLLIN, .ready = rung_by_mistake};
    cr_assert_eq(other->watch.fd, fd);
    cr_assert_eq(loop_watch_add(other->loop, &other->watch), 0);
}

ENGINE_TEST(watch, successor_under_the_same_number)
{
    struct rig r;
    struct successor s[2];

    rig_init(&r, *variant, defaults);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 2; i++) {
            s[i] = (struct successor){.other = &s[1 - i], .loop = r.loop};
            s[i].watch = (struct loop_watch){
                .fd = eventfd(0, EFD_NONBLOCK), .events = POLLIN, .ready = replace_the_other};
            cr_assert_eq(loop_watch_add(r.loop, &s[i].watch), 0);
        }
        rig_let_pass(&r, 1);
        poke(s[0].watch.fd);
        poke(s[1].watch.fd);
        rig_let_pass(&r, 3);
        cr_assert_eq(s[0].n_rung + s[1].n_rung, 1);
        for (int i = 0; i < 2; i++) {
            loop_watch_remove(&s[i].watch);
            close(s[i].watch.fd);
        }
    }
    rig_fini(&r);
}

ENGINE_TEST(watch, added_from_a_callback)
{
    struct rig r;
    struct bell b[2];

    rig_init(&r, *variant, defaults);
    for (int i = 0; i < 2; i++)
        b[i] = bell_on(&r, eventfd(1, EFD_NONBLOCK), POLLIN);
    b[0].adds = &b[1];
    cr_assert_eq(loop_watch_add(r.loop, &b[0].watch), 0);
    RIG_UNTIL(&r, b[1].n_rung > 3);
    for (int i = 0; i < 2; i++) {
        loop_watch_remove(&b[i].watch);
        close(b[i].watch.fd);
    }
    rig_fini(&r);
}

ENGINE_TEST(watch, readable_writable_hung_up)
{
    struct rig r;
    struct bell b;
    int fds[2];

    rig_init(&r, *variant, defaults);
    rig_pair(RIG_UNIX, fds);
    b = bell_on(&r, fds[0], POLLIN | POLLOUT);
    cr_assert_eq(loop_watch_add(r.loop, &b.watch), 0);
    RIG_UNTIL(&r, b.n_rung > 0);
    cr_assert_eq(b.last_events, POLLOUT);
    cr_assert_eq(send(fds[1], "x", 1, 0), 1);
    RIG_UNTIL(&r, b.last_events == (POLLIN | POLLOUT));
    close(fds[1]);
    RIG_UNTIL(&r, b.last_events & POLLHUP); /* asked for or not, as poll(2) has it */
    loop_watch_remove(&b.watch);
    close(fds[0]);
    rig_fini(&r);
}

/* What the daemon watches besides: signals, and the epoll of the guard. */
ENGINE_TEST(watch, signals_and_another_epoll)
{
    struct rig r;
    struct bell signals, guard;
    struct epoll_event event = {.events = EPOLLIN};
    struct signalfd_siginfo info;
    sigset_t set;
    int inner = eventfd(0, EFD_NONBLOCK);

    rig_init(&r, *variant, defaults);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    cr_assert_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    signals = bell_on(&r, signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), POLLIN);
    guard = bell_on(&r, epoll_create1(EPOLL_CLOEXEC), POLLIN);
    cr_assert_eq(epoll_ctl(guard.watch.fd, EPOLL_CTL_ADD, inner, &event), 0);
    cr_assert_eq(loop_watch_add(r.loop, &signals.watch), 0);
    cr_assert_eq(loop_watch_add(r.loop, &guard.watch), 0);
    rig_let_pass(&r, 2);
    cr_assert_eq(signals.n_rung + guard.n_rung, 0);
    cr_assert_eq(kill(getpid(), SIGUSR1), 0);
    RIG_UNTIL(&r, signals.n_rung > 0);
    cr_assert_eq(read(signals.watch.fd, &info, sizeof(info)), sizeof(info));
    poke(inner);
    RIG_UNTIL(&r, guard.n_rung > 2);
    unpoke(inner);
    loop_watch_remove(&signals.watch);
    loop_watch_remove(&guard.watch);
    close(signals.watch.fd);
    close(guard.watch.fd);
    close(inner);
    rig_fini(&r);
}

/* Two hundred at once, each removed when it has rung. */
ENGINE_TEST(watch, many)
{
    enum { N = 200 };
    struct rig r;
    struct bell *b = calloc(N, sizeof(*b));
    struct random random = {1234567};

    cr_assert_not_null(b);
    rig_init(&r, *variant, defaults);
    for (int i = 0; i < N; i++) {
        b[i] = bell_on(&r, eventfd(0, EFD_NONBLOCK), POLLIN);
        b[i].removes = &b[i];
        cr_assert_eq(loop_watch_add(r.loop, &b[i].watch), 0);
    }
    for (int left = N; left > 0; left--) {
        unsigned i = (unsigned)(random_below(&random, N));

        while (b[i].n_rung > 0)
            i = (i + 1) % N;
        poke(b[i].watch.fd);
        RIG_UNTIL(&r, b[i].n_rung > 0);
    }
    for (int i = 0; i < N; i++) {
        cr_assert_eq(b[i].n_rung, 1);
        close(b[i].watch.fd);
    }
    rig_fini(&r);
    free(b);
}
