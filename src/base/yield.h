/*
 * Points between two atomic steps at which a race test may hold a thread until another one has
 * done its step. In the library they are nothing: only the race tests compile the modules once
 * more with WEIR_YIELD_POINTS, and define yield_point() themselves. Random delays do not find
 * every one of these races; a forced order does, each time.
 */
#ifndef WEIR_BASE_YIELD_H
#define WEIR_BASE_YIELD_H

enum yield_point {
    YIELD_MAILBOX_PUSHED,      /* the mail is in, "asleep" not looked at yet */
    YIELD_MAILBOX_SEEN_ASLEEP, /* a producer saw a sleeper, who wakes him is not settled */
    YIELD_MAILBOX_SLEEPING,    /* the consumer has said "asleep" and not looked once more */
};

#ifdef WEIR_YIELD_POINTS
void yield_point(enum yield_point p);
#define YIELD_POINT(p) yield_point(p)
#else
#define YIELD_POINT(p)                                                                             \
    do {                                                                                           \
    } while (0)
#endif

#endif
