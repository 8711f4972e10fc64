#include "rig.h"

static struct rig rig;
static struct client_auth auth;
static struct rig_message out;

static void setup(void)
{
    rig_init(&rig);
}

static void teardown(void)
{
    client_auth_fini(&auth);
    rig_fini(&rig);
}

TestSuite(client_auth, .init = setup, .fini = teardown);

static enum client_auth_result start(enum conf_auth_type method, enum rig_kind kind)
{
    return rig_start(&rig, &auth, method, kind, &out);
}

static enum client_auth_result hear(struct span body)
{
    return rig_hear(&rig, &auth, body, &out);
}

/* A literal with the NUL that ends it. */
#define STRING(text) span_of("" text, sizeof(text))

static void expect_request(const char *bytes, size_t len)
{
    struct span body = rig_body(&out, 'R');

    cr_assert(body.len >= len && memcmp(body.ptr, bytes, len) == 0);
}

Test(client_auth, trust_asks_for_nothing)
{
    cr_assert_eq(start(CONF_AUTH_TRUST, RIG_SCRAM), CLIENT_AUTH_OK);
    cr_assert_eq(out.w.len, 0);
    cr_assert_eq(start(CONF_AUTH_TRUST, RIG_UNKNOWN), CLIENT_AUTH_OK);
    cr_assert_eq(out.w.len, 0);
}

/* ---- the password in clear ---- */

static const struct {
    struct span body;
    enum client_auth_result result; /* where there is a password; else it is refused */
} passwords[] = {
    {{(const uint8_t *)RIG_PASSWORD, sizeof(RIG_PASSWORD)}, CLIENT_AUTH_OK},
    {{(const uint8_t *)"Pencil", 7}, CLIENT_AUTH_REFUSED},
    {{(const uint8_t *)"pencil ", 8}, CLIENT_AUTH_REFUSED},
    {{(const uint8_t *)"penci", 6}, CLIENT_AUTH_REFUSED},
    {{(const uint8_t *)"", 1}, CLIENT_AUTH_REFUSED},
    {{(const uint8_t *)"", 0}, CLIENT_AUTH_MALFORMED},
    {{(const uint8_t *)RIG_PASSWORD, sizeof(RIG_PASSWORD) - 1}, CLIENT_AUTH_MALFORMED},
    {{(const uint8_t *)"pencil\0\0", 8}, CLIENT_AUTH_MALFORMED},
    {{(const uint8_t *)"pencil\0pencil", 14}, CLIENT_AUTH_MALFORMED},
};

Test(client_auth, password)
{
    for (enum rig_kind kind = RIG_UNKNOWN; kind < RIG_KINDS; kind++) {
        for (size_t i = 0; i < sizeof(passwords) / sizeof(passwords[0]); i++) {
            enum client_auth_result expected = passwords[i].result;

            if (expected == CLIENT_AUTH_OK && kind < RIG_PLAIN)
                expected = CLIENT_AUTH_REFUSED;
            cr_assert_eq(start(CONF_AUTH_PASSWORD, kind), CLIENT_AUTH_ASK);
            expect_request("\0\0\0\3", 4);
            cr_assert_eq(hear(passwords[i].body), expected, "%u %zu", kind, i);
        }
    }
}

/* A plain one may be as long as a message, one that a helper works on has a limit. */
Test(client_auth, a_long_password)
{
    static const size_t lens[] = {SCRAM_MESSAGE_MAX, SCRAM_MESSAGE_MAX + 1, 60000};

    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        bool fits = lens[i] <= SCRAM_MESSAGE_MAX;
        size_t derived_len = fits ? lens[i] : SCRAM_MESSAGE_MAX; /* it is not cut to that */
        uint8_t *text = calloc(1, lens[i] + 1);

        cr_assert_not_null(text);
        memset(text, 'x', lens[i]);
        rig.secrets[RIG_PLAIN].plain = span_of(text, lens[i]);
        cr_assert(scram_derive(span_of(text, derived_len), &rig.secrets[RIG_SCRAM].scram, NULL));
        for (enum rig_kind kind = RIG_UNKNOWN; kind < RIG_KINDS; kind++) {
            bool in = kind == RIG_PLAIN || (kind == RIG_SCRAM && fits);

            cr_assert_eq(start(CONF_AUTH_PASSWORD, kind), CLIENT_AUTH_ASK);
            cr_assert_eq(hear(span_of(text, lens[i] + 1)),
                         in ? CLIENT_AUTH_OK : CLIENT_AUTH_REFUSED, "%u %zu", kind, lens[i]);
        }
        free(text);
    }
}

Test(client_auth, hashes_of_the_empty_password_let_nobody_in)
{
    struct scram_verifier *v = &rig.secrets[RIG_SCRAM].scram;
    char *hex = rig.secrets[RIG_MD5].md5_hex, answer[3 + MD5_HEX_LEN + 1] = "md5";

    cr_assert(scram_derive(span_str(""), v, NULL));
    cr_assert_eq(start(CONF_AUTH_PASSWORD, RIG_SCRAM), CLIENT_AUTH_ASK);
    cr_assert_eq(hear(STRING("")), CLIENT_AUTH_REFUSED);

    digest_md5_hex(span_str(""), span_str(RIG_USER), hex);
    cr_assert_eq(start(CONF_AUTH_PASSWORD, RIG_MD5), CLIENT_AUTH_ASK);
    cr_assert_eq(hear(STRING("")), CLIENT_AUTH_REFUSED);
    cr_assert_eq(start(CONF_AUTH_MD5, RIG_MD5), CLIENT_AUTH_ASK);
    digest_md5_hex(span_of(hex, MD5_HEX_LEN), span_of(rig_body(&out, 'R').ptr + 4, 4), answer + 3);
    cr_assert_eq(hear(span_of(answer, sizeof(answer))), CLIENT_AUTH_REFUSED);
}

/* ---- md5 ---- */

/* As libpq answers. */
static void md5_answer(const char *password, char answer[3 + MD5_HEX_LEN + 1])
{
    char hex[MD5_HEX_LEN];

    memcpy(answer, "md5", 4);
    digest_md5_hex(span_str(password), span_str(RIG_USER), hex);
    digest_md5_hex(span_of(hex, sizeof(hex)), span_of(rig_body(&out, 'R').ptr + 4, 4), answer + 3);
    answer[3 + MD5_HEX_LEN] = '\0';
}

static void check_md5(enum rig_kind kind, const char *password, enum client_auth_result result)
{
    char answer[3 + MD5_HEX_LEN + 1];

    cr_assert_eq(start(CONF_AUTH_MD5, kind), CLIENT_AUTH_ASK);
    expect_request("\0\0\0\5", 4);
    cr_assert_eq(rig_body(&out, 'R').len, 8);
    md5_answer(password, answer);
    cr_assert_eq(hear(span_of(answer, sizeof(answer))), result, "%u %s", kind, password);
}

Test(client_auth, md5)
{
    check_md5(RIG_PLAIN, RIG_PASSWORD, CLIENT_AUTH_OK);
    check_md5(RIG_MD5, RIG_PASSWORD, CLIENT_AUTH_OK);
    check_md5(RIG_NONE, RIG_PASSWORD, CLIENT_AUTH_REFUSED);
    check_md5(RIG_UNKNOWN, RIG_PASSWORD, CLIENT_AUTH_REFUSED);
    check_md5(RIG_PLAIN, "Pencil", CLIENT_AUTH_REFUSED);
    check_md5(RIG_MD5, "", CLIENT_AUTH_REFUSED);
    cr_assert_eq(rig.n_works, 0);
}

Test(client_auth, md5_cut_or_with_a_byte_that_is_another)
{
    char answer[3 + MD5_HEX_LEN + 1];

    for (size_t i = 0; i < sizeof(answer); i++) {
        cr_assert_eq(start(CONF_AUTH_MD5, RIG_MD5), CLIENT_AUTH_ASK);
        md5_answer(RIG_PASSWORD, answer);
        cr_assert_eq(hear(span_of(answer, i)), CLIENT_AUTH_MALFORMED, "%zu", i);

        cr_assert_eq(start(CONF_AUTH_MD5, RIG_MD5), CLIENT_AUTH_ASK);
        md5_answer(RIG_PASSWORD, answer);
        answer[i] ^= 1;
        cr_assert_eq(hear(span_of(answer, sizeof(answer))),
                     i == sizeof(answer) - 1 ? CLIENT_AUTH_MALFORMED : CLIENT_AUTH_REFUSED, "%zu",
                     i);
    }
}

Test(client_auth, md5_salts_differ)
{
    uint8_t salts[8][4];

    for (size_t i = 0; i < 8; i++) {
        cr_assert_eq(start(CONF_AUTH_MD5, RIG_MD5), CLIENT_AUTH_ASK);
        memcpy(salts[i], rig_body(&out, 'R').ptr + 4, 4);
        for (size_t j = 0; j < i; j++)
            cr_assert_neq(memcmp(salts[i], salts[j], 4), 0);
    }
}

/* ---- SCRAM ---- */

#define CLIENT_FIRST "n,,n=,r=abc"

static struct span initial(const char *mechanism, const char *data, uint8_t room[256])
{
    struct pgw_writer w = pgw_writer_of(room, 256);
    struct pgw_span text = pgw_span_str(data == NULL ? "" : data);

    pgw_build_sasl_initial_response(&w, pgw_span_str(mechanism), data == NULL ? NULL : &text);
    return span_of(room + PGW_HEADER_LEN, w.len - PGW_HEADER_LEN);
}

static const struct {
    const char *mechanism, *data;
    enum client_auth_result result;
} initials[] = {
    {SCRAM_MECHANISM, CLIENT_FIRST, CLIENT_AUTH_ASK},
    {SCRAM_MECHANISM, "y,,n=someone,r=abc", CLIENT_AUTH_ASK},
    {SCRAM_MECHANISM, NULL, CLIENT_AUTH_MALFORMED},
    {SCRAM_MECHANISM, "", CLIENT_AUTH_MALFORMED},
    {SCRAM_MECHANISM, "n,,n=,r=", CLIENT_AUTH_MALFORMED},
    {SCRAM_MECHANISM, "p=tls-server-end-point,,n=,r=abc", CLIENT_AUTH_MALFORMED},
    {SCRAM_MECHANISM "-PLUS", CLIENT_FIRST, CLIENT_AUTH_MALFORMED},
    {"SCRAM-SHA-1", CLIENT_FIRST, CLIENT_AUTH_MALFORMED},
    {"scram-sha-256", CLIENT_FIRST, CLIENT_AUTH_MALFORMED},
    {"", CLIENT_FIRST, CLIENT_AUTH_MALFORMED},
};

Test(client_auth, first_message_of_scram)
{
    static const char request[] = "\0\0\0\x0a" SCRAM_MECHANISM "\0";
    uint8_t room[256];

    for (enum rig_kind kind = RIG_UNKNOWN; kind < RIG_KINDS; kind++) {
        for (size_t i = 0; i < sizeof(initials) / sizeof(initials[0]); i++) {
            cr_assert_eq(start(CONF_AUTH_SCRAM, kind), CLIENT_AUTH_ASK);
            cr_assert_eq(rig_body(&out, 'R').len, sizeof(request));
            expect_request(request, sizeof(request));
            cr_assert_eq(hear(initial(initials[i].mechanism, initials[i].data, room)),
                         initials[i].result, "%u %zu", kind, i);
        }
    }
}

/* Up to server-first-message, which is returned; it lies in `out`. */
static struct span challenge(enum rig_kind kind)
{
    uint8_t room[256];

    cr_assert_eq(start(CONF_AUTH_SCRAM, kind), CLIENT_AUTH_ASK);
    cr_assert_eq(hear(initial(SCRAM_MECHANISM, CLIENT_FIRST, room)), CLIENT_AUTH_ASK);
    expect_request("\0\0\0\x0br=abc", 9);
    return span_skip(rig_body(&out, 'R'), 4);
}

/* Salt and iterations of it. */
static void salt_of(struct span first, char text[128])
{
    const uint8_t *comma = memchr(first.ptr, ',', first.len);

    cr_assert_not_null(comma);
    snprintf(text, 128, "%.*s", (int)(first.ptr + first.len - comma), (const char *)comma);
}

Test(client_auth, the_longest_challenge_fits)
{
    struct scram_verifier *v = &rig.secrets[RIG_SCRAM].scram;
    char first[SCRAM_MESSAGE_MAX / 2 + 1] = "n,,n=,r=";
    uint8_t room[sizeof(first) + 64];
    struct pgw_writer w = pgw_writer_of(room, sizeof(room));
    struct pgw_span data = pgw_span_of(first, sizeof(first) - 1);

    memset(first + strlen(first), 'x', sizeof(first) - 1 - strlen(first));
    v->salt_len = SCRAM_SALT_MAX;
    v->iterations = SCRAM_ITERATIONS_MAX;
    pgw_build_sasl_initial_response(&w, pgw_span_str(SCRAM_MECHANISM), &data);
    cr_assert_eq(start(CONF_AUTH_SCRAM, RIG_SCRAM), CLIENT_AUTH_ASK);
    cr_assert_eq(hear(span_of(room + PGW_HEADER_LEN, w.len - PGW_HEADER_LEN)), CLIENT_AUTH_ASK);
    cr_assert_gt(rig_body(&out, 'R').len, data.len);
}

Test(client_auth, nonces_differ)
{
    char nonce[SCRAM_NONCE_LEN];
    struct span first = challenge(RIG_SCRAM);

    cr_assert_gt(first.len, strlen("r=abc") + sizeof(nonce));
    memcpy(nonce, first.ptr + strlen("r=abc"), sizeof(nonce));
    first = challenge(RIG_SCRAM);
    cr_assert_neq(memcmp(nonce, first.ptr + strlen("r=abc"), sizeof(nonce)), 0);
}

Test(client_auth, a_salt_is_stable_as_long_as_the_password_is)
{
    for (enum rig_kind kind = RIG_UNKNOWN; kind < RIG_KINDS; kind++) {
        char salt[128], again[128];

        salt_of(challenge(kind), salt);
        salt_of(challenge(kind), again);
        cr_assert_str_eq(salt, again, "%u", kind);
        cr_assert_eq(strlen(salt), strlen(",s=,i=8") + BASE64_LEN((size_t)16), "%u", kind);
        rig.secrets[RIG_PLAIN].plain = span_str("changed");
        salt_of(challenge(kind), again);
        rig.secrets[RIG_PLAIN].plain = span_str(RIG_PASSWORD);
        cr_assert_eq(strcmp(salt, again) == 0, kind != RIG_PLAIN, "%u", kind);
    }
}

/* Logs in by SCRAM with this password. */
static enum client_auth_result prove(enum conf_auth_type method, enum rig_kind kind,
                                     const char *password)
{
    struct server_auth prover;
    struct rig_message answer;
    struct keys *own;
    enum client_auth_result result;
    unsigned n_works = rig.n_works;

    rig_login(&rig, &prover, password, RIG_NONE);
    cr_assert_eq(keys_new(&own, 1), 0);
    prover.config.keys = own;
    cr_assert_eq(start(method, kind), CLIENT_AUTH_ASK);
    cr_assert_eq(rig_answer(&rig, &prover, rig_body(&out, 'R'), &answer), SERVER_AUTH_SEND);
    cr_assert_eq(hear(rig_body(&answer, 'p')), CLIENT_AUTH_ASK);
    cr_assert_eq(rig_answer(&rig, &prover, rig_body(&out, 'R'), &answer), SERVER_AUTH_SEND);
    rig.n_works = n_works;
    result = hear(rig_body(&answer, 'p'));
    server_auth_fini(&prover);
    keys_free(own);
    return result;
}

Test(client_auth, a_changed_password_does_not_find_the_keys_of_the_old_one)
{
    cr_assert_eq(prove(CONF_AUTH_SCRAM, RIG_PLAIN, RIG_PASSWORD), CLIENT_AUTH_OK);
    rig.secrets[RIG_PLAIN].plain = span_str("changed");
    cr_assert_eq(prove(CONF_AUTH_SCRAM, RIG_PLAIN, RIG_PASSWORD), CLIENT_AUTH_REFUSED);
    cr_assert_eq(prove(CONF_AUTH_SCRAM, RIG_PLAIN, "changed"), CLIENT_AUTH_OK);
}

Test(client_auth, keys_of_a_plain_secret_are_derived_once)
{
    cr_assert_eq(prove(CONF_AUTH_SCRAM, RIG_PLAIN, RIG_PASSWORD), CLIENT_AUTH_OK);
    cr_assert_eq(rig.n_works, 1);
    cr_assert_eq(prove(CONF_AUTH_SCRAM, RIG_PLAIN, RIG_PASSWORD), CLIENT_AUTH_OK);
    cr_assert_eq(rig.n_works, 1);
}

Test(client_auth, a_scram_secret_needs_no_derivation_and_teaches_its_keys)
{
    struct scram_verifier v = rig.secrets[RIG_SCRAM].scram;
    struct key_pair pair;
    uint8_t stored[SHA256_LEN];

    cr_assert_eq(prove(CONF_AUTH_SCRAM, RIG_SCRAM, "Pencil"), CLIENT_AUTH_REFUSED);
    cr_assert_not(keys_find(rig.keys, span_str(RIG_USER), &v, &pair));
    rig.n_works = 0;
    cr_assert_eq(prove(CONF_AUTH_SCRAM, RIG_SCRAM, RIG_PASSWORD), CLIENT_AUTH_OK);
    cr_assert_eq(rig.n_works, 0);
    cr_assert(keys_find(rig.keys, span_str(RIG_USER), &v, &pair));
    digest_sha256(span_of(pair.client_key, SHA256_LEN), stored);
    cr_assert_eq(memcmp(stored, v.stored_key, SHA256_LEN), 0);
    cr_assert_eq(memcmp(pair.server_key, v.server_key, SHA256_LEN), 0);
}

Test(client_auth, a_proof_that_is_too_long_or_empty)
{
    static const uint8_t zeros[SCRAM_MESSAGE_MAX + 1];

    for (enum rig_kind kind = RIG_UNKNOWN; kind < RIG_KINDS; kind++) {
        rig.n_works = 0;
        challenge(kind);
        cr_assert_eq(hear(span_of(zeros, sizeof(zeros))), CLIENT_AUTH_MALFORMED);
        cr_assert_eq(rig.n_works, 0);
        challenge(kind);
        cr_assert_eq(hear(span_of(zeros, sizeof(zeros) - 1)), CLIENT_AUTH_MALFORMED);
        challenge(kind);
        cr_assert_eq(hear(span_of(zeros, 0)), CLIENT_AUTH_MALFORMED);
    }
}

/* ---- what is left ---- */

/* The helper had no memory: as if it had done nothing. */
Test(client_auth, without_a_derivation_nobody_gets_in)
{
    static const char right[] = RIG_PASSWORD;

    cr_assert_eq(start(CONF_AUTH_PASSWORD, RIG_SCRAM), CLIENT_AUTH_ASK);
    memset(auth.derived.stored_key, 0, SHA256_LEN);
    memset(auth.verifier.stored_key, 0, SHA256_LEN);
    cr_assert_eq(client_auth_message(&auth, span_of(right, sizeof(right)), rig_room(&out, 1024)),
                 CLIENT_AUTH_WORK);
    cr_assert_eq(client_auth_worked(&auth, &out.w), CLIENT_AUTH_REFUSED);

    challenge(RIG_PLAIN);
    cr_assert_eq(client_auth_message(&auth, span_str("c"), rig_room(&out, 1024)), CLIENT_AUTH_WORK);
    cr_assert_eq(client_auth_worked(&auth, &out.w), CLIENT_AUTH_REFUSED);
}

Test(client_auth, nothing_is_left_in_memory)
{
    static const struct client_auth zero;

    cr_assert_eq(prove(CONF_AUTH_SCRAM, RIG_PLAIN, RIG_PASSWORD), CLIENT_AUTH_OK);
    client_auth_fini(&auth);
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): padding is wiped too */
    cr_assert_eq(memcmp(&auth, &zero, sizeof(auth)), 0);
}

/* ---- nobody learns who exists ---- */

/* What can be seen from outside of a login that ends in a refusal: results, lengths, derivations.
 */
struct seen {
    enum client_auth_result result;
    size_t asked, challenged, answered;
    unsigned n_works;
};

static struct seen look(enum conf_auth_type method, enum rig_kind kind, const char *proof)
{
    struct seen s = {.asked = 0};
    uint8_t room[256];

    rig.n_works = 0;
    cr_assert_eq(start(method, kind), CLIENT_AUTH_ASK);
    s.asked = out.w.len;
    if (method == CONF_AUTH_SCRAM) {
        cr_assert_eq(hear(initial(SCRAM_MECHANISM, CLIENT_FIRST, room)), CLIENT_AUTH_ASK);
        s.challenged = out.w.len;
    }
    s.result = hear(span_of(proof, strlen(proof) + (method != CONF_AUTH_SCRAM)));
    s.answered = out.w.len;
    s.n_works = rig.n_works;
    return s;
}

static void look_alike(enum conf_auth_type method, const char *proof,
                       enum client_auth_result result, unsigned n_works)
{
    for (enum rig_kind kind = RIG_UNKNOWN; kind < RIG_KINDS; kind++) {
        struct seen s, unknown = look(method, RIG_UNKNOWN, proof);

        if (method == CONF_AUTH_MD5 && kind == RIG_SCRAM)
            continue;                                  /* is asked for SCRAM */
        for (unsigned round = 0; round < 2; round++) { /* the second with keys that are known */
            s = look(method, kind, proof);
            cr_assert_eq(s.result, result, "%u %u: %s", method, kind, proof);
            cr_assert_eq(s.n_works, n_works, "%u %u: %s", method, kind, proof);
            cr_assert(s.asked == unknown.asked && s.challenged == unknown.challenged &&
                          s.answered == 0,
                      "%u %u: %s", method, kind, proof);
        }
    }
}

Test(client_auth, nobody_learns_who_exists)
{
    look_alike(CONF_AUTH_PASSWORD, "wrong", CLIENT_AUTH_REFUSED, 1);
    look_alike(CONF_AUTH_PASSWORD, "", CLIENT_AUTH_REFUSED, 0);
    look_alike(CONF_AUTH_MD5, "md500000000000000000000000000000000", CLIENT_AUTH_REFUSED, 0);
    look_alike(CONF_AUTH_MD5, "", CLIENT_AUTH_REFUSED, 0);
    look_alike(CONF_AUTH_SCRAM, "c=biws,r=abc,p=AAAA", CLIENT_AUTH_MALFORMED, 1);
    look_alike(CONF_AUTH_SCRAM, "", CLIENT_AUTH_MALFORMED, 1);
}

Test(client_auth, wrong_proofs_look_alike)
{
    for (enum rig_kind kind = RIG_UNKNOWN; kind < RIG_KINDS; kind++) {
        for (unsigned round = 0; round < 2; round++) {
            rig.n_works = 0;
            cr_assert_eq(prove(CONF_AUTH_SCRAM, kind, "Pencil"), CLIENT_AUTH_REFUSED, "%u", kind);
            cr_assert_eq(rig.n_works, 1, "%u", kind);
            cr_assert_eq(out.w.len, 0);
        }
    }
}

/* ---- a login that psql did at PostgreSQL 15 with the password "x" ---- */

#define RECORDED_SALT "5zE/QIDg/AkYKJ3cACHtdA=="
#define RECORDED_NONCE "9qsRLNIQLwsvP7+XwZNTiT3R"
#define RECORDED_SERVER_NONCE "Q6mgkUjbm/nIfit6o46fdZQu"
#define RECORDED_FIRST "r=" RECORDED_NONCE RECORDED_SERVER_NONCE ",s=" RECORDED_SALT ",i=4096"
#define RECORDED_PROOF                                                                             \
    "c=biws,r=" RECORDED_NONCE RECORDED_SERVER_NONCE                                               \
    ",p=pf5EnbXu5tfzGyeMU5UD4gafR+HFPDZJmMbe0CUxHFc="
#define RECORDED_FINAL "v=DxTsEivv560gZuUo48Gowo6ij7rX84LBkXohnpOLxXE="

Test(client_auth, a_recorded_exchange)
{
    struct scram_verifier *v = &rig.secrets[RIG_SCRAM].scram;
    uint8_t room[256];
    size_t len;

    v->iterations = 4096;
    cr_assert(base64_decode(span_str(RECORDED_SALT), v->salt, sizeof(v->salt), &len));
    cr_assert(scram_derive(span_str("x"), v, NULL));
    cr_assert_eq(start(CONF_AUTH_SCRAM, RIG_SCRAM), CLIENT_AUTH_ASK);
    scram_server_init(&auth.scram, v, false, span_str(RECORDED_SERVER_NONCE)); /* not by chance */
    cr_assert_eq(hear(initial(SCRAM_MECHANISM, "n,,n=,r=" RECORDED_NONCE, room)), CLIENT_AUTH_ASK);
    expect_request("\0\0\0\x0b" RECORDED_FIRST, 4 + strlen(RECORDED_FIRST));
    cr_assert_eq(hear(span_str(RECORDED_PROOF)), CLIENT_AUTH_OK);
    expect_request("\0\0\0\x0c" RECORDED_FINAL, 4 + strlen(RECORDED_FINAL));
}
