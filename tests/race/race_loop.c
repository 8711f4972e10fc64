/*
 * What threads do to each other's loops: four of them post mail to two loops that run, while a sock
 * goes back and forth between the two, each time with a query sent and its reply received. With the
 * epoll engine: the race detector does not see the ordering that io_uring gives.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "weir/base/arena.h"
#include "weir/io/loop.h"
#include "weir/io/sock.h"

#define N_POSTERS 4
#define N_LETTERS 20000 /* of each poster to each loop */
#define N_HOPS 10000

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct reactor {
    struct loop *loop;
    struct reactor *other;
    struct traveller *traveller;
    unsigned next[N_POSTERS]; /* the number of the letter that comes next */
    unsigned n_letters;
    bool last_hop_seen;
    pthread_t thread;
    pthread_barrier_t *over;
};

/* Owned by the reactor whose mail it was last. */
struct traveller {
    struct mail mail;
    struct sock sock;
    struct reactor *at;
    int peer_fd;
    unsigned n_hops;
    bool closed;
};

struct letter {
    struct mail mail;
    unsigned poster, number;
};

struct poster {
    struct reactor *reactors;
    unsigned index;
    struct letter *letters; /* for each reactor N_LETTERS */
    pthread_barrier_t *over;
    pthread_t thread;
};

static void stop_when_done(struct reactor *r)
{
    if (r->n_letters == N_POSTERS * N_LETTERS && r->last_hop_seen)
        loop_stop(r->loop);
}

static void on_received(struct sock *s, struct span data)
{
    struct traveller *t = CONTAINER_OF(s, struct traveller, sock);
    struct reactor *here = t->at;
    char query[4];

    REQUIRE(data.len == 1 && data.ptr[0] == (uint8_t)t->n_hops);
    REQUIRE(recv(t->peer_fd, query, sizeof(query), MSG_DONTWAIT) == 1);
    REQUIRE(query[0] == (char)t->n_hops);
    t->n_hops++;
    sock_detach(s);
    if (t->n_hops == N_HOPS) { /* the other one closes it */
        here->last_hop_seen = true;
        stop_when_done(here);
    }
    loop_post(here->other->loop, &t->mail);
}

static void on_ended(struct sock *s, int error)
{
    (void)s;
    REQUIRE(error == 1); /* never */
}

static void on_closed(struct sock *s)
{
    struct traveller *t = CONTAINER_OF(s, struct traveller, sock);

    t->closed = true;
    t->at->last_hop_seen = true;
    stop_when_done(t->at);
}

static const struct sock_ops ops = {
    .received = on_received, .ended = on_ended, .closed = on_closed};

static void arrive(struct traveller *t, struct reactor *here)
{
    char byte = (char)t->n_hops;
    uint8_t *query = loop_scratch(here->loop, 1);

    t->at = here;
    sock_attach(&t->sock, here->loop, t->sock.ops);
    if (t->n_hops == N_HOPS) {
        sock_close(&t->sock);
        return;
    }
    REQUIRE(query != NULL);
    *query = (uint8_t)byte;
    sock_send(&t->sock, span_of(query, 1));
    sock_receive_once(&t->sock);
    REQUIRE(send(t->peer_fd, &byte, 1, 0) == 1);
}

static void on_mail(void *ctx, struct mail *m)
{
    struct reactor *here = ctx;
    const struct letter *l = CONTAINER_OF(m, struct letter, mail);

    if (m == &here->traveller->mail) {
        arrive(here->traveller, here);
        return;
    }
    REQUIRE(l->number == here->next[l->poster]);
    here->next[l->poster]++;
    here->n_letters++;
    stop_when_done(here);
}

static void *run(void *arg)
{
    struct reactor *r = arg;

    REQUIRE(loop_run(r->loop) == 0);
    pthread_barrier_wait(r->over); /* nobody posts any more */
    loop_free(r->loop);
    return NULL;
}

static void *post(void *arg)
{
    struct poster *p = arg;

    for (unsigned i = 0; i < 2 * N_LETTERS; i++) {
        p->letters[i] = (struct letter){.poster = p->index, .number = i / 2};
        loop_post(p->reactors[i % 2].loop, &p->letters[i].mail);
    }
    pthread_barrier_wait(p->over);
    return NULL;
}

static void start(struct reactor r[2], struct arena *arena, struct traveller *t,
                  pthread_barrier_t *over)
{
    int fds[2];

    REQUIRE(pthread_barrier_init(over, NULL, 2 + N_POSTERS) == 0);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    for (int i = 0; i < 2; i++) {
        struct loop_config config = {
            .engine = LOOP_ENGINE_EPOLL, .arena = arena, .on_mail = on_mail, .ctx = &r[i]};

        r[i] = (struct reactor){.other = &r[1 - i], .traveller = t, .over = over};
        REQUIRE(loop_new(&r[i].loop, &config) == 0);
    }
    sock_open(&t->sock, r[0].loop, fds[0], &ops);
    sock_detach(&t->sock);
    t->peer_fd = fds[1];
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&r[i].thread, NULL, run, &r[i]) == 0);
    loop_post(r[1].loop, &t->mail);
}

int main(void)
{
    static const struct arena_config chunks = {.chunk_size = 4096, .n_chunks = 64};
    struct reactor reactors[2];
    struct poster posters[N_POSTERS];
    struct traveller t = {.n_hops = 0};
    pthread_barrier_t over;
    struct arena *arena;

    REQUIRE(arena_new(&arena, &chunks) == 0);
    start(reactors, arena, &t, &over);
    for (unsigned i = 0; i < N_POSTERS; i++) {
        posters[i] = (struct poster){.reactors = reactors, .index = i, .over = &over};
        posters[i].letters = calloc((size_t)2 * N_LETTERS, sizeof(struct letter));
        REQUIRE(posters[i].letters != NULL);
        REQUIRE(pthread_create(&posters[i].thread, NULL, post, &posters[i]) == 0);
    }
    for (unsigned i = 0; i < N_POSTERS; i++)
        pthread_join(posters[i].thread, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(reactors[i].thread, NULL);
    for (unsigned i = 0; i < N_POSTERS; i++)
        free(posters[i].letters);
    REQUIRE(t.closed);
    REQUIRE(arena_n_used(arena) == 0);
    close(t.peer_fd);
    arena_free(arena);
    pthread_barrier_destroy(&over);
    printf("%u hops, %u letters\n", t.n_hops, reactors[0].n_letters + reactors[1].n_letters);
    return 0;
}
