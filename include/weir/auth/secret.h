/*
 * What is stored of a password: plain text, PostgreSQL's md5 form, or its SCRAM-SHA-256 verifier,
 * as they stand in pg_authid.rolpassword and in an auth file.
 */
#ifndef WEIR_AUTH_SECRET_H
#define WEIR_AUTH_SECRET_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/auth/digest.h"
#include "weir/base/check.h"
#include "weir/base/span.h"

#define SCRAM_SALT_MAX 64
/* Some 8 s of a helper's time; more is an attack or a slip. */
#define SCRAM_ITERATIONS_MAX 10000000

/* RFC 5802, section 3. Whoever has client_key can log in; stored_key only checks. */
struct scram_verifier {
    uint8_t salt[SCRAM_SALT_MAX];
    uint32_t salt_len;
    uint32_t iterations;
    uint8_t stored_key[SHA256_LEN];
    uint8_t server_key[SHA256_LEN];
};

enum secret_kind {
    SECRET_NONE, /* no password: nobody logs in with one */
    SECRET_PLAIN,
    SECRET_MD5,
    SECRET_SCRAM,
};

struct secret {
    enum secret_kind kind;
    struct span plain;           /* SECRET_PLAIN; the bytes belong to whoever stored the secret */
    char md5_hex[MD5_HEX_LEN];   /* SECRET_MD5: md5(password || user) */
    struct scram_verifier scram; /* SECRET_SCRAM */
};

/* Recognises the form as PostgreSQL's get_password_type() does: what is neither a well-formed md5
 * nor a well-formed SCRAM secret is plain text. An empty text is SECRET_NONE. plain points into
 * text. */
void secret_parse(struct span text, struct secret *out);

/* 1 to SCRAM_ITERATIONS_MAX in decimal. False: anything else. */
NODISCARD bool scram_parse_iterations(struct span digits, uint32_t *out);

/* Derives stored_key and server_key for salt and iterations already set in *v, and the client's
 * key unless client_key is NULL. Milliseconds: on a helper. False: no memory.
 *
 * The password is taken as it stands. PostgreSQL and libpq normalise it first (RFC 4013), which
 * leaves ASCII and composed letters alone: a password with decomposed or compatibility characters
 * has to be stored in its normal form (NFKC). */
NODISCARD bool scram_derive(struct span password, struct scram_verifier *v,
                            uint8_t client_key[SHA256_LEN]);

#endif
