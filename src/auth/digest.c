/*
 * wolfCrypt, behind the few functions that authentication needs. Its one-shot calls on SHA-256,
 * HMAC and MD5 fail only for want of memory or for arguments that we do not pass, so a failure
 * there is a bug and asserts.
 */
#include "weir/auth/digest.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/md5.h>
#include <wolfssl/wolfcrypt/pwdbased.h>

void digest_sha256(struct span data, uint8_t out[SHA256_LEN])
{
    ASSERT(data.len <= UINT32_MAX);
    int failed = wc_Sha256Hash(data.ptr, (word32)data.len, out);

    ASSERT(failed == 0);
}

void digest_hmac(const uint8_t key[SHA256_LEN], struct span data, uint8_t out[SHA256_LEN])
{
    Hmac hmac;
    int failed;

    ASSERT(data.len <= UINT32_MAX);
    failed = wc_HmacInit(&hmac, NULL, INVALID_DEVID);
    ASSERT(failed == 0);
    failed = wc_HmacSetKey(&hmac, WC_SHA256, key, SHA256_LEN);
    ASSERT(failed == 0);
    failed = wc_HmacUpdate(&hmac, data.ptr, (word32)data.len);
    ASSERT(failed == 0);
    failed = wc_HmacFinal(&hmac, out);
    ASSERT(failed == 0);
    wc_HmacFree(&hmac);
    digest_wipe(&hmac, sizeof(hmac));
}

bool digest_pbkdf2(struct span password, struct span salt, uint32_t iterations,
                   uint8_t out[SHA256_LEN])
{
    ASSERT(iterations >= 1);
    if (password.len > INT_MAX || salt.len > INT_MAX || iterations > INT_MAX)
        return false;
    return wc_PBKDF2(out, password.ptr, (int)password.len, salt.ptr, (int)salt.len, (int)iterations,
                     SHA256_LEN, WC_SHA256) == 0;
}

void digest_md5_hex(struct span a, struct span b, char out[MD5_HEX_LEN])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t sum[WC_MD5_DIGEST_SIZE];
    wc_Md5 md5;
    int failed;

    ASSERT(a.len <= UINT32_MAX && b.len <= UINT32_MAX);
    failed = wc_InitMd5(&md5);
    ASSERT(failed == 0);
    failed = wc_Md5Update(&md5, a.ptr, (word32)a.len) || wc_Md5Update(&md5, b.ptr, (word32)b.len);
    ASSERT(failed == 0);
    failed = wc_Md5Final(&md5, sum);
    ASSERT(failed == 0);
    wc_Md5Free(&md5);
    for (size_t i = 0; i < sizeof(sum); i++) {
        out[2 * i] = digits[sum[i] >> 4];
        out[2 * i + 1] = digits[sum[i] & 15];
    }
}

void digest_random(void *out, size_t len)
{
    uint8_t *pos = out;

    while (len > 0) {
        ssize_t n = getrandom(pos, len, 0);

        ASSERT(n > 0 || errno == EINTR);
        if (n > 0) {
            pos += n;
            len -= (size_t)n;
        }
    }
}

bool digest_same(const void *a, const void *b, size_t n)
{
    const volatile uint8_t *x = a, *y = b;
    uint8_t differ = 0;

    for (size_t i = 0; i < n; i++)
        differ |= x[i] ^ y[i];
    return differ == 0;
}

void digest_wipe(void *secret, size_t len)
{
    explicit_bzero(secret, len);
}

/* The digits of 0 to 63, then the padding. */
static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";

/* wolfCrypt's decoder skips white space and takes missing padding; two texts for one value are no
 * good in an authentication protocol, so this small pair is our own. */
void base64_encode(struct span data, char *out)
{
    for (size_t i = 0; i < data.len; i += 3) {
        size_t n = data.len - i < 3 ? data.len - i : 3;
        uint32_t bits = (uint32_t)data.ptr[i] << 16 | (uint32_t)(n > 1 ? data.ptr[i + 1] : 0) << 8 |
                        (uint32_t)(n > 2 ? data.ptr[i + 2] : 0);

        *out++ = base64_digits[bits >> 18];
        *out++ = base64_digits[bits >> 12 & 63];
        *out++ = base64_digits[n > 1 ? bits >> 6 & 63 : 64];
        *out++ = base64_digits[n > 2 ? bits & 63 : 64];
    }
}

/* 0 to 63, or at least 64: no digit. */
static uint32_t base64_value(uint8_t c)
{
    const char *at = c == 0 ? NULL : strchr(base64_digits, c);

    return at == NULL ? 65 : (uint32_t)(at - base64_digits);
}

bool base64_decode(struct span text, uint8_t *out, size_t room, size_t *len)
{
    size_t n_pad = 0, n_bytes;

    if (text.len % 4 != 0)
        return false;
    while (n_pad < 2 && n_pad < text.len && text.ptr[text.len - 1 - n_pad] == '=')
        n_pad++;
    n_bytes = text.len / 4 * 3 - n_pad;
    if (n_bytes > room)
        return false;
    for (size_t i = 0; i < text.len; i += 4) {
        size_t n = i + 4 == text.len ? 3 - n_pad : 3;
        uint32_t bits = 0;

        for (size_t k = 0; k < 4; k++) {
            uint32_t value = k <= n ? base64_value(text.ptr[i + k]) : 0;

            if (value > 63)
                return false;
            bits = bits << 6 | value;
        }
        if (n < 3 && (bits & (UINT32_C(0xffffff) >> 8 * n)) != 0)
            return false; /* bits that no byte has: a second text for the same value */
        for (size_t k = 0; k < n; k++)
            *out++ = (uint8_t)(bits >> (16 - 8 * k));
    }
    *len = n_bytes;
    return true;
}
