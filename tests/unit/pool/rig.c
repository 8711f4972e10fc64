#include "rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "weir/auth/keys.h"
#include "weir/auth/users.h"
#include "weir/base/clock.h"

/* Long enough for a sanitizer build on a machine with other work; only a failure lasts so long. */
#define PATIENCE_NS (20 * NS_PER_S)

/* ---- in the place of control's ---- */

void control_opened(struct thread *control, struct server *s, struct span greeting)
{
    struct rig *r = control->session;

    cr_assert_eq(server_phase(s), SERVER_LOGIN);
    cr_assert(stream_detached(&s->stream) && stream_fd(&s->stream) >= 0);
    cr_assert_not(wheel_armed(&s->timer));
    cr_assert_null(s->login);
    cr_assert_leq(greeting.len, sizeof(r->greeting));
    memcpy(r->greeting, greeting.ptr, greeting.len);
    r->greeting_len = greeting.len;
    server_move(s, SERVER_IDLE);
    r->n_opened++;
}

void control_open_failed(struct thread *control, struct server *s, const struct pool_failure *why,
                         bool permanent)
{
    struct rig *r = control->session;

    cr_assert(server_phase(s) == SERVER_CONNECTING || server_phase(s) == SERVER_LOGIN);
    cr_assert_lt(stream_fd(&s->stream), 0, "not closed yet");
    cr_assert_not(wheel_armed(&s->timer));
    cr_assert_null(s->login);
    cr_assert_eq(strlen(why->sqlstate), 5);
    r->failure = *why;
    r->permanent = permanent;
    r->n_failed++;
}

void pools_look_stopped(struct pools *ps)
{
    struct thread *control = crew_control(ps->config.crew);

    ((struct rig *)control->session)->n_stopped++;
}

const struct conf_policy *pool_policy(const struct pool *p)
{
    return &p->conf.policy;
}

/* ---- the server's side ---- */

static struct peer *peer_of(struct sock *sock)
{
    return CONTAINER_OF(stream_of(sock), struct peer, stream);
}

static void peer_end(struct peer *p)
{
    struct linger hard = {.l_onoff = 1};

    if (p->rig->script.reset)
        cr_assert_eq(setsockopt(stream_fd(&p->stream), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)),
                     0);
    stream_close_sent(&p->stream, NS_PER_S);
}

/* Sends the next piece, and another one in a later turn. */
static void say(struct wheel_timer *t)
{
    struct peer *p = CONTAINER_OF(t, struct peer, next_piece);
    const struct script *script = &p->rig->script;
    size_t end =
        script->end_after > 0 && script->end_after < p->said.len ? script->end_after : p->said.len;
    size_t n = end - p->n_sent;

    if (script->piece > 0 && n > script->piece)
        n = script->piece;
    stream_send(&p->stream, span_of(p->bytes + p->n_sent, n));
    p->n_sent += n;
    if (script->end_after > 0 && p->n_sent == script->end_after)
        peer_end(p);
    else if (p->n_sent < end)
        loop_timer_set(p->rig->loop, t, 0);
}

static void peer_received(struct sock *sock, struct span data)
{
    struct peer *p = peer_of(sock);
    struct span words = p->rig->script.words;
    size_t room = sizeof(p->received) - p->n_received;

    memcpy(p->received + p->n_received, data.ptr, data.len < room ? data.len : room);
    p->n_received += data.len < room ? data.len : room;
    if (words.len == 0)
        backend_take(&p->backend, data, &p->said);
    else if (p->said.len == 0)
        pgw_writer_bytes(&p->said, pgw_span_of(words.ptr, words.len));
    if (!wheel_armed(&p->next_piece))
        say(&p->next_piece);
}

static void peer_ended(struct sock *sock, int error)
{
    struct peer *p = peer_of(sock);

    (void)error;
    p->ended = true;
    loop_timer_clear(p->rig->loop, &p->next_piece);
    sock_close(sock);
}

static void peer_closed(struct sock *sock)
{
    struct peer *p = peer_of(sock);

    p->open = false;
    p->rig->n_open--;
}

static const struct sock_ops peer_ops = {
    .received = peer_received, .ended = peer_ended, .closed = peer_closed};

static void accepted(struct loop_listener *ln, int fd)
{
    struct rig *r = CONTAINER_OF(ln, struct rig, listener);
    struct peer *p = calloc(1, sizeof(*p));

    cr_assert_not_null(p);
    cr_assert_lt(r->n_peers, RIG_CONNECTIONS_MAX);
    r->peers[r->n_peers++] = p;
    r->n_open++;
    p->rig = r;
    p->open = true;
    p->backend = r->script.backend;
    p->said = pgw_writer_of(p->bytes, sizeof(p->bytes));
    p->next_piece.fire = say;
    stream_accept(&p->stream, r->loop, &peer_ops, fd);
    stream_receive(&p->stream);
}

struct addr rig_closed_port(void)
{
    static const struct listen_options options;
    struct listen_socket socket;
    struct addr a;

    cr_assert_eq(addr_parse(span_str("127.0.0.1"), 0, &a), ADDR_OK);
    cr_assert_eq(listen_open(&socket, &a, &options), 0);
    a = socket.addr;
    listen_close(&socket);
    return a;
}

/* ---- */

static void lose_patience(struct wheel_timer *t)
{
    CONTAINER_OF(t, struct rig, patience)->late = true;
}

void rig_turn(struct rig *r, const char *for_what)
{
    cr_assert_eq(loop_turn(r->loop), 0);
    cr_assert_not(r->late, "never came: %s", for_what);
}

static void make_loop(struct rig *r, enum loop_engine engine)
{
    static const struct arena_config chunks = {.chunk_size = 4096, .n_chunks = 512};
    struct loop_config config = {.engine = engine, .on_mail = thread_open_mail};
    int error;

    cr_assert_eq(arena_new(&r->arena, &chunks), 0);
    r->crew.n_reactors = 1;
    config.arena = r->arena;
    config.ctx = &r->crew.threads[1];
    error = loop_new(&r->loop, &config);
    if (engine == LOOP_ENGINE_URING && (error == -EPERM || error == -ENOSYS))
        cr_skip_test("io_uring is refused here");
    cr_assert_eq(error, 0);
    for (unsigned i = 0; i < 2; i++)
        r->crew.threads[i] =
            (struct thread){.number = i, .loop = r->loop, .crew = &r->crew, .session = r};
}

static void make_pool(struct rig *r)
{
    struct users_error error;

    cr_assert_eq(jobs_new(&r->jobs, 2), 0);
    cr_assert_eq(keys_new(&r->keys, 16), 0);
    cr_assert_eq(
        users_load_text("f", span_str("\"" BACKEND_USER "\" \"secret\"\n"), &r->users, &error), 0);
    r->pools =
        aligned_alloc(CACHE_LINE, sizeof(*r->pools) + CACHE_LINE - sizeof(*r->pools) % CACHE_LINE);
    r->pool = aligned_alloc(CACHE_LINE, sizeof(*r->pool));
    cr_assert(r->pools != NULL && r->pool != NULL);
    memset(r->pools, 0, sizeof(*r->pools));
    memset(r->pool, 0, sizeof(*r->pool));
    r->pools->config = (struct pools_config){
        .conf = &r->conf, .users = r->users, .keys = r->keys, .crew = &r->crew, .jobs = r->jobs};
    cancels_init(&r->pools->cancels);
    r->pool->pools = r->pools;
    r->pool->crew = &r->crew;
    r->pool->conf = (struct conf_pool){
        .host = "127.0.0.1",
        .port = addr_port(&r->socket.addr),
        .dbname = BACKEND_DATABASE,
        .user = BACKEND_USER,
        .password = "",
        .policy = {.server_connect_timeout_ns = PATIENCE_NS},
    };
    if (addr_is_unix(&r->socket.addr)) {
        r->pool->conf.host = r->folder;
        r->pool->conf.port = 5432;
    }
}

void rig_init(struct rig *r, enum loop_engine engine, const char *place)
{
    static const struct listen_options options = {.unix_mode = 0600};
    struct addr a;

    memset(r, 0, sizeof(*r));
    make_loop(r, engine);
    memcpy(r->folder, "/tmp/weir-login-XXXXXX", sizeof("/tmp/weir-login-XXXXXX"));
    cr_assert_not_null(mkdtemp(r->folder));
    cr_assert_eq(
        addr_parse(span_str(place == NULL ? r->folder : place), place == NULL ? 5432 : 0, &a),
        ADDR_OK);
    cr_assert_eq(listen_open(&r->socket, &a, &options), 0);
    r->listener = (struct loop_listener){.fd = r->socket.fd, .accepted = accepted};
    cr_assert_eq(loop_listen(r->loop, &r->listener), 0);
    make_pool(r);
    r->script.backend = (struct backend){.method = BACKEND_SCRAM, .password = "secret"};
    r->server = rig_server_new(r);
    r->patience.fire = lose_patience;
    loop_timer_set(r->loop, &r->patience, PATIENCE_NS);
}

void rig_fini(struct rig *r)
{
    for (unsigned i = 0; i < r->n_peers; i++)
        if (r->peers[i]->open)
            stream_close(&r->peers[i]->stream);
    RIG_UNTIL(r, r->n_open == 0);
    for (unsigned i = 0; i < r->n_peers; i++) {
        loop_timer_clear(r->loop, &r->peers[i]->next_piece);
        free(r->peers[i]);
    }
    free(r->server);
    loop_timer_clear(r->loop, &r->patience);
    loop_unlisten(&r->listener);
    listen_close(&r->socket);
    jobs_free(r->jobs);
    loop_free(r->loop);
    cr_assert_eq(arena_n_used(r->arena), 0);
    arena_free(r->arena);
    users_put(r->users);
    keys_free(r->keys);
    free(r->pool);
    free(r->pools);
    cr_assert_eq(rmdir(r->folder), 0);
}

struct server *rig_server_new(struct rig *r)
{
    struct server *s = calloc(1, sizeof(*s));

    cr_assert_not_null(s);
    s->pool = r->pool;
    s->stream.sock.fd = -1;
    server_move(s, SERVER_CONNECTING);
    return s;
}

static void drop_received(struct sock *sock, struct span data)
{
    (void)sock, (void)data;
}

static void drop_ended(struct sock *sock, int error)
{
    (void)sock, (void)error;
}

static void drop_closed(struct sock *sock)
{
    (void)sock;
}

void rig_server_free(struct rig *r, struct server *s)
{
    static const struct sock_ops ops = {
        .received = drop_received, .ended = drop_ended, .closed = drop_closed};

    stream_attach(&s->stream, r->loop, &ops);
    stream_close(&s->stream);
    RIG_UNTIL(r, stream_fd(&s->stream) < 0);
    free(s);
}
