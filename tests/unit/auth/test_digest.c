#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "weir/auth/digest.h"

static void hex(const uint8_t *bytes, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

Test(digest, sha256_of_published_vectors)
{
    static const struct {
        const char *data, *sum;
    } cases[] = {
        /* FIPS 180-4 */
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t sum[SHA256_LEN];
        char text[2 * SHA256_LEN + 1];

        digest_sha256(span_str(cases[i].data), sum);
        hex(sum, sizeof(sum), text);
        cr_assert_str_eq(text, cases[i].sum);
    }
}

Test(digest, hmac_of_a_published_vector)
{
    /* RFC 4231, case 1, whose key of 20 bytes is padded with zeros to 32: HMAC pads it so too. */
    uint8_t key[SHA256_LEN] = {0}, sum[SHA256_LEN];
    char text[2 * SHA256_LEN + 1];

    memset(key, 0x0b, 20);
    digest_hmac(key, span_str("Hi There"), sum);
    hex(sum, sizeof(sum), text);
    cr_assert_str_eq(text, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
}

Test(digest, pbkdf2_of_published_vectors)
{
    /* RFC 7914, section 11, the first 32 bytes. */
    static const struct {
        const char *password, *salt;
        uint32_t iterations;
        const char *key;
    } cases[] = {
        {"passwd", "salt", 1, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"},
        {"Password", "NaCl", 80000,
         "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t key[SHA256_LEN];
        char text[2 * SHA256_LEN + 1];

        cr_assert(digest_pbkdf2(span_str(cases[i].password), span_str(cases[i].salt),
                                cases[i].iterations, key));
        hex(key, sizeof(key), text);
        cr_assert_str_eq(text, cases[i].key);
    }
}

Test(digest, md5_is_of_both_parts_in_turn)
{
    char text[MD5_HEX_LEN];

    digest_md5_hex(span_str("a"), span_str("bc"), text); /* RFC 1321: "abc" */
    cr_assert_eq(memcmp(text, "900150983cd24fb0d6963f7d28e17f72", MD5_HEX_LEN), 0);
}

Test(digest, same_sees_every_byte)
{
    uint8_t a[33] = {0}, b[33] = {0};

    cr_assert(digest_same(a, b, sizeof(a)));
    cr_assert(digest_same(a, b, 0));
    for (size_t i = 0; i < sizeof(a); i++) {
        b[i] = 0x80;
        cr_assert(!digest_same(a, b, sizeof(a)), "byte %zu", i);
        b[i] = 0;
    }
}

Test(digest, random_fills_all_and_differs)
{
    uint8_t a[300] = {0}, b[300] = {0};
    size_t n_zero = 0;

    digest_random(a, sizeof(a));
    digest_random(b, sizeof(b));
    cr_assert_neq(memcmp(a, b, sizeof(a)), 0);
    for (size_t i = 0; i < sizeof(a); i++)
        n_zero += a[i] == 0;
    cr_assert_lt(n_zero, 30, "300 random bytes hold %zu zeros", n_zero);
}

static const struct {
    const char *data, *text;
} base64_cases[] = {
    /* RFC 4648, section 10 */
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

Test(digest, base64_both_ways)
{
    for (size_t i = 0; i < sizeof(base64_cases) / sizeof(base64_cases[0]); i++) {
        struct span data = span_str(base64_cases[i].data), text = span_str(base64_cases[i].text);
        char encoded[16];
        uint8_t decoded[8];
        size_t len = 99;

        cr_assert_eq(BASE64_LEN(data.len), text.len);
        base64_encode(data, encoded);
        cr_assert_eq(memcmp(encoded, text.ptr, text.len), 0, "%s", base64_cases[i].data);
        cr_assert(base64_decode(text, decoded, sizeof(decoded), &len));
        cr_assert(span_equal(span_of(decoded, len), data));
    }
}

Test(digest, base64_refuses_what_is_not_the_one_text)
{
    static const char *const cases[] = {
        "Z",     "Zg",   "Zg=",  "Z===", "====", "Zg==Zg==", "Zm9v\n",
        "Zm 9v", "Zm9-", "Zh==", "Zm9=", "=Zm9", "Zm=v",     "Zm9vYg="};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t out[16];
        size_t len = 99;

        cr_assert(!base64_decode(span_str(cases[i]), out, sizeof(out), &len), "%s", cases[i]);
        cr_assert_eq(len, 99);
    }
}

Test(digest, base64_writes_no_more_than_there_is_room_for)
{
    uint8_t out[3] = {0, 0, 0x55};
    size_t len = 99;

    cr_assert(!base64_decode(span_str("Zm9v"), out, 2, &len));
    cr_assert_eq(out[2], 0x55);
    cr_assert(base64_decode(span_str("Zm8="), out, 2, &len));
    cr_assert_eq(len, 2);
    cr_assert_eq(out[2], 0x55);
}
