/*
 * One list is made of all addresses, the Unix socket's included, so that an error leaves none open.
 */
#include "listeners.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "weir/pool/tcp.h"

static struct listen_options options_of(const struct conf_weir *weir)
{
    return (struct listen_options){
        .backlog = (int)weir->listen_backlog,
        .unix_mode = (mode_t)weir->unix_socket_mode,
        .accepted = tcp_options(weir),
    };
}

static int append(struct addr_list *list, const struct addr_item *item)
{
    if (list->n == LISTENERS_MAX)
        return -E2BIG;
    list->items[list->n++] = *item;
    return 0;
}

/* One entry of listen_addr, which may stand for several addresses. */
static int append_inet(struct addr_list *list, const char *text, uint16_t port)
{
    struct addr_list some;
    int error = addr_list_parse(text, port, &some) == ADDR_OK ? 0 : -EINVAL;

    for (size_t i = 0; error == 0 && i < some.n; i++)
        error = append(list, &some.items[i]);
    return error;
}

static int append_unix(struct addr_list *list, const char *folder, uint16_t port)
{
    struct addr_item item = {.optional = false};

    if (addr_parse(span_str(folder), port, &item.addr) != ADDR_OK)
        return -EINVAL;
    return append(list, &item);
}

/* On failure *failed is the text at fault. */
static int list_of(struct addr_list *list, const struct conf_weir *weir, const char **failed)
{
    uint16_t port = (uint16_t)weir->listen_port;
    int error = 0;

    list->n = 0;
    for (size_t i = 0; error == 0 && i < weir->listen_addr.n_items; i++) {
        *failed = weir->listen_addr.items[i];
        error = append_inet(list, *failed, port);
    }
    if (error == 0 && weir->unix_socket_dir[0] != '\0') {
        *failed = weir->unix_socket_dir;
        error = append_unix(list, *failed, port);
    }
    return error;
}

int listeners_open(struct listeners *ls, const struct conf *conf, char failed[ADDR_TEXT_SIZE])
{
    struct listen_options options = options_of(&conf->weir);
    struct addr_list list;
    const char *text;
    size_t at;
    int error = list_of(&list, &conf->weir, &text);

    if (error == -E2BIG)
        snprintf(failed, ADDR_TEXT_SIZE, "%s, beyond %zu addresses", text, LISTENERS_MAX);
    else if (error < 0)
        snprintf(failed, ADDR_TEXT_SIZE, "%s", text);
    if (error < 0)
        return error;
    error = listen_open_all(ls->sockets, &ls->n, &list, &options, &at);
    if (error < 0)
        addr_text(&list.items[at].addr, failed);
    return error;
}

static void on_accepted(struct loop_listener *ln, int fd)
{
    const struct listeners *all = CONTAINER_OF(ln, struct listener, accepting)->all;

    sessions_accept(all->sessions, all->reactor, fd);
}

int listeners_begin(struct listeners *ls, struct sessions *sessions, struct thread *reactor)
{
    int error = 0;

    ls->sessions = sessions;
    ls->reactor = reactor;
    for (size_t i = 0; error == 0 && i < ls->n; i++) {
        ls->items[i] = (struct listener){
            .accepting = {.fd = ls->sockets[i].fd, .accepted = on_accepted},
            .all = ls,
        };
        error = loop_listen(reactor->loop, &ls->items[i].accepting);
    }
    return error;
}

void listeners_close(struct listeners *ls)
{
    for (size_t i = 0; i < ls->n; i++) {
        loop_unlisten(&ls->items[i].accepting);
        listen_close(&ls->sockets[i]);
    }
    ls->n = 0;
}

const char *listeners_text(const struct listeners *ls, char out[LISTENERS_TEXT_SIZE])
{
    size_t len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < ls->n && len < LISTENERS_TEXT_SIZE; i++) {
        char text[ADDR_TEXT_SIZE];

        len += (size_t)snprintf(out + len, LISTENERS_TEXT_SIZE - len, "%s%s", i > 0 ? " " : "",
                                addr_text(&ls->sockets[i].addr, text));
    }
    return out;
}
