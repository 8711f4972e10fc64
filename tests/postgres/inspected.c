/*
 * One server of a pool, under a test that writes lines and reads lines:
 *
 *   query TEXT                 error SQLSTATE, row VALUE of each first column, done
 *   inspect KINDS FLAGS NAMES  what was found, done; KINDS and NAMES: words with commas between, or
 *                              -; FLAGS: always, unknown, disown, release with commas, or -
 *   audit                      lets an audit find the server idle; "found KIND" for each kind that
 *                              nobody had suspected, done
 *   time N KINDS               microseconds that an inspection takes, the fastest of N
 *
 * Control and one reactor share this program's thread. Arguments: host port user password database.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgwire/build.h"
#include "pgwire/frame.h"
#include "pgwire/message_backend.h"
#include "weir/auth/keys.h"
#include "weir/auth/wire.h"
#include "weir/base/arena.h"
#include "weir/base/clock.h"
#include "weir/base/jobs.h"
#include "weir/pool/inspect.h"
#include "weir/pool/pool.h"
#include "weir/pool/pools.h"

#define LINE_MAX_LEN (1U << 20)
#define PATIENCE_NS (20 * NS_PER_S)
#define N_LOOPS 2
#define AUDIT_INTERVAL_NS (120 * NS_PER_MS) /* an only server is asked after 10 ms */

struct run {
    struct crew crew;
    struct pools *pools;
    struct mail nudges[N_LOOPS];
    struct waiter waiter;
    struct server *server; /* in the hand; NULL: on its way */
    bool has_failed, is_done;
    uint8_t in[LINE_MAX_LEN];
    size_t n_in;
    char line[LINE_MAX_LEN];
};

static struct run *run_of(const struct thread *t)
{
    return CONTAINER_OF(t->crew, struct run, crew);
}

static void fail(const char *why)
{
    fprintf(stderr, "inspected: %s\n", why);
    exit(1);
}

static void check(bool ok, const char *what)
{
    if (!ok)
        fail(what);
}

static void on_mail(void *ctx, struct mail *m)
{
    struct thread *t = ctx;

    if (m != &run_of(t)->nudges[t->number]) /* which only keeps the loop from waiting */
        thread_open_mail(ctx, m);
}

static void turn(struct run *r)
{
    for (unsigned i = 0; i < N_LOOPS; i++) {
        loop_post(r->crew.threads[i].loop, &r->nudges[i]);
        check(loop_turn(r->crew.threads[i].loop) == 0, "loop");
    }
}

static void turn_until(struct run *r, const bool *is_so)
{
    uint64_t begin_ns = clock_now_ns();

    while (!*is_so) {
        turn(r);
        check(clock_now_ns() - begin_ns < PATIENCE_NS, "nothing comes");
    }
}

/* ---- taking a server ---- */

static void served(struct waiter *w, struct thread *self, struct server *s)
{
    (void)w;
    run_of(self)->server = s;
    run_of(self)->is_done = true;
}

static void failed(struct waiter *w, struct thread *self, const struct pool_failure *why)
{
    (void)w;
    (void)self;
    fail(why->message);
}

static void acquire(struct run *r, struct pool *p)
{
    r->is_done = false;
    r->waiter = (struct waiter){.served = served, .failed = failed};
    pool_acquire(p, &r->crew.threads[0], &r->waiter);
    turn_until(r, &r->is_done);
}

/* ---- query ---- */

static void say(struct run *r, const struct pgw_frame *f)
{
    struct pgw_report_fields report;
    struct pgw_data_row row;
    struct pgw_value value;

    if (f->type == PGW_B_ERROR_RESPONSE && pgw_read_report(f->body, &report) == PGW_READY)
        printf("error %.*s\n", (int)report.sqlstate.len, (const char *)report.sqlstate.ptr);
    if (f->type == PGW_B_DATA_ROW && pgw_read_data_row(f->body, &row) == PGW_READY &&
        pgw_value_next(&row.values, &value))
        printf("row %.*s\n", (int)value.bytes.len, (const char *)value.bytes.ptr);
    r->is_done |= f->type == PGW_B_READY_FOR_QUERY;
}

static void received(struct sock *sock, struct span data)
{
    struct server *s = CONTAINER_OF(stream_of(sock), struct server, stream);
    struct run *r = s->client;
    struct pgw_frame frame;
    struct pgw_span left;

    check(data.len <= sizeof(r->in) - r->n_in, "too long an answer");
    memcpy(r->in + r->n_in, data.ptr, data.len);
    r->n_in += data.len;
    left = pgw_span_of(r->in, r->n_in);
    while (pgw_frame_next(pgw_backend_rules, &left, &frame) == PGW_READY)
        say(r, &frame);
    memmove(r->in, left.ptr, left.len);
    r->n_in = left.len;
    if (!r->is_done)
        stream_receive_once(&s->stream);
}

static void ended(struct sock *sock, int error)
{
    (void)sock;
    (void)error;
    fail("the server ended");
}

static void query(struct run *r, const char *text)
{
    static const struct sock_ops ops = {.received = received, .ended = ended};
    struct server *s = r->server;
    size_t size = strlen(text) + 64;
    uint8_t *buf = malloc(size);
    struct pgw_writer w = pgw_writer_of(buf, size);

    check(buf != NULL, "memory");
    pgw_build_query(&w, pgw_span_str(text));
    s->client = r;
    r->n_in = 0;
    r->is_done = false;
    stream_attach(&s->stream, r->crew.threads[0].loop, &ops);
    stream_send(&s->stream, span_in(pgw_writer_span(&w)));
    stream_receive_once(&s->stream);
    turn_until(r, &r->is_done);
    while (!stream_detachable(&s->stream))
        turn(r);
    stream_detach(&s->stream);
    s->client = NULL;
    free(buf);
}

/* ---- inspect ---- */

static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (; words != NULL; words = strchr(words, ',')) {
        words += *words == ',';
        if (strncmp(words, word, len) == 0 && (words[len] == ',' || words[len] == '\0'))
            return true;
    }
    return false;
}

static unsigned kinds_of(const char *words)
{
    unsigned kinds = 0;

    for (unsigned kind = 0; kind < STATE_N_KINDS; kind++)
        if (has_word(words, state_kind_name(kind)) || has_word(words, "all"))
            kinds |= STATE_BIT(kind);
    return kinds;
}

static void say_pairs(const char *what, const struct pairs *p)
{
    struct pair pair;
    size_t at = 0;

    while (pairs_next(p, &at, &pair))
        printf("%s %s=%s\n", what, (const char *)pair.name.ptr, (const char *)pair.value.ptr);
}

static void say_found(const struct server *s, const struct inspect_found *f)
{
    say_pairs("setting", &f->settings);
    say_pairs("statement", &f->statements);
    say_pairs("there", &s->settings);
    for (unsigned kind = 0; kind < STATE_N_KINDS; kind++) {
        if ((f->answered & STATE_BIT(kind)) != 0)
            printf("answered %s\n", state_kind_name(kind));
        if ((f->found & STATE_BIT(kind)) != 0)
            printf("found %s %u\n", state_kind_name(kind), f->n[kind]);
    }
    if (f->was_reset)
        printf("reset\n");
    check(!s->settings_doubted || (f->answered & STATE_BIT(STATE_SETTINGS)) == 0, "doubts");
}

static void done(void *ctx, struct thread *self, struct server *s, struct inspect_found *found)
{
    struct run *r = ctx;

    (void)self;
    r->is_done = true;
    r->server = s;
    if (ctx != NULL && found != NULL)
        say_found(s, found);
    if (s == NULL)
        printf("lost\n");
}

static void say_nothing(void *ctx, struct thread *self, struct server *s,
                        struct inspect_found *found)
{
    struct run *r = ctx;

    (void)self;
    (void)found;
    check(s != NULL, "lost");
    r->is_done = true;
}

static void inspect(struct run *r, const struct inspect_order *order, const char *flags)
{
    struct server *s = r->server;
    struct thread *self = &r->crew.threads[0];
    struct pool *p = s->pool;

    r->is_done = false;
    if (has_word(flags, "release"))
        inspect_and_release(s, self, order);
    else
        check(inspect_begin(s, self, order, done, r) == 0, "memory");
    if (has_word(flags, "disown"))
        inspect_disown(s);
    if (has_word(flags, "release") || has_word(flags, "disown"))
        r->server = NULL;
    else
        turn_until(r, &r->is_done);
    if (r->server == NULL)
        acquire(r, p); /* the same one, if it lives: there is only one */
}

static void command_inspect(struct run *r, char *words)
{
    const char *kinds = strsep(&words, " "), *flags = strsep(&words, " "), *name;
    struct pairs asked = {NULL, 0, 0, false};
    struct inspect_order order = {.kinds = kinds_of(kinds),
                                  .names = &asked,
                                  .always = has_word(flags, "always"),
                                  .unknown_names = has_word(flags, "unknown")};

    while ((name = strsep(&words, ",")) != NULL)
        check(name[0] == '-' || pairs_put(&asked, span_str(name), span_str("")), "memory");
    inspect(r, &order, flags);
    pairs_fini(&asked);
}

static void command_time(struct run *r, char *words)
{
    unsigned n = (unsigned)strtoul(words, &words, 10);
    struct inspect_order order = {.kinds = kinds_of(words + 1)};
    uint64_t best_ns = UINT64_MAX;

    while (n-- > 0) {
        uint64_t begin_ns = clock_now_ns();

        r->is_done = false;
        check(inspect_begin(r->server, &r->crew.threads[0], &order, say_nothing, r) == 0, "memory");
        turn_until(r, &r->is_done);
        if (clock_now_ns() - begin_ns < best_ns)
            best_ns = clock_now_ns() - begin_ns;
    }
    printf("row %u\n", (unsigned)(best_ns / 1000));
}

static void say_undetected(const struct run *r, const struct inspect_counts *before)
{
    struct inspect_counts now;

    inspect_count(r->pools, &now);
    for (unsigned kind = 0; kind < STATE_N_KINDS; kind++)
        if (now.undetected[kind] > before->undetected[kind])
            printf("found %s\n", state_kind_name(kind));
}

static void command_audit(struct run *r)
{
    struct server *s = r->server;
    struct pool *p = s->pool;
    uint64_t begin_ns = clock_now_ns();
    struct inspect_counts before;

    inspect_count(r->pools, &before);
    r->server = NULL;
    pool_release(&r->crew.threads[0], s);
    while (atomic_load_explicit(&s->inspected_ns, memory_order_relaxed) < begin_ns) {
        turn(r);
        check(clock_now_ns() - begin_ns < PATIENCE_NS, "no audit comes");
    }
    acquire(r, p);
    say_undetected(r, &before);
}

static void serve(struct run *r)
{
    while (fgets(r->line, sizeof(r->line), stdin) != NULL) {
        r->line[strcspn(r->line, "\n")] = '\0';
        if (strncmp(r->line, "query ", 6) == 0)
            query(r, r->line + 6);
        else if (strncmp(r->line, "inspect ", 8) == 0)
            command_inspect(r, r->line + 8);
        else if (strcmp(r->line, "audit") == 0)
            command_audit(r);
        else if (strncmp(r->line, "time ", 5) == 0)
            command_time(r, r->line + 5);
        else
            fail("what?");
        printf("done\n");
        fflush(stdout);
    }
}

/* ---- the whole ---- */

static struct conf *configuration(char **arguments)
{
    struct conf *conf = NULL;
    struct conf_error error;
    char text[1024];
    int n = snprintf(text, sizeof(text),
                     "weir = { pool_mode = \"transaction\"; default_pool_size = 1; };\n"
                     "databases = ( { name = \"%s\"; host = \"%s\"; port = %s; user = \"%s\";"
                     " password = \"%s\"; } );\n",
                     arguments[5], arguments[1], arguments[2], arguments[3], arguments[4]);

    check(n > 0 && n < (int)sizeof(text), "arguments");
    if (conf_load_text("weir.conf", span_of(text, (size_t)n), &conf, &error) != 0)
        fail(error.text);
    return conf;
}

static void stopped(void *ctx)
{
    struct run *r = ctx;

    r->is_done = true;
}

static void work(struct run *r, char **arguments)
{
    struct pool *p;

    check(pools_find(r->pools, span_str(arguments[5]), span_str(arguments[3]), &p) == POOLS_FOUND,
          "no pool");
    check(pool_join(p, &r->crew.threads[0]) == 0, "memory");
    acquire(r, p);
    serve(r);
    pool_release(&r->crew.threads[0], r->server);
    r->is_done = false;
    pools_stop(r->pools, stopped, r);
    turn_until(r, &r->is_done);
    turn(r);
}

int main(int argc, char **argv)
{
    struct run *r = calloc(1, sizeof(*r));
    struct pools_config config = {.crew = &r->crew, .audit_interval_ns = AUDIT_INTERVAL_NS};
    struct arena *arena;

    check(r != NULL && argc == 6, "arguments");
    check(arena_new(&arena, &(struct arena_config){.chunk_size = 4096, .n_chunks = 1024}) == 0,
          "memory");
    r->crew.n_reactors = N_LOOPS - 1;
    for (unsigned i = 0; i < N_LOOPS; i++) {
        struct thread *t = &r->crew.threads[i];
        struct loop_config loop = {
            .engine = LOOP_ENGINE_EPOLL, .arena = arena, .on_mail = on_mail, .ctx = t};

        *t = (struct thread){.number = i, .crew = &r->crew};
        check(loop_new(&t->loop, &loop) == 0, "loop");
    }
    config.conf = configuration(argv);
    check(keys_new(&config.keys, 16) == 0 && jobs_new(&config.jobs, 1) == 0, "memory");
    check(pools_new(&r->pools, &config) == 0, "memory");
    conf_put(config.conf);
    work(r, argv);
    pools_free(r->pools);
    jobs_free(config.jobs);
    keys_free(config.keys);
    for (unsigned i = 0; i < N_LOOPS; i++)
        loop_free(r->crew.threads[i].loop);
    arena_free(arena);
    free(r);
    return 0;
}
