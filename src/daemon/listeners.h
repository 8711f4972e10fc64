/*
 * Where clients connect: the sockets that the configuration names, all of them accepted from by one
 * reactor, which hands each client to the one that has the fewest.
 *
 * Opened by control before there are threads; from then on they are that reactor's.
 */
#ifndef WEIR_DAEMON_LISTENERS_H
#define WEIR_DAEMON_LISTENERS_H

#include <stddef.h>

#include "weir/base/check.h"
#include "weir/conf/conf.h"
#include "weir/io/loop.h"
#include "weir/net/listen.h"
#include "weir/pool/thread.h"
#include "weir/session/session.h"

#define LISTENERS_MAX (sizeof(((struct addr_list *)0)->items) / sizeof(struct addr_item))

/* Zeroed: none. */
struct listeners {
    struct sessions *sessions;
    struct thread *reactor;
    size_t n;
    struct listen_socket sockets[LISTENERS_MAX];
    struct listener {
        struct loop_listener accepting;
        struct listeners *all;
    } items[LISTENERS_MAX];
};

/* Opens them. 0, or -errno and the address at fault is in failed; -E2BIG: there are too many. */
NODISCARD int listeners_open(struct listeners *ls, const struct conf *conf,
                             char failed[ADDR_TEXT_SIZE]);

/* Begins to accept, on the reactor's loop, which has not turned yet. 0 or -errno. */
NODISCARD int listeners_begin(struct listeners *ls, struct sessions *sessions,
                              struct thread *reactor);

/* Nobody can connect any more; removes the file of a Unix socket. On the reactor, or before it
 * runs. Twice is fine. */
void listeners_close(struct listeners *ls);

/* The addresses, a space between two; cut where they are too long. Returns out. */
#define LISTENERS_TEXT_SIZE 512
const char *listeners_text(const struct listeners *ls, char out[LISTENERS_TEXT_SIZE]);

#endif
