#include <criterion/criterion.h>
#include <string.h>

#include "weir/auth/secret.h"

/* What PostgreSQL stores for the password "pencil" with the salt of RFC 7677's example. */
#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define STORED "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
#define SERVER "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define VERIFIER "SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVER

static const struct {
    const char *text;
    enum secret_kind kind;
} cases[] = {
    {"", SECRET_NONE},
    {"x", SECRET_PLAIN},
    {"md5", SECRET_PLAIN},
    {"md5900150983cd24fb0d6963f7d28e17f72", SECRET_MD5},
    {"md5900150983cd24fb0d6963f7d28e17f7", SECRET_PLAIN},   /* a digit short */
    {"md5900150983cd24fb0d6963f7d28e17f722", SECRET_PLAIN}, /* one too many */
    {"md5900150983CD24fb0d6963f7d28e17f72", SECRET_PLAIN},  /* upper case */
    {"MD5900150983cd24fb0d6963f7d28e17f72", SECRET_PLAIN},
    {VERIFIER, SECRET_SCRAM},
    {"SCRAM-SHA-256", SECRET_PLAIN},
    {"SCRAM-SHA-256$", SECRET_PLAIN},
    {"scram-sha-256$4096:" SALT "$" STORED ":" SERVER, SECRET_PLAIN},
    {"SCRAM-SHA-256$0:" SALT "$" STORED ":" SERVER, SECRET_PLAIN},
    {"SCRAM-SHA-256$-1:" SALT "$" STORED ":" SERVER, SECRET_PLAIN},
    {"SCRAM-SHA-256$4294967297:" SALT "$" STORED ":" SERVER, SECRET_PLAIN},
    {"SCRAM-SHA-256$10000001:" SALT "$" STORED ":" SERVER, SECRET_PLAIN},
    {"SCRAM-SHA-256$10000000:" SALT "$" STORED ":" SERVER, SECRET_SCRAM},
    {"SCRAM-SHA-256$4096:$" STORED ":" SERVER, SECRET_PLAIN},
    {"SCRAM-SHA-256$4096:" SALT "$" STORED ":", SECRET_PLAIN},
    {"SCRAM-SHA-256$4096:" SALT "$" STORED, SECRET_PLAIN},
    {"SCRAM-SHA-256$4096:" SALT "$AAAA:" SERVER, SECRET_PLAIN},
    {"SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVER " ", SECRET_PLAIN},
};

Test(secret, kinds)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct secret s;

        secret_parse(span_str(cases[i].text), &s);
        cr_assert_eq(s.kind, cases[i].kind, "%s", cases[i].text);
        if (s.kind == SECRET_PLAIN)
            cr_assert(span_equal(s.plain, span_str(cases[i].text)));
    }
}

Test(secret, every_cut_of_a_verifier_is_plain_text)
{
    for (size_t len = 1; len < strlen(VERIFIER); len++) {
        struct secret s;

        secret_parse(span_of(VERIFIER, len), &s);
        cr_assert_eq(s.kind, SECRET_PLAIN, "%zu bytes", len);
    }
}

Test(secret, derivation_makes_the_stored_keys)
{
    struct secret s;
    struct scram_verifier v;
    uint8_t client_key[SHA256_LEN], stored[SHA256_LEN];

    secret_parse(span_str(VERIFIER), &s);
    v = s.scram;
    memset(v.stored_key, 0, SHA256_LEN);
    memset(v.server_key, 0, SHA256_LEN);
    cr_assert(scram_derive(span_str("pencil"), &v, client_key));
    cr_assert_eq(memcmp(v.stored_key, s.scram.stored_key, SHA256_LEN), 0);
    cr_assert_eq(memcmp(v.server_key, s.scram.server_key, SHA256_LEN), 0);
    digest_sha256(span_of(client_key, SHA256_LEN), stored);
    cr_assert_eq(memcmp(stored, v.stored_key, SHA256_LEN), 0);

    cr_assert(scram_derive(span_str("Pencil"), &v, NULL));
    cr_assert_neq(memcmp(v.stored_key, s.scram.stored_key, SHA256_LEN), 0);
}
