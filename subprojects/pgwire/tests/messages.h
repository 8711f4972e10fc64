/*
 * Every message of the protocol, written byte by byte from the documentation ("Message Formats"),
 * with what becomes of it when one byte is wrong.
 */
#ifndef PGWIRE_TESTS_MESSAGES_H
#define PGWIRE_TESTS_MESSAGES_H

#include <stddef.h>

#include "pgwire/rule.h"
#include "pgwire/span.h"

struct message {
    const char *name;
    const char *bytes; /* header and body */
    size_t len;
    /*
     * One character per byte of the body, what another value there does:
     *   t  text: zero makes the body invalid, another letter does not
     *   i  makes it invalid
     *   .  leaves it valid
     *   ?  depends on the value
     */
    const char *map;
    enum pgw_answer (*read)(struct pgw_span body); /* NULL: the bodies of this message are opaque */
    size_t opaque_from; /* from this length on a body may end anywhere; 0 with a reader: nowhere */
};

extern const struct message frontend_messages[];
extern const size_t n_frontend_messages;
extern const struct message backend_messages[];
extern const size_t n_backend_messages;

static inline struct pgw_span message_span(const struct message *m)
{
    return pgw_span_of(m->bytes, m->len);
}

static inline struct pgw_span message_body(const struct message *m)
{
    return pgw_span_skip(message_span(m), PGW_HEADER_LEN);
}

/* The body of the message of this name, a client's or a server's; the name must be there. */
struct pgw_span frontend_body(const char *name);
struct pgw_span backend_body(const char *name);

/* Reads the body with the reader of the message, and steps through every list that it yields. */
enum pgw_answer message_read(const struct message *m, struct pgw_span body);

#endif
