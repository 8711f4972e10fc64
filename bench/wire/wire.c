#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "weir/net/listen.h"
#include "weir/net/stream.h"

static const struct stream_options no_options;

void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    exit(1);
}

void bytes_put(struct bytes *b, const void *ptr, size_t len)
{
    if (len == 0)
        return;
    if (b->len + len > b->size) {
        b->size = (b->len + len) * 2;
        b->ptr = realloc(b->ptr, b->size);
        if (b->ptr == NULL)
            die("out of memory");
    }
    memcpy(b->ptr + b->len, ptr, len);
    b->len += len;
}

static void put_length(struct bytes *b, size_t len)
{
    uint32_t word = __builtin_bswap32((uint32_t)(len + PGW_LENGTH_LEN));

    bytes_put(b, &word, sizeof(word));
}

void bytes_put_message(struct bytes *b, int type, const void *body, size_t len)
{
    uint8_t letter = (uint8_t)type;

    bytes_put(b, &letter, sizeof(letter));
    put_length(b, len);
    bytes_put(b, body, len);
}

void bytes_put_startup(struct bytes *b)
{
    static const char body[] = "\0\3\0\0user\0bench\0database\0bench\0";

    put_length(b, sizeof(body));
    bytes_put(b, body, sizeof(body));
}

struct addr parse_place(const char *text)
{
    struct addr a;

    if (addr_parse(span_str(text), 0, &a) != ADDR_OK)
        die("%s is no address", text);
    return a;
}

int dial(const struct addr *to)
{
    int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[ADDR_TEXT_SIZE];

    if (fd < 0 || connect(fd, &to->any, to->len) != 0)
        die("cannot connect to %s: %s", addr_text(to, text), strerror(errno));
    stream_set_options(fd, &no_options);
    return fd;
}

int listen_at(const char *place)
{
    static const struct listen_options options = {.unix_mode = 0700};
    struct addr a = parse_place(place);
    struct listen_socket s;
    char text[ADDR_TEXT_SIZE];

    if (listen_open(&s, &a, &options) != 0)
        die("cannot listen at %s", place);
    printf("%s\n", addr_text(&s.addr, text));
    (void)fflush(stdout);
    return s.fd;
}

int log_in(const struct addr *to, struct bytes *hello)
{
    struct bytes startup = {.ptr = NULL};
    struct frames frames = {.have = 0};
    int fd = dial(to), type = 0;

    bytes_put_startup(&startup);
    if (send_whole(fd, bytes_span(&startup)) != 0)
        die("the server hung up");
    free(startup.ptr);
    while (type != PGW_B_READY_FOR_QUERY) {
        uint8_t buffer[4096];
        ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
        struct span data = span_of(buffer, n > 0 ? (size_t)n : 0);

        if (n <= 0)
            die("the server refused the login");
        if (hello != NULL)
            bytes_put(hello, buffer, data.len);
        while (type != PGW_B_READY_FOR_QUERY && data.len > 0)
            type = frames_next(&frames, &data);
    }
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        die("fcntl: %s", strerror(errno));
    return fd;
}

int send_whole(int fd, struct span data)
{
    while (data.len > 0) {
        ssize_t n = send(fd, data.ptr, data.len, MSG_NOSIGNAL);
        struct pollfd writable = {.fd = fd, .events = POLLOUT};

        if (n > 0)
            data = span_skip(data, (size_t)n);
        else if (errno != EAGAIN || poll(&writable, 1, -1) < 0)
            return -1;
    }
    return 0;
}
