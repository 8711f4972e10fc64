/*
 * A service owns clients after their login instead of a pool: the admin console. It registers as a
 * few functions, so that session knows nothing of it.
 *
 * Thread: all functions run on the client's reactor.
 */
#ifndef WEIR_SESSION_SERVICE_H
#define WEIR_SESSION_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/base/check.h"
#include "weir/base/span.h"
#include "weir/pool/thread.h"

/* A client as its service sees it; part of the client, valid from entered() until left(). */
struct guest {
    struct thread *thread;
    void *state; /* the service's */
};

struct service {
    /* Does this database lead to the service? Any thread. */
    bool (*serves)(const struct service *s, struct span database);
    /* May this user come in? Asked before the password is. Any thread. */
    bool (*admits)(const struct service *s, struct span user);
    /* A client has logged in and been greeted up to BackendKeyData; the service sends the rest of
     * the greeting: ParameterStatus messages and ReadyForQuery. False: no memory. */
    bool (*entered)(struct service *s, struct guest *g, struct span user);
    /* A whole message, at most SERVICE_MESSAGE_MAX bytes of body, Terminate excepted. body lives
     * until the function returns. Not called again before guest_ready(). */
    void (*message)(struct service *s, struct guest *g, uint8_t letter, struct span body);
    /* The client is gone; nothing of g may be used after this. What the service has under way for
     * it must not come back to it. */
    void (*left)(struct service *s, struct guest *g);
};

#define SERVICE_MESSAGE_MAX (64 << 10)

/* For the service, between entered() and left(). */

/* Sends bytes, which live until the end of the turn, as sock_send() wants it. */
void guest_send(struct guest *g, struct span bytes);

/* The last message is dealt with; the next one may come. */
void guest_ready(struct guest *g);

/* Sends what was queued and ends the client. */
void guest_close(struct guest *g);

#endif
