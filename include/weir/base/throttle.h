/*
 * How often something may be done by each of many, as far as a table of fixed size can tell them
 * apart: a bucket of tokens for each key, which fills up with time.
 *
 * Buckets are shared only when there is no room: 8192 keys whose buckets are not full fit in, and
 * who comes then takes over the fullest bucket of the eight that its key may have, with the tokens
 * that are left there. So many keys together never get more than all buckets give, and one that is
 * poor never makes another so. Where a key may have its bucket depends on a secret.
 *
 * Any thread.
 */
#ifndef WEIR_BASE_THROTTLE_H
#define WEIR_BASE_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/base/check.h"
#include "weir/base/span.h"

struct throttle;

/* A full bucket has n_tokens, at least 1; one comes back every interval_ns, at least 1. 0, or
 * -errno. */
NODISCARD int throttle_new(struct throttle **out, uint32_t n_tokens, uint64_t interval_ns);

/* NULL is fine. */
void throttle_free(struct throttle *t);

/* Is there a token for this key? Takes none. */
NODISCARD bool throttle_allows(struct throttle *t, struct span key, uint64_t now_ns);

/* Takes a token, if there is one. True: it was the last. */
bool throttle_charge(struct throttle *t, struct span key, uint64_t now_ns);

#endif
