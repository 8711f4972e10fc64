/*
 * The messages of SCRAM. All parsing works on spans cut at commas; nothing is trusted to be
 * terminated, and nothing longer than SCRAM_MESSAGE_MAX is looked at, so every buffer below is
 * large enough by construction (append() asserts it).
 */
#include "weir/auth/scram.h"

#include <stdio.h>
#include <string.h>

static void append(char *buffer, size_t size, size_t *len, struct span text)
{
    ASSERT(size - *len >= text.len);
    memcpy(buffer + *len, text.ptr, text.len);
    *len += text.len;
}

static void put(struct scram_message *m, struct span text)
{
    append(m->text, sizeof(m->text), &m->len, text);
}

/* The next attribute, up to a comma or the end: its letter and value. False: malformed or none. */
static bool next_attribute(struct span *in, char letter, struct span *value)
{
    const uint8_t *comma;
    size_t len;

    if (in->len < 2 || in->ptr[0] != (uint8_t)letter || in->ptr[1] != '=')
        return false;
    comma = memchr(in->ptr, ',', in->len);
    len = comma == NULL ? in->len : (size_t)(comma - in->ptr);
    *value = span_of(in->ptr + 2, len - 2);
    *in = span_skip(*in, comma == NULL ? len : len + 1);
    return true;
}

/* RFC 5802: printable ASCII without the comma. */
static bool printable(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 0x21 || s.ptr[i] > 0x7e || s.ptr[i] == ',')
            return false;
    return s.len > 0;
}

static void sign(const uint8_t key[SHA256_LEN], const char *message, size_t len,
                 uint8_t out[SHA256_LEN])
{
    digest_hmac(key, span_of(message, len), out);
}

void scram_nonce(char out[SCRAM_NONCE_LEN])
{
    uint8_t random[18];

    digest_random(random, sizeof(random));
    base64_encode(span_of(random, sizeof(random)), out);
}

/* --- the side that checks ----------------------------------------------------------------------
 */

void scram_server_init(struct scram_server *s, const struct scram_verifier *v, bool mock,
                       struct span own_nonce)
{
    memset(s, 0, sizeof(*s));
    s->verifier = *v;
    s->mock = mock;
    append(s->own_nonce, sizeof(s->own_nonce), &s->own_nonce_len, own_nonce);
}

void scram_server_fini(struct scram_server *s)
{
    digest_wipe(s, sizeof(*s));
}

/* gs2-header: "n,," or "y,,". The authorization identity must be empty, as in PostgreSQL. */
static bool take_header(struct scram_server *s, struct span *in)
{
    if (in->len < 3 || (in->ptr[0] != 'n' && in->ptr[0] != 'y') ||
        memcmp(in->ptr + 1, ",,", 2) != 0)
        return false;
    s->flag = (char)in->ptr[0];
    *in = span_skip(*in, 3);
    return true;
}

enum scram_result scram_server_first(struct scram_server *s, struct span in,
                                     struct scram_message *out)
{
    char salt[BASE64_LEN(SCRAM_SALT_MAX)], iterations[16];
    struct span bare, user, nonce;

    ASSERT(s->phase == 0);
    s->phase = 2; /* until proven otherwise */
    if (in.len > SCRAM_MESSAGE_MAX / 2 || !take_header(s, &in))
        return SCRAM_MALFORMED;
    bare = in;
    /* "m=" would be a mandatory extension, which nobody has; what follows the nonce is optional. */
    if (!next_attribute(&in, 'n', &user) || !next_attribute(&in, 'r', &nonce) || !printable(nonce))
        return SCRAM_MALFORMED;
    append(s->nonce, sizeof(s->nonce), &s->nonce_len, nonce);
    append(s->nonce, sizeof(s->nonce), &s->nonce_len, span_of(s->own_nonce, s->own_nonce_len));

    base64_encode(span_of(s->verifier.salt, s->verifier.salt_len), salt);
    snprintf(iterations, sizeof(iterations), ",i=%u", s->verifier.iterations);
    out->len = 0;
    put(out, span_str("r="));
    put(out, span_of(s->nonce, s->nonce_len));
    put(out, span_str(",s="));
    put(out, span_of(salt, BASE64_LEN((size_t)s->verifier.salt_len)));
    put(out, span_str(iterations));

    append(s->authenticated, sizeof(s->authenticated), &s->authenticated_len, bare);
    append(s->authenticated, sizeof(s->authenticated), &s->authenticated_len, span_str(","));
    append(s->authenticated, sizeof(s->authenticated), &s->authenticated_len,
           span_of(out->text, out->len));
    append(s->authenticated, sizeof(s->authenticated), &s->authenticated_len, span_str(","));
    s->phase = 1;
    return SCRAM_OK;
}

/* The proof is the last attribute: without_proof gets what stands before it, which is signed too.
 */
static bool cut_proof(struct span in, struct span *without_proof, struct span *proof)
{
    static const char mark[] = ",p=";

    for (size_t at = in.len; at-- > 0;) {
        if (in.len - at < sizeof(mark) - 1 || memcmp(in.ptr + at, mark, sizeof(mark) - 1) != 0)
            continue;
        *without_proof = span_of(in.ptr, at);
        *proof = span_skip(in, at + sizeof(mark) - 1);
        return true;
    }
    return false;
}

enum scram_result scram_server_final(struct scram_server *s, struct span in,
                                     struct scram_message *out, uint8_t client_key[SHA256_LEN])
{
    struct span without_proof, proof_text, rest, binding, nonce;
    uint8_t proof[SHA256_LEN], signature[SHA256_LEN], key[SHA256_LEN], stored[SHA256_LEN];
    char text[BASE64_LEN(SHA256_LEN)];
    size_t len;

    ASSERT(s->phase == 1);
    s->phase = 2;
    if (in.len > SCRAM_MESSAGE_MAX || !cut_proof(in, &without_proof, &proof_text))
        return SCRAM_MALFORMED;
    rest = without_proof;
    /* The header again, in base64: who changed it on the way is found out here. */
    if (!next_attribute(&rest, 'c', &binding) || !next_attribute(&rest, 'r', &nonce) ||
        !span_equal(binding, span_str(s->flag == 'y' ? "eSws" : "biws")) ||
        !span_equal(nonce, span_of(s->nonce, s->nonce_len)) ||
        !base64_decode(proof_text, proof, sizeof(proof), &len) || len != SHA256_LEN)
        return SCRAM_MALFORMED;

    append(s->authenticated, sizeof(s->authenticated), &s->authenticated_len, without_proof);
    sign(s->verifier.stored_key, s->authenticated, s->authenticated_len, signature);
    for (size_t i = 0; i < SHA256_LEN; i++)
        key[i] = proof[i] ^ signature[i];
    digest_sha256(span_of(key, sizeof(key)), stored);
    /* The same work for a mock exchange, so that the time tells nothing. */
    if (!digest_same(stored, s->verifier.stored_key, SHA256_LEN) || s->mock) {
        digest_wipe(key, sizeof(key));
        return SCRAM_REFUSED;
    }
    sign(s->verifier.server_key, s->authenticated, s->authenticated_len, signature);
    base64_encode(span_of(signature, sizeof(signature)), text);
    out->len = 0;
    put(out, span_str("v="));
    put(out, span_of(text, sizeof(text)));
    memcpy(client_key, key, sizeof(key));
    digest_wipe(key, sizeof(key));
    return SCRAM_OK;
}

void scram_mock(const uint8_t key[SHA256_LEN], struct span user, uint32_t iterations,
                struct scram_verifier *out)
{
    uint8_t sum[SHA256_LEN];

    memset(out, 0, sizeof(*out));
    out->iterations = iterations;
    out->salt_len = 16; /* what PostgreSQL's own verifiers have */
    digest_hmac(key, user, sum);
    memcpy(out->salt, sum, out->salt_len);
    /* Keys that no password has, different for every exchange. */
    digest_random(out->stored_key, SHA256_LEN);
    digest_random(out->server_key, SHA256_LEN);
}

/* --- the side that proves ------------------------------------------------------------------------
 */

void scram_client_init(struct scram_client *c, struct span own_nonce, struct scram_message *out)
{
    memset(c, 0, sizeof(*c));
    append(c->nonce, sizeof(c->nonce), &c->nonce_len, own_nonce);
    out->len = 0;
    put(out, span_str("n,,n=,r="));
    put(out, own_nonce);
    append(c->authenticated, sizeof(c->authenticated), &c->authenticated_len,
           span_of(out->text + 3, out->len - 3));
    append(c->authenticated, sizeof(c->authenticated), &c->authenticated_len, span_str(","));
}

void scram_client_fini(struct scram_client *c)
{
    digest_wipe(c, sizeof(*c));
}

enum scram_result scram_client_challenged(struct scram_client *c, struct span in)
{
    struct span whole = in, nonce, salt, iterations;
    size_t salt_len;

    ASSERT(c->phase == 0);
    c->phase = 3;
    /* The nonce goes back with "c=biws,r=" before it and the proof behind: that must fit too. */
    if (in.len > SCRAM_MESSAGE_MAX - 64 || !next_attribute(&in, 'r', &nonce) ||
        !next_attribute(&in, 's', &salt) || !next_attribute(&in, 'i', &iterations))
        return SCRAM_MALFORMED;
    /* Ours must stand at the front and the server's behind it: otherwise it is somebody's replay.
     */
    if (nonce.len <= c->nonce_len || memcmp(nonce.ptr, c->nonce, c->nonce_len) != 0 ||
        !printable(nonce))
        return SCRAM_MALFORMED;
    if (!base64_decode(salt, c->verifier.salt, sizeof(c->verifier.salt), &salt_len) ||
        salt_len == 0 || !scram_parse_iterations(iterations, &c->verifier.iterations))
        return SCRAM_MALFORMED;
    c->verifier.salt_len = (uint32_t)salt_len;
    append(c->authenticated, sizeof(c->authenticated), &c->authenticated_len, whole);
    append(c->authenticated, sizeof(c->authenticated), &c->authenticated_len, span_str(","));
    c->final_at = c->authenticated_len;
    append(c->authenticated, sizeof(c->authenticated), &c->authenticated_len,
           span_str("c=biws,r="));
    append(c->authenticated, sizeof(c->authenticated), &c->authenticated_len, nonce);
    c->phase = 1;
    return SCRAM_OK;
}

void scram_client_prove(struct scram_client *c, const uint8_t client_key[SHA256_LEN],
                        const uint8_t server_key[SHA256_LEN], struct scram_message *out)
{
    uint8_t proof[SHA256_LEN], stored[SHA256_LEN];
    char text[BASE64_LEN(SHA256_LEN)];

    ASSERT(c->phase == 1);
    memcpy(c->verifier.server_key, server_key, SHA256_LEN);
    digest_sha256(span_of(client_key, SHA256_LEN), stored);
    sign(stored, c->authenticated, c->authenticated_len, proof);
    for (size_t i = 0; i < SHA256_LEN; i++)
        proof[i] ^= client_key[i];
    base64_encode(span_of(proof, sizeof(proof)), text);

    out->len = 0;
    put(out, span_of(c->authenticated + c->final_at, c->authenticated_len - c->final_at));
    put(out, span_str(",p="));
    put(out, span_of(text, sizeof(text)));
    digest_wipe(stored, sizeof(stored));
    c->phase = 2;
}

enum scram_result scram_client_verify(struct scram_client *c, struct span in)
{
    uint8_t theirs[SHA256_LEN], ours[SHA256_LEN];
    struct span value;
    size_t len;

    ASSERT(c->phase == 2);
    c->phase = 3;
    if (in.len > SCRAM_MESSAGE_MAX)
        return SCRAM_MALFORMED;
    if (next_attribute(&in, 'e', &value))
        return SCRAM_REFUSED;
    if (!next_attribute(&in, 'v', &value) || !base64_decode(value, theirs, sizeof(theirs), &len) ||
        len != SHA256_LEN)
        return SCRAM_MALFORMED;
    sign(c->verifier.server_key, c->authenticated, c->authenticated_len, ours);
    return digest_same(theirs, ours, SHA256_LEN) ? SCRAM_OK : SCRAM_REFUSED;
}
