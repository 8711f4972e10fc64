/* The dialogue of a login, without a socket: every method, cut everywhere, and all that is refused.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../../../src/pool/dialogue.h"
#include "backend.h"
#include "pgwire/build.h"
#include "pgwire/sqlstate.h"

#define MESSAGES_MAX 65536

/* A dialogue and a server to have it with. */
struct talk {
    struct dialogue dialogue;
    struct keys *keys;
    struct secret secret;
    struct backend backend;
    struct pgw_writer said; /* by the server, not yet delivered */
    uint8_t bytes[MESSAGES_MAX];
    enum dialogue_step step;
};

static struct talk *talk_new(const struct backend *backend, const char *secret)
{
    struct talk *t = calloc(1, sizeof(*t));
    struct server_auth_config config = {.user = span_str(BACKEND_USER)};

    cr_assert_not_null(t);
    cr_assert_eq(keys_new(&t->keys, 4), 0);
    t->backend = *backend;
    t->said = pgw_writer_of(t->bytes, sizeof(t->bytes));
    if (secret != NULL)
        secret_parse(span_str(secret), &t->secret);
    config.secret = &t->secret;
    config.keys = t->keys;
    dialogue_init(&t->dialogue, &config, span_str(BACKEND_DATABASE), span_of(NULL, 0));
    return t;
}

static void talk_free(struct talk *t)
{
    dialogue_fini(&t->dialogue);
    keys_free(t->keys);
    free(t);
}

static enum dialogue_step deliver(struct talk *t, struct span data)
{
    t->step = dialogue_received(&t->dialogue, data);
    while (t->step == DIALOGUE_WORK) {
        dialogue_work(&t->dialogue);
        t->step = dialogue_worked(&t->dialogue);
    }
    return t->step;
}

/* What the dialogue says goes to the server at once; the server's words arrive in pieces of `piece`
 * bytes, the first one of all in `first` bytes. */
static enum dialogue_step talk_over(struct talk *t, size_t first, size_t piece)
{
    size_t next = first, from = 0;

    backend_take(&t->backend, span_of(t->dialogue.out.buf, t->dialogue.out.len), &t->said);
    while (from < t->said.len) {
        size_t n = next < t->said.len - from ? next : t->said.len - from;

        next = piece;
        if (deliver(t, span_of(t->bytes + from, n)) != DIALOGUE_MORE)
            break;
        from += n;
        backend_take(&t->backend, span_of(t->dialogue.out.buf, t->dialogue.out.len), &t->said);
    }
    return t->step;
}

static const char *const passwords[BACKEND_METHODS] = {NULL, "secret", "secret", "secret"};

Test(dialogue, every_method_cut_everywhere)
{
    for (unsigned method = 0; method < BACKEND_METHODS; method++) {
        struct backend backend = {.method = (enum backend_method)method, .password = "secret"};
        uint8_t room[256];
        struct span greeting = backend_greeting(room, sizeof(room));

        for (size_t cut = 1; cut < 300; cut++) {
            struct talk *t = talk_new(&backend, passwords[method]);
            struct dialogue *d = &t->dialogue;

            cr_assert_eq(talk_over(t, cut, cut % 2 == 0 ? cut : MESSAGES_MAX), DIALOGUE_READY,
                         "method %u cut at %zu: %s", method, cut, d->failure.message);
            cr_assert_eq(d->pid, BACKEND_PID);
            cr_assert(span_equal(span_of(d->key, d->key_len), span_of(BACKEND_KEY, 4)));
            cr_assert(span_equal(span_of(d->greeting, d->greeting_len), greeting));
            talk_free(t);
        }
    }
}

Test(dialogue, bytes_one_by_one)
{
    struct backend backend = {.method = BACKEND_SCRAM, .password = "secret", .iterations = 4096};
    struct talk *t = talk_new(&backend, "secret");

    cr_assert_eq(talk_over(t, 1, 1), DIALOGUE_READY, "%s", t->dialogue.failure.message);
    talk_free(t);
}

struct refusal {
    const char *refusal; /* by the server; NULL: the passwords differ */
    const char *secret;
    const char *sqlstate, *says;
    enum backend_method method;
    bool permanent;
};

static const struct refusal refusals[] = {
    {"28P01", NULL, "28P01", "FATAL: password authentication failed", BACKEND_TRUST, true},
    {"28000", NULL, "28000", "(28000)", BACKEND_TRUST, true},
    {"3D000", NULL, "3D000", "(3D000)", BACKEND_TRUST, true},
    {"42501", NULL, "42501", "(42501)", BACKEND_TRUST, true},
    {"57P03", NULL, "57P03", "(57P03)", BACKEND_TRUST, false},
    {"53300", NULL, "53300", "(53300)", BACKEND_TRUST, false},
    {NULL, "wrong", "28P01", "the password that weir has", BACKEND_CLEARTEXT, true},
    {NULL, "wrong", "28P01", "the password that weir has", BACKEND_MD5, true},
    {NULL, "wrong", "28P01", "the password that weir has", BACKEND_SCRAM, true},
    {NULL, "", "28000", "there is none for this user", BACKEND_CLEARTEXT, true},
    {NULL, "", "28000", "there is none for this user", BACKEND_SCRAM, true},
};

Test(dialogue, refusals)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *r = &refusals[i];
        struct backend backend = {.method = r->method, .password = "secret", .refusal = r->refusal};
        struct talk *t = talk_new(&backend, r->secret);
        struct dialogue *d = &t->dialogue;

        cr_assert_eq(talk_over(t, MESSAGES_MAX, MESSAGES_MAX), DIALOGUE_FAILED, "%zu", i);
        cr_assert_str_eq(d->failure.sqlstate, r->sqlstate, "%zu", i);
        cr_assert_eq(d->permanent, r->permanent, "%zu", i);
        cr_assert_not_null(strstr(d->failure.message, r->says), "%zu: %s", i, d->failure.message);
        cr_assert_eq(strncmp(d->failure.message, "server login failed: ", 21), 0);
        cr_assert_null(strstr(d->failure.message, "wrong"), "the password shows");
        talk_free(t);
    }
}

/* Bytes that no server should send; literals may hold NULs. */
#define BYTES(text) (text), sizeof(text) - 1
#define AUTH_OK "R\0\0\0\x08\0\0\0\0"
#define READY "Z\0\0\0\x05I"

static const struct nonsense {
    const char *bytes;
    size_t len;
    const char *says;
} nonsense[] = {
    {BYTES("HTTP/1.1 400 Bad Request\r\n"), "is not the PostgreSQL protocol"},
    {BYTES("\0\0\0\0\0"), "is not the PostgreSQL protocol"},
    {BYTES("R\0\0\0\x03"), "is not the PostgreSQL protocol"},
    {BYTES("R\0\0\0\x07\0\0\0"), "is not the PostgreSQL protocol"},
    {BYTES("R\xff\xff\xff\xff"), "is not the PostgreSQL protocol"},
    {BYTES("R\0\0\0\x08\0\0\0\x0b"), "malformed authentication"},
    {BYTES("R\0\0\0\x09\0\0\0\0x"), "malformed authentication"},
    {BYTES("R\0\0\0\x08\0\0\0\x09"), "SSPI"},
    {BYTES(READY), "ReadyForQuery from the server out of order"},
    {BYTES("S\0\0\0\x08"
           "a\0b\0"),
     "ParameterStatus from the server out of order"},
    {BYTES("K\0\0\0\x0c\0\0\0\1aaaa"), "BackendKeyData from the server out of order"},
    {BYTES("v\0\0\0\x0c\0\x03\0\0\0\0\0\0"), "NegotiateProtocolVersion from the server out"},
    {BYTES("E\0\0\0\x06M\0"), "malformed ErrorResponse"},
    {BYTES("N\0\0\0\x06M\0"), "malformed NoticeResponse"},
    {BYTES(AUTH_OK AUTH_OK), "Authentication from the server out of order"},
    {BYTES(AUTH_OK "D\0\0\0\x06\0\0"), "DataRow from the server out of order"},
    {BYTES(AUTH_OK "C\0\0\0\x05\0"), "CommandComplete from the server out of order"},
    {BYTES(AUTH_OK "A\0\0\0\x0a\0\0\0\1\0\0"), "NotificationResponse from the server out"},
    {BYTES(AUTH_OK "S\0\0\0\x06"
                   "ab"),
     "malformed ParameterStatus"},
    {BYTES(AUTH_OK "Z\0\0\0\x05T"), "ready but not idle"},
    {BYTES(AUTH_OK "Z\0\0\0\x05?"), "ready but not idle"},
    {BYTES(AUTH_OK READY "N"), "said more than it was asked for"},
    {BYTES(AUTH_OK READY READY), "said more than it was asked for"},
};

Test(dialogue, nonsense)
{
    struct backend backend = {.silent = true};

    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        struct talk *t = talk_new(&backend, NULL);
        struct dialogue *d = &t->dialogue;

        cr_assert_eq(deliver(t, span_of(nonsense[i].bytes, nonsense[i].len)), DIALOGUE_FAILED,
                     "%zu", i);
        cr_assert_not_null(strstr(d->failure.message, nonsense[i].says), "%zu: %s", i,
                           d->failure.message);
        cr_assert(!d->permanent || strcmp(d->failure.sqlstate, "08P01") != 0);
        talk_free(t);
    }
}

Test(dialogue, without_a_key)
{
    struct backend backend = {.silent = true};
    struct talk *t = talk_new(&backend, NULL);

    cr_assert_eq(deliver(t, span_of(AUTH_OK READY, sizeof(AUTH_OK READY) - 1)), DIALOGUE_READY);
    cr_assert_eq(t->dialogue.pid, 0);
    cr_assert_eq(t->dialogue.key_len, 0);
    cr_assert_eq(t->dialogue.greeting_len, 0);
    talk_free(t);
}

Test(dialogue, longest_key)
{
    uint8_t key[PGW_CANCEL_KEY_MAX];
    struct backend backend = {.silent = true};
    struct talk *t = talk_new(&backend, NULL);

    memset(key, 'k', sizeof(key));
    pgw_build_authentication(&t->said, PGW_AUTH_OK);
    pgw_build_backend_key_data(&t->said, 7, pgw_span_of(key, sizeof(key)));
    pgw_build_ready_for_query(&t->said, PGW_TX_IDLE);
    cr_assert_eq(deliver(t, span_of(t->bytes, t->said.len)), DIALOGUE_READY);
    cr_assert(span_equal(span_of(t->dialogue.key, t->dialogue.key_len), span_of(key, sizeof(key))));
    talk_free(t);
}

/* A server that is about to refuse says so before it is asked, and notices come at any time. */
Test(dialogue, notices_and_early_errors)
{
    static const struct pgw_report notice = {"WARNING", "01000", "collation has changed", NULL,
                                             NULL};
    static const struct pgw_report error = {"FATAL", "53300", "sorry, too many clients already",
                                            NULL, NULL};
    struct backend backend = {.silent = true};
    struct talk *t = talk_new(&backend, NULL);

    pgw_build_notice(&t->said, &notice);
    pgw_build_authentication(&t->said, PGW_AUTH_OK);
    pgw_build_notice(&t->said, &notice);
    pgw_build_error(&t->said, &error);
    cr_assert_eq(deliver(t, span_of(t->bytes, t->said.len)), DIALOGUE_FAILED);
    cr_assert_str_eq(t->dialogue.failure.message,
                     "server login failed: FATAL: sorry, too many clients already (53300)");
    cr_assert_str_eq(t->dialogue.failure.sqlstate, "53300");
    cr_assert_not(t->dialogue.permanent);
    talk_free(t);
}

Test(dialogue, an_error_without_a_code)
{
    static const char bytes[] = "E\0\0\0\x10SFATAL\0Mno\0";
    struct backend backend = {.silent = true};
    struct talk *t = talk_new(&backend, NULL);

    cr_assert_eq(deliver(t, span_of(bytes, sizeof(bytes))), DIALOGUE_FAILED);
    cr_assert_str_eq(t->dialogue.failure.message, "server login failed: FATAL: no (08004)");
    talk_free(t);
}

/* A text of many bytes is cut, at a whole character, and leaves room for the rest. */
Test(dialogue, a_long_error)
{
    for (size_t shift = 0; shift < 2; shift++) {
        char text[4000] = "x";
        struct pgw_report error = {"FATAL", "28P01", text, NULL, NULL};
        struct backend backend = {.silent = true};
        struct talk *t = talk_new(&backend, "secret");
        const char *message = t->dialogue.failure.message;

        for (size_t i = shift; i + 2 < sizeof(text); i += 2) {
            text[i] = '\xc3';
            text[i + 1] = '\xa9';
        }
        pgw_build_error(&t->said, &error);
        cr_assert_eq(deliver(t, span_of(t->bytes, t->said.len)), DIALOGUE_FAILED);
        cr_assert_not_null(strstr(message, "\xc3\xa9 (28P01); the password that weir has"), "%s",
                           message);
        talk_free(t);
    }
}

/* What came behind the message that a helper works on is looked at when it is done. */
Test(dialogue, bytes_behind_the_challenge)
{
    static const struct pgw_report error = {"FATAL", "57P01", "terminating", NULL, NULL};
    struct backend backend = {.method = BACKEND_SCRAM, .password = "secret"};
    struct talk *t = talk_new(&backend, "secret");
    struct dialogue *d = &t->dialogue;

    backend_take(&t->backend, span_of(d->out.buf, d->out.len), &t->said);
    cr_assert_eq(deliver(t, span_of(t->bytes, t->said.len)), DIALOGUE_MORE);
    pgw_writer_clear(&t->said);
    backend_take(&t->backend, span_of(d->out.buf, d->out.len), &t->said);
    pgw_build_error(&t->said, &error);
    cr_assert_eq(dialogue_received(d, span_of(t->bytes, t->said.len)), DIALOGUE_WORK);
    dialogue_work(d);
    cr_assert_eq(dialogue_worked(d), DIALOGUE_FAILED);
    cr_assert_str_eq(d->failure.sqlstate, "57P01");
    talk_free(t);
}

Test(dialogue, bounds)
{
    static char big[DIALOGUE_IN_MAX + 64];
    struct backend backend = {.silent = true};
    struct talk *t = talk_new(&backend, NULL);
    unsigned n = 0;

    /* more parameters than are kept */
    memset(big, 'x', 1000);
    pgw_build_authentication(&t->said, PGW_AUTH_OK);
    cr_assert_eq(deliver(t, span_of(t->bytes, t->said.len)), DIALOGUE_MORE);
    do {
        pgw_writer_clear(&t->said);
        pgw_build_parameter_status(&t->said, pgw_span_str("p"), pgw_span_of(big, 1000));
    } while (deliver(t, span_of(t->bytes, t->said.len)) == DIALOGUE_MORE && ++n < 100);
    cr_assert_eq(n, DIALOGUE_GREETING_MAX / t->said.len);
    cr_assert_not_null(strstr(t->dialogue.failure.message, "too many parameters"));
    talk_free(t);

    /* a message that does not fit, at once and in pieces */
    memset(big, 0, sizeof(big));
    big[0] = 'N';
    big[2] = 1;
    t = talk_new(&backend, NULL);
    cr_assert_eq(deliver(t, span_of(big, sizeof(big))), DIALOGUE_FAILED);
    talk_free(t);
    t = talk_new(&backend, NULL);
    for (n = 0; deliver(t, span_of(big + n, 1)) == DIALOGUE_MORE; n++)
        cr_assert_lt(n, DIALOGUE_IN_MAX);
    cr_assert_eq(n, DIALOGUE_IN_MAX - 1);
    cr_assert_not_null(strstr(t->dialogue.failure.message, "too much at once"));
    talk_free(t);
}

/* Keys that were derived once are known the next time, and forgotten when they are refused. */
Test(dialogue, keys_are_remembered)
{
    struct backend backend = {.method = BACKEND_SCRAM, .password = "secret"};
    struct talk *first = talk_new(&backend, "secret"), *next;

    cr_assert_eq(talk_over(first, MESSAGES_MAX, MESSAGES_MAX), DIALOGUE_READY);
    next = talk_new(&backend, "secret");
    next->dialogue.auth.config.keys = first->keys;
    backend_take(&next->backend, span_of(next->dialogue.out.buf, next->dialogue.out.len),
                 &next->said);
    for (size_t from = 0; next->step == DIALOGUE_MORE;) {
        size_t until = next->said.len;

        next->step = dialogue_received(&next->dialogue, span_of(next->bytes + from, until - from));
        from = until;
        backend_take(&next->backend, span_of(next->dialogue.out.buf, next->dialogue.out.len),
                     &next->said);
    }
    cr_assert_eq(next->step, DIALOGUE_READY, "a helper was asked");
    talk_free(next);
    talk_free(first);
}

#define SETTINGS "replication\0true\0options\0-c a=b\0"

/* What a replication client chose stands behind user and database, as it came; there is room for
 * all that a startup packet can hold. */
Test(dialogue, further_settings)
{
    static uint8_t much[PGW_STARTUP_BODY_MAX];
    static const char said[] =
        "\0\3\0\0user\0" BACKEND_USER "\0database\0" BACKEND_DATABASE "\0" SETTINGS;
    struct server_auth_config config = {.user = span_str(BACKEND_USER)};
    struct dialogue *d = calloc(1, sizeof(*d));

    cr_assert_not_null(d);
    dialogue_init(d, &config, span_str(BACKEND_DATABASE), span_of(SETTINGS, sizeof(SETTINGS) - 1));
    cr_assert_eq(d->out.len, 4 + sizeof(said));
    cr_assert_arr_eq(d->out.buf + 4, said, sizeof(said));
    dialogue_fini(d);
    dialogue_init(d, &config, span_str(BACKEND_DATABASE), span_of(much, sizeof(much)));
    cr_assert_not(d->out.full);
    dialogue_fini(d);
    free(d);
}
