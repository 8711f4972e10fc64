/*
 * Clients that share servers, over weir's loop: the same job as bare.c, done with the interfaces
 * that the pooler uses. A client is received from all the time, a server once per call, or all the
 * time where the command line says "armed".
 *
 * usage: relay io_uring | io_uring-6.1 | epoll  LISTEN  SERVER  [N_SERVERS] [armed]
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "front.h"
#include "weir/base/list.h"
#include "weir/io/sock.h"
#include "weir/net/stream.h"
#include "wire.h"

struct relay {
    struct loop_listener listener;
    struct list idle;    /* servers */
    struct list waiting; /* clients with a question */
    struct bytes hello;
    bool armed;
};

struct server {
    struct stream stream;
    struct relay *relay;
    struct client *client; /* whose reply is awaited; NULL: idle, or the client has gone */
    struct list_link link; /* in relay->idle */
};

struct client {
    struct stream stream;
    struct relay *relay;
    struct server *server;
    struct list_link link; /* in relay->waiting */
    struct bytes question;
    bool greeted;
};

static struct client *client_of(struct sock *s)
{
    return CONTAINER_OF(stream_of(s), struct client, stream);
}

static struct server *server_of(struct sock *s)
{
    return CONTAINER_OF(stream_of(s), struct server, stream);
}

static void link_up(struct client *c, struct server *s, struct span question)
{
    c->server = s;
    s->client = c;
    stream_send(&s->stream, question);
    if (!s->relay->armed)
        stream_receive_once(&s->stream);
}

static void client_asks(struct client *c, struct span question)
{
    struct list_link *link;

    if (c->server != NULL) {
        stream_send(&c->server->stream, question);
    } else if (list_linked(&c->link)) {
        bytes_put(&c->question, question.ptr, question.len);
    } else if ((link = list_pop_front(&c->relay->idle)) != NULL) {
        link_up(c, LIST_ITEM(link, struct server, link), question);
    } else {
        c->question.len = 0;
        bytes_put(&c->question, question.ptr, question.len);
        list_push_back(&c->relay->waiting, &c->link);
    }
}

static void client_received(struct sock *s, struct span data)
{
    struct client *c = client_of(s);

    if (!c->greeted) {
        c->greeted = true;
        sock_send(s, bytes_span(&c->relay->hello));
    } else if (data.ptr[0] != PGW_F_TERMINATE) {
        client_asks(c, data);
    }
}

static void client_ended(struct sock *s, int error)
{
    struct client *c = client_of(s);

    (void)error;
    if (c->server != NULL)
        c->server->client = NULL;
    if (list_linked(&c->link))
        list_remove(&c->link);
    sock_close(s);
}

static void client_closed(struct sock *s)
{
    free(client_of(s)->question.ptr);
    free(client_of(s));
}

static void server_done(struct server *s)
{
    struct list_link *link = list_pop_front(&s->relay->waiting);

    if (s->client != NULL)
        s->client->server = NULL;
    s->client = NULL;
    if (link == NULL) {
        list_push_front(&s->relay->idle, &s->link);
    } else {
        struct client *next = LIST_ITEM(link, struct client, link);

        link_up(next, s, bytes_span(&next->question));
    }
}

static void server_received(struct sock *sock, struct span data)
{
    struct server *s = server_of(sock);

    if (s->client != NULL)
        stream_send(&s->client->stream, data);
    if (ends_idle(data))
        server_done(s);
    else if (!s->relay->armed)
        stream_receive_once(&s->stream);
}

static void server_ended(struct sock *s, int error)
{
    (void)s;
    die("a server hung up: %s", strerror(-error));
}

static void server_closed(struct sock *s)
{
    (void)s; /* servers are never closed */
}

static const struct sock_ops client_ops = {
    .received = client_received, .ended = client_ended, .closed = client_closed};
static const struct sock_ops server_ops = {
    .received = server_received, .ended = server_ended, .closed = server_closed};

static void accepted(struct loop_listener *ln, int fd)
{
    static const struct stream_options none;
    struct client *c = calloc(1, sizeof(*c));

    if (c == NULL)
        die("out of memory");
    c->relay = CONTAINER_OF(ln, struct relay, listener);
    stream_set_options(fd, &none);
    stream_accept(&c->stream, ln->loop, &client_ops, fd);
    stream_receive(&c->stream);
}

static void add_server(struct relay *r, struct loop *l, const struct addr *to)
{
    struct server *s = calloc(1, sizeof(*s));

    if (s == NULL)
        die("out of memory");
    s->relay = r;
    stream_accept(&s->stream, l, &server_ops, log_in(to, r->hello.len == 0 ? &r->hello : NULL));
    if (r->armed)
        stream_receive(&s->stream);
    list_push_back(&r->idle, &s->link);
}

int main(int argc, char **argv)
{
    struct relay r = {.listener.accepted = accepted};
    struct loop *l;
    struct addr to;

    if (argc < 4)
        die("usage: relay io_uring | io_uring-6.1 | epoll  LISTEN  SERVER  [N_SERVERS] [armed]");
    l = front_loop(argv[1]);
    to = parse_place(argv[3]);
    r.armed = argc > 5 && strcmp(argv[5], "armed") == 0;
    list_init(&r.idle);
    list_init(&r.waiting);
    for (unsigned n = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 16; n > 0; n--)
        add_server(&r, l, &to);
    front_run(l, argv[2], &r.listener);
}
