/* The queue of unsent bytes against a plain array of the same bytes. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "../../../src/io/outq.h"
#include "lib/random.h"

#define CHUNK ((size_t)4096)
#define N_CHUNKS 16
#define SEED 20260101

static struct arena *small_arena(void)
{
    struct arena_config config = {.chunk_size = CHUNK, .n_chunks = N_CHUNKS};
    struct arena *a;

    cr_assert_eq(arena_new(&a, &config), 0);
    return a;
}

static void fill(uint8_t *bytes, size_t len, struct random *r)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)random_next(r);
}

/* What outq_iovec() shows from the front must be the first bytes of expected. */
static void check_front(const struct sock *s, const uint8_t *expected, size_t len)
{
    struct iovec iov[N_CHUNKS + 1];
    int n = outq_iovec(s, iov, N_CHUNKS + 1);
    size_t seen = 0;

    cr_assert_eq(outq_empty(s), len == 0);
    for (int i = 0; i < n; i++) {
        cr_assert_gt(iov[i].iov_len, 0);
        cr_assert_leq(seen + iov[i].iov_len, len);
        cr_assert_arr_eq(iov[i].iov_base, expected + seen, iov[i].iov_len);
        seen += iov[i].iov_len;
    }
    cr_assert_eq(seen, len);
    if (n > 0) {
        struct span front = outq_front(s);

        cr_assert_eq(front.ptr, iov[0].iov_base);
        cr_assert_eq(front.len, iov[0].iov_len);
    }
}

Test(outq, bytes_come_out_as_they_went_in)
{
    struct arena *a = small_arena();
    struct random r = {SEED};
    uint8_t bytes[8 * CHUNK];
    struct sock s = {0};
    size_t begin = 0, end = 0;

    for (int round = 0; round < 2000; round++) {
        size_t n = random_below(&r, 3 * CHUNK);

        if (random_below(&r, 2) == 0 && end + n <= sizeof(bytes)) {
            fill(bytes + end, n, &r);
            cr_assert(outq_push(&s, a, span_of(bytes + end, n)), "seed %d", SEED);
            end += n;
        } else {
            n = n < end - begin ? n : end - begin;
            outq_drop(&s, a, n);
            begin += n;
        }
        check_front(&s, bytes + begin, end - begin);
        if (begin == end)
            begin = end = 0;
    }
    outq_clear(&s, a);
    cr_assert_eq(arena_n_used(a), 0);
    arena_free(a);
}

/* The kernel may be reading the front. */
Test(outq, appending_moves_nothing)
{
    struct arena *a = small_arena();
    struct sock s = {0};
    static const uint8_t bytes[3 * CHUNK];
    struct span before;

    cr_assert(outq_push(&s, a, span_of(bytes, 10)));
    before = outq_front(&s);
    cr_assert(outq_push(&s, a, span_of(bytes, sizeof(bytes))));
    cr_assert_eq(outq_front(&s).ptr, before.ptr);
    outq_clear(&s, a);
    arena_free(a);
}

Test(outq, iovec_stops_at_max)
{
    struct arena *a = small_arena();
    struct sock s = {0};
    static const uint8_t bytes[5 * CHUNK];
    struct iovec iov[2];

    cr_assert(outq_push(&s, a, span_of(bytes, sizeof(bytes))));
    cr_assert_eq(outq_iovec(&s, iov, 2), 2);
    outq_clear(&s, a);
    arena_free(a);
}

Test(outq, says_when_the_arena_is_empty)
{
    struct arena *a = small_arena();
    struct sock s = {0};
    static const uint8_t bytes[(N_CHUNKS + 1) * CHUNK];

    cr_assert_not(outq_push(&s, a, span_of(bytes, sizeof(bytes))));
    cr_assert_eq(arena_n_used(a), N_CHUNKS);
    outq_clear(&s, a);
    cr_assert(outq_empty(&s));
    cr_assert_eq(arena_n_used(a), 0);
    cr_assert(outq_push(&s, a, span_of(bytes, 1)));
    outq_clear(&s, a);
    arena_free(a);
}
