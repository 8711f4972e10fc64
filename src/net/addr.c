/*
 * Reading and showing addresses. The forms are tried in the order in which they exclude each other:
 * a path by its first character, a port taken off the end, brackets, IPv4, IPv6, a name.
 * inet_pton() reads strictly: "127.1" and "010.0.0.1", which inet_aton() takes, are refused.
 */
#include "weir/net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#define UNIX_NAME_FORMAT "%.*s/.s.PGSQL.%u"

static bool digits_to_uint(struct span s, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        value = value * 10 + (s.ptr[i] - '0');
        if (value > max)
            return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool span_to_text(struct span s, char *out, size_t size)
{
    if (s.len >= size || memchr(s.ptr, '\0', s.len) != NULL)
        return false;
    memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
    return true;
}

static enum addr_status parse_unix(struct span folder, uint16_t port, struct addr *out)
{
    struct addr a = {.un = {.sun_family = AF_UNIX}};
    bool abstract = folder.ptr[0] == '@';
    /* An abstract name has a NUL in front and none behind (unix(7)). */
    struct span name = abstract ? span_skip(folder, 1) : folder;
    char *to = a.un.sun_path + abstract;
    size_t room = sizeof(a.un.sun_path) - abstract;
    int n;

    if (name.len == 0 || name.len >= room || memchr(name.ptr, '\0', name.len) != NULL)
        return ADDR_INVALID;
    while (!abstract && name.len > 1 && name.ptr[name.len - 1] == '/')
        name.len--;
    n = snprintf(to, room, UNIX_NAME_FORMAT, (int)name.len, (const char *)name.ptr, port);
    if (n < 0 || (size_t)n >= room)
        return ADDR_INVALID;
    a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1);
    *out = a;
    return ADDR_OK;
}

static bool parse_v4(struct span host, uint16_t port, struct addr *out)
{
    struct addr a = {.len = sizeof(a.v4), .v4 = {.sin_family = AF_INET, .sin_port = htons(port)}};
    char text[INET_ADDRSTRLEN];

    if (!span_to_text(host, text, sizeof(text)) || inet_pton(AF_INET, text, &a.v4.sin_addr) != 1)
        return false;
    *out = a;
    return true;
}

/* The zone of a link-local address: the name of an interface or its number (RFC 4007, 11). */
static bool parse_zone(struct span zone, uint32_t *out)
{
    char name[IF_NAMESIZE];

    if (digits_to_uint(zone, INT32_MAX, out))
        return true;
    if (zone.len == 0 || !span_to_text(zone, name, sizeof(name)))
        return false;
    *out = if_nametoindex(name);
    return *out != 0;
}

static bool parse_v6(struct span host, uint16_t port, struct addr *out)
{
    struct addr a = {.len = sizeof(a.v6), .v6 = {.sin6_family = AF_INET6}};
    const uint8_t *percent = memchr(host.ptr, '%', host.len);
    char text[INET6_ADDRSTRLEN];

    a.v6.sin6_port = htons(port);
    if (percent != NULL) {
        struct span zone = span_skip(host, (size_t)(percent - host.ptr) + 1);

        if (!parse_zone(zone, &a.v6.sin6_scope_id))
            return false;
        host.len -= zone.len + 1;
    }
    if (!span_to_text(host, text, sizeof(text)) || inet_pton(AF_INET6, text, &a.v6.sin6_addr) != 1)
        return false;
    *out = a;
    return true;
}

/* Takes ":PORT" off the end of *host if it is there; false where what stands there is no port. A
 * bare IPv6 address has several colons and no port. */
static bool split_port(struct span *host, uint16_t *port)
{
    const uint8_t *colon = memrchr(host->ptr, ':', host->len);
    const uint8_t *first = memchr(host->ptr, ':', host->len);
    const uint8_t *bracket = memrchr(host->ptr, ']', host->len);
    uint32_t value;

    if (colon == NULL || (bracket == NULL ? colon != first : colon != bracket + 1))
        return true;
    if (!digits_to_uint(span_skip(*host, (size_t)(colon - host->ptr) + 1), UINT16_MAX, &value))
        return false;
    *port = (uint16_t)value;
    host->len = (size_t)(colon - host->ptr);
    return true;
}

/* Letters, digits and hyphens in labels (RFC 1123, 2.1); underscores, because they are in use. A
 * name never ends in a label of digits alone: that would be a mistyped IPv4 address. */
static bool looks_like_name(struct span host)
{
    bool label_has_letter = false;
    size_t label_len = 0;

    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';

        if (c == '.') {
            if (label_len == 0)
                return false;
            if (i + 1 < host.len) {
                label_len = 0;
                label_has_letter = false;
            }
            continue;
        }
        if (!letter && (c < '0' || c > '9'))
            return false;
        label_has_letter |= letter;
        if (++label_len > 63)
            return false;
    }
    return label_has_letter && host.len <= 253;
}

enum addr_status addr_parse(struct span text, uint16_t port, struct addr *out)
{
    struct span host = text;
    uint16_t host_port = port;

    if (text.len == 0)
        return ADDR_INVALID;
    if (text.ptr[0] == '/' || text.ptr[0] == '@')
        return parse_unix(text, port, out);
    if (!split_port(&host, &host_port) || host.len == 0)
        return ADDR_INVALID;
    if (host.ptr[0] == '[') {
        if (host.len < 2 || host.ptr[host.len - 1] != ']')
            return ADDR_INVALID;
        host = span_of(host.ptr + 1, host.len - 2);
        return parse_v6(host, host_port, out) ? ADDR_OK : ADDR_INVALID;
    }
    if (parse_v4(host, host_port, out) || parse_v6(host, host_port, out))
        return ADDR_OK;
    return looks_like_name(host) ? ADDR_NAME : ADDR_INVALID;
}

static struct span trim(struct span s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = span_skip(s, 1);
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static enum addr_status list_add(struct addr_list *list, struct span text, uint16_t port,
                                 bool optional)
{
    struct addr_item item = {.optional = optional};
    enum addr_status status;

    if (list->n == sizeof(list->items) / sizeof(list->items[0]))
        return ADDR_INVALID;
    status = addr_parse(text, port, &item.addr);
    if (status == ADDR_OK)
        list->items[list->n++] = item;
    return status;
}

static enum addr_status list_add_pair(struct addr_list *list, const char *v4, const char *v6,
                                      uint16_t port)
{
    enum addr_status status = list_add(list, span_str(v4), port, false);

    return status == ADDR_OK ? list_add(list, span_str(v6), port, true) : status;
}

static enum addr_status list_add_element(struct addr_list *list, struct span element, uint16_t port)
{
    if (span_equal(element, span_str("*")))
        return list_add_pair(list, "0.0.0.0", "::", port);
    if (span_equal(element, span_str("localhost")))
        return list_add_pair(list, "127.0.0.1", "::1", port);
    return list_add(list, element, port, false);
}

enum addr_status addr_list_parse(const char *text, uint16_t port, struct addr_list *out)
{
    struct span rest = trim(span_str(text));
    bool more = rest.len > 0;

    out->n = 0;
    while (more) {
        const uint8_t *comma = memchr(rest.ptr, ',', rest.len);
        size_t len = comma == NULL ? rest.len : (size_t)(comma - rest.ptr);
        struct span element = trim(span_of(rest.ptr, len));
        enum addr_status status = list_add_element(out, element, port);

        if (status != ADDR_OK) {
            out->n = 0;
            out->refused = element;
            return status;
        }
        more = comma != NULL; /* it announces another element, even if nothing comes */
        rest = span_skip(rest, len + more);
    }
    return ADDR_OK;
}

/* How many bytes of sun_path are in use; a path may or may not count its NUL. */
static size_t unix_name_len(const struct addr *a)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t len = a->len > head ? a->len - head : 0;

    return len > 0 && a->un.sun_path[0] != '\0' ? strnlen(a->un.sun_path, len) : len;
}

static void unix_text(const struct addr *a, char out[ADDR_TEXT_SIZE])
{
    size_t len = unix_name_len(a);

    _Static_assert(sizeof(a->un.sun_path) < ADDR_TEXT_SIZE, "a whole path fits");
    if (len == 0) {
        memcpy(out, "unix", sizeof("unix"));
        return;
    }
    for (size_t i = 0; i < len; i++) {
        char c = a->un.sun_path[i];

        if (i == 0 && c == '\0')
            out[i] = '@';
        else if (c > ' ' && c <= '~')
            out[i] = c;
        else
            out[i] = '?';
    }
    out[len] = '\0';
}

static void v6_text(const struct addr *a, char out[ADDR_TEXT_SIZE])
{
    char host[INET6_ADDRSTRLEN];
    unsigned port = ntohs(a->v6.sin6_port);

    if (inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof(host)) == NULL)
        host[0] = '\0';
    if (a->v6.sin6_scope_id == 0)
        (void)snprintf(out, ADDR_TEXT_SIZE, "[%s]:%u", host, port);
    else
        (void)snprintf(out, ADDR_TEXT_SIZE, "[%s%%%u]:%u", host, a->v6.sin6_scope_id, port);
}

const char *addr_text(const struct addr *a, char out[ADDR_TEXT_SIZE])
{
    char host[INET_ADDRSTRLEN];

    switch (a->any.sa_family) {
    case AF_UNIX:
        unix_text(a, out);
        break;
    case AF_INET6:
        v6_text(a, out);
        break;
    default:
        if (inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof(host)) == NULL)
            host[0] = '\0';
        (void)snprintf(out, ADDR_TEXT_SIZE, "%s:%u", host, ntohs(a->v4.sin_port));
    }
    return out;
}

const char *addr_path(const struct addr *a)
{
    return addr_is_unix(a) && unix_name_len(a) > 0 && a->un.sun_path[0] != '\0' ? a->un.sun_path
                                                                                : NULL;
}

uint16_t addr_port(const struct addr *a)
{
    switch (a->any.sa_family) {
    case AF_INET:
        return ntohs(a->v4.sin_port);
    case AF_INET6:
        return ntohs(a->v6.sin6_port);
    default:
        return 0;
    }
}

static int addr_of(int fd, int (*ask)(int, struct sockaddr *, socklen_t *), struct addr *out)
{
    struct addr a;

    /* Somebody else's path may fill sun_path without a NUL: what follows it is one. */
    memset(&a, 0, sizeof(a));
    a.len = sizeof(a.un);
    if (ask(fd, &a.any, &a.len) != 0)
        return -errno;
    if (a.len > sizeof(a.un))
        a.len = sizeof(a.un);
    *out = a;
    return 0;
}

int addr_local(int fd, struct addr *out)
{
    return addr_of(fd, getsockname, out);
}

int addr_peer(int fd, struct addr *out)
{
    return addr_of(fd, getpeername, out);
}

static struct addr_origin origin_of_user(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return (struct addr_origin){0};
    return (struct addr_origin){.family = AF_UNIX, .number = peer.uid};
}

struct addr_origin addr_origin(int fd)
{
    struct addr_origin origin = {0};
    struct addr a = {0};

    if (addr_peer(fd, &a) != 0)
        return origin;
    if (addr_is_unix(&a))
        return origin_of_user(fd);
    origin.family = a.any.sa_family;
    if (a.any.sa_family == AF_INET)
        origin.number = a.v4.sin_addr.s_addr;
    else
        memcpy(&origin.number, &a.v6.sin6_addr, sizeof(origin.number));
    return origin;
}
