/*
 * One function a part, in a table that is the order of the start.
 */
#include "parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "descriptors.h"
#include "weir/admin/console.h"
#include "weir/auth/keys.h"
#include "weir/auth/users.h"
#include "weir/base/arena.h"
#include "weir/base/clock.h"
#include "weir/base/jobs.h"
#include "weir/base/log.h"
#include "weir/pool/pools.h"
#include "weir/pool/statements.h"
#include "weir/session/session.h"

/* Control has few sockets: logins at servers and cancel requests. */
#define CONTROL_N_BUFFERS 64

/* Helpers derive keys; more of them would take CPUs from the reactors during a storm of logins. */
#define HELPERS_MAX 2

/* Known SCRAM keys. One that is forgotten costs a login its time, nothing else. */
#define KEYS_MAX 10000

static int failed(const char *what, int error)
{
    if (error < 0)
        log_error(NULL, "cannot start", "what=%s error=%s", what, strerrordesc_np(-error));
    return error;
}

static int make_plan(struct parts *p)
{
    struct cpus cpus;
    int error = cpus_read("", &cpus);

    if (error < 0)
        return failed("the affinity mask", error);
    p->n_cpus = cpus.n_allowed;
    p->plan = plan_reactors(p->conf, &cpus);
    return 0;
}

static int make_arena(struct parts *p)
{
    const struct conf_arena *arena = &p->conf->weir.arena;
    struct arena_config config = {
        .chunk_size = arena->chunk_size,
        .n_chunks = arena->chunks_count,
        .prefault = arena->prefault,
    };

    return failed("arena.total_size", arena_new(&p->arena, &config));
}

static int load_users(struct parts *p)
{
    const struct conf_weir *weir = &p->conf->weir;
    struct users_error error;
    int status;

    if (weir->auth_file[0] != '\0') {
        status = users_load(weir->auth_file, &p->users, &error);
    } else {
        if (weir->auth_type != CONF_AUTH_TRUST)
            log_warning(NULL, "nobody can log in", "because=%s", "auth_file is not given");
        status = users_load_text("", span_str(""), &p->users, &error);
    }
    if (status != -EINVAL)
        return failed("auth_file", status);
    log_error(NULL, "cannot start", "what=auth_file error=%s", error.text);
    return status;
}

static int make_keys(struct parts *p)
{
    return failed("memory for keys", keys_new(&p->keys, KEYS_MAX));
}

static int make_jobs(struct parts *p)
{
    unsigned n_threads = p->n_cpus < HELPERS_MAX ? p->n_cpus : HELPERS_MAX;

    return failed("helpers", jobs_new(&p->jobs, n_threads));
}

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

/* For tests: the daemon on a new kernel does without what the oldest supported one lacks. */
static bool wants_profile_6_1(void)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
    const char *profile = getenv("WEIR_IO_PROFILE");

    return profile != NULL && strcmp(profile, "6.1") == 0;
}

/* Falling back is what "auto" is for, but nobody should find out by its speed alone. */
static void log_engine(const struct parts *p, const struct loop *l, const char *whose)
{
    if (p->conf->weir.engine == CONF_ENGINE_AUTO && loop_engine(l) == LOOP_ENGINE_EPOLL)
        log_warning(NULL, "engine", "thread=%s engine=%s", whose, loop_describe(l));
    else
        log_info(NULL, "engine", "thread=%s engine=%s", whose, loop_describe(l));
}

static int make_control(struct parts *p, struct loop_config config)
{
    struct thread *t = crew_control(&p->crew);

    config.n_buffers = CONTROL_N_BUFFERS;
    config.on_mail = thread_open_mail;
    config.ctx = t;

    int error = loop_new(&t->loop, &config);

    if (error == 0)
        log_engine(p, t->loop, "control");
    return failed("the engine of control", error);
}

static int make_reactor(struct parts *p, unsigned number, const struct loop_config *config)
{
    const struct loop *control = crew_control(&p->crew)->loop;
    struct reactor *r = &p->reactors[number];
    struct thread *t = &p->crew.threads[number];
    int error = reactor_init(r, t, *config, p->log);

    if (error < 0)
        return failed("the engine of a reactor", error);
    if (loop_engine(t->loop) != loop_engine(control))
        log_engine(p, t->loop, r->name);
    return 0;
}

static int make_crew(struct parts *p)
{
    struct loop_config config = {
        .engine = engine_of(p->conf),
        .profile_6_1 = wants_profile_6_1(),
        .arena = p->arena,
    };
    struct crew *crew = &p->crew;

    crew->n_reactors = p->plan.n_reactors;
    for (unsigned i = 0; i <= crew->n_reactors; i++)
        crew->threads[i] = (struct thread){.number = i, .crew = crew};

    int error = make_control(p, config);

    for (unsigned i = 0; error == 0 && i < crew->n_reactors; i++)
        error = make_reactor(p, i, &config);
    return error;
}

/* How often servers that nobody suspects are asked what is left on them. */
#define AUDIT_INTERVAL_NS (60 * NS_PER_S)

static int make_pools(struct parts *p)
{
    struct pools_config config = {
        .conf = p->conf,
        .users = p->users,
        .keys = p->keys,
        .crew = &p->crew,
        .jobs = p->jobs,
        .audit_interval_ns = AUDIT_INTERVAL_NS,
    };

    return failed("memory for pools", pools_new(&p->pools, &config));
}

static int make_statements(struct parts *p)
{
    size_t max_bytes = p->conf->weir.prepared_statements_memory;

    return failed("memory for prepared statements",
                  statements_new(&p->statements, &p->crew, max_bytes, NULL));
}

static int make_console(struct parts *p)
{
    struct console_config config = {
        .conf = p->conf,
        .pools = p->pools,
        .crew = &p->crew,
        .arena = p->arena,
    };

    return failed("memory for the console", console_new(&p->console, &config));
}

static int make_sessions(struct parts *p)
{
    struct sessions_config config = {
        .conf = p->conf,
        .users = p->users,
        .keys = p->keys,
        .pools = p->pools,
        .statements = p->statements,
        .crew = &p->crew,
        .jobs = p->jobs,
        .arena = p->arena,
        .service = console_service(p->console),
    };

    return failed("memory for clients", sessions_new(&p->sessions, &config));
}

static int open_listeners(struct parts *p)
{
    char address[ADDR_TEXT_SIZE];
    int error = listeners_open(&p->listeners, p->conf, address);

    if (error < 0)
        return failed(address, error);
    return failed("accepting", listeners_begin(&p->listeners, p->sessions, &p->crew.threads[0]));
}

static int (*const steps[])(struct parts *p) = {
    make_plan,  make_arena,      load_users,   make_keys,     make_jobs,      make_crew,
    make_pools, make_statements, make_console, make_sessions, open_listeners,
};

int parts_init(struct parts *p, struct conf *conf, struct log *log)
{
    int error = 0;

    p->conf = conf_get(conf);
    p->log = log;
    descriptors_raise(conf);
    for (size_t i = 0; error == 0 && i < sizeof(steps) / sizeof(steps[0]); i++)
        error = steps[i](p);
    return error;
}

/* The first one last: it accepts. So where a thread cannot be had nothing is open yet on those that
 * run. */
int parts_start(struct parts *p)
{
    const struct plan *plan = &p->plan;
    int error = 0;

    for (unsigned i = p->crew.n_reactors; error == 0 && i-- > 0;)
        error = reactor_start(&p->reactors[i], plan->pinned ? plan->cpu[i] : REACTOR_UNPINNED);
    if (error < 0) {
        parts_end(p);
        return failed("the thread of a reactor", error);
    }
    log_info(NULL, "reactors started", "n=%u pinned=%s because=%s", plan->n_reactors,
             plan->pinned ? "yes" : "no", plan->why);
    return 0;
}

void parts_end(struct parts *p)
{
    for (unsigned i = 0; i < p->crew.n_reactors; i++) {
        if (p->reactors[i].running)
            reactor_end(&p->reactors[i]);
    }
}

/* The helpers go first: what they still finish is posted to loops that are still there. Listeners
 * are open here only where reactor 0 has not been started. */
void parts_fini(struct parts *p)
{
    jobs_free(p->jobs);
    listeners_close(&p->listeners);
    for (unsigned i = 0; i < p->crew.n_reactors; i++)
        reactor_fini(&p->reactors[i]);
    sessions_free(p->sessions);
    statements_free(p->statements);
    console_free(p->console);
    pools_free(p->pools);
    loop_free(crew_control(&p->crew)->loop);
    keys_free(p->keys);
    users_put(p->users);
    arena_free(p->arena);
    conf_put(p->conf);
}
