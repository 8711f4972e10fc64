/*
 * What authentication computes with: the only place that calls wolfCrypt. Pure functions but for
 * digest_random(). Any thread; digest_pbkdf2() takes milliseconds and belongs on a helper.
 */
#ifndef WEIR_AUTH_DIGEST_H
#define WEIR_AUTH_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/base/check.h"
#include "weir/base/span.h"

#define SHA256_LEN 32
#define MD5_HEX_LEN 32

void digest_sha256(struct span data, uint8_t out[SHA256_LEN]);

/* RFC 2104. */
void digest_hmac(const uint8_t key[SHA256_LEN], struct span data, uint8_t out[SHA256_LEN]);

/* RFC 8018 with HMAC-SHA-256 and one block of output. iterations >= 1. False: no memory, or the
 * library refuses the lengths (2^31 - 1 bytes at most). */
NODISCARD bool digest_pbkdf2(struct span password, struct span salt, uint32_t iterations,
                             uint8_t out[SHA256_LEN]);

/* The MD5 of a followed by b, in lower-case hexadecimal without a NUL. */
void digest_md5_hex(struct span a, struct span b, char out[MD5_HEX_LEN]);

/* Unpredictable bytes from the kernel. Ends the process where it has none to give: nothing that
 * asks for randomness could go on. */
void digest_random(void *out, size_t len);

/* Do n bytes agree? Takes the same time whether they do or where they differ. */
bool digest_same(const void *a, const void *b, size_t n);

/* Overwrites a secret in a way that the compiler does not leave out. */
void digest_wipe(void *secret, size_t len);

/* RFC 4648 base64 with padding. Length of the text of len bytes, no NUL. */
#define BASE64_LEN(len) (((len) + 2) / 3 * 4)
void base64_encode(struct span data, char *out);

/* Strict: no white space, no missing padding, no bits left over. False: not base64, or longer than
 * room bytes; *len is set on success only. */
NODISCARD bool base64_decode(struct span text, uint8_t *out, size_t room, size_t *len);

#endif
