/*
 * Hashes of bytes under a secret key, for tables whose keys clients choose: without the key nobody
 * can prepare names that fall into one bucket. The key is drawn at start and passed around by
 * whoever hashes, so a value means nothing outside the process or after its end.
 * Not for authentication: equal hashes, also of 128 bits, do not prove equal bytes.
 * Threads: any; a key does not change once it is made.
 */
#ifndef WEIR_BASE_HASH_H
#define WEIR_BASE_HASH_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/base/check.h"
#include "weir/base/span.h"

#define HASH_SECRET_SIZE 192

struct hash_key {
    _Alignas(64) uint8_t secret[HASH_SECRET_SIZE];
};

struct hash128 {
    uint64_t low, high;
};

/* A random key. 0, or what getrandom says (-ENOSYS). */
NODISCARD int hash_key_init(struct hash_key *key);

/* A key that depends on the seed alone, so that a test can be repeated. */
void hash_key_fixed(struct hash_key *key, uint64_t seed);

NODISCARD uint64_t hash64(const struct hash_key *key, struct span bytes);
NODISCARD struct hash128 hash128(const struct hash_key *key, struct span bytes);

NODISCARD static inline uint64_t hash64_u64(const struct hash_key *key, uint64_t value)
{
    return hash64(key, span_of(&value, sizeof(value)));
}

static inline bool hash128_equal(struct hash128 a, struct hash128 b)
{
    return a.low == b.low && a.high == b.high;
}

#endif
