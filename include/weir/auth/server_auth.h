/*
 * The dialogue with a server at which weir logs in: trust, cleartext, md5, SCRAM-SHA-256, and SCRAM
 * with keys that were learned from a client (pass-through), which needs the auth file's verifier to
 * have the salt and iterations of the server's. A pure state machine like client_auth.h.
 *
 * Thread: one at a time. server_auth_fini() wipes.
 */
#ifndef WEIR_AUTH_SERVER_AUTH_H
#define WEIR_AUTH_SERVER_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "pgwire/writer.h"
#include "weir/auth/keys.h"
#include "weir/auth/scram.h"
#include "weir/auth/secret.h"
#include "weir/base/check.h"
#include "weir/base/span.h"
#include "weir/conf/conf.h"

enum server_auth_result {
    SERVER_AUTH_SEND,   /* something was written: send it, wait for the next 'R' message */
    SERVER_AUTH_WAIT,   /* nothing to send; wait for the next 'R' message */
    SERVER_AUTH_WORK,   /* call server_auth_work() on a helper, then server_auth_worked() */
    SERVER_AUTH_OK,     /* AuthenticationOk came, and the server has proven itself where it must */
    SERVER_AUTH_FAILED, /* server_auth_why() says why; no retry will help until something changes */
    SERVER_AUTH_MALFORMED, /* the server broke the protocol */
};

struct server_auth_config {
    struct span user;     /* 63 bytes at most; copied */
    struct span password; /* plain, from the configuration; empty: `secret` counts. Outlives it */
    const struct secret *secret; /* from the auth file; NULL: none. Outlives the dialogue */
    struct keys *keys;
};

/* Members are the module's own. */
struct server_auth {
    struct server_auth_config config;
    char user[CONF_NAME_MAX];
    uint8_t phase;
    bool keys_found; /* the keys of `pair` were known; else a helper derives them */
    bool derived_ok;
    struct key_pair pair;
    struct scram_client scram;
    const char *why;
};

void server_auth_init(struct server_auth *a, const struct server_auth_config *config);

/* The body of an 'R' message. out has room for 2048 bytes or more. */
NODISCARD enum server_auth_result server_auth_message(struct server_auth *a, struct span body,
                                                      struct pgw_writer *out);

/* On a helper: milliseconds. */
void server_auth_work(struct server_auth *a);

/* Back on control. */
NODISCARD enum server_auth_result server_auth_worked(struct server_auth *a, struct pgw_writer *out);

/* The server has answered with an error of this SQLSTATE: after 28P01 keys that were learned are
 * forgotten. What is likely wrong and what to do, for the error text; "" where there is nothing to
 * say. A static string. */
const char *server_auth_refused(struct server_auth *a, const char *sqlstate);

/* After FAILED: a sentence that says what is missing and what to do. A static string. */
const char *server_auth_why(const struct server_auth *a);

void server_auth_fini(struct server_auth *a);

#endif
