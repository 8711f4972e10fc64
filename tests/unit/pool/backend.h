/*
 * A PostgreSQL server's side of a login, as a pure state machine: what a client sends goes in, what
 * the server says comes out. It asserts what it is told, but for passwords.
 */
#ifndef WEIR_TESTS_UNIT_POOL_BACKEND_H
#define WEIR_TESTS_UNIT_POOL_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pgwire/writer.h"
#include "weir/auth/scram.h"
#include "weir/base/span.h"

enum backend_method { BACKEND_TRUST, BACKEND_CLEARTEXT, BACKEND_MD5, BACKEND_SCRAM };
#define BACKEND_METHODS 4

#define BACKEND_USER "alice"
#define BACKEND_DATABASE "shop"
#define BACKEND_PID 4711
#define BACKEND_KEY "\x01\x02\x03\x04"

struct backend {
    enum backend_method method;
    const char *password;
    uint32_t iterations;                   /* of SCRAM; 0: 1 */
    uint8_t salt;                          /* likewise: a part of the salt */
    const struct scram_verifier *verifier; /* NULL: derived when it is needed */
    bool silent;                           /* reads, and says nothing */
    const char *refusal; /* SQLSTATE of an error in the place of AuthenticationOk */

    int step;
    struct scram_server scram;
    uint8_t in[4096];
    size_t n_in;
};

/* Takes bytes in pieces of any size; the answers are added to out. */
void backend_take(struct backend *b, struct span in, struct pgw_writer *out);

bool backend_logged_in(const struct backend *b);

/* Derives what a server stores of the password. */
void backend_verifier(const struct backend *b, struct scram_verifier *out);

/* The two ParameterStatus messages that it sends, whole. */
struct span backend_greeting(uint8_t *room, size_t size);

#endif
