#include "rig.h"

static struct rig rig;
static struct server_auth auth;
static struct rig_message out;

static void setup(void)
{
    rig_init(&rig);
}

static void teardown(void)
{
    server_auth_fini(&auth);
    rig_fini(&rig);
}

TestSuite(server_auth, .init = setup, .fini = teardown);

/* Bodies of the requests, as PostgreSQL sends them. */
#define OK "\0\0\0\0"
#define KERBEROS "\0\0\0\2"
#define CLEARTEXT "\0\0\0\3"
#define MD5 "\0\0\0\5\x01\x02\x03\x04"
#define SCM "\0\0\0\6"
#define GSS "\0\0\0\7"
#define GSS_CONTINUE "\0\0\0\x08xyz"
#define SSPI "\0\0\0\x09"
#define SASL "\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"
#define CONTINUE "\0\0\0\x0b"
#define FINAL "\0\0\0\x0c"

#define BODY(text) span_of("" text, sizeof(text) - 1)

static void login(const char *password, enum rig_kind kind)
{
    rig_login(&rig, &auth, password, kind);
}

static enum server_auth_result hear(struct span body)
{
    return rig_answer(&rig, &auth, body, &out);
}

static bool says(const char *text)
{
    return strstr(server_auth_why(&auth), text) != NULL;
}

/* ---- the first request ---- */

static const struct {
    struct span body;
    const char *password;
    enum rig_kind kind;
    enum server_auth_result result;
    const char *why;
} requests[] = {
#define REQUEST(text)                                                                              \
    {                                                                                              \
        (const uint8_t *)"" text, sizeof(text) - 1                                                 \
    }
    {REQUEST(OK), "", RIG_UNKNOWN, SERVER_AUTH_OK, ""},
    {REQUEST(OK), RIG_PASSWORD, RIG_UNKNOWN, SERVER_AUTH_OK, ""},
    {REQUEST(CLEARTEXT), RIG_PASSWORD, RIG_UNKNOWN, SERVER_AUTH_SEND, ""},
    {REQUEST(CLEARTEXT), "", RIG_PLAIN, SERVER_AUTH_SEND, ""},
    {REQUEST(CLEARTEXT), "", RIG_UNKNOWN, SERVER_AUTH_FAILED, "there is none for this user"},
    {REQUEST(CLEARTEXT), "", RIG_NONE, SERVER_AUTH_FAILED, "there is none for this user"},
    {REQUEST(CLEARTEXT), "", RIG_MD5, SERVER_AUTH_FAILED, "only a hash"},
    {REQUEST(CLEARTEXT), "", RIG_SCRAM, SERVER_AUTH_FAILED, "only a hash"},
    {REQUEST(MD5), RIG_PASSWORD, RIG_SCRAM, SERVER_AUTH_SEND, ""},
    {REQUEST(MD5), "", RIG_PLAIN, SERVER_AUTH_SEND, ""},
    {REQUEST(MD5), "", RIG_MD5, SERVER_AUTH_SEND, ""},
    {REQUEST(MD5), "", RIG_UNKNOWN, SERVER_AUTH_FAILED, "there is none for this user"},
    {REQUEST(MD5), "", RIG_SCRAM, SERVER_AUTH_FAILED, "SCRAM verifier"},
    {REQUEST(SASL), RIG_PASSWORD, RIG_MD5, SERVER_AUTH_SEND, ""},
    {REQUEST(SASL), "", RIG_PLAIN, SERVER_AUTH_SEND, ""},
    {REQUEST(SASL), "", RIG_SCRAM, SERVER_AUTH_SEND, ""},
    {REQUEST(SASL), "", RIG_UNKNOWN, SERVER_AUTH_FAILED, "there is none for this user"},
    {REQUEST(SASL), "", RIG_MD5, SERVER_AUTH_FAILED, "md5 hash"},
    {REQUEST("\0\0\0\x0aSCRAM-SHA-256-PLUS\0\0"), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_FAILED,
     "does not offer SCRAM-SHA-256"},
    {REQUEST("\0\0\0\x0aOAUTHBEARER\0\0"), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_FAILED,
     "does not offer SCRAM-SHA-256"},
    {REQUEST(KERBEROS), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_FAILED, "GSSAPI"},
    {REQUEST(GSS), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_FAILED, "GSSAPI"},
    {REQUEST(SSPI), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_FAILED, "SSPI"},
    {REQUEST(SCM), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_FAILED, "does not know"},
    {REQUEST("\0\0\0\x0d"), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_FAILED, "does not know"},
    {REQUEST("\0\0\1\0"), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_FAILED, "does not know"},
    {REQUEST(GSS_CONTINUE), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_MALFORMED, ""},
    {REQUEST(CONTINUE), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_MALFORMED, ""},
    {REQUEST(FINAL), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_MALFORMED, ""},
    {REQUEST(""), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_MALFORMED, ""},
    {REQUEST("\0\0\0"), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_MALFORMED, ""},
    {REQUEST(OK "x"), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_MALFORMED, ""},
    {REQUEST(CLEARTEXT "x"), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_MALFORMED, ""},
    {REQUEST("\0\0\0\5\1\2\3"), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_MALFORMED, ""},
    {REQUEST(MD5 "\5"), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_MALFORMED, ""},
    {REQUEST("\0\0\0\x0a"), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_MALFORMED, ""},
    {REQUEST("\0\0\0\x0aSCRAM-SHA-256\0"), RIG_PASSWORD, RIG_NONE, SERVER_AUTH_MALFORMED, ""},
};

Test(server_auth, first_request)
{
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        login(requests[i].password, requests[i].kind);
        cr_assert_eq(hear(requests[i].body), requests[i].result, "%zu", i);
        cr_assert_eq(out.w.len > 0, requests[i].result == SERVER_AUTH_SEND, "%zu", i);
        cr_assert(says(requests[i].why), "%zu: %s", i, server_auth_why(&auth));
    }
}

static void expect_answer(const char *text, size_t len)
{
    cr_assert(span_equal(rig_body(&out, 'p'), span_of(text, len)));
}

Test(server_auth, password_in_clear)
{
    login(RIG_PASSWORD, RIG_SCRAM);
    cr_assert_eq(hear(BODY(CLEARTEXT)), SERVER_AUTH_SEND);
    expect_answer("pencil", 7);
    cr_assert_eq(hear(BODY(OK)), SERVER_AUTH_OK);
}

Test(server_auth, the_configured_password_wins)
{
    login("configured", RIG_PLAIN);
    cr_assert_eq(hear(BODY(CLEARTEXT)), SERVER_AUTH_SEND);
    expect_answer("configured", 11);
}

Test(server_auth, a_password_that_does_not_fit)
{
    char password[4001];

    memset(password, 'x', sizeof(password) - 1);
    password[sizeof(password) - 1] = '\0';
    login(password, RIG_NONE);
    cr_assert_eq(hear(BODY(CLEARTEXT)), SERVER_AUTH_FAILED);
    cr_assert(says("too long"));
}

/* Computed with md5sum: md5(md5("pencilalice") || 01 02 03 04). */
Test(server_auth, md5)
{
    static const char *const passwords[] = {RIG_PASSWORD, "", ""};
    static const enum rig_kind kinds[] = {RIG_NONE, RIG_PLAIN, RIG_MD5};

    for (size_t i = 0; i < 3; i++) {
        login(passwords[i], kinds[i]);
        cr_assert_eq(hear(BODY(MD5)), SERVER_AUTH_SEND);
        expect_answer("md537cba386e8b90f1e3941a0e792722253", 36);
        cr_assert_eq(hear(BODY(OK)), SERVER_AUTH_OK);
    }
}

/* ---- what may follow ---- */

static const struct span bodies[] = {
    REQUEST(OK),    REQUEST(KERBEROS),     REQUEST(CLEARTEXT), REQUEST(MD5),  REQUEST(SCM),
    REQUEST(GSS),   REQUEST(GSS_CONTINUE), REQUEST(SSPI),      REQUEST(SASL), REQUEST(CONTINUE),
    REQUEST(FINAL), REQUEST("\0\0\0\x0d"), REQUEST(""),
};

#define N_BODIES (sizeof(bodies) / sizeof(bodies[0]))

Test(server_auth, after_an_answer_only_ok)
{
    static const struct span first[] = {REQUEST(CLEARTEXT), REQUEST(MD5)};

    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < N_BODIES; j++) {
            login(RIG_PASSWORD, RIG_NONE);
            cr_assert_eq(hear(first[i]), SERVER_AUTH_SEND);
            cr_assert_eq(hear(bodies[j]), j == 0 ? SERVER_AUTH_OK : SERVER_AUTH_MALFORMED,
                         "%zu %zu", i, j);
            cr_assert_eq(hear(bodies[j]), SERVER_AUTH_MALFORMED); /* over is over */
        }
    }
}

/* ---- SCRAM: as a login that psql did at PostgreSQL 15 with the password "x" ---- */

#define SALT "5zE/QIDg/AkYKJ3cACHtdA=="
#define NONCE "9qsRLNIQLwsvP7+XwZNTiT3R"
#define BOTH NONCE "Q6mgkUjbm/nIfit6o46fdZQu"
#define CHALLENGE CONTINUE "r=" BOTH ",s=" SALT ",i=4096"
#define PROOF "c=biws,r=" BOTH ",p=pf5EnbXu5tfzGyeMU5UD4gafR+HFPDZJmMbe0CUxHFc="
#define VERDICT FINAL "v=DxTsEivv560gZuUo48Gowo6ij7rX84LBkXohnpOLxXE="

/* Its verifier, with other keys. */
static struct scram_verifier recorded_verifier(void)
{
    struct scram_verifier v = {.iterations = 4096, .salt_len = 16};
    size_t len;

    cr_assert(base64_decode(span_str(SALT), v.salt, sizeof(v.salt), &len));
    return v;
}

/* client-first-message is sent, with the recorded nonce instead of one by chance. */
static void begin(const char *password, enum rig_kind kind)
{
    struct scram_message first;

    login(password, kind);
    cr_assert_eq(hear(BODY(SASL)), SERVER_AUTH_SEND);
    scram_client_init(&auth.scram, span_str(NONCE), &first);
    cr_assert_eq(rig_body(&out, 'p').len, sizeof(SCRAM_MECHANISM) + 4 + first.len);
}

static void begin_proof(void)
{
    begin("x", RIG_NONE);
    cr_assert_eq(hear(BODY(CHALLENGE)), SERVER_AUTH_SEND);
    expect_answer(PROOF, sizeof(PROOF) - 1);
}

Test(server_auth, a_recorded_exchange)
{
    begin_proof();
    cr_assert_eq(rig.n_works, 1);
    begin_proof(); /* no server has proven them yet */
    cr_assert_eq(rig.n_works, 2);
    cr_assert_eq(hear(BODY(VERDICT)), SERVER_AUTH_WAIT);
    cr_assert_eq(out.w.len, 0);
    cr_assert_eq(hear(BODY(OK)), SERVER_AUTH_OK);

    begin_proof(); /* the keys are known now */
    cr_assert_eq(rig.n_works, 2);
    cr_assert_eq(hear(BODY(VERDICT)), SERVER_AUTH_WAIT);
    cr_assert_eq(hear(BODY(OK)), SERVER_AUTH_OK);

    begin("y", RIG_NONE); /* but not to those who have another password */
    cr_assert_eq(hear(BODY(CHALLENGE)), SERVER_AUTH_SEND);
    cr_assert_eq(rig.n_works, 3);
    begin("", RIG_SCRAM);
    rig.secrets[RIG_SCRAM].scram = recorded_verifier();
    cr_assert_eq(hear(BODY(CHALLENGE)), SERVER_AUTH_FAILED);
}

static void begin_challenge(void)
{
    begin("x", RIG_NONE);
}

static void begin_verdict(void)
{
    begin_proof();
    cr_assert_eq(hear(BODY(VERDICT)), SERVER_AUTH_WAIT);
}

Test(server_auth, every_step_of_scram_takes_one_message_only)
{
    static void (*const begins[])(void) = {begin_challenge, begin_proof, begin_verdict};

    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < N_BODIES; j++) {
            begins[i]();
            cr_assert_eq(hear(bodies[j]), i == 2 && j == 0 ? SERVER_AUTH_OK : SERVER_AUTH_MALFORMED,
                         "%zu %zu", i, j);
            cr_assert_eq(hear(bodies[j]), SERVER_AUTH_MALFORMED);
        }
    }
}

static const struct {
    struct span body;
    enum server_auth_result result;
} challenges[] = {
    {REQUEST(CHALLENGE), SERVER_AUTH_SEND},
    {REQUEST(CHALLENGE ",x=1"), SERVER_AUTH_SEND}, /* an extension */
    {REQUEST(CONTINUE), SERVER_AUTH_MALFORMED},
    {REQUEST(CONTINUE "r=" NONCE ",s=" SALT ",i=4096"), SERVER_AUTH_MALFORMED}, /* not extended */
    {REQUEST(CONTINUE "r=x" BOTH ",s=" SALT ",i=4096"), SERVER_AUTH_MALFORMED},
    {REQUEST(CONTINUE "r=" BOTH ",s=,i=4096"), SERVER_AUTH_MALFORMED},
    {REQUEST(CONTINUE "r=" BOTH ",s=" SALT ",i=0"), SERVER_AUTH_MALFORMED},
    {REQUEST(CONTINUE "r=" BOTH ",s=" SALT ",i=99999999"), SERVER_AUTH_MALFORMED},
    {REQUEST(CONTINUE "r=" BOTH ",s=" SALT), SERVER_AUTH_MALFORMED},
};

Test(server_auth, challenges)
{
    for (size_t i = 0; i < sizeof(challenges) / sizeof(challenges[0]); i++) {
        begin("x", RIG_NONE);
        cr_assert_eq(hear(challenges[i].body), challenges[i].result, "%zu", i);
    }
}

static const struct {
    struct span body;
    enum server_auth_result result;
} verdicts[] = {
    {REQUEST(VERDICT), SERVER_AUTH_WAIT},
    {REQUEST(FINAL "v=EhTsEivv560gZuUo48Gowo6ij7rX84LBkXohnpOLxXE="), SERVER_AUTH_FAILED},
    {REQUEST(FINAL "e=invalid-proof"), SERVER_AUTH_FAILED},
    {REQUEST(FINAL "v=AAAA"), SERVER_AUTH_MALFORMED},
    {REQUEST(FINAL "v="), SERVER_AUTH_MALFORMED},
    {REQUEST(FINAL), SERVER_AUTH_MALFORMED},
};

Test(server_auth, a_server_must_prove_itself)
{
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
        begin_proof();
        cr_assert_eq(hear(verdicts[i].body), verdicts[i].result, "%zu", i);
        cr_assert_eq(says("could not prove"), verdicts[i].result == SERVER_AUTH_FAILED);
    }
}

Test(server_auth, keys_that_a_server_does_not_share_are_not_kept)
{
    begin_proof();
    cr_assert_eq(hear(verdicts[1].body), SERVER_AUTH_FAILED);
    begin_proof();
    cr_assert_eq(rig.n_works, 2);
    cr_assert_eq(hear(verdicts[0].body), SERVER_AUTH_WAIT); /* kept */
    begin_proof();
    cr_assert_eq(rig.n_works, 2);
    cr_assert_eq(hear(verdicts[1].body), SERVER_AUTH_FAILED);
    begin_proof();
    cr_assert_eq(rig.n_works, 3);
}

Test(server_auth, nonces_differ)
{
    uint8_t first[128];
    struct span body;

    login("x", RIG_NONE);
    cr_assert_eq(hear(BODY(SASL)), SERVER_AUTH_SEND);
    body = rig_body(&out, 'p');
    cr_assert_leq(body.len, sizeof(first));
    memcpy(first, body.ptr, body.len);
    login("x", RIG_NONE);
    cr_assert_eq(hear(BODY(SASL)), SERVER_AUTH_SEND);
    cr_assert_not(span_equal(rig_body(&out, 'p'), span_of(first, body.len)));
}

/* The helper had no memory: as if it had done nothing. */
Test(server_auth, without_a_derivation_there_is_no_proof)
{
    begin("x", RIG_NONE);
    cr_assert_eq(server_auth_message(&auth, BODY(CHALLENGE), rig_room(&out, 2048)),
                 SERVER_AUTH_WORK);
    cr_assert_eq(server_auth_worked(&auth, &out.w), SERVER_AUTH_FAILED);
    cr_assert(says("memory"));
    cr_assert_eq(out.w.len, 0);
}

Test(server_auth, nothing_is_left_in_memory)
{
    static const struct server_auth zero;

    begin_proof();
    server_auth_fini(&auth);
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): padding is wiped too */
    cr_assert_eq(memcmp(&auth, &zero, sizeof(auth)), 0);
}

/* ---- pass-through ---- */

Test(server_auth, a_verifier_without_keys_says_what_is_missing)
{
    struct scram_verifier *ours = &rig.secrets[RIG_SCRAM].scram;

    begin("", RIG_SCRAM);
    cr_assert_eq(hear(BODY(CHALLENGE)), SERVER_AUTH_FAILED);
    cr_assert(says("differs from the server's (salt or iterations)"));

    *ours = recorded_verifier();
    begin("", RIG_SCRAM);
    cr_assert_eq(hear(BODY(CHALLENGE)), SERVER_AUTH_FAILED);
    cr_assert(says("only after a client of this user"));

    ours->iterations++;
    begin("", RIG_SCRAM);
    cr_assert_eq(hear(BODY(CHALLENGE)), SERVER_AUTH_FAILED);
    cr_assert(says("differs from the server's (salt or iterations)"));
}

Test(server_auth, learned_keys_log_in_and_are_forgotten_once_refused)
{
    struct scram_verifier v = recorded_verifier();
    struct key_pair pair;

    cr_assert(scram_derive(span_str("x"), &v, pair.client_key));
    memcpy(pair.server_key, v.server_key, SHA256_LEN);
    rig.secrets[RIG_SCRAM].scram = v;
    keys_put(rig.keys, span_str(RIG_USER), &v, &pair);
    begin("", RIG_SCRAM);
    cr_assert_eq(hear(BODY(CHALLENGE)), SERVER_AUTH_SEND);
    expect_answer(PROOF, sizeof(PROOF) - 1);
    cr_assert_eq(rig.n_works, 0);

    cr_assert_str_eq(server_auth_refused(&auth, "28000"), "");
    cr_assert(keys_find(rig.keys, span_str(RIG_USER), &v, &pair));
    cr_assert_not_null(strstr(server_auth_refused(&auth, "28P01"),
                              "verifier in auth_file differs from the server's"));
    cr_assert_not(keys_find(rig.keys, span_str(RIG_USER), &v, &pair));
    begin("", RIG_SCRAM);
    cr_assert_eq(hear(BODY(CHALLENGE)), SERVER_AUTH_FAILED);
}

Test(server_auth, hints_after_a_refusal)
{
    begin_proof();
    cr_assert_not_null(strstr(server_auth_refused(&auth, "28P01"), "is not the server's"));
    cr_assert_str_eq(server_auth_refused(&auth, "53300"), "");
    login("", RIG_UNKNOWN);
    cr_assert_str_eq(server_auth_refused(&auth, "28P01"), "");
}
