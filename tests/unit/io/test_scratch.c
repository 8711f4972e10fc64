/* Memory of one turn: aligned, never handed out twice, given back all at once. */
#include <criterion/criterion.h>
#include <string.h>

#include "../../../src/io/scratch.h"

#define CHUNK 8192
#define N_CHUNKS 4
#define N_PIECES 4096

static struct arena *a;
static struct scratch s;

static void setup(void)
{
    struct arena_config config = {.chunk_size = CHUNK, .n_chunks = N_CHUNKS};

    cr_assert_eq(arena_new(&a, &config), 0);
    cr_assert_eq(scratch_init(&s, a), 0);
}

static void teardown(void)
{
    scratch_fini(&s);
    arena_free(a);
}

TestSuite(scratch, .init = setup, .fini = teardown);

Test(scratch, pieces_do_not_overlap)
{
    for (int turn = 0; turn < 3; turn++) {
        uint8_t *pieces[N_PIECES];
        size_t lens[N_PIECES];
        unsigned n = 0;

        for (; n < N_PIECES; n++) {
            lens[n] = 1 + n * 37 % 300;
            pieces[n] = scratch_get(&s, lens[n]);
            if (pieces[n] == NULL)
                break;
            cr_assert_eq((uintptr_t)pieces[n] % SCRATCH_ALIGN, 0);
            memset(pieces[n], (int)(n & 0xff), lens[n]);
        }
        cr_assert_gt(n, 300);
        cr_assert_lt(n, N_PIECES, "the arena has an end");
        for (unsigned i = 0; i < n; i++)
            for (size_t k = 0; k < lens[i]; k++)
                cr_assert_eq(pieces[i][k], (i & 0xff));
        cr_assert_eq(arena_n_used(a), N_CHUNKS);
        scratch_reset(&s);
        cr_assert_eq(arena_n_used(a), 0);
    }
}

Test(scratch, knows_its_limit)
{
    cr_assert_not_null(scratch_get(&s, scratch_max(&s)));
    cr_assert_null(scratch_get(&s, scratch_max(&s) + 1));
    cr_assert_null(scratch_get(&s, SIZE_MAX));
    cr_assert_not_null(scratch_get(&s, 0));
}

/* An ordinary turn leaves the arena alone. */
Test(scratch, begins_with_memory_of_its_own)
{
    for (int i = 0; i < 100; i++)
        cr_assert_not_null(scratch_get(&s, 500));
    cr_assert_eq(arena_n_used(a), 0);
}
