/*
 * Bytes that wait for the kernel: a queue in chunks of the arena, empty for a peer that keeps up.
 *
 * Invariants: no chunk in the queue is empty; bytes once in a chunk do not move, so the kernel may
 * read the front while more is appended at the back. Runs on: the thread of the sock.
 */
#ifndef IO_OUTQ_H
#define IO_OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#include "weir/base/arena.h"
#include "weir/base/check.h"
#include "weir/base/span.h"
#include "weir/io/sock.h"

static inline bool outq_empty(const struct sock *s)
{
    return s->head == NULL;
}

/* Copies data to the end. False where the arena is empty: some of data may then be queued. */
NODISCARD bool outq_push(struct sock *s, struct arena *a, struct span data);

/* The bytes in front that lie together; the queue is not empty. */
struct span outq_front(const struct sock *s);

/* Describes up to max pieces from the front; returns how many. */
int outq_iovec(const struct sock *s, struct iovec *iov, int max);

/* Drops the first n bytes; n <= what is queued. */
void outq_drop(struct sock *s, struct arena *a, size_t n);
void outq_clear(struct sock *s, struct arena *a);

#endif
