/*
 * Two dialogues and a half: a password in clear, an md5 hash, and SCRAM. What the method asks for
 * and what the secret can serve are brought together at the start (client_auth_start); from there
 * on a phase says which message comes next.
 *
 * Timing: whoever shows a wrong password or proof waits for one derivation, whether there is such a
 * user or not and whatever its secret is. Only who gets in may be faster. So a verdict of "no" is
 * held back until the work is done, and the work is done also where nothing depends on it.
 */
#include "weir/auth/client_auth.h"

#include <string.h>

#include "pgwire/build.h"
#include "pgwire/message_frontend.h"
#include "pgwire/proto.h"
#include "weir/auth/wire.h"

enum phase {
    PHASE_PASSWORD,    /* asked for the password in clear */
    PHASE_MD5,         /* asked for its hash */
    PHASE_SCRAM_FIRST, /* asked for client-first-message */
    PHASE_SCRAM_FINAL, /* asked for client-final-message */
    PHASE_PASSWORD_WORK,
    PHASE_SCRAM_WORK,
    PHASE_OVER,
};

/* A hash of the empty password counts as none. */
static enum secret_kind kind_of(const struct client_auth *a)
{
    const struct secret *secret = a->config.secret;
    char empty[MD5_HEX_LEN];

    if (secret == NULL)
        return SECRET_NONE;
    if (secret->kind != SECRET_MD5)
        return secret->kind;
    digest_md5_hex(span_str(""), a->config.user, empty);
    return memcmp(empty, secret->md5_hex, sizeof(empty)) == 0 ? SECRET_NONE : SECRET_MD5;
}

/* Of the digests, so that the time depends on neither the texts nor their lengths. */
static bool same_text(struct span a, struct span b)
{
    uint8_t of_a[SHA256_LEN], of_b[SHA256_LEN];

    digest_sha256(a, of_a);
    digest_sha256(b, of_b);
    return digest_same(of_a, of_b, SHA256_LEN);
}

/* Work on password, held against the verifier's salt and iterations; then `phase`. */
static enum client_auth_result ask_for_work(struct client_auth *a, struct span password,
                                            enum phase phase)
{
    a->password = password;
    a->phase = phase;
    return CLIENT_AUTH_WORK;
}

static struct span keep_text(struct client_auth *a, struct span text)
{
    if (text.len > 0)
        memcpy(a->text, text.ptr, text.len);
    a->text_len = text.len;
    return span_of(a->text, a->text_len);
}

static void make_up_verifier(struct client_auth *a)
{
    scram_mock(a->config.mock_key, a->config.user, a->config.iterations, &a->verifier);
    a->mock = true;
    a->keys_known = true;
}

static void take_verifier(struct client_auth *a, const struct scram_verifier *v)
{
    a->verifier = *v;
    a->keys_known = true;
}

/* ---- the password in clear ---- */

static enum client_auth_result ask_password(struct client_auth *a, struct pgw_writer *out)
{
    if (kind_of(a) == SECRET_SCRAM)
        take_verifier(a, &a->config.secret->scram);
    else
        make_up_verifier(a);
    pgw_build_authentication(out, PGW_AUTH_CLEARTEXT_PASSWORD);
    a->phase = PHASE_PASSWORD;
    return CLIENT_AUTH_ASK;
}

/* Does the secret tell at once that this is the password? */
static bool password_matches(const struct client_auth *a, struct span password)
{
    char hex[MD5_HEX_LEN];

    switch (kind_of(a)) {
    case SECRET_PLAIN:
        return same_text(password, a->config.secret->plain);
    case SECRET_MD5:
        digest_md5_hex(password, a->config.user, hex);
        return digest_same(hex, a->config.secret->md5_hex, sizeof(hex));
    case SECRET_NONE:
    case SECRET_SCRAM:
        break;
    }
    return false;
}

static enum client_auth_result take_password(struct client_auth *a, struct span body)
{
    struct pgw_span password;

    if (pgw_read_text(span_out(body), &password) != PGW_READY)
        return CLIENT_AUTH_MALFORMED;
    if (password.len == 0)
        return CLIENT_AUTH_REFUSED;
    if (password_matches(a, span_in(password)))
        return CLIENT_AUTH_OK;
    if (password.len > sizeof(a->text))
        return CLIENT_AUTH_REFUSED;
    return ask_for_work(a, keep_text(a, span_in(password)), PHASE_PASSWORD_WORK);
}

static enum client_auth_result password_worked(struct client_auth *a)
{
    if (!a->derived_ok || !digest_same(a->derived.stored_key, a->verifier.stored_key, SHA256_LEN))
        return CLIENT_AUTH_REFUSED;
    memcpy(a->pair.server_key, a->verifier.server_key, SHA256_LEN);
    keys_put(a->config.keys, a->config.user, &a->verifier, &a->pair);
    return CLIENT_AUTH_OK;
}

/* ---- md5 ---- */

static enum client_auth_result ask_md5(struct client_auth *a, struct pgw_writer *out)
{
    digest_random(a->md5_salt, sizeof(a->md5_salt));
    pgw_build_authentication_md5(out, a->md5_salt);
    a->phase = PHASE_MD5;
    return CLIENT_AUTH_ASK;
}

/* md5(password || user), or what no password has. */
static void stored_md5(const struct client_auth *a, char hex[MD5_HEX_LEN])
{
    switch (kind_of(a)) {
    case SECRET_PLAIN:
        digest_md5_hex(a->config.secret->plain, a->config.user, hex);
        return;
    case SECRET_MD5:
        memcpy(hex, a->config.secret->md5_hex, MD5_HEX_LEN);
        return;
    case SECRET_NONE:
    case SECRET_SCRAM:
        digest_random(hex, MD5_HEX_LEN);
        return;
    }
}

/* "md5" and md5(md5(password || user) || salt): protocol, section Message Flow. */
static enum client_auth_result take_md5(struct client_auth *a, struct span body)
{
    char stored[MD5_HEX_LEN], expected[3 + MD5_HEX_LEN] = "md5";
    struct pgw_span answer;
    bool same;

    if (pgw_read_text(span_out(body), &answer) != PGW_READY)
        return CLIENT_AUTH_MALFORMED;
    stored_md5(a, stored);
    digest_md5_hex(span_of(stored, sizeof(stored)), span_of(a->md5_salt, sizeof(a->md5_salt)),
                   expected + 3);
    same = answer.len == sizeof(expected) && digest_same(answer.ptr, expected, sizeof(expected));
    digest_wipe(stored, sizeof(stored));
    return same ? CLIENT_AUTH_OK : CLIENT_AUTH_REFUSED;
}

/* ---- SCRAM ---- */

/* The salt stays as long as process, user and password do: then the keys can be found again, and a
 * password that was changed does not find those of the old one. Nobody without mock_key can tell
 * it from a made-up one. */
static void plain_verifier(struct client_auth *a)
{
    struct scram_verifier *v = &a->verifier;
    uint8_t of_user[SHA256_LEN], salt[SHA256_LEN];

    digest_hmac(a->config.mock_key, a->config.user, of_user);
    digest_hmac(of_user, a->config.secret->plain, salt);
    v->salt_len = 16; /* as in scram_mock() */
    memcpy(v->salt, salt, v->salt_len);
    v->iterations = a->config.iterations;
    a->keys_known = keys_find(a->config.keys, a->config.user, v, &a->pair);
    if (!a->keys_known)
        return;
    digest_sha256(span_of(a->pair.client_key, SHA256_LEN), v->stored_key);
    memcpy(v->server_key, a->pair.server_key, SHA256_LEN);
}

static void choose_verifier(struct client_auth *a)
{
    switch (kind_of(a)) {
    case SECRET_SCRAM:
        take_verifier(a, &a->config.secret->scram);
        return;
    case SECRET_PLAIN:
        plain_verifier(a);
        return;
    case SECRET_MD5:
    case SECRET_NONE:
        make_up_verifier(a);
        return;
    }
}

static enum client_auth_result ask_scram(struct client_auth *a, struct pgw_writer *out)
{
    static const char *const mechanisms[] = {SCRAM_MECHANISM};
    char nonce[SCRAM_NONCE_LEN];

    choose_verifier(a);
    scram_nonce(nonce);
    scram_server_init(&a->scram, &a->verifier, a->mock, span_of(nonce, sizeof(nonce)));
    pgw_build_authentication_sasl(out, mechanisms, 1);
    a->phase = PHASE_SCRAM_FIRST;
    return CLIENT_AUTH_ASK;
}

static void say(struct pgw_writer *out, uint32_t code, const struct scram_message *m)
{
    pgw_build_authentication_data(out, code, pgw_span_of(m->text, m->len));
}

static enum client_auth_result take_scram_first(struct client_auth *a, struct span body,
                                                struct pgw_writer *out)
{
    struct pgw_sasl_initial_response m;
    struct scram_message answer;

    /* A response without data is like one with empty data: SCRAM begins with the client. */
    if (pgw_read_sasl_initial_response(span_out(body), &m) != PGW_READY ||
        !pgw_span_is(m.mechanism, SCRAM_MECHANISM) ||
        scram_server_first(&a->scram, span_in(m.data.bytes), &answer) != SCRAM_OK)
        return CLIENT_AUTH_MALFORMED;
    say(out, PGW_AUTH_SASL_CONTINUE, &answer);
    a->phase = PHASE_SCRAM_FINAL;
    return CLIENT_AUTH_ASK;
}

/* The keys of the verifier are known. Who proves one that the auth file holds has shown us keys for
 * the server. */
static enum client_auth_result check_proof(struct client_auth *a, struct span proof,
                                           struct pgw_writer *out)
{
    struct scram_message answer;

    switch (scram_server_final(&a->scram, proof, &answer, a->pair.client_key)) {
    case SCRAM_OK:
        break;
    case SCRAM_REFUSED:
        return CLIENT_AUTH_REFUSED;
    case SCRAM_MALFORMED:
        return CLIENT_AUTH_MALFORMED;
    }
    say(out, PGW_AUTH_SASL_FINAL, &answer);
    if (kind_of(a) == SECRET_SCRAM) {
        memcpy(a->pair.server_key, a->verifier.server_key, SHA256_LEN);
        keys_put(a->config.keys, a->config.user, &a->verifier, &a->pair);
    }
    return CLIENT_AUTH_OK;
}

static enum client_auth_result take_scram_final(struct client_auth *a, struct span body,
                                                struct pgw_writer *out)
{
    struct span proof;

    if (body.len > sizeof(a->text))
        return CLIENT_AUTH_MALFORMED;
    proof = keep_text(a, body);
    if (!a->keys_known)
        return ask_for_work(a, a->config.secret->plain, PHASE_SCRAM_WORK);
    a->verdict = check_proof(a, proof, out);
    if (a->verdict == CLIENT_AUTH_OK)
        return CLIENT_AUTH_OK;
    return ask_for_work(a, proof, PHASE_SCRAM_WORK); /* for the time it takes */
}

static enum client_auth_result scram_worked(struct client_auth *a, struct pgw_writer *out)
{
    if (a->keys_known)
        return a->verdict;
    if (!a->derived_ok)
        return CLIENT_AUTH_REFUSED;
    memcpy(a->pair.server_key, a->derived.server_key, SHA256_LEN);
    keys_put(a->config.keys, a->config.user, &a->derived, &a->pair);
    a->scram.verifier = a->derived;
    return check_proof(a, span_of(a->text, a->text_len), out);
}

/* ---- all of them ---- */

static enum client_auth_result begin(struct client_auth *a, struct pgw_writer *out)
{
    switch (a->config.method) {
    case CONF_AUTH_TRUST:
        a->phase = PHASE_OVER;
        return CLIENT_AUTH_OK;
    case CONF_AUTH_PASSWORD:
        return ask_password(a, out);
    case CONF_AUTH_MD5:
        return kind_of(a) == SECRET_SCRAM ? ask_scram(a, out) : ask_md5(a, out);
    case CONF_AUTH_SCRAM:
        return ask_scram(a, out);
    }
    return CLIENT_AUTH_REFUSED;
}

enum client_auth_result client_auth_start(struct client_auth *a,
                                          const struct client_auth_config *config,
                                          struct pgw_writer *out)
{
    enum client_auth_result result;

    ASSERT(config->user.len <= sizeof(a->user));
    memset(a, 0, sizeof(*a));
    a->config = *config;
    memcpy(a->user, config->user.ptr, config->user.len);
    a->config.user = span_of(a->user, config->user.len);
    result = begin(a, out);
    ASSERT(!out->full);
    return result;
}

static enum client_auth_result take_message(struct client_auth *a, enum phase phase,
                                            struct span body, struct pgw_writer *out)
{
    switch (phase) {
    case PHASE_PASSWORD:
        return take_password(a, body);
    case PHASE_MD5:
        return take_md5(a, body);
    case PHASE_SCRAM_FIRST:
        return take_scram_first(a, body, out);
    case PHASE_SCRAM_FINAL:
        return take_scram_final(a, body, out);
    case PHASE_PASSWORD_WORK:
    case PHASE_SCRAM_WORK:
    case PHASE_OVER:
        break;
    }
    return CLIENT_AUTH_MALFORMED;
}

enum client_auth_result client_auth_message(struct client_auth *a, struct span body,
                                            struct pgw_writer *out)
{
    enum phase phase = a->phase;
    enum client_auth_result result;

    ASSERT(phase <= PHASE_SCRAM_FINAL); /* the last result was ASK */
    a->phase = PHASE_OVER;              /* unless somebody goes on */
    result = take_message(a, phase, body, out);
    ASSERT(!out->full);
    return result;
}

void client_auth_work(struct client_auth *a)
{
    a->derived = a->verifier;
    a->derived_ok = scram_derive(a->password, &a->derived, a->pair.client_key);
}

enum client_auth_result client_auth_worked(struct client_auth *a, struct pgw_writer *out)
{
    enum phase phase = a->phase;
    enum client_auth_result result;

    ASSERT(phase == PHASE_PASSWORD_WORK || phase == PHASE_SCRAM_WORK);
    a->phase = PHASE_OVER;
    result = phase == PHASE_PASSWORD_WORK ? password_worked(a) : scram_worked(a, out);
    ASSERT(!out->full);
    return result;
}

void client_auth_fini(struct client_auth *a)
{
    digest_wipe(a, sizeof(*a));
}
