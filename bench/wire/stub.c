/*
 * A PostgreSQL server that only pretends: every query gets the same row. It costs so little that
 * the relay in front of it is what is measured.
 *
 * usage: stub LISTEN [ROW_BYTES]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

#define MAX_FDS 20000

struct connection {
    struct frames frames;
    bool greeted;
};

struct stub {
    struct connection connections[MAX_FDS]; /* by descriptor */
    struct bytes hello, description, simple, executed, out;
    int epoll, listener;
};

static void put_parameter(struct bytes *b, const char *name, const char *value)
{
    char body[128];
    int n = snprintf(body, sizeof(body), "%s%c%s", name, '\0', value);

    bytes_put_message(b, PGW_B_PARAMETER_STATUS, body, (size_t)n + 1);
}

static void make_hello(struct bytes *b)
{
    static const char *const parameters[][2] = {
        {"server_version", "15.0"},  {"server_encoding", "UTF8"},
        {"client_encoding", "UTF8"}, {"DateStyle", "ISO, MDY"},
        {"TimeZone", "UTC"},         {"standard_conforming_strings", "on"},
        {"integer_datetimes", "on"}, {"IntervalStyle", "postgres"},
    };

    bytes_put_message(b, PGW_B_AUTHENTICATION, "\0\0\0\0", 4);
    for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++)
        put_parameter(b, parameters[i][0], parameters[i][1]);
    bytes_put_message(b, PGW_B_BACKEND_KEY_DATA, "\0\0\0\1\0\0\0\2", 8);
    bytes_put_message(b, PGW_B_READY_FOR_QUERY, "I", 1);
}

/* One column of type int4, or text where rows are long. */
static void make_replies(struct stub *s, size_t row_bytes)
{
    static const char description[] = "\0\1?column?\0\0\0\0\0\0\0\0\0\0\27\0\4\377\377\377\377\0";
    static const uint8_t n_columns[] = {0, 1};
    uint32_t value_len = __builtin_bswap32((uint32_t)row_bytes);
    uint8_t *row = malloc(6 + row_bytes);

    if (row == NULL)
        die("out of memory");
    memcpy(row, n_columns, sizeof(n_columns));
    memcpy(row + 2, &value_len, sizeof(value_len));
    memset(row + 6, '1', row_bytes);
    bytes_put_message(&s->description, PGW_B_ROW_DESCRIPTION, description, sizeof(description));
    bytes_put(&s->simple, s->description.ptr, s->description.len);
    bytes_put_message(&s->executed, PGW_B_DATA_ROW, row, 6 + row_bytes);
    bytes_put_message(&s->executed, PGW_B_COMMAND_COMPLETE, "SELECT 1", 9);
    bytes_put(&s->simple, s->executed.ptr, s->executed.len);
    bytes_put_message(&s->simple, PGW_B_READY_FOR_QUERY, "I", 1);
    free(row);
}

static void answer(struct stub *s, int type)
{
    switch (type) {
    case PGW_F_QUERY:
        bytes_put(&s->out, s->simple.ptr, s->simple.len);
        break;
    case PGW_F_PARSE:
        bytes_put_message(&s->out, PGW_B_PARSE_COMPLETE, NULL, 0);
        break;
    case PGW_F_BIND:
        bytes_put_message(&s->out, PGW_B_BIND_COMPLETE, NULL, 0);
        break;
    case PGW_F_CLOSE:
        bytes_put_message(&s->out, PGW_B_CLOSE_COMPLETE, NULL, 0);
        break;
    case PGW_F_DESCRIBE:
        bytes_put(&s->out, s->description.ptr, s->description.len);
        break;
    case PGW_F_EXECUTE:
        bytes_put(&s->out, s->executed.ptr, s->executed.len);
        break;
    case PGW_F_SYNC:
        bytes_put_message(&s->out, PGW_B_READY_FOR_QUERY, "I", 1);
        break;
    default:
        break;
    }
}

static void serve(struct stub *s, int fd)
{
    static uint8_t buffer[128 * 1024];
    struct connection *c = &s->connections[fd];
    ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    struct span data = span_of(buffer, n > 0 ? (size_t)n : 0);
    int type;

    if (n < 0 && errno == EAGAIN)
        return;
    s->out.len = 0;
    if (n > 0 && !c->greeted) {
        c->greeted = true; /* the startup packet, in one piece */
        bytes_put(&s->out, s->hello.ptr, s->hello.len);
    } else {
        while ((type = frames_next(&c->frames, &data)) != 0)
            answer(s, type);
    }
    if (n <= 0 || send_whole(fd, bytes_span(&s->out)) != 0)
        close(fd);
}

static void take(struct stub *s)
{
    struct epoll_event event = {.events = EPOLLIN};
    int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    if (fd >= MAX_FDS)
        die("too many connections");
    event.data.fd = fd;
    s->connections[fd] = (struct connection){.greeted = false};
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

int main(int argc, char **argv)
{
    static struct stub s;
    struct epoll_event events[512];

    if (argc < 2)
        die("usage: stub LISTEN [ROW_BYTES]");
    make_hello(&s.hello);
    make_replies(&s, argc > 2 ? strtoul(argv[2], NULL, 10) : 1);
    s.listener = listen_at(argv[1]);
    s.epoll = epoll_create1(EPOLL_CLOEXEC);
    events[0] = (struct epoll_event){.events = EPOLLIN, .data.fd = s.listener};
    if (epoll_ctl(s.epoll, EPOLL_CTL_ADD, s.listener, &events[0]) != 0)
        die("epoll_ctl: %s", strerror(errno));
    for (;;) {
        int n = epoll_wait(s.epoll, events, 512, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == s.listener)
                take(&s);
            else
                serve(&s, events[i].data.fd);
        }
    }
}
