/*
 * XXH3 with a secret of our own (https://github.com/Cyan4973/xxHash). The only file that names the
 * library.
 */
#include "weir/base/hash.h"

#include <errno.h>
#include <sys/random.h>

#include <xxhash.h>

_Static_assert(HASH_SECRET_SIZE >= XXH3_SECRET_SIZE_MIN, "xxhash refuses shorter secrets");

int hash_key_init(struct hash_key *key)
{
    ssize_t n;

    do { /* up to 256 bytes come whole or not at all, see getrandom(2) */
        n = getrandom(key->secret, sizeof(key->secret), 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

void hash_key_fixed(struct hash_key *key, uint64_t seed)
{
    /* SplitMix64 (Steele, Lea and Flood 2014): any seed gives a secret of high entropy. */
    for (size_t i = 0; i < sizeof(key->secret); i += sizeof(seed)) {
        uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        z ^= z >> 31;
        memcpy(key->secret + i, &z, sizeof(z));
    }
}

uint64_t hash64(const struct hash_key *key, struct span bytes)
{
    return XXH3_64bits_withSecret(bytes.ptr, bytes.len, key->secret, sizeof(key->secret));
}

struct hash128 hash128(const struct hash_key *key, struct span bytes)
{
    XXH128_hash_t h =
        XXH3_128bits_withSecret(bytes.ptr, bytes.len, key->secret, sizeof(key->secret));

    return (struct hash128){h.low64, h.high64};
}
