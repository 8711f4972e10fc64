/*
 * Opening a server: the addresses of its host, tried in turn, then the dialogue of dialogue.h. Any
 * number of logins go on at the same time, and none of them blocks control: helpers resolve names
 * and derive keys.
 *
 * s->timer bounds it all. What goes wrong is noted by login_fail(), which closes the stream and
 * makes the timer fire at once; so a failure is told in a later turn, and from one place: settle().
 *
 * Invariants: a login is freed only when its stream is closed or handed on and no helper works for
 * it; each ends with exactly one call of control_opened() or control_open_failed().
 * Runs on: control, but for work() and work_done().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pgwire/sqlstate.h"
#include "weir/auth/users.h"
#include "weir/base/clock.h"
#include "weir/base/jobs.h"
#include "weir/pool/tcp.h"

#include "control.h"
#include "dialogue.h"
#include "failure.h"
#include "pools.h"
#include "resolve.h"

/* How long a Unix socket whose queue is full (EAGAIN, see connect(2)) is left alone. */
#define QUEUE_FULL_NS (10 * NS_PER_MS)

struct server_login {
    struct server *server;
    struct users *users; /* holds the secret that the dialogue uses */
    uint64_t deadline_ns;

    struct resolve *resolve; /* while a helper resolves the host's name */
    struct addr addrs[RESOLVE_ADDRS_MAX];
    unsigned n_addrs, next; /* next: the first one not tried yet */
    bool open;              /* the server's stream is; closed() has not come */
    bool queue_full;        /* at the address before `next`, which is tried again */

    bool working; /* a helper has the dialogue */
    struct job work;
    struct letter worked;

    bool failed, permanent; /* failed: `failure` is final */
    struct pool_failure failure;
    struct dialogue dialogue;
};

static struct server_login *login_of(struct sock *sock)
{
    return CONTAINER_OF(stream_of(sock), struct server, stream)->login;
}

static struct thread *control_of(const struct server_login *l)
{
    return crew_control(l->server->pool->crew);
}

static const struct pools_config *config_of(const struct server_login *l)
{
    return &l->server->pool->pools->config;
}

static uint64_t time_left(const struct server_login *l)
{
    uint64_t now_ns = loop_now_ns(control_of(l)->loop);

    return now_ns < l->deadline_ns ? l->deadline_ns - now_ns : 0;
}

static void login_free(struct server_login *l)
{
    dialogue_fini(&l->dialogue);
    users_put(l->users);
    free(l);
}

/* l->failure has been set. */
static void login_fail(struct server_login *l, bool permanent)
{
    ASSERT(!l->failed);
    l->failed = true;
    l->permanent = permanent;
    if (l->open)
        stream_close(&l->server->stream);
    loop_timer_set(control_of(l)->loop, &l->server->timer, 0);
}

/* A failed login is told as soon as nothing of it is under way; what it waits for comes back here.
 */
static void settle(struct server_login *l)
{
    struct thread *control = control_of(l);
    struct server *s = l->server;

    if (l->open || l->working || (l->resolve != NULL && !resolve_drop(l->resolve)))
        return;
    loop_timer_clear(control->loop, &s->timer);
    s->login = NULL;
    control_open_failed(control, s, &l->failure, l->permanent);
    login_free(l);
}

/* ---- connecting ---- */

static void fail_to_connect(struct server_login *l, const char *why)
{
    char text[ADDR_TEXT_SIZE];

    failure_set(&l->failure, PGW_STATE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
                "cannot connect to server %s: %s", addr_text(&l->server->addr, text), why);
}

static const struct sock_ops login_ops;

/* Tries the next address; each has its share of the time that is left. None left: the last one's
 * failure counts. */
static void dial_next(struct server_login *l)
{
    const struct stream_options options = tcp_options(&config_of(l)->conf->weir);
    struct loop *loop = control_of(l)->loop;
    struct server *s = l->server;
    uint64_t left_ns = time_left(l);

    while (l->next < l->n_addrs) {
        unsigned n_left = l->n_addrs - l->next;
        int error;

        s->addr = l->addrs[l->next++];
        error = stream_dial(&s->stream, loop, &login_ops, &s->addr, &options);
        if (error == 0) {
            l->open = true;
            loop_timer_set(loop, &s->timer, left_ns / n_left);
            return;
        }
        fail_to_connect(l, strerrordesc_np(-error));
    }
    login_fail(l, false);
}

static void resolved(void *ctx, const struct resolve_answer *answer)
{
    struct server_login *l = ctx;

    l->resolve = NULL;
    if (l->failed) {
        settle(l);
        return;
    }
    if (answer->error != NULL) {
        failure_set(&l->failure, PGW_STATE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
                    "cannot resolve host \"%s\": %s", l->server->pool->conf.host, answer->error);
        login_fail(l, false);
        return;
    }
    memcpy(l->addrs, answer->addrs, answer->n_addrs * sizeof(l->addrs[0]));
    l->n_addrs = answer->n_addrs;
    dial_next(l);
}

static void resolve_host(struct server_login *l)
{
    const struct conf_pool *conf = &l->server->pool->conf;
    const struct resolve_config config = {.jobs = config_of(l)->jobs,
                                          .host = conf->host,
                                          .port = conf->port,
                                          .done = resolved,
                                          .ctx = l};

    l->resolve = resolve_start(&config, control_of(l));
    if (l->resolve == NULL) {
        failure_set(&l->failure, PGW_STATE_OUT_OF_MEMORY, "out of memory");
        login_fail(l, false);
    }
}

static void find_host(struct server_login *l)
{
    const struct conf_pool *conf = &l->server->pool->conf;

    switch (addr_parse(span_str(conf->host), (uint16_t)conf->port, &l->addrs[0])) {
    case ADDR_OK:
        l->n_addrs = 1;
        dial_next(l);
        break;
    case ADDR_NAME:
        resolve_host(l);
        break;
    case ADDR_INVALID:
        failure_set(&l->failure, PGW_STATE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
                    "cannot connect to server: \"%s\" is neither an address nor a host name",
                    conf->host);
        login_fail(l, false);
        break;
    }
}

static void overdue(struct wheel_timer *t)
{
    struct server *s = CONTAINER_OF(t, struct server, timer);
    struct server_login *l = s->login;

    if (l->failed) {
        settle(l);
    } else if (l->resolve != NULL) {
        failure_set(&l->failure, PGW_STATE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
                    "cannot resolve host \"%s\" in time", s->pool->conf.host);
        login_fail(l, false);
    } else if (l->queue_full) {
        l->queue_full = false;
        l->next--;
        dial_next(l);
    } else if (server_phase(s) == SERVER_CONNECTING) {
        fail_to_connect(l, "no answer in time");
        stream_close(&s->stream); /* then the next address */
    } else {
        failure_set(&l->failure, PGW_STATE_CONNECTION_FAILURE,
                    "server login failed: no answer in time");
        login_fail(l, false);
    }
}

/* ---- logging in ---- */

static void succeed(struct server_login *l)
{
    struct thread *control = control_of(l);
    struct dialogue *d = &l->dialogue;
    struct server *s = l->server;

    s->backend_pid = (int32_t)d->pid;
    s->key_len = d->key_len;
    memcpy(s->key, d->key, d->key_len);
    s->login = NULL;
    loop_timer_clear(control->loop, &s->timer);
    stream_detach(&s->stream);
    control_opened(control, s, span_of(d->greeting, d->greeting_len));
    login_free(l);
}

static void go_on(struct server_login *l, enum dialogue_step step)
{
    struct dialogue *d = &l->dialogue;

    switch (step) {
    case DIALOGUE_MORE:
        stream_send(&l->server->stream, span_of(d->out.buf, d->out.len));
        stream_receive_once(&l->server->stream);
        break;
    case DIALOGUE_WORK:
        l->working = true;
        jobs_submit(config_of(l)->jobs, &l->work);
        break;
    case DIALOGUE_READY:
        if (stream_detachable(&l->server->stream)) {
            succeed(l);
            break;
        }
        failure_set(&l->failure, PGW_STATE_PROTOCOL_VIOLATION,
                    "server login failed: the server was ready before it was asked");
        login_fail(l, false);
        break;
    case DIALOGUE_FAILED:
        l->failure = d->failure;
        login_fail(l, d->permanent);
        break;
    }
}

static void work(struct job *j)
{
    dialogue_work(&CONTAINER_OF(j, struct server_login, work)->dialogue);
}

static void work_done(struct job *j)
{
    struct server_login *l = CONTAINER_OF(j, struct server_login, work);

    thread_post(control_of(l), &l->worked);
}

static void worked(struct letter *letter, struct thread *self)
{
    struct server_login *l = CONTAINER_OF(letter, struct server_login, worked);

    (void)self;
    l->working = false;
    if (l->failed)
        settle(l);
    else
        go_on(l, dialogue_worked(&l->dialogue));
}

static void login_connected(struct sock *sock, int error)
{
    struct server_login *l = login_of(sock);
    struct loop *loop = control_of(l)->loop;

    if (error != 0) {
        fail_to_connect(l, strerrordesc_np(-error));
        loop_timer_clear(loop, &l->server->timer);
        l->queue_full = error == -EAGAIN && time_left(l) > QUEUE_FULL_NS;
        stream_close(&l->server->stream); /* then the next address */
        return;
    }
    server_move(l->server, SERVER_LOGIN);
    loop_timer_set(loop, &l->server->timer, time_left(l));
    go_on(l, DIALOGUE_MORE);
}

static void login_received(struct sock *sock, struct span data)
{
    struct server_login *l = login_of(sock);

    go_on(l, dialogue_received(&l->dialogue, data));
}

static void login_ended(struct sock *sock, int error)
{
    struct server_login *l = login_of(sock);

    failure_set(&l->failure, PGW_STATE_CONNECTION_FAILURE, "server login failed: %s",
                error == 0 ? "the server closed the connection" : strerrordesc_np(-error));
    login_fail(l, false);
}

static void login_closed(struct sock *sock)
{
    struct server_login *l = login_of(sock);

    l->open = false;
    if (l->failed)
        settle(l);
    else if (l->queue_full)
        loop_timer_set(control_of(l)->loop, &l->server->timer, QUEUE_FULL_NS);
    else
        dial_next(l);
}

static const struct sock_ops login_ops = {
    .received = login_received,
    .ended = login_ended,
    .connected = login_connected,
    .closed = login_closed,
};

/* ---- */

static struct server_login *login_new(struct server *s, uint64_t now_ns)
{
    const struct pools_config *config = &s->pool->pools->config;
    const struct conf_pool *conf = &s->pool->conf;
    struct server_login *l = calloc(1, sizeof(*l));
    struct server_auth_config auth = {
        .user = span_str(conf->user), .password = span_str(conf->password), .keys = config->keys};

    if (l == NULL)
        return NULL;
    l->server = s;
    l->deadline_ns = clock_add_ns(now_ns, conf->policy.server_connect_timeout_ns);
    l->work.run = work;
    l->work.done = work_done;
    l->worked.open = worked;
    if (config->users != NULL) {
        l->users = users_get(config->users);
        auth.secret = users_find(l->users, auth.user);
    }
    dialogue_init(&l->dialogue, &auth, span_str(conf->dbname), s->startup);
    return l;
}

static void no_memory(struct wheel_timer *t)
{
    struct server *s = CONTAINER_OF(t, struct server, timer);
    struct pool_failure why;

    failure_set(&why, PGW_STATE_OUT_OF_MEMORY, "out of memory");
    control_open_failed(crew_control(s->pool->crew), s, &why, false);
}

void login_start(struct thread *control, struct server *s)
{
    struct server_login *l = login_new(s, loop_now_ns(control->loop));

    s->login = l;
    s->timer.fire = l == NULL ? no_memory : overdue;
    if (l == NULL) {
        loop_timer_set(control->loop, &s->timer, 0);
        return;
    }
    loop_timer_set(control->loop, &s->timer, time_left(l));
    find_host(l);
}

void login_abort(struct thread *control, struct server *s)
{
    struct server_login *l = s->login;

    (void)control;
    if (l == NULL || l->failed)
        return;
    failure_set(&l->failure, PGW_STATE_ADMIN_SHUTDOWN, "server login ended: shutting down");
    login_fail(l, false);
}
