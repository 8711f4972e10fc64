#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "lib/random.h"
#include "weir/auth/scram.h"

/* RFC 7677, section 3: user "user", password "pencil". */
#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define NONCE CLIENT_NONCE SERVER_NONCE
#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define CLIENT_FIRST "n,,n=user,r=" CLIENT_NONCE
#define SERVER_FIRST "r=" NONCE ",s=" SALT ",i=4096"
#define PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define CLIENT_FINAL "c=biws,r=" NONCE ",p=" PROOF
#define SERVER_FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static uint8_t client_key_of_pencil[SHA256_LEN];

static struct scram_verifier verifier(const char *password)
{
    struct scram_verifier v = {.iterations = 4096};
    size_t len;

    cr_assert(base64_decode(span_str(SALT), v.salt, sizeof(v.salt), &len));
    v.salt_len = (uint32_t)len;
    cr_assert(scram_derive(span_str(password), &v, client_key_of_pencil));
    return v;
}

static void start(struct scram_server *s, bool mock)
{
    struct scram_verifier v = verifier("pencil");

    scram_server_init(s, &v, mock, span_str(SERVER_NONCE));
}

/* In memory of exactly its size, so that ASan sees a read too far. */
static enum scram_result first(struct scram_server *s, struct span in, struct scram_message *out)
{
    uint8_t *copy = malloc(in.len + 1);
    enum scram_result result;

    memcpy(copy + 1, in.ptr, in.len);
    result = scram_server_first(s, span_of(copy + 1, in.len), out);
    free(copy);
    return result;
}

static enum scram_result final(struct scram_server *s, struct span in, struct scram_message *out,
                               uint8_t key[SHA256_LEN])
{
    uint8_t *copy = malloc(in.len + 1);
    enum scram_result result;

    memcpy(copy + 1, in.ptr, in.len);
    result = scram_server_final(s, span_of(copy + 1, in.len), out, key);
    free(copy);
    return result;
}

static void expect(const struct scram_message *m, const char *text)
{
    cr_assert(span_equal(span_of(m->text, m->len), span_str(text)), "got %.*s", (int)m->len,
              m->text);
}

Test(scram, server_side_of_the_published_exchange)
{
    struct scram_server s;
    struct scram_message out;
    uint8_t key[SHA256_LEN];

    start(&s, false);
    cr_assert_eq(first(&s, span_str(CLIENT_FIRST), &out), SCRAM_OK);
    expect(&out, SERVER_FIRST);
    cr_assert_eq(final(&s, span_str(CLIENT_FINAL), &out, key), SCRAM_OK);
    expect(&out, SERVER_FINAL);
    cr_assert_eq(memcmp(key, client_key_of_pencil, SHA256_LEN), 0);
    scram_server_fini(&s);
}

static const struct {
    const char *text;
    enum scram_result result;
} first_cases[] = {
    {CLIENT_FIRST, SCRAM_OK},
    {"y,,n=user,r=x", SCRAM_OK},
    {"n,,n=,r=x", SCRAM_OK},
    {"n,,n=user,r=x,ext=1", SCRAM_OK},
    {"", SCRAM_MALFORMED},
    {"n", SCRAM_MALFORMED},
    {"n,,", SCRAM_MALFORMED},
    {"p=tls-server-end-point,,n=user,r=x", SCRAM_MALFORMED}, /* not offered */
    {"n,a=admin,n=user,r=x", SCRAM_MALFORMED},               /* authorization identity */
    {"n,,m=must,n=user,r=x", SCRAM_MALFORMED},               /* mandatory extension */
    {"n,,r=x,n=user", SCRAM_MALFORMED},
    {"n,,n=user", SCRAM_MALFORMED},
    {"n,,n=user,r=", SCRAM_MALFORMED},
    {"n,,n=user,r=a b", SCRAM_MALFORMED},
    {"n,,n=user,r=\x7f", SCRAM_MALFORMED},
    {"n,,n=user,r=\xc3\xa9", SCRAM_MALFORMED},
    {"z,,n=user,r=x", SCRAM_MALFORMED},
};

Test(scram, client_first_message)
{
    for (size_t i = 0; i < sizeof(first_cases) / sizeof(first_cases[0]); i++) {
        struct scram_server s;
        struct scram_message out;

        start(&s, false);
        cr_assert_eq(first(&s, span_str(first_cases[i].text), &out), first_cases[i].result, "%s",
                     first_cases[i].text);
    }
}

Test(scram, nonces_of_any_length_are_bounded)
{
    static const size_t lens[] = {1, 64, 400, 504, 505, 1024, 65536};

    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        static const char head[] = {'n', ',', ',', 'n', '=', ',', 'r', '='};
        size_t len = sizeof(head) + lens[i];
        char *text = malloc(len);
        struct scram_server s;
        struct scram_message out;

        memset(text, 'x', len);
        memcpy(text, head, sizeof(head));
        start(&s, false);
        cr_assert_eq(first(&s, span_of(text, len), &out),
                     len <= SCRAM_MESSAGE_MAX / 2 ? SCRAM_OK : SCRAM_MALFORMED, "%zu", lens[i]);
        free(text);
    }
}

static const struct {
    const char *text;
    enum scram_result result;
} final_cases[] = {
    {CLIENT_FINAL, SCRAM_OK},
    {"c=biws,r=" NONCE ",p=eHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", SCRAM_REFUSED},
    {"c=biws,r=" NONCE ",x=1,p=" PROOF, SCRAM_REFUSED}, /* an extension is signed too */
    {"c=eSws,r=" NONCE ",p=" PROOF, SCRAM_MALFORMED},   /* another header than at first */
    {"c=cD10bHMsLA==,r=" NONCE ",p=" PROOF, SCRAM_MALFORMED},
    {"c=biws,r=" CLIENT_NONCE ",p=" PROOF, SCRAM_MALFORMED}, /* not extended */
    {"c=biws,r=" NONCE "x,p=" PROOF, SCRAM_MALFORMED},
    {"c=biws,r=" NONCE, SCRAM_MALFORMED},
    {"c=biws,r=" NONCE ",p=", SCRAM_MALFORMED},
    {"c=biws,r=" NONCE ",p=AAAA", SCRAM_MALFORMED},
    {"c=biws,r=" NONCE ",p=" PROOF "=", SCRAM_MALFORMED},
    {",p=" PROOF, SCRAM_MALFORMED},
    {"", SCRAM_MALFORMED},
};

Test(scram, client_final_message)
{
    for (size_t i = 0; i < sizeof(final_cases) / sizeof(final_cases[0]); i++) {
        struct scram_server s;
        struct scram_message out;
        uint8_t key[SHA256_LEN];

        start(&s, false);
        cr_assert_eq(first(&s, span_str(CLIENT_FIRST), &out), SCRAM_OK);
        cr_assert_eq(final(&s, span_str(final_cases[i].text), &out, key), final_cases[i].result,
                     "%s", final_cases[i].text);
    }
}

Test(scram, no_byte_of_the_final_message_may_be_another)
{
    char text[] = CLIENT_FINAL;

    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        struct scram_server s;
        struct scram_message out;
        uint8_t key[SHA256_LEN];

        text[i] ^= 1;
        start(&s, false);
        cr_assert_eq(first(&s, span_str(CLIENT_FIRST), &out), SCRAM_OK);
        cr_assert_neq(final(&s, span_str(text), &out, key), SCRAM_OK, "byte %zu", i);
        text[i] ^= 1;
    }
}

Test(scram, a_mock_exchange_refuses_the_right_proof_too)
{
    struct scram_server s;
    struct scram_message out;
    uint8_t key[SHA256_LEN];

    start(&s, true);
    cr_assert_eq(first(&s, span_str(CLIENT_FIRST), &out), SCRAM_OK);
    cr_assert_eq(final(&s, span_str(CLIENT_FINAL), &out, key), SCRAM_REFUSED);
}

Test(scram, a_mock_salt_depends_on_the_name_alone)
{
    static const uint8_t process_key[SHA256_LEN] = {1, 2, 3};
    struct scram_verifier a, again, b;

    scram_mock(process_key, span_str("alice"), 4096, &a);
    scram_mock(process_key, span_str("alice"), 4096, &again);
    scram_mock(process_key, span_str("bob"), 4096, &b);
    cr_assert_eq(a.iterations, 4096);
    cr_assert_eq(a.salt_len, 16);
    cr_assert_eq(memcmp(a.salt, again.salt, a.salt_len), 0);
    cr_assert_neq(memcmp(a.salt, b.salt, a.salt_len), 0);
    cr_assert_neq(memcmp(a.stored_key, again.stored_key, SHA256_LEN), 0);
}

/* --- the side that proves, against the side that checks --------------------------------------- */

static struct span text_of(const struct scram_message *m)
{
    return span_of(m->text, m->len);
}

/* With which password does the client come, and what does it end with on either side? */
static void whole_exchange(const char *password, enum scram_result at_server)
{
    struct scram_server s;
    struct scram_client c;
    struct scram_message from_client, from_server;
    char own[SCRAM_NONCE_LEN];
    uint8_t client_key[SHA256_LEN], learned[SHA256_LEN];

    start(&s, false);
    scram_nonce(own);
    scram_client_init(&c, span_of(own, sizeof(own)), &from_client);
    cr_assert_eq(scram_server_first(&s, text_of(&from_client), &from_server), SCRAM_OK);
    cr_assert_eq(scram_client_challenged(&c, text_of(&from_server)), SCRAM_OK);
    cr_assert_eq(c.verifier.iterations, 4096);
    cr_assert(scram_derive(span_str(password), &c.verifier, client_key));
    scram_client_prove(&c, client_key, c.verifier.server_key, &from_client);
    cr_assert_eq(scram_server_final(&s, text_of(&from_client), &from_server, learned), at_server);
    if (at_server == SCRAM_OK) {
        cr_assert_eq(memcmp(learned, client_key, SHA256_LEN), 0);
        cr_assert_eq(scram_client_verify(&c, text_of(&from_server)), SCRAM_OK);
    }
    scram_server_fini(&s);
    scram_client_fini(&c);
}

Test(scram, both_sides_agree)
{
    whole_exchange("pencil", SCRAM_OK);
    whole_exchange("pen", SCRAM_REFUSED);
}

#define OWN "fyko+d2lbbFgONRv9qkxdawL"

static const struct {
    const char *text;
    enum scram_result result;
} challenge_cases[] = {
    {"r=" OWN "x,s=" SALT ",i=4096", SCRAM_OK},
    {"r=" OWN "x,s=" SALT ",i=4096,e=1", SCRAM_OK},
    {"r=" OWN ",s=" SALT ",i=4096", SCRAM_MALFORMED}, /* not extended */
    {"r=x" OWN ",s=" SALT ",i=4096", SCRAM_MALFORMED},
    {"r=,s=" SALT ",i=4096", SCRAM_MALFORMED},
    {"r=" OWN "x,s=,i=4096", SCRAM_MALFORMED},
    {"r=" OWN "x,s=!,i=4096", SCRAM_MALFORMED},
    {"r=" OWN "x,s=" SALT ",i=0", SCRAM_MALFORMED},
    {"r=" OWN "x,s=" SALT ",i=2147483648", SCRAM_MALFORMED},
    {"r=" OWN "x,s=" SALT ",i=-1", SCRAM_MALFORMED},
    {"r=" OWN "x,s=" SALT ",i=", SCRAM_MALFORMED},
    {"r=" OWN "x,s=" SALT, SCRAM_MALFORMED},
    {"m=1,r=" OWN "x,s=" SALT ",i=4096", SCRAM_MALFORMED},
    {"", SCRAM_MALFORMED},
};

Test(scram, challenges)
{
    for (size_t i = 0; i < sizeof(challenge_cases) / sizeof(challenge_cases[0]); i++) {
        struct scram_client c;
        struct scram_message out;

        scram_client_init(&c, span_str(OWN), &out);
        expect(&out, "n,,n=,r=" OWN);
        cr_assert_eq(scram_client_challenged(&c, span_str(challenge_cases[i].text)),
                     challenge_cases[i].result, "%s", challenge_cases[i].text);
    }
}

Test(scram, the_longest_challenge_is_answered)
{
    char text[SCRAM_MESSAGE_MAX];
    struct span head = span_str("r=" OWN), tail = span_str(",s=" SALT ",i=1");
    uint8_t keys[SHA256_LEN] = {0};

    for (size_t len = SCRAM_MESSAGE_MAX - 70; len < SCRAM_MESSAGE_MAX; len++) {
        struct scram_client c;
        struct scram_message out;

        memset(text, 'x', len);
        memcpy(text, head.ptr, head.len);
        memcpy(text + len - tail.len, tail.ptr, tail.len);
        scram_client_init(&c, span_str(OWN), &out);
        if (scram_client_challenged(&c, span_of(text, len)) == SCRAM_OK)
            scram_client_prove(&c, keys, keys, &out);
        else
            cr_assert_gt(len, SCRAM_MESSAGE_MAX - 64);
    }
}

static const struct {
    const char *text;
    enum scram_result result;
} verify_cases[] = {
    {"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", SCRAM_REFUSED}, /* somebody else's */
    {"e=invalid-proof", SCRAM_REFUSED},
    {"v=", SCRAM_MALFORMED},
    {"v=AAAA", SCRAM_MALFORMED},
    {"", SCRAM_MALFORMED},
    {"x", SCRAM_MALFORMED},
};

Test(scram, a_server_that_does_not_know_the_password_is_refused)
{
    for (size_t i = 0; i < sizeof(verify_cases) / sizeof(verify_cases[0]); i++) {
        struct scram_client c;
        struct scram_message out;
        uint8_t key[SHA256_LEN] = {0};

        scram_client_init(&c, span_str(OWN), &out);
        cr_assert_eq(scram_client_challenged(&c, span_str("r=" OWN "x,s=" SALT ",i=1")), SCRAM_OK);
        cr_assert(scram_derive(span_str("pencil"), &c.verifier, key));
        scram_client_prove(&c, key, c.verifier.server_key, &out);
        cr_assert_eq(scram_client_verify(&c, span_str(verify_cases[i].text)),
                     verify_cases[i].result, "%s", verify_cases[i].text);
    }
}

Test(scram, ten_thousand_mangled_messages)
{
    static const uint64_t seed = 20261124;
    struct random r = {seed};

    for (unsigned round = 0; round < 10000; round++) {
        char text[] = CLIENT_FINAL;
        struct scram_server s;
        struct scram_message out;
        uint8_t key[SHA256_LEN];
        size_t len = random_below(&r, sizeof(text));
        struct scram_verifier v = {.salt_len = 16, .iterations = 4096};

        for (unsigned n = 0; n < 3; n++)
            text[random_below(&r, sizeof(text) - 1)] = (char)random_next(&r);
        scram_server_init(&s, &v, false, span_str(SERVER_NONCE));
        cr_assert_eq(first(&s, span_str(CLIENT_FIRST), &out), SCRAM_OK);
        cr_assert_neq(final(&s, span_of(text, len), &out, key), SCRAM_OK, "seed %lu, round %u",
                      (unsigned long)seed, round);
        scram_server_init(&s, &v, false, span_str(SERVER_NONCE));
        if (first(&s, span_of(text, len), &out) == SCRAM_OK)
            cr_assert_leq(out.len, SCRAM_MESSAGE_MAX);
    }
}
