/* Cancel requests over real connections: delivered once, waited for, answered whatever happens. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include "pgwire/startup.h"
#include "rig.h"
#include "weir/base/clock.h"
#include "weir/pool/cancel.h"

/* Servers that somebody wants to cancel; client points here. */
struct wish {
    struct rig *rig;
    struct server *server;
    unsigned n_cancelled;
};

static struct rig *rig_new(enum loop_engine engine, const char *place)
{
    struct rig *r = malloc(sizeof(*r));

    cr_assert_not_null(r);
    rig_init(r, engine, place);
    r->script.backend.silent = true;
    return r;
}

static void rig_free(struct rig *r)
{
    rig_fini(r);
    free(r);
}

static void cancelled(struct server *s, struct thread *self)
{
    struct wish *w = s->client;

    cr_assert_eq(self->loop, w->rig->loop);
    cr_assert_eq(s->n_cancels, 0);
    w->n_cancelled++;
}

/* A server in use, with number as its process. */
static void wish_init(struct wish *w, struct rig *r, int32_t number)
{
    struct server *s = rig_server_new(r);

    *w = (struct wish){.rig = r, .server = s};
    s->client = w;
    s->cancelled = cancelled;
    s->backend_pid = number;
    s->key_len = 4;
    memcpy(s->key, BACKEND_KEY, 4);
    s->addr = r->socket.addr;
}

static void wish_begin(struct wish *w)
{
    cr_assert(pool_cancel(&w->rig->crew.threads[0], w->server));
    cr_assert_eq(w->server->n_cancels, 1);
}

static int32_t pid_received(const struct peer *p)
{
    struct pgw_span in = pgw_span_of(p->received, p->n_received);
    struct pgw_startup packet;

    cr_assert_eq(pgw_startup_next(&in, &packet), PGW_READY);
    cr_assert_eq(packet.kind, PGW_STARTUP_CANCEL);
    cr_assert(pgw_span_equal(packet.cancel_key, pgw_span_of(BACKEND_KEY, 4)));
    cr_assert_eq(in.len, 0);
    return (int32_t)packet.cancel_pid;
}

static void peer_close(struct peer *p)
{
    stream_close(&p->stream);
}

#define ENGINE_TEST(name)                                                                          \
    ParameterizedTestParameters(cancel, name)                                                      \
    {                                                                                              \
        static enum loop_engine engines[] = {LOOP_ENGINE_URING, LOOP_ENGINE_EPOLL};                \
                                                                                                   \
        return cr_make_param_array(enum loop_engine, engines, 2);                                  \
    }                                                                                              \
    ParameterizedTest(const enum loop_engine *engine, cancel, name)

static void deliver(enum loop_engine engine, const char *place)
{
    struct rig *r = rig_new(engine, place);
    struct wish w;

    wish_init(&w, r, -7);
    for (unsigned round = 0; round < 2; round++) {
        wish_begin(&w);
        cr_assert_not(pool_cancel(&r->crew.threads[0], w.server), "one is under way");
        RIG_UNTIL(r, r->n_peers == round + 1 && r->peers[round]->n_received >= 16);
        cr_assert_eq(pid_received(r->peers[round]), -7);
        cr_assert_eq(w.n_cancelled, round, "PostgreSQL has not acted yet");
        peer_close(r->peers[round]);
        RIG_UNTIL(r, w.n_cancelled == round + 1);
    }
    cr_assert(cancels_idle(&r->pools->cancels));
    free(w.server);
    rig_free(r);
}

ENGINE_TEST(delivered_and_waited_for)
{
    deliver(*engine, "127.0.0.1");
    deliver(*engine, NULL);
}

ENGINE_TEST(without_a_key)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");
    struct wish w;

    wish_init(&w, r, 1);
    w.server->key_len = 0;
    cr_assert_not(pool_cancel(&r->crew.threads[0], w.server));
    cr_assert_eq(w.server->n_cancels, 0);
    free(w.server);
    rig_free(r);
}

ENGINE_TEST(nobody_listens)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");
    struct wish w;

    wish_init(&w, r, 1);
    w.server->addr = rig_closed_port();
    wish_begin(&w);
    RIG_UNTIL(r, w.n_cancelled == 1);
    free(w.server);
    rig_free(r);
}

ENGINE_TEST(no_descriptor)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");
    struct rlimit limit, none;
    struct wish w;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = limit.rlim_max};
    wish_init(&w, r, 1);
    wish_begin(&w);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    RIG_UNTIL(r, w.n_cancelled == 1);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    free(w.server);
    rig_free(r);
}

ENGINE_TEST(no_answer)
{
    struct rig *r = rig_new(*engine, "127.0.0.1");
    uint64_t begin_ns = clock_now_ns();
    struct wish w;

    r->pool->conf.policy.server_connect_timeout_ns = 50 * NS_PER_MS;
    wish_init(&w, r, 1);
    wish_begin(&w);
    RIG_UNTIL(r, w.n_cancelled == 1);
    cr_assert_geq(clock_now_ns() - begin_ns, 50 * NS_PER_MS);
    RIG_UNTIL(r, r->peers[0]->ended);
    free(w.server);
    rig_free(r);
}

/* The server is discarded, and its memory gone, before the request is back: at every stage. */
ENGINE_TEST(discarded_meanwhile)
{
    for (unsigned n_turns = 0; n_turns < 8; n_turns++) {
        struct rig *r = rig_new(*engine, "127.0.0.1");
        struct wish w, other;

        wish_init(&w, r, 1);
        wish_init(&other, r, 2);
        wish_begin(&w);
        for (unsigned i = 0; i < n_turns && (r->n_peers == 0 || r->peers[0]->n_received == 0); i++)
            rig_turn(r, "a turn");
        cancel_forget(w.server);
        cr_assert_eq(w.server->n_cancels, 0);
        free(w.server);
        wish_begin(&other);
        RIG_UNTIL(r, r->n_peers == 2 && r->peers[1]->n_received == 16);
        peer_close(r->peers[0]);
        peer_close(r->peers[1]);
        RIG_UNTIL(r, other.n_cancelled == 1 && cancels_idle(&r->pools->cancels));
        cr_assert_eq(w.n_cancelled, 0);
        free(other.server);
        rig_free(r);
    }
}

/* ---- many ---- */

enum { N_MANY = CANCELS_IN_FLIGHT_MAX + 6 };

static void many_begin(struct rig *r, struct wish wishes[N_MANY])
{
    for (int i = 0; i < N_MANY; i++) {
        wish_init(&wishes[i], r, i);
        wish_begin(&wishes[i]);
    }
    RIG_UNTIL(r, r->n_peers == CANCELS_IN_FLIGHT_MAX);
    cr_assert_eq(r->pools->cancels.n_open, CANCELS_IN_FLIGHT_MAX);
}

static unsigned many_cancelled(const struct wish wishes[N_MANY])
{
    unsigned n = 0;

    for (int i = 0; i < N_MANY; i++)
        n += wishes[i].n_cancelled;
    return n;
}

static void many_end(struct rig *r, struct wish wishes[N_MANY])
{
    for (int i = 0; i < N_MANY; i++) {
        cr_assert_eq(wishes[i].n_cancelled, 1);
        free(wishes[i].server);
    }
    rig_free(r);
}

/* No more than so many at a time, and the others in their order. */
ENGINE_TEST(in_turn)
{
    static struct wish wishes[N_MANY];
    struct rig *r = rig_new(*engine, "127.0.0.1");

    many_begin(r, wishes);
    for (int next = CANCELS_IN_FLIGHT_MAX; next < N_MANY; next++) {
        peer_close(r->peers[next - CANCELS_IN_FLIGHT_MAX]);
        RIG_UNTIL(r, r->n_peers == (unsigned)next + 1 && r->peers[next]->n_received == 16);
        cr_assert_eq(pid_received(r->peers[next]), next);
        cr_assert_eq(r->n_open, CANCELS_IN_FLIGHT_MAX);
    }
    for (unsigned i = 0; i < r->n_peers; i++)
        peer_close(r->peers[i]);
    RIG_UNTIL(r, many_cancelled(wishes) == N_MANY);
    cr_assert_eq(r->n_peers, N_MANY);
    many_end(r, wishes);
}

/* Those under way are ended, those that wait are not begun, and so it is with those to come. */
ENGINE_TEST(stopped)
{
    static struct wish wishes[N_MANY];
    struct rig *r = rig_new(*engine, "127.0.0.1");
    struct wish late;

    many_begin(r, wishes);
    cancels_stop(r->pools);
    cr_assert_not(cancels_idle(&r->pools->cancels));
    wish_init(&late, r, N_MANY);
    wish_begin(&late);
    RIG_UNTIL(r, many_cancelled(wishes) == N_MANY && late.n_cancelled == 1);
    cr_assert(cancels_idle(&r->pools->cancels));
    cr_assert_gt(r->n_stopped, 0);
    cr_assert_eq(r->n_peers, CANCELS_IN_FLIGHT_MAX);
    free(late.server);
    many_end(r, wishes);
}
