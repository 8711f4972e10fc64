/*
 * How threads talk: an intrusive queue with many producers and one consumer that takes everything
 * at once (so there is no ABA), and the word "asleep" that decides who wakes whom. Protocol and
 * proof: docs/models/mailbox.pml.
 *
 * A piece of mail is embedded in what it speaks of and belongs to the mailbox from the push until
 * the consumer has it in hand; it can be in one mailbox once.
 */
#ifndef WEIR_BASE_MAILBOX_H
#define WEIR_BASE_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "weir/base/check.h"

struct mail {
    struct mail *next; /* the mailbox's while queued */
};

struct mailbox {
    _Alignas(CACHE_LINE) _Atomic(struct mail *) head; /* newest first */
    atomic_bool asleep;                               /* the consumer is about to wait, or waits */
};

void mailbox_init(struct mailbox *b);

/* Any thread. True if the consumer slept and this call is the one that must wake it. */
NODISCARD bool mailbox_push(struct mailbox *b, struct mail *m);

/* Consumer only: everything queued, oldest first, linked through next; NULL if empty. */
NODISCARD struct mail *mailbox_take_all(struct mailbox *b);

/* Consumer only, before it waits. False: mail has come in between, do not wait. */
NODISCARD bool mailbox_sleep(struct mailbox *b);

/* Consumer only, after it waited, whatever ended the wait. */
void mailbox_awake(struct mailbox *b);

#endif
