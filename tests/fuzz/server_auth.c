/*
 * Any bytes from a server at which weir logs in: it is answered, found wanting or believed, and
 * believed only when its last word is AuthenticationOk and, after SCRAM has begun, it has proven
 * itself before. What is answered is a message of a client.
 */
#include "weir/auth/server_auth.h"
#include "dialogue.h"
#include "pgwire/message_backend.h"
#include "pgwire/proto.h"
#include "pgwire/rule.h"

/* A server may ask for seconds of work; here it gets none. */
#define ITERATIONS_MAX 16

struct login {
    struct server_auth auth;
    struct secret secret;
    uint8_t bytes[2048];
    struct pgw_writer out;
    bool began_scram, proven;
};

/* kind is that of the secret; with keys that a client has shown. */
static void start(struct login *l, struct keys *keys, uint8_t choice)
{
    unsigned kind = choice % (DIALOGUE_UNKNOWN + 1);
    struct key_pair pair;
    struct server_auth_config config = {
        .user = span_str(DIALOGUE_USER),
        .secret = kind == DIALOGUE_UNKNOWN ? NULL : &l->secret,
        .keys = keys,
    };

    dialogue_secret(kind % DIALOGUE_UNKNOWN, &l->secret, pair.client_key);
    memcpy(pair.server_key, l->secret.scram.server_key, SHA256_LEN);
    keys_put(keys, config.user, &l->secret.scram, &pair);
    l->began_scram = l->proven = false;
    l->out = pgw_writer_of(l->bytes, sizeof(l->bytes));
    server_auth_init(&l->auth, &config);
}

/* The first message of SCRAM was written: say it with another nonce. */
static void fix_nonce(struct login *l)
{
    struct scram_message first;

    l->began_scram = true;
    scram_client_init(&l->auth.scram, span_str(DIALOGUE_NONCE), &first);
}

static enum server_auth_result hear(struct login *l, struct span body)
{
    enum server_auth_result result;

    pgw_writer_clear(&l->out);
    result = server_auth_message(&l->auth, body, &l->out);
    if (result != SERVER_AUTH_WORK)
        return result;
    ASSERT(l->out.len == 0 && l->began_scram);
    if (l->auth.scram.verifier.iterations > ITERATIONS_MAX)
        return SERVER_AUTH_FAILED;
    server_auth_work(&l->auth);
    return server_auth_worked(&l->auth, &l->out);
}

static void check_heard(struct login *l, struct span body, enum server_auth_result result)
{
    static const uint8_t sasl[4] = {0, 0, 0, PGW_AUTH_SASL}, ok[4] = {0};

    if (result == SERVER_AUTH_SEND)
        (void)dialogue_written(pgw_frontend_rules, &l->out, 'p');
    else
        ASSERT(l->out.len == 0);
    if (result == SERVER_AUTH_SEND && memcmp(body.ptr, sasl, sizeof(sasl)) == 0)
        fix_nonce(l);
    if (result == SERVER_AUTH_WAIT)
        l->proven = l->began_scram;
    if (result == SERVER_AUTH_OK)
        ASSERT(span_equal(body, span_of(ok, sizeof(ok))) && l->proven == l->began_scram);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len); /* NOLINT: libFuzzer's name */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) /* NOLINT: libFuzzer's name */
{
    struct span input = span_of(data, len);
    enum server_auth_result result = SERVER_AUTH_WAIT;
    struct keys *keys = NULL;
    struct login l;
    uint8_t *body;
    size_t n;

    if (len == 0)
        return 0;
    ASSERT(keys_new(&keys, 2) == 0);
    start(&l, keys, data[0]);
    input = span_skip(input, 1);
    while ((result == SERVER_AUTH_WAIT || result == SERVER_AUTH_SEND) &&
           dialogue_next(&input, &body, &n)) {
        result = hear(&l, span_of(body, n));
        check_heard(&l, span_of(body, n), result);
        free(body);
    }
    (void)server_auth_refused(&l.auth, "28P01");
    server_auth_fini(&l.auth);
    keys_free(keys);
    return 0;
}
