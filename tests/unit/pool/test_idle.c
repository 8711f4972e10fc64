/* What a server says while nobody uses it: what ends it, what is dropped, what is left unread. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../src/pool/idle.h"
#include "../../../src/pool/internal.h"

#define NOTICE "N\0\0\0\x0dSNOTICE\0\0"
#define NOTIFICATION "A\0\0\0\x0d\0\0\0\1ch\0p\0"
#define PARAMETER "S\0\0\0\x0eTimeZone\0\0"
#define LAST_WORDS "E\0\0\0\x13SFATAL\0C57P01\0\0"
#define READY "Z\0\0\0\5I"

struct case_idle {
    struct server *server;
    int peer;
};

static void idle_init(struct case_idle *i)
{
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    i->peer = pair[0];
    i->server = calloc(1, sizeof(*i->server));
    cr_assert_not_null(i->server);
    i->server->stream.sock.fd = pair[1];
    i->server->pool = aligned_alloc(_Alignof(struct pool), sizeof(struct pool));
    cr_assert_not_null(i->server->pool);
    atomic_init(&i->server->pool->n_idle_words, 0);
}

static void idle_fini(struct case_idle *i)
{
    close(i->peer);
    close(i->server->stream.sock.fd);
    free(i->server->pool);
    free(i->server);
}

static void say(struct case_idle *i, const void *bytes, size_t len)
{
    cr_assert_eq(send(i->peer, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void check_fault(struct case_idle *i, const char *want, const char *about)
{
    const char *why = idle_fault(i->server);

    if (want == NULL)
        cr_assert_null(why, "%s: %s", about, why);
    else
        cr_assert_str_eq(why, want, "%s", about);
}

#define BYTES(text) text, sizeof(text) - 1

Test(idle, words)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *why;
        unsigned n_dropped;
    } rows[] = {
        {BYTES(""), NULL, 0},
        {BYTES(NOTICE), NULL, 1},
        {BYTES(NOTIFICATION), NULL, 1},
        {BYTES(NOTICE NOTIFICATION NOTICE), NULL, 3},
        {BYTES(PARAMETER), "a parameter has changed", 0},
        {BYTES(NOTICE PARAMETER), "a parameter has changed", 1},
        {BYTES(LAST_WORDS), "died while idle", 0},
        {BYTES(NOTICE LAST_WORDS), "died while idle", 1},
        {BYTES(READY), "it spoke out of turn", 0},
        {BYTES("C\0\0\0\6X\0"), "it spoke out of turn", 0},
        {BYTES("!\0\0\0\4"), "it spoke out of turn", 0},
        {BYTES("N\0\0\0\3"), "it spoke out of turn", 0},
        {BYTES("N\0\0\0\4"), "it spoke out of turn", 0},
        {BYTES(NOTICE "GET / HTTP/1.1\r\n"), "it spoke out of turn", 1},
    };

    for (size_t n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
        struct case_idle i;
        struct pool *p;

        idle_init(&i);
        p = i.server->pool;
        say(&i, rows[n].bytes, rows[n].len);
        check_fault(&i, rows[n].why, rows[n].bytes);
        cr_expect_eq(atomic_load(&p->n_idle_words), rows[n].n_dropped, "row %zu", n);
        if (rows[n].why == NULL)
            check_fault(&i, NULL, "nothing is left");
        idle_fini(&i);
    }
}

/* The rest may come at any time, and would be part of an answer then. */
Test(idle, half_a_message)
{
    static const char message[] = NOTICE NOTICE;
    const size_t whole = sizeof(NOTICE) - 1;

    for (size_t len = 1; len < 2 * whole; len++) {
        struct case_idle i;

        idle_init(&i);
        say(&i, message, len);
        check_fault(&i, len == whole ? NULL : "half a message while idle", "");
        idle_fini(&i);
    }
}

Test(idle, the_end)
{
    struct case_idle i;

    idle_init(&i);
    say(&i, BYTES(NOTICE));
    cr_assert_eq(shutdown(i.peer, SHUT_WR), 0);
    check_fault(&i, "died while idle", "a notice, then the end");
    idle_fini(&i);

    idle_init(&i);
    cr_assert_eq(shutdown(i.peer, SHUT_WR), 0);
    check_fault(&i, "died while idle", "the end alone");
    idle_fini(&i);
}

/* Messages longer than one receive are followed; a server that does not come to an end is not. */
Test(idle, much)
{
    static const struct {
        size_t n;
        const char *why;
    } rows[] = {{1, NULL}, {700, NULL}, {4000, NULL}, {6000, "it says too much while idle"}};

    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        struct case_idle i;
        int size = 1 << 20;

        idle_init(&i);
        setsockopt(i.peer, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        for (size_t n = 0; n < rows[r].n; n += 100) {
            char bytes[100 * (sizeof(NOTICE) - 1)];
            size_t len = 0;

            for (size_t k = n; k < n + 100 && k < rows[r].n; k++, len += sizeof(NOTICE) - 1)
                memcpy(bytes + len, NOTICE, sizeof(NOTICE) - 1);
            say(&i, bytes, len);
        }
        check_fault(&i, rows[r].why, "");
        if (rows[r].why == NULL)
            cr_expect_eq(atomic_load(&i.server->pool->n_idle_words), rows[r].n);
        idle_fini(&i);
    }
}
