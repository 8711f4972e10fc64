/*
 * Control's loop: signals, reload, the order of a stop.
 *
 * A reload happens in two steps. First a child checks the file (checker.h); only then is it loaded
 * here and put in the place of the old snapshot. Whatever fails on the way, the old one stays. A
 * HUP that comes during a check asks for another one after it, because the file may have changed
 * after the child read it. What a reload changes is the log and shutdown_timeout; all other parts
 * keep the configuration of the start.
 *
 * A stop goes down the layers: no new clients, then the clients end with their transactions, then
 * the servers are closed, then the loops end. shutdown_timeout or a second signal ends the process
 * wherever it stands.
 */
#include "control.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checker.h"
#include "disposition.h"
#include "parts.h"
#include "weir/base/log.h"
#include "weir/conf/show.h"
#include "weir/io/signals.h"
#include "weir/pool/pools.h"

struct control {
    struct conf *conf; /* as of the last reload */
    struct logging *logging;
    struct parts parts;
    struct loop *loop; /* one of the parts; NULL: not made */
    struct signals signals;
    struct checker checker;
    bool check_again; /* HUP came while the checker was busy */
    bool stopping;
    struct wheel_timer limit;   /* shutdown_timeout */
    struct round round;         /* of a stop, twice */
    struct letter clients_gone; /* from the last reactor that has none */
    _Atomic unsigned n_serving; /* reactors that still have clients; any thread */
};

/* ---- reload ---- */

/* At every reload for as long as it holds, and no longer once a key has its old value again. */
static void log_restart_keys(const struct control *c)
{
    char key[CONF_SHOW_KEY_SIZE];
    size_t i = 0;

    while (conf_restart_key(c->parts.conf, c->conf, &i, key))
        log_warning(NULL, "changed key needs a restart", "key=%s", key);
}

static void log_conf_warnings(const struct conf *c)
{
    for (size_t i = 0; i < c->warnings.n_items; i++)
        log_warning(NULL, "configuration", "warning=%s", c->warnings.items[i]);
}

static void log_failed_reload(const char *why)
{
    log_error(NULL, "reload failed, nothing has changed", "why=%s", why);
}

static void start_check(struct control *c)
{
    int error = checker_start(&c->checker, c->conf->path);

    if (error < 0)
        log_failed_reload(strerrordesc_np(-error));
}

static void apply_conf(struct control *c)
{
    int error = logging_apply(c->logging, c->conf);

    log_conf_warnings(c->conf);
    log_restart_keys(c);
    if (error < 0)
        log_warning(NULL, "log goes on where it went", "logfile=%s error=%s", c->conf->weir.logfile,
                    strerrordesc_np(-error));
}

static void swap_conf(struct control *c)
{
    struct conf_error error;
    struct conf *new;
    int status = conf_load(c->conf->path, &new, &error);

    if (status < 0) {
        log_failed_reload(status == -EINVAL ? error.text : strerrordesc_np(-status));
        return;
    }
    conf_put(c->conf);
    c->conf = new;
    apply_conf(c);
    log_info(NULL, "reloaded; all but the log and shutdown_timeout is as it was at the start",
             "config=%s", new->path);
}

static void on_checked(struct checker *checker, bool ok, const char *text)
{
    struct control *c = CONTAINER_OF(checker, struct control, checker);

    if (ok)
        swap_conf(c);
    else
        log_failed_reload(text);
    if (c->check_again)
        start_check(c);
    c->check_again = false;
}

static void reload(struct control *c)
{
    if (checker_busy(&c->checker))
        c->check_again = true;
    else
        start_check(c);
}

/* ---- stop ---- */

/* 3. Nothing is open any more. */
static void on_pools_stopped(void *ctx)
{
    struct control *c = ctx;

    loop_timer_clear(c->loop, &c->limit);
    parts_end(&c->parts);
    loop_stop(c->loop);
}

static void pass(struct round *r, struct thread *self)
{
    (void)r;
    (void)self;
}

static void on_rounds_home(struct round *r, struct thread *self)
{
    struct control *c = CONTAINER_OF(r, struct control, round);

    (void)self;
    pools_stop(c->parts.pools, on_pools_stopped, c);
}

/* 2. No client is left, but what the console gathered for one may still be on its way round. A
 * round of our own goes behind all that began earlier: when it is back they are home. */
static void on_clients_gone(struct letter *l, struct thread *self)
{
    struct control *c = CONTAINER_OF(l, struct control, clients_gone);

    c->round = (struct round){.visit = pass, .done = on_rounds_home};
    round_start(&c->round, self);
}

/* On a reactor, whose last client is gone. Acquire and release: pairs with itself, so that control
 * sees what every reactor did. */
static void on_sessions_stopped(void *ctx)
{
    struct control *c = ctx;

    if (atomic_fetch_sub_explicit(&c->n_serving, 1, memory_order_acq_rel) == 1)
        thread_post(crew_control(&c->parts.crew), &c->clients_gone);
}

/* Each reactor in turn, the one that accepts first: then no client comes to one that has stopped.
 */
static void stop_sessions(struct round *r, struct thread *self)
{
    struct control *c = CONTAINER_OF(r, struct control, round);

    if (thread_is_control(self))
        return;
    if (self->number == 0)
        listeners_close(&c->parts.listeners);
    sessions_stop(self, on_sessions_stopped, c);
}

static void on_stop_told(struct round *r, struct thread *self)
{
    struct control *c = CONTAINER_OF(r, struct control, round);

    (void)self;
    on_sessions_stopped(c);
}

/* The kernel closes what is still open. The log's writer is not waited for: it may be what hangs.
 */
static void stop_at_once(const char *why)
{
    log_detach();
    log_info(NULL, "stopping at once", "because=%s", why);
    _exit(EXIT_SUCCESS); /* it was asked for */
}

static void on_limit(struct wheel_timer *t)
{
    (void)t;
    stop_at_once("shutdown_timeout has passed");
}

/* 1. The reactors are told. n_serving counts one more than them, for the round: it must be home
 * before the next one starts. */
static void stop(struct control *c)
{
    c->stopping = true;
    checker_fini(&c->checker);
    if (c->conf->weir.shutdown_timeout_ns > 0)
        loop_timer_set(c->loop, &c->limit, c->conf->weir.shutdown_timeout_ns);
    atomic_store_explicit(&c->n_serving, c->parts.crew.n_reactors + 1, memory_order_relaxed);
    c->round = (struct round){.visit = stop_sessions, .done = on_stop_told};
    round_start(&c->round, crew_control(&c->parts.crew));
}

static void on_signal(struct signals *s, int signo)
{
    struct control *c = CONTAINER_OF(s, struct control, signals);

    if (signo == SIGHUP) {
        if (!c->stopping)
            reload(c);
        return;
    }
    if (c->stopping)
        stop_at_once("a second signal has come");
    log_info(NULL, "stopping", "signal=%s", sigabbrev_np(signo));
    stop(c);
}

/* ---- start ---- */

/* Reactors run only if this returns 0. */
static int start(struct control *c)
{
    sigset_t caught = disposition_caught();
    int error = parts_init(&c->parts, c->conf, c->logging->log);

    if (error < 0)
        return error;
    c->loop = crew_control(&c->parts.crew)->loop;
    checker_init(&c->checker, c->loop, on_checked);
    error = signals_open(&c->signals, c->loop, &caught);
    if (error < 0) {
        log_error(NULL, "cannot start", "what=signals error=%s", strerrordesc_np(-error));
        return error;
    }
    return parts_start(&c->parts);
}

static void log_ready(const struct control *c)
{
    char addresses[LISTENERS_TEXT_SIZE];

    log_info(NULL, "ready", "version=%s pid=%d config=%s listen=%s", WEIR_VERSION, getpid(),
             c->conf->path, listeners_text(&c->parts.listeners, addresses));
}

static void run(struct control *c)
{
    int error = loop_run(c->loop);

    if (error == 0)
        return;
    log_detach();
    log_error(NULL, "control cannot go on", "error=%s", strerrordesc_np(-error));
    _exit(EXIT_FAILURE); /* there is no way left to stop the reactors in order */
}

static void finish(struct control *c)
{
    if (c->loop != NULL) {
        checker_fini(&c->checker);
        signals_close(&c->signals);
    }
    parts_fini(&c->parts);
    conf_put(c->conf);
    free(c);
}

int control_run(struct conf *conf, struct logging *logging)
{
    struct control *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        log_error(NULL, "cannot start", "error=%s", strerrordesc_np(ENOMEM));
        conf_put(conf);
        return EXIT_FAILURE;
    }
    c->conf = conf;
    c->logging = logging;
    c->signals.raised = on_signal;
    c->clients_gone.open = on_clients_gone;
    c->limit.fire = on_limit;
    log_conf_warnings(conf);

    int error = start(c);

    if (error == 0) {
        log_ready(c);
        run(c);
    }
    finish(c);
    if (error < 0)
        return EXIT_FAILURE;
    log_info(NULL, "stopped", NULL);
    return EXIT_SUCCESS;
}
