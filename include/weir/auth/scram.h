/*
 * SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL speaks it, both ways, as pure functions over the
 * messages: no sockets, no derivation of keys (auth/secret.h does that, on a helper). The user name
 * in the exchange is ignored, as PostgreSQL does: the startup packet's counts. Channel binding is
 * not offered here.
 *
 * Any thread, one at a time. Both structs hold keys: scram_*_fini() wipes them.
 */
#ifndef WEIR_AUTH_SCRAM_H
#define WEIR_AUTH_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/auth/secret.h"
#include "weir/base/check.h"
#include "weir/base/span.h"

#define SCRAM_MECHANISM "SCRAM-SHA-256"

/* Our half of the nonce: 18 random bytes in base64, as PostgreSQL has it. Other lengths are for
 * tests with published vectors. */
#define SCRAM_NONCE_LEN BASE64_LEN(18)
#define SCRAM_NONCE_MAX 64

/* Messages longer than this are malformed; a libpq exchange has 130 bytes at most. */
#define SCRAM_MESSAGE_MAX 1024

enum scram_result {
    SCRAM_OK,        /* send *out, or done: see each function */
    SCRAM_MALFORMED, /* the peer broke the protocol: 08P01 */
    SCRAM_REFUSED,   /* wrong password, or a mock exchange: 28P01 */
};

/* A message to be sent. */
struct scram_message {
    char text[SCRAM_MESSAGE_MAX];
    size_t len;
};

/* The side that checks: weir towards clients. */
struct scram_server {
    struct scram_verifier verifier;
    bool mock;                     /* no such user: goes all the way, then refuses */
    uint8_t phase;                 /* 0: wants client-first, 1: wants client-final, 2: over */
    char flag;                     /* the client's channel binding flag, n or y */
    char nonce[SCRAM_MESSAGE_MAX]; /* both halves */
    size_t nonce_len;
    char authenticated[3 * SCRAM_MESSAGE_MAX]; /* RFC 5802's AuthMessage, as far as it goes */
    size_t authenticated_len;
    char own_nonce[SCRAM_NONCE_MAX];
    size_t own_nonce_len;
};

/* Makes our half of a nonce. */
void scram_nonce(char out[SCRAM_NONCE_LEN]);

/* v is copied. own_nonce: printable ASCII without a comma. With mock the verifier is made up
 * (scram_mock()). */
void scram_server_init(struct scram_server *s, const struct scram_verifier *v, bool mock,
                       struct span own_nonce);
void scram_server_fini(struct scram_server *s);

/* client-first-message in; SCRAM_OK: *out is server-first-message. */
NODISCARD enum scram_result scram_server_first(struct scram_server *s, struct span in,
                                               struct scram_message *out);

/* client-final-message in; SCRAM_OK: the client has proven that it knows the password, *out is
 * server-final-message, and client_key, which logs in wherever the same verifier is stored. */
NODISCARD enum scram_result scram_server_final(struct scram_server *s, struct span in,
                                               struct scram_message *out,
                                               uint8_t client_key[SHA256_LEN]);

/* A verifier for a user that does not exist: the same for the same name as long as key stays, so
 * that nobody learns from the salt who exists. */
void scram_mock(const uint8_t key[SHA256_LEN], struct span user, uint32_t iterations,
                struct scram_verifier *out);

/* The side that proves: weir towards servers. */
struct scram_client {
    struct scram_verifier verifier; /* salt and iterations as the server sent them; then its keys */
    uint8_t phase;
    char nonce[SCRAM_NONCE_MAX];
    size_t nonce_len;
    char authenticated[3 * SCRAM_MESSAGE_MAX];
    size_t authenticated_len;
    size_t final_at; /* where client-final-message-without-proof begins in it */
};

/* *out is client-first-message. */
void scram_client_init(struct scram_client *c, struct span own_nonce, struct scram_message *out);
void scram_client_fini(struct scram_client *c);

/* server-first-message in; SCRAM_OK: c->verifier has salt and iterations, so the caller can find or
 * derive the keys. */
NODISCARD enum scram_result scram_client_challenged(struct scram_client *c, struct span in);

/* *out is client-final-message, the proof. */
void scram_client_prove(struct scram_client *c, const uint8_t client_key[SHA256_LEN],
                        const uint8_t server_key[SHA256_LEN], struct scram_message *out);

/* server-final-message in; SCRAM_OK: the server knows the password too. */
NODISCARD enum scram_result scram_client_verify(struct scram_client *c, struct span in);

#endif
