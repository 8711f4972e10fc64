/*
 * Shelves: give, take, and the mask that tells where to look. Each function below is a rule of the
 * pool's protocol; the names M_... are the mutants of docs/models/pool.pml that drop the rule and
 * hang. In the common case (own shelf to own shelf) a take and a give write one word that no other
 * core writes at that time.
 */
#include "weir/base/shelf.h"

#include <stddef.h>

#include "weir/base/yield.h"

_Static_assert(sizeof(struct shelf) == CACHE_LINE, "a shelf fills what it does not share");

static _Atomic uint64_t *word_of(struct shelf *h, unsigned number)
{
    ASSERT(number < SHELF_SERVERS_MAX);
    return &h->words[number / 64];
}

static uint64_t bit_of(unsigned number)
{
    return UINT64_C(1) << number % 64;
}

void shelf_init(struct shelf *h)
{
    for (unsigned i = 0; i < SHELF_WORDS; i++)
        atomic_init(&h->words[i], 0);
}

uint64_t shelf_word(const struct shelf *h, unsigned word)
{
    ASSERT(word < SHELF_WORDS);
    return atomic_load_explicit(&h->words[word], memory_order_seq_cst);
}

bool shelf_take_this(struct shelf *h, unsigned number)
{
    /* Of all who try, one finds the bit still set: the server is his. Pairs with the or in
     * shelf_give. */
    return atomic_fetch_and_explicit(word_of(h, number), ~bit_of(number), memory_order_seq_cst) &
           bit_of(number);
}

unsigned shelf_take(struct shelf *h, unsigned n_words)
{
    for (unsigned i = 0; i < n_words; i++) {
        uint64_t word;

        while ((word = shelf_word(h, i)) != 0) {
            unsigned number = i * 64 + (unsigned)__builtin_ctzll(word);

            YIELD_POINT(YIELD_SHELF_SEEN);
            if (shelf_take_this(h, number))
                return number;
        }
    }
    return SHELF_NONE;
}

static void shelf_give(struct shelf *h, unsigned number)
{
    /* Publishes all that was written to the server; pairs with the and in shelf_take_this. */
    uint64_t old =
        atomic_fetch_or_explicit(word_of(h, number), bit_of(number), memory_order_seq_cst);

    ASSERT(!(old & bit_of(number))); /* a server is in one place */
}

static bool shelf_empty(const struct shelf *h, unsigned n_words)
{
    for (unsigned i = 0; i < n_words; i++)
        if (shelf_word(h, i) != 0)
            return false;
    return true;
}

void shelves_init(struct shelves *v, unsigned n_reactors, _Atomic(struct shelf *) *each)
{
    ASSERT(n_reactors > 0 && n_reactors <= MASK_REACTORS_MAX);
    atomic_init(&v->n_words, 1);
    v->n_reactors = n_reactors;
    v->each = each;
    for (unsigned r = 0; r < n_reactors; r++)
        atomic_init(&each[r], NULL);
    mask_init(&v->has_idle);
}

/* Read anew at every look, never kept over one: a server with a higher number may have been opened
 * and given in between, and who searched only the words of before would miss it for good. Pairs
 * with the store in shelves_make_room. */
static unsigned words_in_use(const struct shelves *v)
{
    return atomic_load_explicit(&v->n_words, memory_order_seq_cst);
}

void shelves_make_room(struct shelves *v, unsigned number)
{
    ASSERT(number < SHELF_SERVERS_MAX);
    if (number / 64 >= words_in_use(v)) /* pairs with the load in words_in_use() */
        atomic_store_explicit(&v->n_words, number / 64 + 1, memory_order_seq_cst);
}

struct shelf *shelves_get(const struct shelves *v, unsigned reactor)
{
    ASSERT(reactor < v->n_reactors);
    return atomic_load_explicit(&v->each[reactor], memory_order_seq_cst); /* pairs with add */
}

struct shelf *shelves_add(struct shelves *v, unsigned reactor, struct shelf *h)
{
    struct shelf *has = NULL;

    ASSERT(reactor < v->n_reactors);
    YIELD_POINT(YIELD_SHELF_ADDING);
    /* The reactor itself and control, which fills a pool that nobody has used, may both come first.
     * Publishes *h; pairs with the load in shelves_get. */
    if (atomic_compare_exchange_strong_explicit(&v->each[reactor], &has, h, memory_order_seq_cst,
                                                memory_order_seq_cst))
        return h;
    return has;
}

/* From the shelf of another reactor, which the mask has named. */
static unsigned steal(struct shelves *v, unsigned reactor)
{
    struct shelf *h = shelves_get(v, reactor);

    ASSERT(h != NULL); /* nobody gives to, so no bit names, a shelf that was not added */
    for (;;) {
        unsigned number = shelf_take(h, words_in_use(v));

        if (number != SHELF_NONE)
            return number;
        YIELD_POINT(YIELD_SHELF_FOUND_EMPTY);
        mask_clear(&v->has_idle, reactor);
        YIELD_POINT(YIELD_SHELF_MASK_CLEARED);

        /* A giver that came in between may have seen the bit still set and left it to us: so look
         * once more (M_MASK_NO_SECOND_LOOK). */
        if (shelf_empty(h, words_in_use(v)))
            return SHELF_NONE;
        mask_set(&v->has_idle, reactor);
        YIELD_POINT(YIELD_SHELF_MASK_SET_AGAIN);
        /* And take what is there, not only show it: whoever looked while the bit was away saw
         * nothing and waits now. We end with a server in the hand, whose release looks for those
         * who wait (M_MASK_NOT_TAKEN). */
    }
}

unsigned shelves_take(struct shelves *v, unsigned home)
{
    struct shelf *own = shelves_get(v, home);
    uint64_t others;

    /* Nothing clears the bit of an own shelf found empty: others do when they come by. So a shelf
     * that fills and empties at every transaction leaves the shared line alone. */
    if (own != NULL) {
        unsigned number = shelf_take(own, words_in_use(v));

        if (number != SHELF_NONE)
            return number;
    }
    others = mask_read(&v->has_idle) & ~mask_bit(home);
    while (others != 0) {
        unsigned number = steal(v, mask_pop_after(&others, home));

        if (number != SHELF_NONE)
            return number;
    }
    return SHELF_NONE;
}

void shelves_give(struct shelves *v, unsigned home, unsigned number)
{
    struct shelf *h = shelves_get(v, home);

    ASSERT(h != NULL && number / 64 < words_in_use(v));
    shelf_give(h, number);
    YIELD_POINT(YIELD_SHELF_GIVEN);
    /* First the server, then the bit: the other way round a thief could find the shelf empty, clear
     * the bit and be done before the server comes. */
    mask_set(&v->has_idle, home);
}
