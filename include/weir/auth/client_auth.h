/*
 * The dialogue with a client who logs in to weir: trust, cleartext, md5 and SCRAM-SHA-256 over what
 * the auth file holds. A pure state machine: messages in, messages out, no sockets; what takes
 * milliseconds is asked for as work, which the caller has done on a helper.
 *
 * Nobody learns who exists: for an unknown user, or one whose secret cannot serve the method, the
 * dialogue goes all the way with a made-up verifier (scram_mock) and then refuses. Under password
 * and scram every refusal takes the time of one derivation, also where none would be needed.
 *
 *   method    plain secret    md5… secret      SCRAM-SHA-256$… secret
 *   trust     in              in               in
 *   password  compared        compared         derived by a helper, compared
 *   md5       md5             md5              SCRAM instead, as PostgreSQL does
 *   scram     SCRAM           refused (mock)   SCRAM
 *
 * Under trust users that the auth file lacks come in, too: whether they exist is for the server to
 * say, at its login. An empty password never gets in.
 *
 * Thread: one at a time. client_auth_fini() wipes.
 */
#ifndef WEIR_AUTH_CLIENT_AUTH_H
#define WEIR_AUTH_CLIENT_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pgwire/writer.h"
#include "weir/auth/keys.h"
#include "weir/auth/scram.h"
#include "weir/auth/secret.h"
#include "weir/base/check.h"
#include "weir/base/span.h"
#include "weir/conf/conf.h"

enum client_auth_result {
    CLIENT_AUTH_ASK,       /* a request was written: send it, wait for the next 'p' message */
    CLIENT_AUTH_WORK,      /* call client_auth_work() on a helper, then client_auth_worked() */
    CLIENT_AUTH_OK,        /* in; what was written (perhaps nothing) goes before AuthenticationOk,
                              which is the caller's */
    CLIENT_AUTH_REFUSED,   /* FATAL 28P01 */
    CLIENT_AUTH_MALFORMED, /* FATAL 08P01 */
};

struct client_auth_config {
    enum conf_auth_type method;
    struct span user;            /* 63 bytes at most; copied */
    const struct secret *secret; /* NULL: no such user; outlives the dialogue */
    struct keys *keys;           /* learns the keys of whoever gets in by SCRAM, and is asked for
                                    those of a plain secret */
    const uint8_t *mock_key;     /* SHA256_LEN bytes, the same for the life of the process */
    uint32_t iterations;         /* of made-up verifiers and those of plain secrets */
};

/* Members are the module's own. */
struct client_auth {
    struct client_auth_config config;
    char user[CONF_NAME_MAX];
    uint8_t phase;
    uint8_t md5_salt[4];
    bool mock;                    /* the verifier is made up: refused in the end */
    bool keys_known;              /* the verifier has its keys; else a helper derives them */
    bool derived_ok;              /* a helper has set `derived` and the client's key of `pair` */
    uint8_t verdict;              /* enum client_auth_result, held back until the work is done */
    char text[SCRAM_MESSAGE_MAX]; /* a password or a proof, for the time of the work */
    size_t text_len;
    struct span password; /* what the helper derives from: in `text`, or the secret's */
    struct key_pair pair;
    struct scram_verifier verifier; /* what the client is held against */
    struct scram_verifier derived;
    struct scram_server scram;
};

/* One request at most is written; out has room for 1024 bytes or more. */
NODISCARD enum client_auth_result client_auth_start(struct client_auth *a,
                                                    const struct client_auth_config *config,
                                                    struct pgw_writer *out);

/* The body of a 'p' message, once for each ASK. body need not outlive the call. */
NODISCARD enum client_auth_result client_auth_message(struct client_auth *a, struct span body,
                                                      struct pgw_writer *out);

/* On a helper: milliseconds. */
void client_auth_work(struct client_auth *a);

/* Back on the client's thread. */
NODISCARD enum client_auth_result client_auth_worked(struct client_auth *a, struct pgw_writer *out);

void client_auth_fini(struct client_auth *a);

#endif
