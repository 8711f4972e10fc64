/*
 * The addresses of a host name: getaddrinfo(3) on a helper, because it may block for as long as
 * name servers do not answer. Whoever asks need not wait for that.
 */
#ifndef WEIR_POOL_RESOLVE_H
#define WEIR_POOL_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/base/check.h"
#include "weir/net/addr.h"
#include "weir/pool/thread.h"

#define RESOLVE_ADDRS_MAX 8
#define RESOLVE_HOST_MAX 255

struct jobs;
struct resolve;

/* What was found, in the order in which it should be tried. */
struct resolve_answer {
    const char *error; /* NULL, or why there are none; a static string */
    unsigned n_addrs;
    struct addr addrs[RESOLVE_ADDRS_MAX];
};

/* On thread self, in a later turn; the answer lives until it returns. */
typedef void resolve_fn(void *ctx, const struct resolve_answer *answer);

struct resolve_config {
    struct jobs *jobs;
    const char *host; /* RESOLVE_HOST_MAX bytes at most; copied */
    uint32_t port;
    resolve_fn *done;
    void *ctx;
};

/* NULL: no memory. */
NODISCARD struct resolve *resolve_start(const struct resolve_config *config, struct thread *self);

/* On the thread that asked. True: done() will not be called. False: the answer is on its way
 * already, done() comes in a later turn. */
NODISCARD bool resolve_drop(struct resolve *r);

#endif
