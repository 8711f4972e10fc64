/*
 * Any bytes from a client that logs in: it is asked, refused or let in, and let in only where there
 * is such a user with a secret. What is asked is a message that a client can read.
 */
#include "weir/auth/client_auth.h"
#include "dialogue.h"
#include "pgwire/message_backend.h"
#include "pgwire/proto.h"
#include "pgwire/rule.h"

struct login {
    struct client_auth auth;
    struct secret secret;
    uint8_t bytes[1024];
    struct pgw_writer out;
    bool can_get_in;
};

static void check_asked(const struct login *l)
{
    struct pgw_authentication asked;

    ASSERT(pgw_read_authentication(dialogue_written(pgw_backend_rules, &l->out, 'R'), &asked) ==
           PGW_READY);
    ASSERT(asked.code != PGW_AUTH_OK);
}

static enum client_auth_result start(struct login *l, struct keys *keys, uint8_t choice)
{
    static const uint8_t mock_key[SHA256_LEN] = {1};
    unsigned kind = choice / 4 % (DIALOGUE_UNKNOWN + 1);
    struct client_auth_config config = {
        .method = (enum conf_auth_type)(choice % 4),
        .user = span_str(DIALOGUE_USER),
        .secret = kind == DIALOGUE_UNKNOWN ? NULL : &l->secret,
        .keys = keys,
        .mock_key = mock_key,
        .iterations = DIALOGUE_ITERATIONS,
    };
    enum client_auth_result result;

    dialogue_secret(kind % DIALOGUE_UNKNOWN, &l->secret, NULL);
    l->can_get_in = config.method == CONF_AUTH_TRUST ||
                    (kind != DIALOGUE_UNKNOWN && kind != DIALOGUE_NONE &&
                     (kind != DIALOGUE_MD5 || config.method != CONF_AUTH_SCRAM));
    l->out = pgw_writer_of(l->bytes, sizeof(l->bytes));
    result = client_auth_start(&l->auth, &config, &l->out);
    if (l->auth.scram.own_nonce_len > 0)
        scram_server_init(&l->auth.scram, &l->auth.verifier, l->auth.mock,
                          span_str(DIALOGUE_NONCE));
    memset(l->auth.md5_salt, 's', sizeof(l->auth.md5_salt));
    return result;
}

static enum client_auth_result hear(struct login *l, struct span body)
{
    enum client_auth_result result;

    pgw_writer_clear(&l->out);
    result = client_auth_message(&l->auth, body, &l->out);
    if (result != CLIENT_AUTH_WORK)
        return result;
    ASSERT(l->out.len == 0);
    client_auth_work(&l->auth);
    return client_auth_worked(&l->auth, &l->out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len); /* NOLINT: libFuzzer's name */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) /* NOLINT: libFuzzer's name */
{
    struct span input = span_of(data, len);
    struct keys *keys = NULL;
    enum client_auth_result result;
    struct login l;
    uint8_t *body;
    size_t n;

    if (len == 0)
        return 0;
    ASSERT(keys_new(&keys, 2) == 0);
    result = start(&l, keys, data[0]);
    input = span_skip(input, 1);
    while (result == CLIENT_AUTH_ASK && dialogue_next(&input, &body, &n)) {
        check_asked(&l);
        result = hear(&l, span_of(body, n));
        free(body);
    }
    if (result == CLIENT_AUTH_ASK || (result == CLIENT_AUTH_OK && l.out.len > 0))
        check_asked(&l);
    else
        ASSERT(l.out.len == 0);
    ASSERT(result != CLIENT_AUTH_WORK && (result != CLIENT_AUTH_OK || l.can_get_in));
    client_auth_fini(&l.auth);
    keys_free(keys);
    return 0;
}
