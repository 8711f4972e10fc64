/*
 * Points between two atomic steps at which a race test may hold a thread until another one has
 * done its step. In the library they are nothing: only the race tests compile the modules once
 * more with WEIR_YIELD_POINTS, and define yield_point() themselves. Random delays do not find
 * every one of these races; a forced order does, each time.
 */
#ifndef WEIR_BASE_YIELD_H
#define WEIR_BASE_YIELD_H

enum yield_point {
    YIELD_MAILBOX_PUSHED,      /* the mail is in, "asleep" not looked at */
    YIELD_MAILBOX_SEEN_ASLEEP, /* a producer saw a sleeper, who wakes him is not settled */
    YIELD_MAILBOX_SLEEPING,    /* the consumer has said "asleep" and not looked once more */

    YIELD_SHELF_SEEN,           /* a taker has chosen a server and not taken its bit */
    YIELD_SHELF_GIVEN,          /* the server is on the shelf, its bit of the mask not looked at */
    YIELD_SHELF_FOUND_EMPTY,    /* a thief found nothing and has not said so */
    YIELD_SHELF_MASK_CLEARED,   /* ... has said so and not looked once more */
    YIELD_SHELF_MASK_SET_AGAIN, /* ... found something after all and has not taken it */
    YIELD_SHELF_ADDING,         /* a first user has made a shelf and not hung it in */

    YIELD_FREELIST_SEEN,  /* a taker has read the first link and the next and not exchanged them */
    YIELD_FREELIST_EMPTY, /* ... found none, and has not looked at what was never taken */
    YIELD_FREELIST_COUNTING, /* one who counts has read the head and not its link */

    YIELD_SLAB_NONE_OPEN, /* a taker has found no object and not made room for more */

    YIELD_POOL_FOUND_NONE, /* a client found no server and is not published as a waiter */
    YIELD_POOL_PUBLISHED,  /* ... is, and has not looked once more */
    YIELD_POOL_CLAIMED,    /* a server is promised to a reactor and not posted */
    YIELD_POOL_NOBODY,     /* a releaser found nobody who waits and has not shelved its server */
    YIELD_POOL_SHELVED,    /* ... has, and has not looked who came meanwhile */
    YIELD_POOL_ASKED,      /* control has cleared the flag of a pool that asks, and not looked */
    YIELD_POOL_UNLISTING,  /* ... has found no demand, and the pool does not ask yet */
    YIELD_POOL_WISHED,     /* control wants a server back and has not looked for an idle one */

    YIELD_LOG_PUT,     /* a record is in the ring, and its reader has not been told */
    YIELD_LOG_HUSHING, /* the reader has the mail, and will not be told again yet */
    YIELD_LOG_HUSHED,  /* it will be told anew, and has not read */

    YIELD_REFS_TAKING,  /* somebody who has found it has read the word and not exchanged it */
    YIELD_REFS_PUT,     /* nobody holds it, and it is not queued */
    YIELD_REFS_JUDGING, /* the word of one that may be dropped is read and not exchanged */

    YIELD_STATEMENTS_MISSED,  /* a statement was not found, and is not made */
    YIELD_STATEMENTS_DROPPED, /* it is dead, and in its chain */
};

#ifdef WEIR_YIELD_POINTS
void yield_point(enum yield_point point);
#define YIELD_POINT(p) yield_point(p)
#else
#define YIELD_POINT(p) ((void)(p))
#endif

#endif
