/*
 * Parsing of stored secrets. The SCRAM form is
 *
 *     SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>
 *
 * with base64 for the last three (PostgreSQL's documentation of pg_authid).
 */
#include "weir/auth/secret.h"

#include <string.h>

static const char scram_prefix[] = "SCRAM-SHA-256$";
static const char md5_prefix[] = "md5";

static bool starts_with(struct span text, const char *prefix)
{
    size_t n = strlen(prefix);

    return text.len >= n && memcmp(text.ptr, prefix, n) == 0;
}

/* Takes what stands before the next c, and c, off *text. False: no c. */
static bool cut(struct span *text, char c, struct span *out)
{
    const uint8_t *at = text->len == 0 ? NULL : memchr(text->ptr, c, text->len);

    if (at == NULL)
        return false;
    *out = span_of(text->ptr, (size_t)(at - text->ptr));
    *text = span_skip(*text, out->len + 1);
    return true;
}

bool scram_parse_iterations(struct span digits, uint32_t *out)
{
    uint32_t n = 0;

    if (digits.len == 0 || digits.len > 8)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return false;
        n = n * 10 + (uint32_t)(digits.ptr[i] - '0');
    }
    if (n < 1 || n > SCRAM_ITERATIONS_MAX)
        return false;
    *out = n;
    return true;
}

static bool parse_key(struct span text, uint8_t out[SHA256_LEN])
{
    size_t len;

    return base64_decode(text, out, SHA256_LEN, &len) && len == SHA256_LEN;
}

static bool parse_scram(struct span text, struct scram_verifier *out)
{
    struct scram_verifier v = {.iterations = 0};
    struct span iterations, salt, stored;
    size_t salt_len;

    if (!starts_with(text, scram_prefix))
        return false;
    text = span_skip(text, strlen(scram_prefix));
    if (!cut(&text, ':', &iterations) || !cut(&text, '$', &salt) || !cut(&text, ':', &stored))
        return false;
    if (!scram_parse_iterations(iterations, &v.iterations) ||
        !base64_decode(salt, v.salt, sizeof(v.salt), &salt_len) || salt_len == 0 ||
        !parse_key(stored, v.stored_key) || !parse_key(text, v.server_key))
        return false;
    v.salt_len = (uint32_t)salt_len;
    *out = v;
    return true;
}

static bool parse_md5(struct span text, char out[MD5_HEX_LEN])
{
    if (!starts_with(text, md5_prefix) || text.len != strlen(md5_prefix) + MD5_HEX_LEN)
        return false;
    text = span_skip(text, strlen(md5_prefix));
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == 0 || strchr("0123456789abcdef", text.ptr[i]) == NULL)
            return false;
    memcpy(out, text.ptr, MD5_HEX_LEN);
    return true;
}

void secret_parse(struct span text, struct secret *out)
{
    memset(out, 0, sizeof(*out));
    if (text.len == 0)
        out->kind = SECRET_NONE;
    else if (parse_md5(text, out->md5_hex))
        out->kind = SECRET_MD5;
    else if (parse_scram(text, &out->scram))
        out->kind = SECRET_SCRAM;
    else {
        out->kind = SECRET_PLAIN;
        out->plain = text;
    }
}

bool scram_derive(struct span password, struct scram_verifier *v, uint8_t client_key[SHA256_LEN])
{
    uint8_t salted[SHA256_LEN], key[SHA256_LEN];

    if (!digest_pbkdf2(password, span_of(v->salt, v->salt_len), v->iterations, salted))
        return false;
    digest_hmac(salted, span_str("Client Key"), key);
    digest_sha256(span_of(key, sizeof(key)), v->stored_key);
    digest_hmac(salted, span_str("Server Key"), v->server_key);
    if (client_key != NULL)
        memcpy(client_key, key, sizeof(key));
    digest_wipe(salted, sizeof(salted));
    digest_wipe(key, sizeof(key));
    return true;
}
