/*
 * SCRAM keys that are known: learned from a client that has proven its password, or derived from a
 * plain one by a helper. With them weir logs in at a server that stores the same verifier, without
 * ever knowing the password (RFC 5802, section 9: whoever has ClientKey can).
 *
 * Bounded: those that were not asked for longest go first. Any thread; a mutex inside, nothing here
 * is on the path of a query. Keys are wiped when they go.
 */
#ifndef WEIR_AUTH_KEYS_H
#define WEIR_AUTH_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "weir/auth/digest.h"
#include "weir/auth/secret.h"
#include "weir/base/check.h"
#include "weir/base/span.h"

struct keys;

struct key_pair {
    uint8_t client_key[SHA256_LEN];
    uint8_t server_key[SHA256_LEN];
};

/* 0, -ENOMEM, or -ENOSYS where the kernel has no random bytes. max_keys >= 1. */
NODISCARD int keys_new(struct keys **out, unsigned max_keys);
void keys_free(struct keys *ks); /* NULL is fine */

/* By user (63 bytes at most), salt and iterations of v; its keys are not looked at. False: not
 * known. */
NODISCARD bool keys_find(struct keys *ks, struct span user, const struct scram_verifier *v,
                         struct key_pair *out);

/* Replaces what was known under the same name, salt and iterations. Where there is no memory
 * nothing is remembered, and only time is lost. */
void keys_put(struct keys *ks, struct span user, const struct scram_verifier *v,
              const struct key_pair *pair);

/* A server has refused them. */
void keys_drop(struct keys *ks, struct span user, const struct scram_verifier *v);

#endif
