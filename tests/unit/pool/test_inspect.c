/*
 * The dialogue of an inspection with a server that says what the test wants, in whatever pieces,
 * dies, or says nothing; and a memory that runs out. What PostgreSQL answers is in
 * tests/postgres/inspected.py.
 */
#include "play.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "pgwire/build.h"
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

/* ---- asking ---- */

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

static void check_counts(const struct play *p, enum state_kind kind, uint64_t moved,
                         uint64_t cleaned)
{
    struct inspect_counts counts;

    inspect_count(p->sc.pools, &counts);
    cr_assert_eq(counts.moved[kind], moved, "%s", state_kind_name(kind));
    cr_assert_eq(counts.cleaned[kind], cleaned, "%s", state_kind_name(kind));
    cr_assert_eq(counts.undetected[kind], 0);
}

/* ---- inspections ---- */

/* Wherever its answers are cut. */
ENGINE_TEST(inspect, answers_in_two_pieces)
{
    struct words first, second;
    struct pgw_span question = words_all_kinds(&first), cleaning = words_cleaned(&second);
    struct play p;

    play_begin(&p, *variant, "", 0);
    play_acquire(&p);
    for (size_t cut = 0; cut < question.len; cut++) {
        size_t also = cut % cleaning.len;

        p.client.server->settings_doubted = true;
        p.client.server->unnamed = 7;
        cr_assert_eq(inspect(&p, STATE_ALL), 0);
        cr_assert_eq(server_phase(p.server), SERVER_RESETTING);
        cr_assert_not_null(strstr(play_asked(&p), "pg_settings"));
        play_say(&p, pgw_span_of(question.ptr, cut));
        play_turn(&p);
        cr_assert_eq(p.n_done, 0);
        play_say(&p, pgw_span_skip(question, cut));
        check_is_cleaned(play_asked(&p), false);
        play_say(&p, pgw_span_of(cleaning.ptr, also));
        play_turn(&p);
        play_say(&p, pgw_span_skip(cleaning, also));
        PLAY_UNTIL(&p, p.n_done > 0);
        check_all_of_it(&p);
    }
    check_counts(&p, STATE_SETTINGS, question.len, 0);
    check_counts(&p, STATE_STATEMENTS, question.len, question.len);
    check_counts(&p, STATE_TEMP, 0, 0);
    check_counts(&p, STATE_LOCKS, 0, question.len);
    check_counts(&p, STATE_SEQUENCES, 0, question.len);
    play_end(&p);
}

/* Nobody is left to whom anything could move: before the question is answered, or while the rest
 * is cleaned. */
ENGINE_TEST(inspect, disowned)
{
    for (unsigned step = 0; step < 3; step++) {
        struct words words;
        struct server *s;
        struct play p;

        play_begin(&p, *variant, "", 0);
        play_acquire(&p);
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
        (void)play_asked(&p);
        if (step == 1)
            inspect_disown(s);
        play_say(&p, words_all_kinds(&words));
        check_is_cleaned(play_asked(&p), step < 2);
        if (step == 2) {
            const char *text;

            inspect_disown(s);
            play_say(&p, words_cleaned(&words));
            text = play_asked(&p);
            cr_assert_not_null(strstr(text, "DEALLOCATE \"a\";SET SESSION"));
            cr_assert_null(strstr(text, "DEALLOCATE \"b\""));
            cr_assert_null(strstr(text, "unlock"));
        }
        play_say(&p, words_cleaned(&words));
        PLAY_UNTIL(&p, server_phase(s) == SERVER_IDLE);
        cr_assert_eq(p.n_done, 0);
        cr_assert_eq(scene_count(p.pool).n_idle, 1);
        cr_assert_not(pairs_has(&s->settings, span_str("work_mem")));
        cr_assert_eq(s->sql_prepared.len, 0);
        check_counts(&p, STATE_SETTINGS, 0, 1);
        check_counts(&p, STATE_STATEMENTS, 0, 1);
        play_end(&p);
    }
}

/* Half an answer is none: all that was asked about is cleaned unseen. */
ENGINE_TEST(inspect, a_question_that_is_refused)
{
    unsigned kinds = STATE_ALL & ~STATE_BIT(STATE_STATEMENTS);
    struct words words;
    struct play p;
    const char *text;

    play_begin(&p, *variant, "", 0);
    play_acquire(&p);
    cr_assert(pairs_put(&p.client.server->settings, span_str("work_mem"), span_str("1")));
    cr_assert_eq(inspect(&p, kinds), 0);
    (void)play_asked(&p);
    words_begin(&words);
    words_row(&words, "s", "work_mem", "3634");
    words_error(&words, "ERROR");
    play_say(&p, words_ready(&words));
    text = play_asked(&p);
    cr_assert_not_null(strstr(text, "DISCARD SEQUENCES;CLOSE ALL;UNLISTEN *;"));
    cr_assert_not_null(strstr(text, "RESET ALL"));
    play_say(&p, words_cleaned(&words));
    PLAY_UNTIL(&p, p.n_done > 0);
    cr_assert_eq(p.found.answered, 0);
    cr_assert_eq(p.found.found, 0);
    cr_assert(p.found.was_reset);
    cr_assert_str_eq(p.settings, "");
    cr_assert_eq(p.client.server->settings.len, 0);
    play_end(&p);
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
        play_say(p, words_all_kinds(&words));
        (void)play_asked(p);
        words_begin(&words);
        words_error(&words, fault == CLEANING_FATAL ? "FATAL" : "ERROR");
        play_say(p, fault == CLEANING_FATAL ? pgw_writer_span(&words.w) : words_ready(&words));
        break;
    case STATEMENTS_REFUSED:
        words_error(&words, "ERROR");
        play_say(p, words_ready(&words));
        break;
    case FATAL:
        words_error(&words, "FATAL");
        play_say(p, pgw_writer_span(&words.w));
        break;
    case A_ROW_OF_NOTHING:
        words_row(&words, "?", "", "");
        play_say(p, pgw_writer_span(&words.w));
        break;
    case NO_LETTER:
        play_say(p, pgw_span_str("\x01\x01\x01\x01\x01\x01"));
        break;
    case NOT_IDLE:
        pgw_build_ready_for_query(&words.w, PGW_TX_OPEN);
        play_say(p, pgw_writer_span(&words.w));
        break;
    case TOO_LONG:
        for (size_t at = 0; at < sizeof(endless) && p->n_done == 0;) {
            ssize_t n =
                send(play_peer(p), endless + at, sizeof(endless) - at, MSG_DONTWAIT | MSG_NOSIGNAL);

            at += n > 0 ? (size_t)n : 0;
            play_turn(p);
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

        play_begin(&p, *variant, "", 0);
        play_acquire(&p);
        cr_assert_eq(inspect(&p, STATE_ALL), 0);
        (void)play_asked(&p);
        go_wrong(&p, (enum fault)fault);
        PLAY_UNTIL(&p, p.n_done > 0);
        cr_assert(p.was_lost, "%u", fault);
        scene_kill(&p.sc, p.server);
        SCENE_UNTIL(&p.sc, scene_count(p.pool).n_servers == 0);
        cr_assert_eq(p.n_done, 1);
        play_end(&p);
    }
}

/* Wherever it dies, disowned or not. */
ENGINE_TEST(inspect, servers_that_die)
{
    struct words first, second;
    struct pgw_span question = words_all_kinds(&first), cleaning = words_cleaned(&second);
    size_t all = question.len + cleaning.len;
    struct play p;

    play_begin(&p, *variant, "", 0);
    for (unsigned i = 0; i < 40; i++) {
        size_t at = all * i / 40;
        bool is_disowned = i % 2 != 0;

        play_acquire(&p);
        cr_assert_eq(inspect(&p, STATE_ALL), 0);
        (void)play_asked(&p);
        if (is_disowned)
            inspect_disown(p.server);
        play_say(&p, pgw_span_of(question.ptr, at < question.len ? at : question.len));
        if (at >= question.len) {
            (void)play_asked(&p);
            play_say(&p, pgw_span_of(cleaning.ptr, at - question.len));
        }
        scene_kill(&p.sc, p.server);
        SCENE_UNTIL(&p.sc, scene_count(p.pool).n_servers == 0);
        cr_assert_eq(p.n_done, is_disowned ? 0 : 1);
        cr_assert(is_disowned || p.was_lost);
    }
    play_end(&p);
}

/* At each place where memory is asked for: either nothing has begun, or the server is lost. */
ENGINE_TEST(inspect, no_memory)
{
    struct words first, second;
    struct pgw_span question = words_all_kinds(&first), cleaning = words_cleaned(&second);
    bool has_failed = true;
    unsigned n_refused = 0, n_lost = 0;
    struct play p;

    play_begin(&p, *variant, "", 0);
    for (unsigned place = 1; has_failed; place++) {
        int result;

        play_acquire(&p);
        cr_assert(pairs_put(&p.client.server->settings, span_str("app.x"), span_str("1")));
        fails_in = place;
        result = inspect(&p, STATE_ALL);
        if (result == 0) {
            (void)play_asked(&p);
            play_say(&p, pgw_span_of(question.ptr, 40)); /* what is cut needs memory, too */
            play_turn(&p);
            if (p.n_done == 0)
                play_say(&p, pgw_span_skip(question, 40));
            PLAY_UNTIL(&p, p.n_done > 0 || play_is_asked(&p));
            if (p.n_done == 0) {
                play_say(&p, cleaning);
                PLAY_UNTIL(&p, p.n_done > 0);
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
    play_end(&p);
}
