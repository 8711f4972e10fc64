/*
 * Socket addresses: IPv4, IPv6 and Unix sockets as people write them, as the kernel wants them and
 * as the log shows them. Nothing here asks a name server: a name is recognised as one and handed
 * back.
 *
 * A Unix socket is given by its folder, as libpq does it: "/run/postgresql" and port 5432 mean the
 * file /run/postgresql/.s.PGSQL.5432; "@app" means the abstract socket app/.s.PGSQL.5432 (unix(7)).
 *
 * Any thread.
 */
#ifndef WEIR_NET_ADDR_H
#define WEIR_NET_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "weir/base/check.h"
#include "weir/base/span.h"

struct addr {
    socklen_t len; /* of the member in use */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
    };
};

enum addr_status {
    ADDR_OK,
    ADDR_NAME,    /* looks like a host name: the caller has to resolve it */
    ADDR_INVALID, /* neither an address nor a name, or a path that is too long */
};

/* Reads "10.0.0.1", "10.0.0.1:5432", "::1", "[::1]", "[::1]:5432", "fe80::1%eth0", "/folder" or
 * "@folder"; port is for texts that name none. *out is written on ADDR_OK alone. */
NODISCARD enum addr_status addr_parse(struct span text, uint16_t port, struct addr *out);

/* What to listen on. */
struct addr_list {
    size_t n;
    struct addr_item {
        struct addr addr;
        bool optional; /* IPv6 that nobody asked for by name: may be missing on this machine */
    } items[16];
    struct span refused; /* after a failure: the element at fault, a part of the text given */
};

/* Reads addresses separated by commas. "*" is every address of both families, "localhost" is
 * 127.0.0.1 and ::1 (RFC 6761, 6.3); an empty text is an empty list. More than there is room for is
 * ADDR_INVALID. */
NODISCARD enum addr_status addr_list_parse(const char *text, uint16_t port, struct addr_list *out);

/* Writes "10.0.0.1:5432", "[::1]:5432", "/folder/.s.PGSQL.5432", "@folder/.s.PGSQL.5432", or "unix"
 * for the nameless end of a Unix socket, and returns out. Bytes that are not printable ASCII become
 * '?': the text goes to logs. */
#define ADDR_TEXT_SIZE 128
const char *addr_text(const struct addr *a, char out[ADDR_TEXT_SIZE]);

static inline bool addr_is_unix(const struct addr *a)
{
    return a->any.sa_family == AF_UNIX;
}

/* The path of a Unix socket that is a file, else NULL. Lives as long as *a. */
const char *addr_path(const struct addr *a);

/* 0 for a Unix socket. */
uint16_t addr_port(const struct addr *a);

/* The two ends of a connected socket, or the address a listening one is bound to. 0 or -errno
 * (-ENOTCONN: the peer has gone). */
NODISCARD int addr_local(int fd, struct addr *out);
NODISCARD int addr_peer(int fd, struct addr *out);

/* Whence a connection comes, for limits that each peer has of its own: the IPv4 address; of an IPv6
 * address the first 64 bits, for within them a single host has as many as it likes (RFC 4291,
 * 2.5.4); the user at the other end of a Unix socket, which has no address. To be compared and
 * hashed as bytes. All zero: it cannot be told any more. */
struct addr_origin {
    uint64_t family;
    uint64_t number;
};
struct addr_origin addr_origin(int fd);

#endif
