/*
 * Writes messages into a caller's buffer. What does not fit sets full and is left out as a whole
 * message, and so is everything after it: who builds several messages asks once, at the end, or
 * sends the len bytes there are, empties the writer and goes on with the message that did not fit.
 * Strings may not contain a NUL; one that does counts as not fitting.
 *
 * Invariant: outside of a message (between pgw_writer_end and the next pgw_writer_begin) the first
 * len bytes are whole messages.
 */
#ifndef PGWIRE_WRITER_H
#define PGWIRE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pgwire/span.h"

struct pgw_writer {
    uint8_t *buf;
    size_t size;
    size_t len;   /* bytes written */
    size_t start; /* where the message being written begins */
    bool full;    /* set by the first thing that did not fit; stays until cleared */
};

static inline struct pgw_writer pgw_writer_of(void *buf, size_t size)
{
    return (struct pgw_writer){(uint8_t *)buf, size, 0, 0, false};
}

/* What was written so far; lies in the caller's buffer. */
static inline struct pgw_span pgw_writer_span(const struct pgw_writer *w)
{
    return (struct pgw_span){w->buf, w->len};
}

/* Forgets what was written, for the next use of the buffer. */
static inline void pgw_writer_clear(struct pgw_writer *w)
{
    w->len = 0;
    w->full = false;
}

/* Begins a message of this letter; pgw_writer_end() fills in its length. */
void pgw_writer_begin(struct pgw_writer *w, uint8_t type);

/* Begins a packet without a letter: what a client sends first. */
void pgw_writer_begin_untyped(struct pgw_writer *w);

/* Ends the message that was begun with the same call; takes it back if it did not fit. */
void pgw_writer_end(struct pgw_writer *w);
void pgw_writer_end_untyped(struct pgw_writer *w);

void pgw_writer_u8(struct pgw_writer *w, uint8_t v);
void pgw_writer_u16(struct pgw_writer *w, uint16_t v);
void pgw_writer_u32(struct pgw_writer *w, uint32_t v);
void pgw_writer_bytes(struct pgw_writer *w, struct pgw_span bytes);

/* The bytes and a NUL after them. */
void pgw_writer_string(struct pgw_writer *w, struct pgw_span text);

#endif
