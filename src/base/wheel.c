/*
 * Timer wheel. A tick is a number of eight digits in base 64, and a timer waits on the level of the
 * highest digit in which its tick differs from the wheel's, in the slot that this digit names. So
 * everything on a level is due before anything on the levels above it, within a level the lowest
 * occupied slot is due first, and the next thing to do is found with one look per level.
 * When the wheel comes to a slot above level 0, its timers agree with the wheel in one digit more
 * and move down ("cascade"); a timer moves at most seven times.
 *
 * Invariants: occupied has a bit for every slot that holds timers and for no other; slots at or
 * below the wheel's own digit are empty, but for the wheel's own slot on level 0: there wait timers
 * that were set to a time already past.
 * All timers of one tick are in one slot at any time, in the order in which they were set.
 * Thread: the wheel's owner.
 * Rejected: a heap (O(log n) for each query's timeout, which is nearly always cleared, not fired).
 */
#include "weir/base/wheel.h"

#include "weir/base/clock.h"

#define SLOT_MASK (WHEEL_SLOTS - 1)

_Static_assert(UINT64_MAX / NS_PER_MS >> (WHEEL_LEVELS * WHEEL_SLOT_BITS) == 0,
               "every deadline has a level");
_Static_assert(WHEEL_SLOTS == 64, "occupied is one 64-bit word per level");

void wheel_init(struct wheel *w, uint64_t now_ns)
{
    *w = (struct wheel){.now_ns = now_ns, .tick = now_ns / NS_PER_MS};
    for (unsigned level = 0; level < WHEEL_LEVELS; level++)
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&w->slots[level][slot]);
}

/* The first tick that begins at or after the deadline, or the wheel's own if that has passed. */
static uint64_t timer_tick(const struct wheel *w, const struct wheel_timer *t)
{
    if (t->deadline_ns <= w->now_ns)
        return w->tick;
    return t->deadline_ns / NS_PER_MS + (t->deadline_ns % NS_PER_MS != 0);
}

/* The highest digit in which two ticks differ; 0 if they are equal. */
static unsigned differing_digit(uint64_t a, uint64_t b)
{
    unsigned highest_bit = 63 - (unsigned)__builtin_clzll((a ^ b) | SLOT_MASK);

    return highest_bit / WHEEL_SLOT_BITS;
}

static void timer_place(struct wheel *w, struct wheel_timer *t)
{
    uint64_t tick = timer_tick(w, t);
    unsigned level = differing_digit(tick, w->tick);
    unsigned slot = tick >> (level * WHEEL_SLOT_BITS) & SLOT_MASK;

    t->level = (uint8_t)level;
    t->slot = (uint8_t)slot;
    list_push_back(&w->slots[level][slot], &t->link);
    w->occupied[level] |= UINT64_C(1) << slot;
}

void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t deadline_ns)
{
    ASSERT(t->fire != NULL);
    wheel_clear(w, t);
    if (deadline_ns == CLOCK_NEVER)
        return;
    t->deadline_ns = deadline_ns;
    timer_place(w, t);
    w->n_timers++;
}

void wheel_clear(struct wheel *w, struct wheel_timer *t)
{
    if (!wheel_armed(t))
        return;
    list_remove(&t->link);
    w->n_timers--;
    /* A timer about to be fired has left its slot already; then this says again what is so. */
    if (list_empty(&w->slots[t->level][t->slot]))
        w->occupied[t->level] &= ~(UINT64_C(1) << t->slot);
}

/* The lowest level that holds timers; WHEEL_LEVELS if none does. */
static unsigned first_level(const struct wheel *w)
{
    unsigned level = 0;

    while (level < WHEEL_LEVELS && w->occupied[level] == 0)
        level++;
    return level;
}

/* The tick at which the first occupied slot of a level begins. */
static uint64_t first_tick(const struct wheel *w, unsigned level)
{
    unsigned shift = level * WHEEL_SLOT_BITS;
    uint64_t slot = (uint64_t)__builtin_ctzll(w->occupied[level]);
    uint64_t higher_digits = w->tick >> shift & ~(uint64_t)SLOT_MASK;

    return (higher_digits | slot) << shift;
}

/* Takes all timers out of the first occupied slot of a level. */
static void take_first_slot(struct wheel *w, unsigned level, struct list *to)
{
    unsigned slot = (unsigned)__builtin_ctzll(w->occupied[level]);

    list_splice_back(to, &w->slots[level][slot]);
    w->occupied[level] &= w->occupied[level] - 1;
}

static void cascade(struct wheel *w, unsigned level)
{
    struct list moving;
    struct list_link *link;

    list_init(&moving);
    take_first_slot(w, level, &moving);
    while ((link = list_pop_front(&moving)) != NULL)
        timer_place(w, LIST_ITEM(link, struct wheel_timer, link));
}

/* Moves the wheel to a time and everything due until then to the end of due, in order. */
static void collect_due(struct wheel *w, uint64_t now_ns, struct list *due)
{
    uint64_t tick = now_ns / NS_PER_MS;
    unsigned level;

    while ((level = first_level(w)) < WHEEL_LEVELS && first_tick(w, level) <= tick) {
        w->tick = first_tick(w, level);
        if (level == 0)
            take_first_slot(w, level, due);
        else
            cascade(w, level);
    }
    w->tick = tick;
    w->now_ns = now_ns;
}

/* Collecting comes first, so that callbacks find a wheel that already stands at now: what they set
 * to a time before now waits for the next advance, and what they clear leaves the list of due. */
void wheel_advance(struct wheel *w, uint64_t now_ns)
{
    struct list due;
    struct list_link *link;

    list_init(&due);
    collect_due(w, now_ns > w->now_ns ? now_ns : w->now_ns, &due);
    while ((link = list_pop_front(&due)) != NULL) {
        struct wheel_timer *t = LIST_ITEM(link, struct wheel_timer, link);

        w->n_timers--;
        t->fire(t);
    }
}

uint64_t wheel_next_ns(const struct wheel *w)
{
    unsigned level = first_level(w);

    if (level == WHEEL_LEVELS)
        return CLOCK_NEVER;
    uint64_t tick = first_tick(w, level);
    /* The last tick of all begins after the end of 64-bit time. */
    return tick > CLOCK_NEVER / NS_PER_MS ? CLOCK_NEVER : tick * NS_PER_MS;
}
