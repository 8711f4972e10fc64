/*
 * Where idle servers lie. A shelf is a bitmap of the idle servers that one reactor has of one
 * pool, by their number in the pool; `struct shelves` is all of one pool's shelves. Any thread may
 * give and take, which is how a reactor without idle servers comes by another one's. A stack would
 * be as fast, but nobody can take one particular server out of it. There is no ABA: a set bit means
 * "idle and here" whatever happened before. The lowest number goes first, so high ones age.
 *
 * Whoever takes a bit owns the server and sees all that the giver wrote to it; after a give it is
 * somebody else's, even before the call returns.
 *
 * has_idle is a hint that errs on one side only: while a shelf holds a server, its bit is set, or
 * the thread that cleared it is about to set it again and takes a server itself. Protocol and
 * proof: docs/models/pool.pml. All atomics are sequentially consistent, as the model assumes.
 */
#ifndef WEIR_BASE_SHELF_H
#define WEIR_BASE_SHELF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "weir/base/check.h"
#include "weir/base/mask.h"

#define SHELF_WORDS 16
#define SHELF_SERVERS_MAX (SHELF_WORDS * 64) /* numbers are below this */
#define SHELF_NONE SHELF_SERVERS_MAX         /* instead of a number: nothing there */

/* One reactor's idle servers of one pool. Any thread. */
struct shelf {
    _Alignas(CACHE_LINE) _Atomic uint64_t words[SHELF_WORDS]; /* bit set: idle and here */
};

/* All shelves of one pool. Any thread. */
struct shelves {
    atomic_uint
        n_words; /* words in use; raised by control alone, before a server beyond is opened */
    unsigned n_reactors;           /* never changes */
    _Atomic(struct shelf *) *each; /* n_reactors of them, NULL until the first use; the caller's */
    struct mask has_idle;          /* reactors whose shelf may hold a server */
};

void shelf_init(struct shelf *h);

/* The lowest number of the first n_words words, taken; SHELF_NONE if they are empty. */
NODISCARD unsigned shelf_take(struct shelf *h, unsigned n_words);

/* Takes this server if it is here. False: somebody else has it. */
NODISCARD bool shelf_take_this(struct shelf *h, unsigned number);

/* One word as it is now, for sweeps that then take what they want with shelf_take_this(). */
NODISCARD uint64_t shelf_word(const struct shelf *h, unsigned word);

/* `each` holds n_reactors pointers, is set to NULL here and must outlive the shelves. One word is
 * in use at first. */
void shelves_init(struct shelves *v, unsigned n_reactors, _Atomic(struct shelf *) *each);

/* Control only, before it opens a server of this number. */
void shelves_make_room(struct shelves *v, unsigned number);

/* The shelf of a reactor; NULL while it has not used the pool. */
NODISCARD struct shelf *shelves_get(const struct shelves *v, unsigned reactor);

/* The first use: makes h, which is empty, the shelf of that reactor unless it has one by now.
 * Returns the one it has; if that is not h, h is still the caller's. */
NODISCARD struct shelf *shelves_add(struct shelves *v, unsigned reactor, struct shelf *h);

/* Any idle server of the pool: from the shelf of `home`, which need not have one, else from
 * others, starting after home. SHELF_NONE: there was none. Whoever gets that and wants to wait must
 * be counted as waiting before it calls: a server that is given after its look is then not lost. */
NODISCARD unsigned shelves_take(struct shelves *v, unsigned home);

/* Puts the server on the shelf of `home`, which must have one. The caller must look for waiters
 * afterwards. */
void shelves_give(struct shelves *v, unsigned home, unsigned number);

#endif
