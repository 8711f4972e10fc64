/*
 * The dialogue of an inspection and of an audit with a server that says what the test wants, in
 * whatever pieces, dies, or says nothing; and a memory that runs out. What PostgreSQL answers is in
 * tests/postgres/inspected.py.
 */
#include "scene.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "pgwire/build.h"
#include "pgwire/frame.h"
#include "weir/base/clock.h"
#include "weir/pool/inspect.h"

/* ---- memory ---- */

/* NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): the linker's names */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

/* The how many-th allocation from now fails; 0: none. The linker gives the functions below no
 * argument for it. */
static unsigned fails_in;

static bool fails(void)
{
    return fails_in > 0 && --fails_in == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}
/* NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming) */

/* ---- a server that is asked ---- */

struct play {
    struct scene sc;
    struct pool *pool;
    struct client client;
    struct server *server; /* being asked */
    unsigned n_done;
    bool was_lost;
    struct inspect_found found; /* sets apart */
    char settings[128], statements[128];
    uint8_t in[16384]; /* of its last Query */
    size_t n_in;
};

static void turn(struct play *p)
{
    for (unsigned i = 0; i <= p->sc.n_reactors; i++)
        scene_turn(&p->sc, &p->sc.crew.threads[i]);
}

static void begin(struct play *p, enum rig_variant variant, const char *settings)
{
    scene_init(&p->sc, variant, 1, settings);
    p->pool = scene_pool(&p->sc, "db", "alice");
}

static void acquire(struct play *p)
{
    client_acquire(&p->client, &p->sc, p->pool, 0);
    SCENE_UNTIL(&p->sc, p->client.server != NULL);
}

static void end(struct play *p)
{
    if (p->client.server != NULL)
        client_release(&p->client);
    scene_fini(&p->sc);
}

static void copy(const struct pairs *from, char *to, size_t size)
{
    struct pair pair;
    size_t at = 0, len = 0;

    to[0] = '\0';
    while (pairs_next(from, &at, &pair))
        len += (size_t)snprintf(to + len, size - len, "%s=%s;", (const char *)pair.name.ptr,
                                (const char *)pair.value.ptr);
    cr_assert_lt(len, size);
}

static void done(void *ctx, struct thread *self, struct server *s, struct inspect_found *found)
{
    struct play *p = ctx;

    cr_assert_eq(self, scene_reactor(&p->sc, 0));
    cr_assert_eq(s == NULL, found == NULL);
    p->n_done++;
    p->was_lost = s == NULL;
    if (s == NULL)
        return;
    cr_assert_eq(s, p->server);
    cr_assert_eq(server_phase(s), SERVER_ACTIVE);
    cr_assert(stream_detached(&s->stream));
    cr_assert(pgw_reply_is_at_rest(&s->replies));
    cr_assert_not(wheel_armed(&s->timer));
    p->found = *found;
    copy(&found->settings, p->settings, sizeof(p->settings));
    copy(&found->statements, p->statements, sizeof(p->statements));
    p->client.server = s;
}

static int inspect(struct play *p, unsigned kinds)
{
    const struct inspect_order order = {.kinds = kinds};
    struct server *s = p->client.server;
    int error;

    p->n_done = 0;
    p->n_in = 0;
    error = inspect_begin(s, scene_reactor(&p->sc, 0), &order, done, p);
    if (error == 0) {
        p->server = s;
        p->client.server = NULL;
    }
    return error;
}

static int peer(const struct play *p)
{
    return p->sc.peers[p->server->id];
}

/* Reads what the server is sent; true when that is a whole Query. */
static bool is_asked(struct play *p)
{
    struct pgw_span left;
    struct pgw_frame frame;
    ssize_t n = recv(peer(p), p->in + p->n_in, sizeof(p->in) - p->n_in, MSG_DONTWAIT);

    if (n > 0)
        p->n_in += (size_t)n;
    left = pgw_span_of(p->in, p->n_in);
    if (pgw_frame_next(pgw_frontend_rules, &left, &frame) != PGW_READY)
        return false;
    cr_assert_eq(frame.type, 'Q');
    cr_assert_eq(left.len, 0);
    return true;
}

#define UNTIL(p, condition)                                                                        \
    do {                                                                                           \
        rig_wait_begin(&(p)->sc.rigs[0], RIG_PATIENCE_MS);                                         \
        while (!(condition)) {                                                                     \
            turn(p);                                                                               \
            cr_assert_not((p)->sc.rigs[0].late, "never came: %s", #condition);                     \
        }                                                                                          \
        rig_wait_end(&(p)->sc.rigs[0]);                                                            \
    } while (0)

/* The text of the next Query, which is there when this returns. */
static const char *asked(struct play *p)
{
    UNTIL(p, is_asked(p));
    p->n_in = 0;
    return (const char *)p->in + PGW_HEADER_LEN;
}

static void say(struct play *p, struct pgw_span words)
{
    if (words.len > 0)
        cr_assert_eq(send(peer(p), words.ptr, words.len, MSG_NOSIGNAL), (ssize_t)words.len);
}

/* ---- what it says ---- */

struct words {
    struct pgw_writer w;
    uint8_t bytes[4096];
};

static void words_begin(struct words *words)
{
    words->w = pgw_writer_of(words->bytes, sizeof(words->bytes));
}

static void row(struct words *words, const char *letter, const char *name, const char *value)
{
    struct pgw_column columns[] = {pgw_column_text("a"), pgw_column_text("b"),
                                   pgw_column_text("c")};
    struct pgw_value values[] = {{.bytes = pgw_span_str(letter)},
                                 {.bytes = pgw_span_str(name)},
                                 {.bytes = pgw_span_str(value)}};

    pgw_build_row_description(&words->w, columns, 3);
    pgw_build_data_row(&words->w, values, 3);
    pgw_build_command_complete(&words->w, pgw_span_str("SELECT 1"));
}

static void error(struct words *words, const char *severity)
{
    struct pgw_report report = {.severity = severity, .sqlstate = "57014", .message = "canceled"};

    pgw_build_error(&words->w, &report);
}

static struct pgw_span ready(struct words *words)
{
    pgw_build_ready_for_query(&words->w, PGW_TX_IDLE);
    cr_assert_not(words->w.full);
    return pgw_writer_span(&words->w);
}

/* Something of each kind that is asked about, among what comes unasked. */
static struct pgw_span all_of_it(struct words *words)
{
    static const uint8_t notification[] = {'A', 0, 0, 0, 12, 0, 0, 0, 1, 'a', 0, 'b', 0};
    struct pgw_report notice = {.severity = "NOTICE", .sqlstate = "00000", .message = "well"};

    words_begin(words);
    pgw_build_command_complete(&words->w, pgw_span_str("SET"));
    row(words, "s", "work_mem", "3634");
    pgw_build_notice(&words->w, &notice);
    row(words, "p", "a", "prepare a as select 1");
    row(words, "p", "b", "prepare b as select 1; select 2");
    pgw_writer_bytes(&words->w, pgw_span_of(notification, sizeof(notification)));
    row(words, "t", "", "0");
    row(words, "l", "", "2");
    row(words, "c", "", "0");
    pgw_build_parameter_status(&words->w, pgw_span_str("is_superuser"), pgw_span_str("on"));
    row(words, "h", "", "0");
    return ready(words);
}

static struct pgw_span cleaned(struct words *words)
{
    words_begin(words);
    pgw_build_command_complete(&words->w, pgw_span_str("SET"));
    row(words, "", "", "");
    pgw_build_command_complete(&words->w, pgw_span_str("RESET"));
    return ready(words);
}

static struct pgw_span nothing(struct words *words)
{
    words_begin(words);
    pgw_build_command_complete(&words->w, pgw_span_str("SELECT 0"));
    return ready(words);
}

static void check_all_of_it(const struct play *p)
{
    cr_assert_eq(p->n_done, 1);
    cr_assert_not(p->was_lost);
    cr_assert_str_eq(p->settings, "work_mem=64;");
    cr_assert_str_eq(p->statements, "a=prepare a as select 1;");
    cr_assert_eq(p->found.answered, STATE_ALL & ~STATE_BIT(STATE_SEQUENCES));
    cr_assert_eq(p->found.found,
                 STATE_BIT(STATE_SETTINGS) | STATE_BIT(STATE_STATEMENTS) | STATE_BIT(STATE_LOCKS));
    cr_assert_eq(p->found.n[STATE_STATEMENTS], 2);
    cr_assert_eq(p->found.n[STATE_LOCKS], 2);
    cr_assert_not(p->found.was_reset);
    cr_assert(pairs_has(&p->client.server->settings, span_str("work_mem")));
    cr_assert(pairs_has(&p->client.server->settings, span_str("is_superuser")));
    cr_assert_not(p->client.server->settings_doubted);
    cr_assert_eq(p->client.server->unnamed, 0);
}

static void check_is_cleaned(const char *text, bool with_moving)
{
    cr_assert_not_null(strstr(text, "pg_advisory_unlock_all"));
    cr_assert_not_null(strstr(text, "DISCARD SEQUENCES"));
    cr_assert_not_null(strstr(text, "DEALLOCATE \"b\""));
    cr_assert_null(strstr(text, "UNLISTEN"));
    cr_assert_eq(strstr(text, "DEALLOCATE \"a\"") != NULL, with_moving);
    cr_assert_eq(strstr(text, "RESET ALL") != NULL, with_moving);
}

/* ---- inspections ---- */

/* Wherever its answers are cut. */
ENGINE_TEST(inspect, answers_in_two_pieces)
{
    struct words first, second;
    struct pgw_span question = all_of_it(&first), cleaning = cleaned(&second);
    struct play p;

    begin(&p, *variant, "");
    acquire(&p);
    for (size_t cut = 0; cut < question.len; cut++) {
        size_t also = cut % cleaning.len;

        p.client.server->settings_doubted = true;
        p.client.server->unnamed = 7;
        cr_assert_eq(inspect(&p, STATE_ALL), 0);
        cr_assert_eq(server_phase(p.server), SERVER_RESETTING);
        cr_assert_not_null(strstr(asked(&p), "pg_settings"));
        say(&p, pgw_span_of(question.ptr, cut));
        turn(&p);
        cr_assert_eq(p.n_done, 0);
        say(&p, pgw_span_skip(question, cut));
        check_is_cleaned(asked(&p), false);
        say(&p, pgw_span_of(cleaning.ptr, also));
        turn(&p);
        say(&p, pgw_span_skip(cleaning, also));
        UNTIL(&p, p.n_done > 0);
        check_all_of_it(&p);
    }
    end(&p);
}

/* Nobody is left to whom anything could move: before the question is answered, or while the rest
 * is cleaned. */
ENGINE_TEST(inspect, disowned)
{
    for (unsigned step = 0; step < 3; step++) {
        struct words words;
        struct server *s;
        struct play p;

        begin(&p, *variant, "");
        acquire(&p);
        s = p.client.server;
        cr_assert(pairs_put(&s->sql_prepared, span_str("a"), span_str("x")));
        if (step == 0) {
            const struct inspect_order order = {.kinds = STATE_ALL};

            p.n_in = 0;
            p.client.server = NULL;
            p.server = s;
            inspect_and_release(s, scene_reactor(&p.sc, 0), &order);
        } else {
            cr_assert_eq(inspect(&p, STATE_ALL), 0);
        }
        (void)asked(&p);
        if (step == 1)
            inspect_disown(s);
        say(&p, all_of_it(&words));
        check_is_cleaned(asked(&p), step < 2);
        if (step == 2) {
            const char *text;

            inspect_disown(s);
            say(&p, cleaned(&words));
            text = asked(&p);
            cr_assert_not_null(strstr(text, "DEALLOCATE \"a\";SET SESSION"));
            cr_assert_null(strstr(text, "DEALLOCATE \"b\""));
            cr_assert_null(strstr(text, "unlock"));
        }
        say(&p, cleaned(&words));
        UNTIL(&p, server_phase(s) == SERVER_IDLE);
        cr_assert_eq(p.n_done, 0);
        cr_assert_eq(scene_count(p.pool).n_idle, 1);
        cr_assert_not(pairs_has(&s->settings, span_str("work_mem")));
        cr_assert_eq(s->sql_prepared.len, 0);
        end(&p);
    }
}

/* Half an answer is none: all that was asked about is cleaned unseen. */
ENGINE_TEST(inspect, a_question_that_is_refused)
{
    unsigned kinds = STATE_ALL & ~STATE_BIT(STATE_STATEMENTS);
    struct words words;
    struct play p;
    const char *text;

    begin(&p, *variant, "");
    acquire(&p);
    cr_assert(pairs_put(&p.client.server->settings, span_str("work_mem"), span_str("1")));
    cr_assert_eq(inspect(&p, kinds), 0);
    (void)asked(&p);
    words_begin(&words);
    row(&words, "s", "work_mem", "3634");
    error(&words, "ERROR");
    say(&p, ready(&words));
    text = asked(&p);
    cr_assert_not_null(strstr(text, "DISCARD SEQUENCES;CLOSE ALL;UNLISTEN *;"));
    cr_assert_not_null(strstr(text, "RESET ALL"));
    say(&p, cleaned(&words));
    UNTIL(&p, p.n_done > 0);
    cr_assert_eq(p.found.answered, 0);
    cr_assert_eq(p.found.found, 0);
    cr_assert(p.found.was_reset);
    cr_assert_str_eq(p.settings, "");
    cr_assert_eq(p.client.server->settings.len, 0);
    end(&p);
}

/* What an answer, or the end of one, must not be. */
enum fault {
    STATEMENTS_REFUSED,
    FATAL,
    A_ROW_OF_NOTHING,
    NO_LETTER,
    NOT_IDLE,
    TOO_LONG,
    CLEANING_REFUSED,
    CLEANING_FATAL,
    TOO_LATE,
    N_FAULTS,
};

static void go_wrong(struct play *p, enum fault fault)
{
    static uint8_t endless[(256U << 10) + 16] = {'N', 0x00, 0x20, 0x00, 0x00};
    struct words words;

    words_begin(&words);
    switch (fault) {
    case CLEANING_REFUSED:
    case CLEANING_FATAL:
        say(p, all_of_it(&words));
        (void)asked(p);
        words_begin(&words);
        error(&words, fault == CLEANING_FATAL ? "FATAL" : "ERROR");
        say(p, fault == CLEANING_FATAL ? pgw_writer_span(&words.w) : ready(&words));
        break;
    case STATEMENTS_REFUSED:
        error(&words, "ERROR");
        say(p, ready(&words));
        break;
    case FATAL:
        error(&words, "FATAL");
        say(p, pgw_writer_span(&words.w));
        break;
    case A_ROW_OF_NOTHING:
        row(&words, "?", "", "");
        say(p, pgw_writer_span(&words.w));
        break;
    case NO_LETTER:
        say(p, pgw_span_str("\x01\x01\x01\x01\x01\x01"));
        break;
    case NOT_IDLE:
        pgw_build_ready_for_query(&words.w, PGW_TX_OPEN);
        say(p, pgw_writer_span(&words.w));
        break;
    case TOO_LONG:
        for (size_t at = 0; at < sizeof(endless) && p->n_done == 0;) {
            ssize_t n =
                send(peer(p), endless + at, sizeof(endless) - at, MSG_DONTWAIT | MSG_NOSIGNAL);

            at += n > 0 ? (size_t)n : 0;
            turn(p);
        }
        break;
    case TOO_LATE:
        loop_timer_set(scene_reactor(&p->sc, 0)->loop, &p->server->timer, 0);
        break;
    case N_FAULTS:
        cr_assert(false);
    }
}

ENGINE_TEST(inspect, servers_that_are_given_up)
{
    for (unsigned fault = 0; fault < N_FAULTS; fault++) {
        struct play p;

        begin(&p, *variant, "");
        acquire(&p);
        cr_assert_eq(inspect(&p, STATE_ALL), 0);
        (void)asked(&p);
        go_wrong(&p, (enum fault)fault);
        UNTIL(&p, p.n_done > 0);
        cr_assert(p.was_lost, "%u", fault);
        scene_kill(&p.sc, p.server);
        SCENE_UNTIL(&p.sc, scene_count(p.pool).n_servers == 0);
        cr_assert_eq(p.n_done, 1);
        end(&p);
    }
}

/* Wherever it dies, disowned or not. */
ENGINE_TEST(inspect, servers_that_die)
{
    struct words first, second;
    struct pgw_span question = all_of_it(&first), cleaning = cleaned(&second);
    size_t all = question.len + cleaning.len;
    struct play p;

    begin(&p, *variant, "");
    for (unsigned i = 0; i < 40; i++) {
        size_t at = all * i / 40;
        bool is_disowned = i % 2 != 0;

        acquire(&p);
        cr_assert_eq(inspect(&p, STATE_ALL), 0);
        (void)asked(&p);
        if (is_disowned)
            inspect_disown(p.server);
        say(&p, pgw_span_of(question.ptr, at < question.len ? at : question.len));
        if (at >= question.len) {
            (void)asked(&p);
            say(&p, pgw_span_of(cleaning.ptr, at - question.len));
        }
        scene_kill(&p.sc, p.server);
        SCENE_UNTIL(&p.sc, scene_count(p.pool).n_servers == 0);
        cr_assert_eq(p.n_done, is_disowned ? 0 : 1);
        cr_assert(is_disowned || p.was_lost);
    }
    end(&p);
}

/* At each place where memory is asked for: either nothing has begun, or the server is lost. */
ENGINE_TEST(inspect, no_memory)
{
    struct words first, second;
    struct pgw_span question = all_of_it(&first), cleaning = cleaned(&second);
    bool has_failed = true;
    unsigned n_refused = 0, n_lost = 0;
    struct play p;

    begin(&p, *variant, "");
    for (unsigned place = 1; has_failed; place++) {
        int result;

        acquire(&p);
        cr_assert(pairs_put(&p.client.server->settings, span_str("app.x"), span_str("1")));
        fails_in = place;
        result = inspect(&p, STATE_ALL);
        if (result == 0) {
            (void)asked(&p);
            say(&p, pgw_span_of(question.ptr, 40)); /* what is cut needs memory, too */
            turn(&p);
            if (p.n_done == 0)
                say(&p, pgw_span_skip(question, 40));
            UNTIL(&p, p.n_done > 0 || is_asked(&p));
            if (p.n_done == 0) {
                say(&p, cleaning);
                UNTIL(&p, p.n_done > 0);
            }
        }
        has_failed = fails_in == 0;
        fails_in = 0;
        n_refused += result != 0;
        n_lost += result == 0 && p.was_lost;
        cr_assert(result == 0 || result == -ENOMEM);
        cr_assert_eq(has_failed, result != 0 || p.was_lost);
        if (p.client.server != NULL)
            client_discard(&p.client, true);
        else
            scene_kill(&p.sc, p.server);
        SCENE_UNTIL(&p.sc, scene_count(p.pool).n_servers == 0);
    }
    cr_assert_gt(n_refused, 2);
    cr_assert_gt(n_lost, 4);
    end(&p);
}

/* ---- audits ---- */

#define INTERVAL_NS (60 * NS_PER_MS)

static void begin_audited(struct play *p, enum rig_variant variant, const char *settings)
{
    scene_init(&p->sc, variant, 1, settings);
    p->sc.pools->config.audit_interval_ns = INTERVAL_NS;
    p->pool = scene_pool(&p->sc, "db", "alice");
}

static bool rests(const struct play *p)
{
    return atomic_load_explicit(&p->pool->audit_rests, memory_order_seq_cst);
}

static uint64_t n_undetected(const struct play *p)
{
    struct inspect_counts counts;
    uint64_t n = 0;

    inspect_count(p->sc.pools, &counts);
    for (unsigned kind = 0; kind < STATE_N_KINDS; kind++)
        n += counts.undetected[kind];
    return n;
}

/* Used and given back, at the time of a turn that begins now. */
static void use(struct play *p)
{
    turn(p);
    acquire(p);
    p->server = p->client.server;
    p->n_in = 0;
    client_release(&p->client);
}

static void audit_answered(struct play *p, struct pgw_span question)
{
    struct words words;

    cr_assert_not_null(strstr(asked(p), "pg_settings"));
    cr_assert_eq(scene_count(p->pool).n_idle, 0);
    say(p, question);
    cr_assert_not_null(strstr(asked(p), "DISCARD SEQUENCES"));
    say(p, cleaned(&words));
    UNTIL(p, server_phase(p->server) == SERVER_IDLE);
    cr_assert_eq(scene_count(p->pool).n_idle, 1);
}

#define TRANSACTIONS "pool_mode = \"transaction\"; default_pool_size = 2; "

ENGINE_TEST(audit, who_was_used_is_asked_once)
{
    struct words words;
    struct play p;

    begin_audited(&p, *variant, TRANSACTIONS);
    cr_assert(rests(&p));
    use(&p);
    audit_answered(&p, nothing(&words));
    UNTIL(&p, rests(&p));
    cr_assert_not(wheel_armed(&p.pool->control->audit)); /* nothing to wake up for */
    rig_let_pass(&p.sc.rigs[1], 2 * INTERVAL_NS / NS_PER_MS);
    cr_assert_eq(recv(peer(&p), p.in, sizeof(p.in), MSG_DONTWAIT), -1);
    use(&p);
    audit_answered(&p, nothing(&words));
    cr_assert_eq(n_undetected(&p), 0);
    end(&p);
}

ENGINE_TEST(audit, what_nobody_accounts_for_is_a_find)
{
    struct words words;
    struct play p;

    begin_audited(&p, *variant, TRANSACTIONS);
    use(&p);
    audit_answered(&p, all_of_it(&words));
    cr_assert_eq(n_undetected(&p), 3);
    turn(&p); /* or it would be used before it was asked */
    acquire(&p);
    p.server = p.client.server;
    cr_assert(pairs_put(&p.server->settings, span_str("work_mem"), span_str("64MB")));
    cr_assert(pairs_put(&p.server->sql_prepared, span_str("a"), span_str("prepare a ...")));
    client_release(&p.client);
    words_begin(&words);
    row(&words, "s", "work_mem", "3634");
    row(&words, "p", "a", "prepare a as select 1");
    audit_answered(&p, ready(&words));
    cr_assert_eq(n_undetected(&p), 3);
    cr_assert(pairs_has(&p.server->settings, span_str("work_mem")));
    cr_assert(pairs_has(&p.server->sql_prepared, span_str("a")));
    end(&p);
}

/* A client that comes meanwhile has the other one, or waits no longer than for the answer. */
ENGINE_TEST(audit, a_waiting_client_is_served_when_it_ends)
{
    struct words words;
    struct client c;
    struct play p;

    begin_audited(&p, *variant, "pool_mode = \"transaction\"; default_pool_size = 1;");
    use(&p);
    (void)asked(&p);
    client_acquire(&c, &p.sc, p.pool, 0);
    turn(&p);
    cr_assert_null(c.server);
    say(&p, nothing(&words));
    (void)asked(&p);
    say(&p, cleaned(&words));
    UNTIL(&p, c.server != NULL);
    cr_assert_eq(c.server, p.server);
    client_release(&c);
    end(&p);
}

ENGINE_TEST(audit, who_dies_or_is_to_go_meanwhile)
{
    for (unsigned stops = 0; stops < 2; stops++) {
        struct words words;
        struct play p;

        begin_audited(&p, *variant, TRANSACTIONS);
        use(&p);
        (void)asked(&p);
        if (stops == 0) {
            scene_kill(&p.sc, p.server);
            SCENE_UNTIL(&p.sc, scene_count(p.pool).n_servers == 0);
            cr_assert(rests(&p));
        } else {
            control_renew(scene_control(&p.sc), p.pool, "test");
            say(&p, nothing(&words));
            (void)asked(&p);
            say(&p, cleaned(&words));
            SCENE_UNTIL(&p.sc, scene_count(p.pool).n_servers == 0);
            cr_assert_eq(p.sc.n_terminates, 1);
        }
        end(&p);
    }
}

ENGINE_TEST(audit, where_there_is_none)
{
    static const char *const settings[] = {
        "pool_mode = \"session\";",
        "pool_mode = \"transaction\"; reset = \"never\";",
        "pool_mode = \"transaction\"; reset = \"always\";",
    };

    for (unsigned i = 0; i < 3; i++) {
        struct play p;

        begin_audited(&p, *variant, settings[i]);
        use(&p);
        rig_let_pass(&p.sc.rigs[1], INTERVAL_NS / NS_PER_MS / 4);
        cr_assert_not(rests(&p));
        cr_assert_not(wheel_armed(&p.pool->control->audit));
        end(&p);
    }
}
