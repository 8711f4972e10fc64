#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "weir/base/hash.h"

#define LEN_MAX 600 /* beyond the last of the lengths at which xxhash changes its method */

static struct hash_key key;
static uint8_t bytes[LEN_MAX];

static void setup(void)
{
    hash_key_fixed(&key, 1);
    for (unsigned i = 0; i < LEN_MAX; i++)
        bytes[i] = (uint8_t)(i * 7 + 1);
}

TestSuite(hash, .init = setup);

Test(hash, fixed_key_depends_on_its_seed_alone)
{
    struct hash_key same, other;

    hash_key_fixed(&same, 1);
    hash_key_fixed(&other, 2);
    cr_assert_eq(memcmp(&key, &same, sizeof(key)), 0);
    cr_assert_neq(memcmp(&key, &other, sizeof(key)), 0);
}

Test(hash, random_keys_differ)
{
    struct hash_key a, b;

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));
    cr_assert_eq(hash_key_init(&a), 0);
    cr_assert_eq(hash_key_init(&b), 0);
    for (unsigned i = 0; i < HASH_SECRET_SIZE; i += 16) /* each part is filled */
        cr_assert_neq(memcmp(a.secret + i, b.secret + i, 16), 0, "at %u", i);
    cr_assert_neq(hash64(&a, span_str("x")), hash64(&b, span_str("x")));
}

/* Values do not change between runs and versions: a recorded seed gives the same test again. */
Test(hash, known_values)
{
    struct hash128 h = hash128(&key, span_str("select 1"));

    cr_assert_eq(hash64(&key, span_str("")), UINT64_C(0x32804c0f5e57ea47));
    cr_assert_eq(hash64(&key, span_str("select 1")), UINT64_C(0xb96eef5ebd325d04));
    cr_assert_eq(h.low, UINT64_C(0xdfa73e451bc2a96a));
    cr_assert_eq(h.high, UINT64_C(0x6a5f705638c76a0f));
}

/* For every length: the key counts, each byte counts, the length counts, a place in memory not. */
Test(hash, every_length)
{
    struct hash_key other;
    uint8_t copy[LEN_MAX + 1];

    hash_key_fixed(&other, 2);
    for (size_t len = 0; len < LEN_MAX; len++) {
        struct span s = span_of(bytes, len);
        uint64_t h = hash64(&key, s);
        struct hash128 hh = hash128(&key, s);

        memcpy(copy + 1, bytes, len);
        cr_assert_eq(hash64(&key, span_of(copy + 1, len)), h, "length %zu", len);
        cr_assert(hash128_equal(hash128(&key, span_of(copy + 1, len)), hh), "length %zu", len);
        cr_assert_neq(hash64(&other, s), h, "length %zu", len);
        cr_assert_not(hash128_equal(hash128(&other, s), hh), "length %zu", len);
        cr_assert_neq(hash64(&key, span_of(bytes, len + 1)), h, "length %zu", len);
        for (size_t at = 1; at <= len; at++) {
            copy[at] ^= 0x10;
            cr_assert_neq(hash64(&key, span_of(copy + 1, len)), h, "%zu of %zu", at, len);
            cr_assert_not(hash128_equal(hash128(&key, span_of(copy + 1, len)), hh), "%zu of %zu",
                          at, len);
            copy[at] ^= 0x10;
        }
    }
}

/* Low bits choose the bucket: 64 Ki numbers must spread over 256 buckets. */
Test(hash, low_bits_spread)
{
    unsigned counts[256] = {0};

    for (uint64_t i = 0; i < 65536; i++)
        counts[hash64_u64(&key, i << 20) & 255]++;
    for (unsigned i = 0; i < 256; i++)
        cr_assert(counts[i] > 150 && counts[i] < 370, "bucket %u has %u", i, counts[i]);
}

Test(hash, of_a_number_is_of_its_bytes)
{
    uint64_t n = 0x123456789abcdef0;

    cr_assert_eq(hash64_u64(&key, n), hash64(&key, span_of(&n, sizeof(n))));
}

Test(hash, both_halves_of_128_bits_count)
{
    struct hash128 h = {1, 2};

    cr_assert(hash128_equal(h, (struct hash128){1, 2}));
    cr_assert_not(hash128_equal(h, (struct hash128){1, 3}));
    cr_assert_not(hash128_equal(h, (struct hash128){2, 2}));
}
