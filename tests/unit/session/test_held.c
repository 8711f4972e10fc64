/* What a client has sent and weir holds: it comes out as it went in, and all memory goes back. */
#include <criterion/criterion.h>
#include <string.h>

#include "../../lib/random.h"
#include "client.h"
#include "sessions.h"
#include "weir/base/arena.h"

#define CHUNK 4096
#define N_CHUNKS 8
#define N_SMALL 2

struct rig {
    struct arena *arena;
    struct loop *loop;
    struct sessions all;
    struct thread thread;
    struct client client;
};

static void rig_init(struct rig *r)
{
    struct arena_config arena_config = {.chunk_size = CHUNK, .n_chunks = N_CHUNKS};
    struct slab_config slab_config = {.object_size = HELD_SMALL, .max_objects = N_SMALL};

    *r = (struct rig){0};
    cr_assert_eq(arena_new(&r->arena, &arena_config), 0);
    cr_assert_eq(slab_new(&r->all.held, &slab_config), 0);

    struct loop_config loop_config = {.engine = LOOP_ENGINE_EPOLL, .arena = r->arena};

    cr_assert_eq(loop_new(&r->loop, &loop_config), 0);
    r->all.config.arena = r->arena;
    r->thread.loop = r->loop;
    r->client.all = &r->all;
    r->client.thread = &r->thread;
}

static void rig_fini(struct rig *r)
{
    held_drop(&r->client);
    cr_assert_eq(r->client.held.len, 0);
    loop_free(r->loop);
    cr_assert_eq(arena_n_used(r->arena), 0);
    cr_assert_eq(slab_n_taken(r->all.held), 0);
    slab_free(r->all.held);
    arena_free(r->arena);
}

static void woken(struct wheel_timer *t)
{
    (void)t;
}

static void turn(struct rig *r)
{
    struct wheel_timer timer = {.fire = woken};

    loop_timer_set(r->loop, &timer, 0);
    cr_assert_eq(loop_turn(r->loop), 0);
    loop_timer_clear(r->loop, &timer);
}

Test(held, comes_out_as_it_went_in)
{
    struct rig r;
    struct random random = {1};
    static uint8_t bytes[3000];
    uint8_t next_in = 0, next_out = 0;

    rig_init(&r);
    for (unsigned i = 0; i < 2000; i++) {
        size_t n = 1 + random_below(&random, i % 10 == 0 ? sizeof(bytes) : 100);

        if (r.client.held.len + n < 20000) {
            size_t before = r.client.held.len;

            for (size_t k = 0; k < n; k++)
                bytes[k] = next_in++;
            cr_assert(held_append(&r.client, span_of(bytes, n)));
            cr_assert_eq(r.client.held.len, before + n);
        }
        if (r.client.held.len > 0 && random_below(&random, 2) == 0) {
            struct span data;

            cr_assert(held_peek(&r.client, &data));
            n = random_below(&random, data.len + 1);
            for (size_t k = 0; k < n; k++)
                cr_assert_eq(data.ptr[k], next_out++);
            held_consume(&r.client, n);
        }
        turn(&r); /* what was shown lives no longer */
    }
    rig_fini(&r);
}

Test(held, one_small_piece_takes_nothing_of_the_arena)
{
    static const uint8_t query[100] = {0};
    struct rig r;

    rig_init(&r);
    cr_assert(held_append(&r.client, span_of(query, sizeof(query))));
    cr_assert_eq(arena_n_used(r.arena), 0);
    cr_assert_eq(slab_n_taken(r.all.held), 1);
    rig_fini(&r);
}

Test(held, an_empty_arena_is_told)
{
    static const uint8_t bytes[(N_CHUNKS + 1) * CHUNK] = {0};
    struct rig r;

    rig_init(&r);
    cr_assert_not(held_append(&r.client, span_of(bytes, sizeof(bytes))));
    cr_assert_eq(arena_n_used(r.arena), N_CHUNKS);
    rig_fini(&r);
}

/* A Query and a Terminate, cut at each place into what was seen before, what is held first and what
 * is held then. */
Test(held, a_terminate_is_seen_only_when_it_is_whole)
{
    static const uint8_t bytes[] = {PGW_F_QUERY,     0, 0, 0, 7, 'X', PGW_F_TERMINATE, 0,
                                    PGW_F_TERMINATE, 0, 0, 0, 4};

    for (size_t seen = 0; seen <= 5; seen += 5) { /* the walker stands before or in the Query */
        for (size_t len = seen; len <= sizeof(bytes); len++) {
            for (size_t cut = seen; cut <= len; cut++) {
                struct rig r;
                struct pgw_span in = {bytes, seen};
                struct pgw_piece piece;

                rig_init(&r);
                if (seen > 0)
                    cr_assert_eq(pgw_walk(&r.client.from_client, pgw_frontend_rules, &in, &piece),
                                 PGW_READY);
                cr_assert(held_append(&r.client, span_of(bytes + seen, cut - seen)));
                cr_assert(held_append(&r.client, span_of(bytes + cut, len - cut)));
                cr_assert_eq(held_says_terminate(&r.client), len == sizeof(bytes), "%zu %zu %zu",
                             seen, len, cut);
                rig_fini(&r);
            }
        }
    }
}

/* What is no message says nothing. */
Test(held, garbage_is_no_terminate)
{
    static const uint8_t bytes[] = {'?', 0, 0, 0, 4, PGW_F_TERMINATE, 0, 0, 0, 4};
    struct rig r;

    rig_init(&r);
    cr_assert(held_append(&r.client, span_of(bytes, sizeof(bytes))));
    cr_assert_not(held_says_terminate(&r.client));
    rig_fini(&r);
}
