/*
 * What the tests of the two dialogues share: secrets of one user, and messages in memory of exactly
 * their size, so that ASan sees a read too far. Few iterations: derivations are done on the spot.
 */
#ifndef TESTS_UNIT_AUTH_RIG_H
#define TESTS_UNIT_AUTH_RIG_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pgwire/build.h"
#include "pgwire/proto.h"
#include "weir/auth/client_auth.h"
#include "weir/auth/server_auth.h"
#include "weir/auth/wire.h"

#define RIG_USER "alice"
#define RIG_PASSWORD "pencil"
#define RIG_ITERATIONS 8

static const uint8_t rig_mock_key[SHA256_LEN] = {1, 2, 3};

/* As they would stand in an auth file; unknown has none at all. */
enum rig_kind { RIG_UNKNOWN, RIG_NONE, RIG_PLAIN, RIG_MD5, RIG_SCRAM, RIG_KINDS };

struct rig {
    struct keys *keys;
    struct secret secrets[RIG_KINDS];
    unsigned n_works; /* of either side */
};

static inline struct scram_verifier rig_verifier(uint8_t salt, uint8_t client_key[SHA256_LEN])
{
    struct scram_verifier v = {.iterations = RIG_ITERATIONS, .salt_len = 16, .salt = {salt}};

    cr_assert(scram_derive(span_str(RIG_PASSWORD), &v, client_key));
    return v;
}

static inline void rig_init(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    cr_assert_eq(keys_new(&r->keys, 4), 0);
    r->secrets[RIG_PLAIN].kind = SECRET_PLAIN;
    r->secrets[RIG_PLAIN].plain = span_str(RIG_PASSWORD);
    r->secrets[RIG_MD5].kind = SECRET_MD5;
    digest_md5_hex(span_str(RIG_PASSWORD), span_str(RIG_USER), r->secrets[RIG_MD5].md5_hex);
    r->secrets[RIG_SCRAM].kind = SECRET_SCRAM;
    r->secrets[RIG_SCRAM].scram = rig_verifier(77, NULL);
}

static inline void rig_fini(struct rig *r)
{
    keys_free(r->keys);
}

static inline const struct secret *rig_secret(const struct rig *r, enum rig_kind kind)
{
    return kind == RIG_UNKNOWN ? NULL : &r->secrets[kind];
}

/* What a writer of the rig holds: one message, or none. */
struct rig_message {
    uint8_t bytes[2048];
    struct pgw_writer w;
};

static inline struct pgw_writer *rig_room(struct rig_message *m, size_t size)
{
    m->w = pgw_writer_of(m->bytes, size);
    return &m->w;
}

/* Its body: one whole message of this letter was written. */
static inline struct span rig_body(const struct rig_message *m, uint8_t letter)
{
    size_t len = (size_t)m->bytes[3] << 8 | m->bytes[4];

    cr_assert(m->w.len > PGW_HEADER_LEN && m->bytes[0] == letter && len + 1 == m->w.len);
    return span_of(m->bytes + PGW_HEADER_LEN, m->w.len - PGW_HEADER_LEN);
}

/* The caller frees it. */
static inline struct span rig_exact(struct span s)
{
    uint8_t *copy = malloc(s.len > 0 ? s.len : 1);

    cr_assert_not_null(copy);
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return span_of(copy, s.len);
}

static inline void rig_free(struct span s)
{
    free((void *)(uintptr_t)s.ptr);
}

/* ---- the side that checks ---- */

static inline enum client_auth_result rig_start(struct rig *r, struct client_auth *a,
                                                enum conf_auth_type method, enum rig_kind kind,
                                                struct rig_message *out)
{
    struct client_auth_config config = {
        .method = method,
        .user = span_str(RIG_USER),
        .secret = rig_secret(r, kind),
        .keys = r->keys,
        .mock_key = rig_mock_key,
        .iterations = RIG_ITERATIONS,
    };

    return client_auth_start(a, &config, rig_room(out, 1024));
}

/* With the work, if any. */
static inline enum client_auth_result rig_hear(struct rig *r, struct client_auth *a,
                                               struct span body, struct rig_message *out)
{
    struct span exact = rig_exact(body);
    enum client_auth_result result = client_auth_message(a, exact, rig_room(out, 1024));

    rig_free(exact);
    if (result != CLIENT_AUTH_WORK)
        return result;
    cr_assert_eq(out->w.len, 0);
    r->n_works++;
    client_auth_work(a);
    return client_auth_worked(a, rig_room(out, 1024));
}

/* ---- the side that proves ---- */

/* password or secret. */
static inline void rig_login(struct rig *r, struct server_auth *a, const char *password,
                             enum rig_kind kind)
{
    struct server_auth_config config = {
        .user = span_str(RIG_USER),
        .password = span_str(password),
        .secret = rig_secret(r, kind),
        .keys = r->keys,
    };

    server_auth_init(a, &config);
}

static inline enum server_auth_result rig_answer(struct rig *r, struct server_auth *a,
                                                 struct span body, struct rig_message *out)
{
    struct span exact = rig_exact(body);
    enum server_auth_result result = server_auth_message(a, exact, rig_room(out, 2048));

    rig_free(exact);
    if (result != SERVER_AUTH_WORK)
        return result;
    cr_assert_eq(out->w.len, 0);
    r->n_works++;
    server_auth_work(a);
    return server_auth_worked(a, rig_room(out, 2048));
}

#endif
