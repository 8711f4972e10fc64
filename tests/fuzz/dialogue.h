/*
 * What the fuzz targets of the two dialogues share. Input is a byte that picks method and secret,
 * then messages: their length in two bytes, and that many bytes of body. What weir draws by chance
 * is fixed, so that an input always does the same and a whole login can be a seed.
 */
#ifndef TESTS_FUZZ_DIALOGUE_H
#define TESTS_FUZZ_DIALOGUE_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "pgwire/frame.h"
#include "weir/auth/keys.h"
#include "weir/auth/secret.h"
#include "weir/auth/wire.h"

#define DIALOGUE_USER "alice"
#define DIALOGUE_PASSWORD "pencil"
#define DIALOGUE_NONCE "fixedfixedfixedfixedfixe"
#define DIALOGUE_ITERATIONS 2

/* In this order; the last means that there is no such user. */
enum { DIALOGUE_NONE, DIALOGUE_PLAIN, DIALOGUE_MD5, DIALOGUE_SCRAM, DIALOGUE_UNKNOWN };

/* SECRET_SCRAM has a salt of 16 bytes "s". */
static inline void dialogue_secret(unsigned kind, struct secret *out, uint8_t key[SHA256_LEN])
{
    memset(out, 0, sizeof(*out));
    out->kind = (enum secret_kind)kind;
    out->plain = span_str(DIALOGUE_PASSWORD);
    digest_md5_hex(span_str(DIALOGUE_PASSWORD), span_str(DIALOGUE_USER), out->md5_hex);
    out->scram.iterations = DIALOGUE_ITERATIONS;
    out->scram.salt_len = 16;
    memset(out->scram.salt, 's', out->scram.salt_len);
    ASSERT(scram_derive(out->plain, &out->scram, key));
}

/* The next body, in memory of exactly its size that the caller frees; what is missing is left out.
 * False: no more. */
static inline bool dialogue_next(struct span *input, uint8_t **body, size_t *len)
{
    if (input->len < 2)
        return false;
    *len = (size_t)input->ptr[0] << 8 | input->ptr[1];
    *input = span_skip(*input, 2);
    if (*len > input->len)
        *len = input->len;
    *body = malloc(*len > 0 ? *len : 1);
    ASSERT(*body != NULL);
    if (*len > 0)
        memcpy(*body, input->ptr, *len);
    *input = span_skip(*input, *len);
    return true;
}

/* Exactly one message, of this letter, was written. */
static inline struct pgw_span dialogue_written(const struct pgw_rule *rules,
                                               const struct pgw_writer *w, uint8_t letter)
{
    struct pgw_span bytes = pgw_writer_span(w);
    struct pgw_frame frame;

    ASSERT(!w->full && pgw_frame_next(rules, &bytes, &frame) == PGW_READY);
    ASSERT(bytes.len == 0 && frame.type == letter);
    return frame.body;
}

#endif
