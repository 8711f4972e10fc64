/*
 * What a loop leaves behind: nothing grows over many connections, no kernel threads appear, and
 * freeing a loop with everything under way gives back all it had.
 */
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "rig.h"
#include "weir/base/clock.h"

static const struct loop_config defaults;

/* A server that echoes, and clients that connect, send, read, close; all on one loop. */
struct town {
    struct rig rig;
    struct loop_listener listener;
    struct sockaddr_storage addr;
    socklen_t addr_len;
    struct caller {
        struct end near, far;
    } callers[16];
    unsigned n_done, n_to_do, n_started, n_busy;
};

static void caller_start(struct town *t, struct caller *c);

static void far_closed(struct end *e)
{
    struct town *t = e->ctx;

    t->n_busy--;
}

static void far_ended(struct end *e)
{
    end_close(e);
}

static void echo(struct end *e, struct span data)
{
    sock_send(&e->sock, data);
}

static void town_accepted(struct loop_listener *ln, int fd)
{
    struct town *t = CONTAINER_OF(ln, struct town, listener);

    for (int i = 0; i < 16; i++) {
        struct end *e = &t->callers[i].far;

        if (e->rig != NULL && e->n_closed == 0)
            continue;
        t->n_busy++;
        *e = (struct end){
            .ctx = t, .on_received = echo, .on_ended = far_ended, .on_closed = far_closed};
        end_open(e, &t->rig, fd);
        sock_receive(&e->sock);
        return;
    }
    /* All are taken: the far side of some caller is not closed yet. */
    close(fd);
}

static void near_connected(struct end *e)
{
    cr_assert_eq(e->connect_error, 0, "%s", strerror(-e->connect_error));
    end_send(e, 100);
    sock_receive(&e->sock);
}

static void near_received(struct end *e, struct span data)
{
    (void)data;
    if (e->n_received == 100)
        end_close(e);
}

static void near_ended(struct end *e)
{
    end_close(e); /* refused by a full town: counts as done, too */
}

static void near_closed(struct end *e)
{
    struct town *t = e->ctx;

    t->n_done++;
    t->n_busy--;
    if (t->n_started < t->n_to_do)
        caller_start(t, CONTAINER_OF(e, struct caller, near));
}

static void caller_start(struct town *t, struct caller *c)
{
    struct linger now = {.l_onoff = 1};
    int fd = socket(t->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    cr_assert_geq(fd, 0, "%s", strerror(errno));
    /* A reset leaves no TIME_WAIT, of which a million would use up the ports. */
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    c->near.ctx = t;
    c->near.on_connected = near_connected;
    c->near.on_received = near_received;
    c->near.on_ended = near_ended;
    c->near.on_closed = near_closed;
    t->n_started++;
    t->n_busy++;
    end_connect(&c->near, &t->rig, fd, (const struct sockaddr *)&t->addr, t->addr_len);
}

static void town_run(struct town *t, unsigned n)
{
    t->n_to_do += n;
    for (int i = 0; i < 12; i++)
        caller_start(t, &t->callers[i]);
    while (t->n_busy > 0) {
        unsigned before = t->n_done;

        RIG_UNTIL(&t->rig, t->n_done > before || t->n_busy == 0);
    }
}

static void town_listen(struct town *t, int family)
{
    t->addr.ss_family = (sa_family_t)family;
    t->addr_len = family == AF_UNIX ? sizeof(sa_family_t) : sizeof(struct sockaddr_in);
    if (family == AF_INET)
        ((struct sockaddr_in *)&t->addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    t->listener.fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    t->listener.accepted = town_accepted;
    cr_assert_eq(bind(t->listener.fd, (struct sockaddr *)&t->addr, t->addr_len), 0);
    t->addr_len = sizeof(t->addr);
    cr_assert_eq(getsockname(t->listener.fd, (struct sockaddr *)&t->addr, &t->addr_len), 0);
    cr_assert_eq(listen(t->listener.fd, 64), 0);
    cr_assert_eq(loop_listen(t->rig.loop, &t->listener), 0);
}

/* Threads of io-wq are named iou-wrk-PID, those of SQPOLL iou-sqp-PID. */
static unsigned count_kernel_workers(void)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned n = 0;
    const struct dirent *entry;

    cr_assert_not_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        char path[300], name[32] = "";
        FILE *f;

        (void)snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        f = fopen(path, "re");
        if (f == NULL)
            continue; /* "." and ".." */
        if (fgets(name, sizeof(name), f) != NULL)
            n += strncmp(name, "iou-", 4) == 0;
        (void)fclose(f);
    }
    closedir(dir);
    return n;
}

static void many_connections(enum rig_variant variant, int family)
{
    struct town *t = calloc(1, sizeof(*t));
    unsigned n = rig_soak() ? 1000000 : 10000, n_fds;
    size_t resident_kb;

    cr_assert_not_null(t);
    rig_init(&t->rig, variant, defaults);
    town_listen(t, family);
    town_run(t, 1000); /* whatever is allocated once has been */
    n_fds = rig_count_fds();
    resident_kb = rig_resident_kb();
    town_run(t, n);
    cr_assert_eq(t->n_done, 1000 + n);
    cr_assert_eq(rig_count_fds(), n_fds);
    cr_assert_leq(rig_resident_kb(), resident_kb + 2048);
    cr_assert_eq(arena_n_used(t->rig.arena), 0);
    cr_assert_eq(count_kernel_workers(), 0);
    cr_assert_eq(counter_read(&loop_stats(t->rig.loop)->n_overflows), 0);
    loop_unlisten(&t->listener);
    close(t->listener.fd);
    rig_fini(&t->rig);
    free(t);
}

ENGINE_TEST(lasting, many_connections_unix)
{
    many_connections(*variant, AF_UNIX);
}

ENGINE_TEST(lasting, many_connections_tcp)
{
    many_connections(*variant, AF_INET);
}

/* An address where connecting takes for ever: the backlog is full and nobody accepts. */
struct deaf {
    int listener, caller;
    struct sockaddr_in addr;
};

static void deaf_init(struct deaf *d)
{
    socklen_t len = sizeof(d->addr);

    d->addr =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    d->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(d->listener, (struct sockaddr *)&d->addr, len), 0);
    cr_assert_eq(getsockname(d->listener, (struct sockaddr *)&d->addr, &len), 0);
    cr_assert_eq(listen(d->listener, 0), 0);
    d->caller = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(d->caller, (struct sockaddr *)&d->addr, len), 0);
}

static void never_fires(struct wheel_timer *t)
{
    (void)t;
    cr_assert_fail("a timer of an hour fired");
}

static void never_ready(struct loop_watch *w, unsigned revents)
{
    (void)w;
    cr_assert_fail("an idle descriptor is ready: %x", revents);
}

/* Everything a loop can have under way: receives of both kinds, sends that do not fit, connects
 * without an answer, listeners, watches, timers, mail. */
struct bustle {
    struct rig rig;
    struct deaf deaf;
    struct end ends[30];
    int peers[30];
    struct loop_listener listener;
    struct loop_watch watch;
    struct wheel_timer timer;
    unsigned n_closed;
};

static void bustle_closed(struct end *e)
{
    ((struct bustle *)e->ctx)->n_closed++;
}

static void bustle_accepted(struct loop_listener *ln, int fd)
{
    (void)ln;
    close(fd);
}

static void bustle_open(struct bustle *b, unsigned i)
{
    struct end *e = &b->ends[i];
    int fds[2];

    e->ctx = b;
    e->on_closed = bustle_closed;
    if (i % 6 == 5) {
        b->peers[i] = -1;
        end_connect(e, &b->rig, socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                    (struct sockaddr *)&b->deaf.addr, sizeof(b->deaf.addr));
        return;
    }
    rig_pair(i % 2 == 0 ? RIG_UNIX : RIG_TCP, fds);
    b->peers[i] = fds[1];
    end_open(e, &b->rig, fds[0]);
    if (i % 3 == 0)
        sock_receive(&e->sock);
    else if (i % 3 == 1)
        sock_receive_once(&e->sock);
    if (i % 2 == 0)
        end_send(e, 5000000);
}

static void bustle_init(struct bustle *b, enum rig_variant variant)
{
    rig_init(&b->rig, variant, defaults);
    deaf_init(&b->deaf);
    for (unsigned i = 0; i < 30; i++)
        bustle_open(b, i);
    b->listener = (struct loop_listener){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                                         .accepted = bustle_accepted};
    cr_assert_eq(listen(b->listener.fd, 1), 0);
    cr_assert_eq(loop_listen(b->rig.loop, &b->listener), 0);
    b->watch =
        (struct loop_watch){.fd = eventfd(0, EFD_NONBLOCK), .events = POLLIN, .ready = never_ready};
    cr_assert_eq(loop_watch_add(b->rig.loop, &b->watch), 0);
    b->timer.fire = never_fires;
    loop_timer_set(b->rig.loop, &b->timer, 3600 * NS_PER_S);
}

static void bustle_fini(struct bustle *b)
{
    for (int i = 0; i < 30; i++)
        end_close(&b->ends[i]);
    loop_unlisten(&b->listener);
    loop_watch_remove(&b->watch);
    loop_timer_clear(b->rig.loop, &b->timer);
    RIG_UNTIL(&b->rig, b->n_closed == 30);
    close(b->listener.fd);
    close(b->watch.fd);
    close(b->deaf.listener);
    close(b->deaf.caller);
    for (int i = 0; i < 30; i++)
        close(b->peers[i]);
    rig_fini(&b->rig);
}

static void one_bustle(enum rig_variant variant, unsigned ms)
{
    struct bustle *b = calloc(1, sizeof(*b));

    cr_assert_not_null(b);
    bustle_init(b, variant);
    if (ms > 0)
        rig_let_pass(&b->rig, ms);
    for (int i = 0; i < 30; i++) /* and something more in flight */
        (void)!send(b->peers[i], "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    bustle_fini(b);
    free(b);
}

ENGINE_TEST(lasting, freed_with_everything_under_way)
{
    unsigned n_fds = rig_count_fds();

    one_bustle(*variant, 20);
    cr_assert_eq(rig_count_fds(), n_fds);
    one_bustle(*variant, 0); /* closed before the first turn */
    cr_assert_eq(rig_count_fds(), n_fds);
    for (int i = 0; i < 10; i++)
        one_bustle(*variant, 1);
    cr_assert_eq(rig_count_fds(), n_fds);
    cr_assert_eq(count_kernel_workers(), 0);
}

ENGINE_TEST(lasting, freed_before_the_first_turn)
{
    unsigned n_fds = rig_count_fds();
    struct rig r;

    for (int i = 0; i < 20; i++) {
        rig_init(&r, *variant, defaults);
        rig_fini(&r);
    }
    cr_assert_eq(rig_count_fds(), n_fds);
    loop_free(NULL);
}

struct elsewhere {
    pthread_t thread;
    struct rig *rig;
};

static void *live_elsewhere(void *arg)
{
    struct elsewhere *w = arg;

    rig_let_pass(w->rig, 5);
    loop_free(w->rig->loop);
    w->rig->loop = NULL;
    return NULL;
}

/* Made here, turned and freed on another thread: as the daemon's main thread makes reactors. */
ENGINE_TEST(lasting, made_on_another_thread)
{
    struct rig r;
    struct elsewhere w = {.rig = &r};

    rig_init(&r, *variant, defaults);
    cr_assert_eq(pthread_create(&w.thread, NULL, live_elsewhere, &w), 0);
    cr_assert_eq(pthread_join(w.thread, NULL), 0);
    rig_fini(&r);
}
