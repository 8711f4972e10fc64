/*
 * Whole messages of a server out of whatever pieces they come in, for a dialogue that is not
 * relayed. What one piece has whole is not copied.
 *
 * Thread: one at a time.
 */
#ifndef WEIR_POOL_INTAKE_H
#define WEIR_POOL_INTAKE_H

#include <stddef.h>
#include <stdint.h>

#include "pgwire/frame.h"
#include "weir/base/check.h"
#include "weir/base/span.h"

/* Zeroed: empty. */
struct intake {
    uint8_t *bytes; /* of a message that is not whole yet */
    size_t n, size;
};

/* Frees the block; empty afterwards. */
void intake_fini(struct intake *in);

/* NULL, or why it cannot go on: a literal. */
typedef const char *intake_take(void *ctx, const struct pgw_frame *f);

/* Calls take for each message that is whole by now, until it says why not; a message lives until
 * take returns. max: of a message's bytes. NULL, or why it cannot go on. */
NODISCARD const char *intake_received(struct intake *in, struct span data, size_t max,
                                      intake_take *take, void *ctx);

#endif
