/*
 * The queue and the word "asleep". Every atomic is sequentially consistent, because that is what
 * docs/models/mailbox.pml assumes, and here it is needed: producer and consumer each write one
 * word and then read the other's, and weaker orders let both read the old value. Each operation
 * below is one step of the model.
 *
 * While the consumer is awake a push is one compare-and-swap and one load.
 */
#include "weir/base/mailbox.h"

#include "weir/base/yield.h"

void mailbox_init(struct mailbox *b)
{
    atomic_init(&b->head, NULL);
    atomic_init(&b->asleep, false);
}

bool mailbox_push(struct mailbox *b, struct mail *m)
{
    struct mail *old = atomic_load_explicit(&b->head, memory_order_relaxed);

    do {
        m->next = old;
        /* Publishes *m and what it is embedded in; pairs with the exchange in take_all. Relaxed
         * where it fails: the value read is only compared again. */
    } while (!atomic_compare_exchange_weak_explicit(&b->head, &old, m, memory_order_seq_cst,
                                                    memory_order_relaxed));
    YIELD_POINT(YIELD_MAILBOX_PUSHED);

    /* Pairs with the store in sleep. The load spares the line of a consumer that is awake. */
    if (!atomic_load_explicit(&b->asleep, memory_order_seq_cst))
        return false;
    YIELD_POINT(YIELD_MAILBOX_SEEN_ASLEEP);

    /* Of several producers exactly one wakes the sleeper: whoever gets "true" out. */
    return atomic_exchange_explicit(&b->asleep, false, memory_order_seq_cst);
}

struct mail *mailbox_take_all(struct mailbox *b)
{
    struct mail *oldest = NULL;
    struct mail *m;

    /* An empty mailbox is left alone, so a loop turn without mail does not take the line from the
     * producers. What is pushed just after the load is read in the next turn or by sleep. */
    if (atomic_load_explicit(&b->head, memory_order_relaxed) == NULL)
        return NULL;
    /* Pairs with the compare-and-swap in push. */
    m = atomic_exchange_explicit(&b->head, NULL, memory_order_seq_cst);
    while (m != NULL) { /* newest first: turn it round */
        struct mail *next = m->next;

        m->next = oldest;
        oldest = m;
        m = next;
    }
    return oldest;
}

bool mailbox_sleep(struct mailbox *b)
{
    /* Say so, then look: the other way round a producer that pushes in between sees nobody asleep,
     * and its mail lies beside a sleeper (mutant M_LOOK_THEN_SLEEP). Pairs with the load in push.
     */
    atomic_store_explicit(&b->asleep, true, memory_order_seq_cst);
    YIELD_POINT(YIELD_MAILBOX_SLEEPING);
    /* Pairs with the compare-and-swap in push. */
    if (atomic_load_explicit(&b->head, memory_order_seq_cst) == NULL)
        return true;
    mailbox_awake(b);
    return false;
}

void mailbox_awake(struct mailbox *b)
{
    /* Only the consumer ever sets it: what reads false here stays false. A producer that saw "true"
     * before this store may still wake us; one wake-up too many is harmless. */
    if (atomic_load_explicit(&b->asleep, memory_order_relaxed))
        atomic_store_explicit(&b->asleep, false, memory_order_seq_cst);
}
