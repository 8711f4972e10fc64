/*
 * Control's loop and what it starts.
 *
 * A reload happens in two steps. First a child checks the file (checker.h); only then is it loaded
 * here and put in the place of the old snapshot. Whatever fails on the way, the old one stays. A
 * HUP that comes during a check asks for another one after it, because the file may have changed
 * after the child read it.
 *
 * A stop is a phase: reactors are told, and the loop ends when the last of them has said that it
 * is done. A second signal does not wait for them.
 */
#include "control.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checker.h"
#include "cpus.h"
#include "disposition.h"
#include "plan.h"
#include "reactor.h"
#include "weir/base/log.h"
#include "weir/conf/show.h"
#include "weir/io/signals.h"

/* Control has few sockets: logins and cancels later, none now. */
#define CONTROL_N_BUFFERS 64

struct control {
    struct conf *conf;
    struct conf *started; /* what the keys that need a restart were taken from */
    struct logging *logging;
    struct arena *arena;
    struct loop *loop;
    struct signals signals;
    struct checker checker;
    bool check_again; /* HUP came while the checker was busy */
    bool stopping;
    int status;
    const char *what;    /* while starting: what is being made, for the error */
    unsigned n_reactors; /* started */
    unsigned n_running;  /* of those, the ones that have not ended */
    struct reactor reactors[CPUS_MAX];
};

/* ---- reload ---- */

/* At every reload for as long as it holds, and no longer once a key has its old value again. */
static void log_restart_keys(const struct control *c)
{
    char key[CONF_SHOW_KEY_SIZE];
    size_t i = 0;

    while (conf_restart_key(c->started, c->conf, &i, key))
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
    log_info(NULL, "reloaded", "config=%s", new->path);
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

static void stop(struct control *c)
{
    c->stopping = true;
    checker_fini(&c->checker);
    for (unsigned i = 0; i < c->n_reactors; i++)
        reactor_stop(&c->reactors[i]);
    if (c->n_running == 0)
        loop_stop(c->loop);
}

static void on_signal(struct signals *s, int signo)
{
    struct control *c = CONTAINER_OF(s, struct control, signals);

    if (signo == SIGHUP) {
        if (!c->stopping)
            reload(c);
        return;
    }
    if (c->stopping) {
        log_detach(); /* the writer is not waited for either */
        log_info(NULL, "stopping at once", "signal=%s", sigabbrev_np(signo));
        _exit(EXIT_SUCCESS);
    }
    log_info(NULL, "stopping", "signal=%s", sigabbrev_np(signo));
    stop(c);
}

/* The only mail that control gets: a reactor has ended. */
static void on_mail(void *ctx, struct mail *m)
{
    struct control *c = ctx;
    struct reactor *r = CONTAINER_OF(m, struct reactor, ended);

    c->n_running--;
    if (r->status < 0) {
        log_error(NULL, "reactor failed", "reactor=%u error=%s", r->config.index,
                  strerrordesc_np(-r->status));
        c->status = EXIT_FAILURE;
    }
    if (!c->stopping)
        stop(c);
    else if (c->n_running == 0)
        loop_stop(c->loop);
}

/* ---- start ---- */

static enum loop_engine engine_of(const struct conf *conf)
{
    switch (conf->weir.engine) {
    case CONF_ENGINE_URING:
        return LOOP_ENGINE_URING;
    case CONF_ENGINE_EPOLL:
        return LOOP_ENGINE_EPOLL;
    case CONF_ENGINE_AUTO:
        break;
    }
    return LOOP_ENGINE_AUTO;
}

/* Falling back is what "auto" is for, but nobody should find out by its speed alone. */
static void log_engine(const struct control *c, const struct loop *l, const char *whose)
{
    if (c->conf->weir.engine == CONF_ENGINE_AUTO && loop_engine(l) == LOOP_ENGINE_EPOLL)
        log_warning(NULL, "engine", "thread=%s engine=%s", whose, loop_describe(l));
    else
        log_info(NULL, "engine", "thread=%s engine=%s", whose, loop_describe(l));
}

static int start_reactors(struct control *c)
{
    struct cpus cpus;
    int error;

    c->what = "the affinity mask";
    error = cpus_read("", &cpus);
    if (error < 0)
        return error;

    struct plan plan = plan_reactors(c->conf, &cpus);

    for (uint32_t i = 0; i < plan.n_reactors; i++) {
        struct reactor_config config = {
            .index = i,
            .cpu = plan.pinned ? plan.cpu[i] : REACTOR_UNPINNED,
            .engine = engine_of(c->conf),
            .arena = c->arena,
            .control = c->loop,
            .log = c->logging->log,
        };

        c->what = c->reactors[i].name;
        error = reactor_start(&c->reactors[i], &config);
        if (error < 0)
            return error;
        if (loop_engine(c->reactors[i].loop) != loop_engine(c->loop))
            log_engine(c, c->reactors[i].loop, c->reactors[i].name);
        c->n_reactors++;
        c->n_running++;
    }
    log_info(NULL, "reactors started", "n=%u pinned=%s because=%s", plan.n_reactors,
             plan.pinned ? "yes" : "no", plan.why);
    return 0;
}

static int start(struct control *c)
{
    struct arena_config arena_config = {
        .chunk_size = c->conf->weir.arena.chunk_size,
        .n_chunks = c->conf->weir.arena.chunks_count,
        .prefault = c->conf->weir.arena.prefault,
    };
    sigset_t caught = disposition_caught();
    int error;

    c->what = "arena.total_size";
    error = arena_new(&c->arena, &arena_config);
    if (error < 0)
        return error;

    struct loop_config loop_config = {
        .engine = engine_of(c->conf),
        .n_buffers = CONTROL_N_BUFFERS,
        .arena = c->arena,
        .on_mail = on_mail,
        .ctx = c,
    };

    c->what = "the engine of control";
    error = loop_new(&c->loop, &loop_config);
    if (error < 0)
        return error;
    log_engine(c, c->loop, "control");
    checker_init(&c->checker, c->loop, on_checked);
    c->signals.raised = on_signal;
    c->what = "signals";
    error = signals_open(&c->signals, c->loop, &caught);
    return error < 0 ? error : start_reactors(c);
}

static void finish(struct control *c)
{
    for (unsigned i = 0; i < c->n_reactors; i++)
        reactor_join(&c->reactors[i]);
    if (c->loop != NULL) {
        checker_fini(&c->checker);
        signals_close(&c->signals);
        loop_free(c->loop);
    }
    arena_free(c->arena);
    conf_put(c->started);
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
    c->started = conf_get(conf);
    c->logging = logging;
    log_conf_warnings(conf);

    int error = start(c);

    if (error < 0) {
        log_error(NULL, "cannot start", "what=%s error=%s", c->what, strerrordesc_np(-error));
        c->status = EXIT_FAILURE;
        if (c->loop != NULL)
            stop(c);
    } else {
        log_warning(NULL, "clients are not accepted yet", NULL);
        log_info(NULL, "ready", "version=%s pid=%d config=%s", WEIR_VERSION, getpid(), conf->path);
    }
    if (c->loop != NULL && loop_run(c->loop) < 0) {
        log_detach();
        log_error(NULL, "control's loop cannot go on", NULL);
        _exit(EXIT_FAILURE); /* there is no way left to stop the reactors in order */
    }

    int status = c->status;

    finish(c);
    if (error == 0)
        log_info(NULL, "stopped", "status=%d", status);
    return status;
}
