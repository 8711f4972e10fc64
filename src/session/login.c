/*
 * From the startup packet to ReadyForQuery: authentication, then the pool's greeting, of which the
 * first client of a cold pool makes a server's login and the others wait for the same one.
 *
 * A database is looked for only when the password was right: so nobody learns which there are, and
 * nobody makes pools with invented names. Runs on: the client's reactor, work() excepted.
 */
#include "login.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "client.h"
#include "pgwire/build.h"
#include "pgwire/frame.h"
#include "pgwire/sqlstate.h"
#include "sessions.h"
#include "weir/auth/users.h"
#include "weir/auth/wire.h"
#include "weir/base/clock.h"
#include "weir/pool/own.h"

/* What client_auth.h asks for as room. */
#define AUTH_ANSWER_MAX 1024

struct login *login_new(struct client *c, int fd)
{
    struct login *l = malloc(sizeof(*l));

    if (l == NULL)
        return NULL;
    memset(l, 0, offsetof(struct login, input));
    l->client = c;
    l->fd = fd;
    return l;
}

void login_free(struct login *l)
{
    if (l->authenticating)
        client_auth_fini(&l->auth);
    free(l->settings);
    digest_wipe(l->input, sizeof(l->input)); /* a password may be in it */
    free(l);
}

void login_consume(struct login *l, size_t n)
{
    l->n_input -= n;
    memmove(l->input, l->input + n, l->n_input);
}

void login_abandon(struct client *c)
{
    if (c->login->working)
        return;
    if (c->login->asked != NULL)
        check_abandon(c);
    if (c->login->own != NULL)
        own_drop(c->login->own);
    login_free(c->login);
    c->login = NULL;
}

/* ---- greeted ---- */

static void log_login(const struct client *c)
{
    char text[ADDR_TEXT_SIZE] = "gone";
    struct addr peer;

    if (!c->all->config.conf->weir.log_connections)
        return;
    if (addr_peer(stream_fd(&c->stream), &peer) == 0)
        addr_text(&peer, text);
    log_info(&c->log, "login", "user=%s database=%s address=%s", c->login->user, c->login->database,
             text);
}

/* AuthenticationOk, what lies between (for as long as the turn), BackendKeyData, and ReadyForQuery
 * unless the service sends it. False: the client is closed, there was no memory. */
static bool send_greeting(struct client *c, struct span between, bool ready)
{
    uint8_t *buf = loop_scratch(c->thread->loop, 64);
    struct pgw_writer w = pgw_writer_of(buf, buf == NULL ? 0 : 64);
    struct cancel_key key;

    pgw_build_authentication(&w, PGW_AUTH_OK);

    size_t head = w.len;

    cancel_key_make(c, c->login->has_long_key, &key);
    pgw_build_backend_key_data(&w, key.pid, pgw_span_of(key.secret, key.len));
    if (ready)
        pgw_build_ready_for_query(&w, PGW_TX_IDLE);
    if (w.full) {
        client_close(c, "no memory for the greeting");
        return false;
    }
    stream_send(&c->stream, span_of(buf, head));
    stream_send(&c->stream, between);
    stream_send(&c->stream, span_of(buf + head, w.len - head));
    return true;
}

static void get_in(struct client *c)
{
    counter_add(&c->shard->counters.n_logins, 1);
    log_login(c);
}

void login_enter(struct client *c, struct span greeting, struct server *own)
{
    struct login *l = c->login;

    if (!send_greeting(c, greeting, true)) {
        if (own != NULL)
            pool_discard(c->thread, own, true);
        return;
    }
    get_in(c);
    c->login = NULL;
    relay_begin(c, own, span_of(l->input, l->n_input));
    login_free(l);
}

static void enter_pool(struct client *c)
{
    struct span greeting;

    if (settings_greet(c, &greeting))
        login_enter(c, greeting, NULL);
    else
        client_close(c, "no memory for the greeting");
}

static void enter_service(struct client *c)
{
    struct login *l = c->login;

    if (!send_greeting(c, span_of(NULL, 0), false))
        return;
    get_in(c);
    loop_timer_clear(c->thread->loop, &c->timer);
    client_move(c, CLIENT_GUEST);
    guest_begin(c);
    if (c->login == NULL)
        return; /* it has been refused after all */
    c->login = NULL;
    if (l->n_input > 0)
        guest_received(c, span_of(l->input, l->n_input));
    login_free(l);
}

/* ---- waiting for a greeting, or for a server to ask about settings ---- */

static struct client *client_of(struct waiter *w)
{
    return CONTAINER_OF(w, struct client, waiter);
}

static void greeted(struct client *c, const struct greeting *greeting);

static void greeting_came(struct waiter *w, struct thread *self, struct server *s)
{
    struct client *c = client_of(w);
    const struct greeting *greeting = pool_greeting(c->pool);

    (void)self;
    ASSERT(s == NULL && greeting != NULL);
    greeted(c, greeting);
}

static void greeting_failed(struct waiter *w, struct thread *self, const struct pool_failure *why)
{
    (void)self;
    client_refuse(client_of(w), why->sqlstate, "%s", why->message);
}

/* Who has a server of its own waits for it as others wait with a query. */
static uint64_t login_deadline_ns(const struct client *c)
{
    uint64_t timeout_ns = c->all->config.conf->weir.client_login_timeout_ns;

    return timeout_ns == 0 || client_owns_server(c) ? CLOCK_NEVER
                                                    : clock_add_ns(c->connected_ns, timeout_ns);
}

static void limit_wait(struct client *c)
{
    uint64_t now_ns = loop_now_ns(c->thread->loop), login_ns = login_deadline_ns(c);
    uint64_t wait_ns = pool_policy(c->pool)->query_wait_timeout_ns;
    uint64_t deadline_ns = wait_ns == 0 ? CLOCK_NEVER : clock_add_ns(now_ns, wait_ns);

    if (login_ns < deadline_ns)
        deadline_ns = login_ns;
    if (deadline_ns != CLOCK_NEVER)
        loop_timer_set(c->thread->loop, &c->timer, deadline_ns > now_ns ? deadline_ns - now_ns : 0);
}

bool login_be_cold(struct client *c)
{
    struct login *l = c->login;

    if (c->phase == CLIENT_COLD)
        return true;
    client_move(c, CLIENT_COLD);
    limit_wait(c);
    if (l->n_input > 0)
        relay_received(c, span_of(l->input, l->n_input));
    if (c->phase != CLIENT_COLD)
        return false;
    l->n_input = 0;
    return true;
}

static void await_greeting(struct client *c)
{
    if (!login_be_cold(c))
        return;
    c->waiter = (struct waiter){.served = greeting_came, .failed = greeting_failed};
    pool_await_greeting(c->pool, c->thread, &c->waiter);
}

static void check_served(struct waiter *w, struct thread *self, struct server *s)
{
    (void)self;
    check_begin(client_of(w), s);
}

static void await_check(struct client *c)
{
    if (!login_be_cold(c))
        return;
    c->waiter = (struct waiter){.served = check_served, .failed = greeting_failed};
    pool_acquire(c->pool, c->thread, &c->waiter);
}

static void greeted(struct client *c, const struct greeting *greeting)
{
    c->settings.greeting = greeting;
    if (check_is_known(c))
        enter_pool(c);
    else
        await_check(c);
}

void login_checked(struct client *c)
{
    enter_pool(c);
}

/* key: which limit it was. Told with it is what went wrong at the server, if that is known. */
static void wait_timed_out(struct client *c, const char *key, uint64_t timeout_ns)
{
    const struct pool_failure *why = pool_last_failure(c->pool);

    counter_add(&c->shard->counters.n_wait_timeouts, 1);
    client_refuse(c, PGW_STATE_TOO_MANY_CONNECTIONS, "%s: %s in %.3f s%s%s", key,
                  c->settings.greeting == NULL && !client_owns_server(c)
                      ? "no login at the server succeeded"
                      : "no server became free for the login",
                  (double)timeout_ns / NS_PER_S,
                  why == NULL ? "" : "; the last one: ", why == NULL ? "" : why->message);
}

void login_timed_out(struct wheel_timer *t)
{
    struct client *c = CONTAINER_OF(t, struct client, timer);
    uint64_t login_timeout_ns = c->all->config.conf->weir.client_login_timeout_ns;

    if (c->phase == CLIENT_STARTUP)
        client_close(c, "client_login_timeout");
    else if (c->phase == CLIENT_LOGIN)
        client_refuse(c, PGW_STATE_PROTOCOL_VIOLATION,
                      "client_login_timeout: the login took more than %.3f s",
                      (double)login_timeout_ns / NS_PER_S);
    else if (loop_now_ns(c->thread->loop) >= login_deadline_ns(c))
        wait_timed_out(c, "client_login_timeout", login_timeout_ns);
    else
        wait_timed_out(c, "query_wait_timeout", pool_policy(c->pool)->query_wait_timeout_ns);
}

/* ---- authenticated ---- */

static enum pools_result find_pool(struct client *c)
{
    struct login *l = c->login;
    enum pools_result result =
        pools_find(c->all->config.pools, span_str(l->database), span_str(l->user), &c->pool);

    if (result == POOLS_FOUND && pool_join(c->pool, c->thread) < 0)
        return POOLS_NO_MEMORY;
    return result;
}

static void authenticated(struct client *c)
{
    struct login *l = c->login;

    if (l->service != NULL) {
        enter_service(c);
        return;
    }
    switch (find_pool(c)) {
    case POOLS_FOUND:
        break;
    case POOLS_NO_DATABASE:
        client_refuse(c, PGW_STATE_INVALID_CATALOG_NAME,
                      "database \"%s\" does not exist in the configuration%s", l->database,
                      client_owns_server(c) ? ", where replication clients need one, too: "
                                              "pg_basebackup and pg_receivewal name \"replication\""
                                            : "");
        return;
    case POOLS_FULL:
        client_refuse(c, PGW_STATE_TOO_MANY_CONNECTIONS,
                      "there are too many pools already (max_pools = %u)",
                      c->all->config.conf->weir.max_pools);
        return;
    case POOLS_NO_MEMORY:
        client_refuse(c, PGW_STATE_OUT_OF_MEMORY, "no memory for the login");
        return;
    }

    const struct greeting *greeting = pool_greeting(c->pool);

    if (client_owns_server(c))
        own_await(c);
    else if (greeting != NULL)
        greeted(c, greeting);
    else
        await_greeting(c);
}

/* ---- the dialogue ---- */

static void work(struct job *j)
{
    struct login *l = CONTAINER_OF(j, struct login, job);

    client_auth_work(&l->auth);
}

static void work_done(struct job *j)
{
    struct login *l = CONTAINER_OF(j, struct login, job);

    thread_post(l->client->thread, &l->client->letter);
}

static void go_on(struct client *c, enum client_auth_result result, const struct pgw_writer *w);

/* A helper gives the login back; the client may have left meanwhile. */
static void worked(struct letter *letter, struct thread *self)
{
    struct client *c = CONTAINER_OF(letter, struct client, letter);
    struct login *l = c->login;

    l->working = false;
    if (c->phase != CLIENT_LOGIN) {
        login_abandon(c);
        client_settle(c);
        return;
    }

    uint8_t *buf = loop_scratch(self->loop, AUTH_ANSWER_MAX);
    struct pgw_writer w = pgw_writer_of(buf, AUTH_ANSWER_MAX);

    if (buf == NULL) {
        client_close(c, "no memory for the login");
        return;
    }
    go_on(c, client_auth_worked(&l->auth, &w), &w);
    login_received(c, span_of(NULL, 0)); /* what came meanwhile */
}

static void hand_to_helper(struct client *c)
{
    struct login *l = c->login;

    l->working = true;
    l->job.run = work;
    l->job.done = work_done;
    c->letter.open = worked;
    jobs_submit(c->all->config.jobs, &l->job);
}

/* Acts on what the dialogue wants; w has what it wrote. */
static void go_on(struct client *c, enum client_auth_result result, const struct pgw_writer *w)
{
    ASSERT(!w->full);
    stream_send(&c->stream, span_in(pgw_writer_span(w)));
    switch (result) {
    case CLIENT_AUTH_ASK:
        break;
    case CLIENT_AUTH_WORK:
        hand_to_helper(c);
        break;
    case CLIENT_AUTH_OK:
        authenticated(c);
        break;
    case CLIENT_AUTH_REFUSED:
        client_refuse(c, PGW_STATE_INVALID_PASSWORD,
                      "password authentication failed for user \"%s\"", c->login->user);
        break;
    case CLIENT_AUTH_MALFORMED:
        client_refuse(c, PGW_STATE_PROTOCOL_VIOLATION, "malformed authentication message");
        break;
    }
}

void login_begin(struct client *c)
{
    struct login *l = c->login;
    const struct sessions_config *config = &c->all->config;
    const struct client_auth_config auth = {
        .method = config->conf->weir.auth_type,
        .user = span_str(l->user),
        .secret = config->users == NULL ? NULL : users_find(config->users, span_str(l->user)),
        .keys = config->keys,
        .mock_key = c->all->mock_key,
        .iterations = config->conf->weir.scram_iterations,
    };
    uint8_t *buf = loop_scratch(c->thread->loop, AUTH_ANSWER_MAX);
    struct pgw_writer w = pgw_writer_of(buf, AUTH_ANSWER_MAX);

    if (buf == NULL) {
        client_close(c, "no memory for the login");
        return;
    }
    l->authenticating = true;
    go_on(c, client_auth_start(&l->auth, &auth, &w), &w);
}

static bool take_message(struct client *c, const struct pgw_frame *frame, size_t used)
{
    struct login *l = c->login;
    uint8_t *buf = loop_scratch(c->thread->loop, AUTH_ANSWER_MAX);
    struct pgw_writer w = pgw_writer_of(buf, AUTH_ANSWER_MAX);

    if (buf == NULL) {
        client_close(c, "no memory for the login");
        return false;
    }

    enum client_auth_result result = client_auth_message(&l->auth, span_in(frame->body), &w);

    login_consume(l, used);
    go_on(c, result, &w);
    return true;
}

bool login_step(struct client *c)
{
    struct login *l = c->login;
    struct pgw_span in = pgw_span_of(l->input, l->n_input);
    struct pgw_frame frame;

    if (l->working)
        return false;
    switch (pgw_frame_next(pgw_frontend_rules, &in, &frame)) {
    case PGW_PARTIAL:
        return false;
    case PGW_INVALID:
        client_refuse(c, PGW_STATE_PROTOCOL_VIOLATION, "invalid message during login");
        return false;
    case PGW_READY:
        break;
    }
    if (frame.type == PGW_F_PASSWORD)
        return take_message(c, &frame, l->n_input - in.len);
    if (frame.type == PGW_F_TERMINATE)
        client_close(c, "the client gave up its login");
    else
        client_refuse(c, PGW_STATE_PROTOCOL_VIOLATION,
                      "expected a password message, got message type \"%c\"", frame.type);
    return false;
}

static bool logs_in(const struct client *c)
{
    return c->phase == CLIENT_STARTUP || c->phase == CLIENT_LOGIN;
}

static struct span gather(struct login *l, struct span data)
{
    size_t room = sizeof(l->input) - l->n_input;
    size_t n = data.len < room ? data.len : room;

    if (n == 0)
        return data;
    memcpy(l->input + l->n_input, data.ptr, n);
    l->n_input += n;
    return span_skip(data, n);
}

void login_received(struct client *c, struct span data)
{
    while (logs_in(c)) {
        ASSERT(c->login != NULL);
        data = gather(c->login, data);

        bool again = c->phase == CLIENT_STARTUP ? startup_step(c) : login_step(c);

        if (again)
            continue;
        if (logs_in(c) && data.len > 0)
            client_refuse(c, PGW_STATE_PROTOCOL_VIOLATION, "too much data before the login's end");
        break;
    }
    if (data.len > 0)
        client_received(c, data);
}
