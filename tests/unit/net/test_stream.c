/* Streams over real connections: TCP of both families and Unix sockets, on both engines. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "weir/base/arena.h"
#include "weir/base/clock.h"
#include "weir/io/loop.h"
#include "weir/net/listen.h"
#include "weir/net/stream.h"

static const struct stream_options keepalive = {.keepalive_idle_s = 5,
                                                .keepalive_interval_s = 6,
                                                .keepalive_count = 7,
                                                .user_timeout_ms = 8000};

/* One end of a conversation; says what it got. */
struct side {
    struct stream stream;
    char got[64];
    size_t n_got;
    bool connected, ended, closed;
    int error;
};

struct talk {
    struct loop *loop;
    struct arena *arena;
    struct listen_socket socket;
    struct loop_listener listener;
    struct side client, server;
    struct wheel_timer patience;
    bool accepted, late;
    char folder[64];
};

static struct side *side_of(struct sock *s)
{
    return CONTAINER_OF(stream_of(s), struct side, stream);
}

static void received(struct sock *s, struct span data)
{
    struct side *side = side_of(s);

    cr_assert_leq(side->n_got + data.len, sizeof(side->got));
    memcpy(side->got + side->n_got, data.ptr, data.len);
    side->n_got += data.len;
}

static void ended(struct sock *s, int error)
{
    side_of(s)->ended = true;
    side_of(s)->error = error;
}

static void connected(struct sock *s, int error)
{
    side_of(s)->connected = true;
    side_of(s)->error = error;
}

static void closed(struct sock *s)
{
    side_of(s)->closed = true;
}

static const struct sock_ops ops = {
    .received = received, .ended = ended, .connected = connected, .closed = closed};

static void accepted(struct loop_listener *ln, int fd)
{
    struct talk *t = CONTAINER_OF(ln, struct talk, listener);

    stream_accept(&t->server.stream, t->loop, &ops, fd);
    stream_receive(&t->server.stream);
    t->accepted = true;
}

static void lose_patience(struct wheel_timer *timer)
{
    CONTAINER_OF(timer, struct talk, patience)->late = true;
}

static void turn(struct talk *t, const char *for_what)
{
    cr_assert_eq(loop_turn(t->loop), 0);
    cr_assert_not(t->late, "never came: %s", for_what);
}

#define UNTIL(t, condition)                                                                        \
    while (!(condition))                                                                           \
    turn(t, #condition)

/* False where this machine lacks the family. */
static bool talk_init(struct talk *t, enum loop_engine engine, const char *place)
{
    static const struct arena_config chunks = {.chunk_size = 4096, .n_chunks = 64};
    static const struct listen_options options = {.unix_mode = 0600};
    struct loop_config config = {.engine = engine};
    struct addr a;
    int error;

    *t = (struct talk){
        .socket.fd = -1, .patience.fire = lose_patience, .folder = "/tmp/weir-stream-XXXXXX"};
    cr_assert_not_null(mkdtemp(t->folder));
    cr_assert_eq(arena_new(&t->arena, &chunks), 0);
    config.arena = t->arena;
    error = loop_new(&t->loop, &config);
    if (engine == LOOP_ENGINE_URING && (error == -EPERM || error == -ENOSYS)) {
        rmdir(t->folder);
        cr_skip_test("io_uring is refused here");
    }
    cr_assert_eq(error, 0);
    cr_assert_eq(addr_parse(span_str(place == NULL ? t->folder : place),
                            place != NULL && place[0] == '@' ? (uint16_t)getpid() : 0, &a),
                 ADDR_OK);
    error = listen_open(&t->socket, &a, &options);
    if (error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT)
        return false;
    cr_assert_eq(error, 0, "%s", strerror(-error));
    t->listener = (struct loop_listener){.fd = t->socket.fd, .accepted = accepted};
    cr_assert_eq(loop_listen(t->loop, &t->listener), 0);
    loop_timer_set(t->loop, &t->patience, 20 * NS_PER_S);
    return true;
}

static void talk_fini(struct talk *t)
{
    loop_timer_clear(t->loop, &t->patience);
    loop_unlisten(&t->listener);
    listen_close(&t->socket);
    loop_free(t->loop);
    cr_assert_eq(arena_n_used(t->arena), 0);
    arena_free(t->arena);
    cr_assert_eq(rmdir(t->folder), 0);
}

static void say(struct side *s, const char *words)
{
    stream_send(&s->stream, span_str(words));
}

static void talk_and_part(struct talk *t)
{
    cr_assert_eq(stream_dial(&t->client.stream, t->loop, &ops, &t->socket.addr, &keepalive), 0);
    UNTIL(t, t->client.connected && t->accepted);
    cr_assert_eq(t->client.error, 0);
    say(&t->client, "one ");
    say(&t->client, "two");
    UNTIL(t, t->server.n_got == 7);
    cr_assert_eq(memcmp(t->server.got, "one two", 7), 0);
    stream_receive_once(&t->client.stream);
    say(&t->server, "three");
    UNTIL(t, t->client.n_got == 5);
    cr_assert_not(stream_receiving(&t->client.stream));
    cr_assert(stream_detachable(&t->client.stream));
    stream_detach(&t->client.stream);
    stream_attach(&t->client.stream, t->loop, t->client.stream.sock.ops);
    say(&t->client, "!");
    stream_close_sent(&t->client.stream, NS_PER_S);
    UNTIL(t, t->server.ended && t->client.closed);
    cr_assert_eq(t->server.error, 0);
    cr_assert_eq(t->server.got[7], '!');
    stream_close(&t->server.stream);
    UNTIL(t, t->server.closed);
}

static void talk_at(enum loop_engine engine, const char *place)
{
    struct talk *t = malloc(sizeof(*t));

    cr_assert_not_null(t);
    if (talk_init(t, engine, place))
        talk_and_part(t);
    talk_fini(t);
    free(t);
}

ParameterizedTestParameters(stream, talks)
{
    static enum loop_engine engines[] = {LOOP_ENGINE_URING, LOOP_ENGINE_EPOLL};

    return cr_make_param_array(enum loop_engine, engines, 2);
}

ParameterizedTest(const enum loop_engine *engine, stream, talks)
{
    talk_at(*engine, "127.0.0.1");
    talk_at(*engine, "::1");
    talk_at(*engine, "@weir-test-stream");
    talk_at(*engine, NULL);
}

Test(stream, nobody_listens)
{
    struct talk *t = malloc(sizeof(*t));
    struct addr there;

    cr_assert_not_null(t);
    cr_assert(talk_init(t, LOOP_ENGINE_EPOLL, "127.0.0.1"));
    there = t->socket.addr;
    loop_unlisten(&t->listener);
    listen_close(&t->socket);
    cr_assert_eq(stream_dial(&t->client.stream, t->loop, &ops, &there, &keepalive), 0);
    UNTIL(t, t->client.connected);
    cr_assert_eq(t->client.error, -ECONNREFUSED);
    stream_close(&t->client.stream);
    UNTIL(t, t->client.closed);
    talk_fini(t);
    free(t);
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    cr_assert_eq(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

Test(stream, options_are_set_and_changed)
{
    static const struct stream_options none;
    struct talk *t = malloc(sizeof(*t));
    int fd;

    cr_assert_not_null(t);
    cr_assert(talk_init(t, LOOP_ENGINE_EPOLL, "127.0.0.1"));
    cr_assert_eq(stream_dial(&t->client.stream, t->loop, &ops, &t->socket.addr, &keepalive), 0);
    fd = t->client.stream.sock.fd;
    cr_assert_eq(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    cr_assert_eq(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    cr_assert_eq(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 5);
    cr_assert_eq(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 6);
    cr_assert_eq(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 7);
    cr_assert_eq(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 8000);
    stream_set_options(fd, &none);
    cr_assert_eq(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    cr_assert_eq(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
    UNTIL(t, t->client.connected && t->accepted);
    stream_close(&t->client.stream);
    stream_close(&t->server.stream);
    UNTIL(t, t->client.closed && t->server.closed);
    talk_fini(t);
    free(t);
}
