#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "lib/random.h"
#include "weir/auth/keys.h"

#define MAX_KEYS 4

static struct keys *keys;

static void setup(void)
{
    cr_assert_eq(keys_new(&keys, MAX_KEYS), 0);
}

static void teardown(void)
{
    keys_free(keys);
}

TestSuite(keys, .init = setup, .fini = teardown);

static struct scram_verifier verifier(uint8_t salt, uint32_t salt_len, uint32_t iterations)
{
    return (struct scram_verifier){.salt = {salt}, .salt_len = salt_len, .iterations = iterations};
}

static struct key_pair pair_of(uint8_t n)
{
    struct key_pair pair;

    memset(pair.client_key, n, sizeof(pair.client_key));
    memset(pair.server_key, ~n, sizeof(pair.server_key));
    return pair;
}

static void put(const char *user, struct scram_verifier v, uint8_t n)
{
    struct key_pair pair = pair_of(n);

    keys_put(keys, span_str(user), &v, &pair);
}

/* The n of the pair; -1: not known. */
static int find(const char *user, struct scram_verifier v)
{
    struct key_pair pair = {.client_key = {0}}, expected;

    if (!keys_find(keys, span_str(user), &v, &pair))
        return -1;
    expected = pair_of(pair.client_key[0]);
    cr_assert_eq(memcmp(&pair, &expected, sizeof(pair)), 0);
    return pair.client_key[0];
}

Test(keys, are_found_by_name_salt_and_iterations_alone)
{
    struct scram_verifier same = verifier(1, 16, 4096);

    cr_assert_eq(find("alice", verifier(1, 16, 4096)), -1);
    put("alice", verifier(1, 16, 4096), 7);
    cr_assert_eq(find("alice", verifier(1, 16, 4096)), 7);
    memset(same.stored_key, 9, sizeof(same.stored_key));
    same.salt[20] = 9; /* behind its end */
    cr_assert_eq(find("alice", same), 7);

    cr_assert_eq(find("alic", verifier(1, 16, 4096)), -1);
    cr_assert_eq(find("alice ", verifier(1, 16, 4096)), -1);
    cr_assert_eq(find("", verifier(1, 16, 4096)), -1);
    cr_assert_eq(find("alice", verifier(2, 16, 4096)), -1);
    cr_assert_eq(find("alice", verifier(1, 15, 4096)), -1);
    cr_assert_eq(find("alice", verifier(1, 17, 4096)), -1);
    cr_assert_eq(find("alice", verifier(1, 16, 4097)), -1);
}

Test(keys, longest_name_and_salt)
{
    char name[64];
    struct scram_verifier v = verifier(1, SCRAM_SALT_MAX, 1);

    memset(name, 'x', 63);
    name[63] = '\0';
    memset(v.salt, 0xff, sizeof(v.salt));
    put(name, v, 1);
    cr_assert_eq(find(name, v), 1);
    v.salt[SCRAM_SALT_MAX - 1] = 0xfe;
    cr_assert_eq(find(name, v), -1);
    v.salt[SCRAM_SALT_MAX - 1] = 0xff;
    name[62] = 'y';
    cr_assert_eq(find(name, v), -1);
}

Test(keys, the_later_pair_counts)
{
    put("alice", verifier(1, 16, 4096), 1);
    put("alice", verifier(1, 16, 4096), 2);
    cr_assert_eq(find("alice", verifier(1, 16, 4096)), 2);
    keys_drop(keys, span_str("alice"), &(struct scram_verifier){.salt = {1}, 16, 4096});
    cr_assert_eq(find("alice", verifier(1, 16, 4096)), -1);
}

Test(keys, drop_takes_one_only)
{
    struct scram_verifier v = verifier(1, 16, 4096);

    put("alice", v, 1);
    put("alice", verifier(2, 16, 4096), 2);
    put("bob", v, 3);
    keys_drop(keys, span_str("alice"), &v);
    keys_drop(keys, span_str("alice"), &v); /* again: nothing there */
    cr_assert_eq(find("alice", v), -1);
    cr_assert_eq(find("alice", verifier(2, 16, 4096)), 2);
    cr_assert_eq(find("bob", v), 3);
}

Test(keys, what_was_not_asked_for_longest_goes_first)
{
    for (uint8_t i = 0; i < MAX_KEYS; i++)
        put("alice", verifier(i, 16, 4096), i);
    cr_assert_eq(find("alice", verifier(0, 16, 4096)), 0); /* asked for: young again */
    put("alice", verifier(1, 16, 4096), 11);               /* put again: young too */
    put("bob", verifier(0, 16, 4096), 20);
    cr_assert_eq(find("alice", verifier(2, 16, 4096)), -1);
    put("bob", verifier(1, 16, 4096), 21);
    cr_assert_eq(find("alice", verifier(3, 16, 4096)), -1);
    cr_assert_eq(find("alice", verifier(0, 16, 4096)), 0);
    cr_assert_eq(find("alice", verifier(1, 16, 4096)), 11);
    cr_assert_eq(find("bob", verifier(0, 16, 4096)), 20);
    cr_assert_eq(find("bob", verifier(1, 16, 4096)), 21);
}

Test(keys, room_for_one)
{
    struct keys *one;
    struct scram_verifier v = verifier(1, 16, 4096);
    struct key_pair pair = pair_of(1), out;

    cr_assert_eq(keys_new(&one, 1), 0);
    keys_put(one, span_str("alice"), &v, &pair);
    keys_put(one, span_str("bob"), &v, &pair);
    cr_assert_not(keys_find(one, span_str("alice"), &v, &out));
    cr_assert(keys_find(one, span_str("bob"), &v, &out));
    keys_drop(one, span_str("bob"), &v);
    keys_put(one, span_str("alice"), &v, &pair);
    cr_assert(keys_find(one, span_str("alice"), &v, &out));
    keys_free(one);
}

/* What keys should know, oldest first. */
struct model {
    unsigned n_known;
    uint8_t salts[MAX_KEYS + 1], values[MAX_KEYS + 1];
};

/* Takes the entry of this salt out. The value; -1: there is none. */
static int model_take(struct model *m, uint8_t salt)
{
    for (unsigned i = 0; i < m->n_known; i++) {
        int value = m->values[i];

        if (m->salts[i] != salt)
            continue;
        m->n_known--;
        memmove(&m->salts[i], &m->salts[i + 1], m->n_known - i);
        memmove(&m->values[i], &m->values[i + 1], m->n_known - i);
        return value;
    }
    return -1;
}

static void model_push(struct model *m, uint8_t salt, uint8_t value)
{
    m->salts[m->n_known] = salt;
    m->values[m->n_known++] = value;
    if (m->n_known > MAX_KEYS)
        model_take(m, m->salts[0]);
}

Test(keys, agree_with_a_model)
{
    struct random random = {3};
    struct model m = {.n_known = 0};

    for (unsigned round = 0; round < 20000; round++) {
        uint8_t salt = (uint8_t)random_below(&random, 8), value = (uint8_t)random_next(&random);
        struct scram_verifier v = verifier(salt, 16, 4096);
        int known = model_take(&m, salt);

        switch (random_below(&random, 4)) {
        case 0:
            keys_drop(keys, span_str("u"), &v);
            break;
        case 1:
            put("u", v, value);
            model_push(&m, salt, value);
            break;
        default:
            cr_assert_eq(find("u", v), known, "seed 3, round %u", round);
            if (known >= 0)
                model_push(&m, salt, (uint8_t)known);
        }
    }
}

Test(keys, freeing_nothing_is_fine)
{
    keys_free(NULL);
}
