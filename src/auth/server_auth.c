/*
 * The first request decides for one method; from there on a phase says what may come next, and
 * everything else is malformed. Above all AuthenticationOk in the middle of SCRAM: a server that
 * has not proven itself may be anybody.
 */
#include "weir/auth/server_auth.h"

#include <string.h>

#include "pgwire/build.h"
#include "pgwire/message_backend.h"
#include "pgwire/proto.h"
#include "weir/auth/wire.h"

enum phase {
    PHASE_START,      /* any request, or at once Ok */
    PHASE_ANSWERED,   /* all is said: Ok */
    PHASE_CHALLENGE,  /* client-first-message is sent: SASLContinue */
    PHASE_WORK,       /* a helper derives keys */
    PHASE_PROOF_SENT, /* client-final-message is sent: SASLFinal */
    PHASE_OVER,
};

static const char no_password[] =
    "the server asks for a password, and there is none for this user: give the database one in the "
    "configuration, or the user one in auth_file";

void server_auth_init(struct server_auth *a, const struct server_auth_config *config)
{
    ASSERT(config->user.len <= sizeof(a->user));
    memset(a, 0, sizeof(*a));
    a->config = *config;
    memcpy(a->user, config->user.ptr, config->user.len);
    a->config.user = span_of(a->user, config->user.len);
    a->why = "";
}

static enum secret_kind kind_of(const struct server_auth *a)
{
    if (a->config.password.len > 0)
        return SECRET_PLAIN;
    return a->config.secret == NULL ? SECRET_NONE : a->config.secret->kind;
}

/* Where kind_of() is SECRET_PLAIN. */
static struct span plain_of(const struct server_auth *a)
{
    return a->config.password.len > 0 ? a->config.password : a->config.secret->plain;
}

static enum server_auth_result fail(struct server_auth *a, const char *why)
{
    a->phase = PHASE_OVER;
    a->why = why;
    return SERVER_AUTH_FAILED;
}

static enum server_auth_result send_and_expect(struct server_auth *a, enum phase phase)
{
    a->phase = phase;
    return SERVER_AUTH_SEND;
}

/* ---- one answer ---- */

static enum server_auth_result answer_cleartext(struct server_auth *a, struct pgw_writer *out)
{
    switch (kind_of(a)) {
    case SECRET_PLAIN:
        break;
    case SECRET_NONE:
        return fail(a, no_password);
    case SECRET_MD5:
    case SECRET_SCRAM:
        return fail(a, "the server asks for the password in clear, and auth_file has only a hash "
                       "of it: give the database a password in the configuration");
    }
    pgw_build_password(out, span_out(plain_of(a)));
    if (out->full)
        return fail(a, "the password is too long to be sent in clear");
    return send_and_expect(a, PHASE_ANSWERED);
}

/* "md5" and md5(md5(password || user) || salt): protocol, section Message Flow. */
static enum server_auth_result answer_md5(struct server_auth *a, struct span salt,
                                          struct pgw_writer *out)
{
    char stored[MD5_HEX_LEN], answer[3 + MD5_HEX_LEN] = "md5";

    switch (kind_of(a)) {
    case SECRET_PLAIN:
        digest_md5_hex(plain_of(a), a->config.user, stored);
        break;
    case SECRET_MD5:
        memcpy(stored, a->config.secret->md5_hex, sizeof(stored));
        break;
    case SECRET_NONE:
        return fail(a, no_password);
    case SECRET_SCRAM:
        return fail(a, "the server asks for an md5 hash, and auth_file has a SCRAM verifier: give "
                       "the database a password in the configuration");
    }
    digest_md5_hex(span_of(stored, sizeof(stored)), salt, answer + 3);
    digest_wipe(stored, sizeof(stored));
    pgw_build_password(out, pgw_span_of(answer, sizeof(answer)));
    return send_and_expect(a, PHASE_ANSWERED);
}

/* ---- SCRAM ---- */

static bool offers_scram(struct pgw_span mechanisms)
{
    struct pgw_span name;

    while (pgw_string_next(&mechanisms, &name))
        if (pgw_span_is(name, SCRAM_MECHANISM))
            return true;
    return false;
}

static enum server_auth_result begin_scram(struct server_auth *a, struct pgw_span mechanisms,
                                           struct pgw_writer *out)
{
    char nonce[SCRAM_NONCE_LEN];
    struct scram_message first;
    struct pgw_span data;

    if (!offers_scram(mechanisms))
        return fail(a, "the server does not offer SCRAM-SHA-256, the only SASL mechanism that weir "
                       "speaks");
    switch (kind_of(a)) {
    case SECRET_PLAIN:
    case SECRET_SCRAM:
        break;
    case SECRET_NONE:
        return fail(a, no_password);
    case SECRET_MD5:
        return fail(a, "the server asks for SCRAM-SHA-256, and auth_file has an md5 hash: copy the "
                       "verifier from pg_authid.rolpassword, or give the database a password");
    }
    scram_nonce(nonce);
    scram_client_init(&a->scram, span_of(nonce, sizeof(nonce)), &first);
    data = pgw_span_of(first.text, first.len);
    pgw_build_sasl_initial_response(out, pgw_span_str(SCRAM_MECHANISM), &data);
    return send_and_expect(a, PHASE_CHALLENGE);
}

static enum server_auth_result prove(struct server_auth *a, struct pgw_writer *out)
{
    struct scram_message final;

    scram_client_prove(&a->scram, a->pair.client_key, a->pair.server_key, &final);
    pgw_build_sasl_response(out, pgw_span_of(final.text, final.len));
    return send_and_expect(a, PHASE_PROOF_SENT);
}

/* What the keys are known by: salt and iterations of the server's verifier. Those of a password by
 * the password too, so that one that is wrong never logs in with what another one has left. */
static struct scram_verifier keys_name(const struct server_auth *a)
{
    struct scram_verifier v = a->scram.verifier;
    uint8_t of_salt[SHA256_LEN];

    if (kind_of(a) != SECRET_PLAIN)
        return v;
    digest_sha256(span_of(v.salt, v.salt_len), of_salt);
    digest_hmac(of_salt, plain_of(a), v.salt);
    v.salt_len = SHA256_LEN;
    return v;
}

static void find_keys(struct server_auth *a)
{
    struct scram_verifier name = keys_name(a);

    a->keys_found = keys_find(a->config.keys, a->config.user, &name, &a->pair);
}

static void remember_keys(const struct server_auth *a)
{
    struct scram_verifier name = keys_name(a);

    keys_put(a->config.keys, a->config.user, &name, &a->pair);
}

static void forget_keys(const struct server_auth *a)
{
    struct scram_verifier name = keys_name(a);

    if (a->keys_found)
        keys_drop(a->config.keys, a->config.user, &name);
}

static bool same_salt(const struct scram_verifier *a, const struct scram_verifier *b)
{
    return a->iterations == b->iterations &&
           span_equal(span_of(a->salt, a->salt_len), span_of(b->salt, b->salt_len));
}

static enum server_auth_result answer_challenge(struct server_auth *a, struct span challenge,
                                                struct pgw_writer *out)
{
    bool plain = kind_of(a) == SECRET_PLAIN;

    if (scram_client_challenged(&a->scram, challenge) != SCRAM_OK)
        return SERVER_AUTH_MALFORMED;
    if (!plain && !same_salt(&a->config.secret->scram, &a->scram.verifier))
        return fail(a, "the verifier in auth_file differs from the server's (salt or iterations): "
                       "copy it from pg_authid.rolpassword, or give the database a password");
    find_keys(a);
    if (a->keys_found)
        return prove(a, out);
    if (!plain)
        return fail(a, "auth_file has a SCRAM verifier, with which weir can log in at the server "
                       "only after a client of this user has logged in with its password");
    a->phase = PHASE_WORK;
    return SERVER_AUTH_WORK;
}

/* Only keys that the server knows are worth remembering. */
static enum server_auth_result verify(struct server_auth *a, struct span final)
{
    switch (scram_client_verify(&a->scram, final)) {
    case SCRAM_OK:
        break;
    case SCRAM_MALFORMED:
        return SERVER_AUTH_MALFORMED;
    case SCRAM_REFUSED:
        forget_keys(a);
        return fail(a, "the server could not prove that it knows the password: it may be the wrong "
                       "server, or ServerKey in auth_file is wrong");
    }
    if (!a->keys_found)
        remember_keys(a);
    a->phase = PHASE_ANSWERED;
    return SERVER_AUTH_WAIT;
}

/* ---- all of them ---- */

static enum server_auth_result begin(struct server_auth *a, const struct pgw_authentication *m,
                                     struct pgw_writer *out)
{
    switch (m->code) {
    case PGW_AUTH_OK:
        return SERVER_AUTH_OK;
    case PGW_AUTH_CLEARTEXT_PASSWORD:
        return answer_cleartext(a, out);
    case PGW_AUTH_MD5_PASSWORD:
        return answer_md5(a, span_in(m->data), out);
    case PGW_AUTH_SASL:
        return begin_scram(a, m->data, out);
    case PGW_AUTH_GSS_CONTINUE:
    case PGW_AUTH_SASL_CONTINUE:
    case PGW_AUTH_SASL_FINAL:
        return SERVER_AUTH_MALFORMED;
    case PGW_AUTH_KERBEROS_V5:
    case PGW_AUTH_GSS:
    case PGW_AUTH_SSPI:
        return fail(a, "the server asks for Kerberos, GSSAPI or SSPI, which weir does not speak: "
                       "have pg_hba.conf ask for scram-sha-256");
    default:
        return fail(a, "the server asks for an authentication method that weir does not know: have "
                       "pg_hba.conf ask for scram-sha-256");
    }
}

static enum server_auth_result take(struct server_auth *a, enum phase phase,
                                    const struct pgw_authentication *m, struct pgw_writer *out)
{
    if (phase == PHASE_START)
        return begin(a, m, out);
    if (phase == PHASE_ANSWERED && m->code == PGW_AUTH_OK)
        return SERVER_AUTH_OK;
    if (phase == PHASE_CHALLENGE && m->code == PGW_AUTH_SASL_CONTINUE)
        return answer_challenge(a, span_in(m->data), out);
    if (phase == PHASE_PROOF_SENT && m->code == PGW_AUTH_SASL_FINAL)
        return verify(a, span_in(m->data));
    return SERVER_AUTH_MALFORMED;
}

enum server_auth_result server_auth_message(struct server_auth *a, struct span body,
                                            struct pgw_writer *out)
{
    enum phase phase = a->phase;
    struct pgw_authentication m;

    ASSERT(phase != PHASE_WORK);
    a->phase = PHASE_OVER; /* unless somebody goes on */
    if (pgw_read_authentication(span_out(body), &m) != PGW_READY)
        return SERVER_AUTH_MALFORMED;
    return take(a, phase, &m, out);
}

void server_auth_work(struct server_auth *a)
{
    a->derived_ok = scram_derive(plain_of(a), &a->scram.verifier, a->pair.client_key);
}

enum server_auth_result server_auth_worked(struct server_auth *a, struct pgw_writer *out)
{
    ASSERT(a->phase == PHASE_WORK);
    if (!a->derived_ok)
        return fail(a, "there is no memory for deriving keys from the password");
    memcpy(a->pair.server_key, a->scram.verifier.server_key, SHA256_LEN);
    return prove(a, out);
}

const char *server_auth_refused(struct server_auth *a, const char *sqlstate)
{
    if (strcmp(sqlstate, "28P01") != 0)
        return "";
    forget_keys(a);
    switch (kind_of(a)) {
    case SECRET_NONE:
        break;
    case SECRET_SCRAM:
        return "the verifier in auth_file differs from the server's (salt or iterations)? Copy it "
               "from pg_authid.rolpassword again; what clients have shown of it is forgotten";
    case SECRET_PLAIN:
    case SECRET_MD5:
        return "the password that weir has for this user is not the server's: see the database's "
               "password in the configuration, or auth_file";
    }
    return "";
}

const char *server_auth_why(const struct server_auth *a)
{
    return a->why;
}

void server_auth_fini(struct server_auth *a)
{
    digest_wipe(a, sizeof(*a));
}
