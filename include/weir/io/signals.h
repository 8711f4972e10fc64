/*
 * Signals as events of a loop, so that what a signal asks for is done in a callback, where
 * everything may be done. Runs on: the loop's thread.
 */
#ifndef WEIR_IO_SIGNALS_H
#define WEIR_IO_SIGNALS_H

#include <signal.h>

#include "weir/base/check.h"
#include "weir/io/loop.h"

struct signals {
    /* Once per signal, in no particular order; the same signal sent twice before it is read counts
     * once (signal(7)). May call signals_close(). */
    void (*raised)(struct signals *s, int signo);
    struct loop_watch watch; /* the module's own */
};

/* Blocks the signals of set in the calling thread; threads made later inherit that. Those made
 * before must have them blocked already, or one of them may be interrupted instead. 0 or -errno. */
NODISCARD int signals_open(struct signals *s, struct loop *l, const sigset_t *set);

/* raised() is not called again. The signals stay blocked. Twice is fine. */
void signals_close(struct signals *s);

#endif
