/*
 * What the programs here share: messages of the PostgreSQL protocol, counted and built as cheaply
 * as can be; sockets that are opened and written to blocking, before a measurement begins.
 *
 * Every failure ends the program: these programs measure, they do not serve.
 */
#ifndef BENCH_WIRE_WIRE_H
#define BENCH_WIRE_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "pgwire/proto.h"
#include "weir/base/span.h"
#include "weir/net/addr.h"

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

/* Where in a message a stream of bytes is; all zero at the start of one. */
struct frames {
    uint8_t header[PGW_HEADER_LEN];
    uint32_t have, left; /* bytes of the header seen; of the body to come */
};

/* The type of the next message that ends within *data, which moves behind it; 0 when none does. */
static inline int frames_next(struct frames *f, struct span *data)
{
    while (data->len > 0) {
        uint32_t len;

        if (f->left > 0) {
            len = data->len < f->left ? (uint32_t)data->len : f->left;
            f->left -= len;
            *data = span_skip(*data, len);
        } else {
            f->header[f->have++] = data->ptr[0];
            *data = span_skip(*data, 1);
            if (f->have < PGW_HEADER_LEN)
                continue;
            memcpy(&len, f->header + PGW_TYPE_LEN, sizeof(len));
            f->left = __builtin_bswap32(len) - PGW_LENGTH_LEN;
            f->have = 0;
        }
        if (f->left == 0 && f->have == 0)
            return f->header[0];
    }
    return 0;
}

/* Bytes that grow at the end. */
struct bytes {
    uint8_t *ptr;
    size_t len, size;
};

void bytes_put(struct bytes *b, const void *ptr, size_t len);
void bytes_put_message(struct bytes *b, int type, const void *body, size_t len);

static inline struct span bytes_span(const struct bytes *b)
{
    return span_of(b->ptr, b->len);
}

/* A StartupMessage for a user and a database that nobody checks. */
void bytes_put_startup(struct bytes *b);

/* Whether data ends with ReadyForQuery 'I': of a well-behaved server, the end of a reply. */
static inline int ends_idle(struct span data)
{
    return data.len >= 6 && data.ptr[data.len - 1] == 'I' && data.ptr[data.len - 6] == 'Z';
}

struct addr parse_place(const char *text);

/* A connected socket, blocking. */
int dial(const struct addr *to);

/* A listening socket, non-blocking; says on standard output where it listens. */
int listen_at(const char *place);

/* A connection to a server that has been through its login: a non-blocking socket. What the server
 * said is added to *hello, if that is not NULL. */
int log_in(const struct addr *to, struct bytes *hello);

/* All of data, waiting where the socket is full. 0, or -1 if the peer is gone. */
int send_whole(int fd, struct span data);

#endif
