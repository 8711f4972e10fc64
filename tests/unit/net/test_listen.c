#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "weir/net/listen.h"

static const struct listen_options options = {.unix_mode = 0600};

static struct addr addr_of(const char *text, uint16_t port)
{
    struct addr a;

    cr_assert_eq(addr_parse(span_str(text), port, &a), ADDR_OK, "%s", text);
    return a;
}

/* A folder of its own that the test removes, and the address of a socket in it. */
struct folder {
    char path[64];
    struct addr addr;
};

static void folder_init(struct folder *f)
{
    memcpy(f->path, "/tmp/weir-listen-XXXXXX", sizeof("/tmp/weir-listen-XXXXXX"));
    cr_assert_not_null(mkdtemp(f->path));
    f->addr = addr_of(f->path, 1);
}

static void folder_fini(struct folder *f)
{
    cr_assert_eq(rmdir(f->path), 0, "%s: %s", f->path, strerror(errno));
}

static int connect_to(const struct addr *a)
{
    int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error;

    cr_assert_geq(fd, 0);
    error = connect(fd, &a->any, a->len) == 0 ? 0 : -errno;
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

static void assert_accepts(const struct listen_socket *s)
{
    int client = connect_to(&s->addr);
    int server;

    cr_assert_geq(client, 0, "connect: %s", strerror(-client));
    server = accept(s->fd, NULL, NULL);
    cr_assert_geq(server, 0, "accept: %s", strerror(errno));
    close(client);
    close(server);
}

Test(listen, every_kind_of_address)
{
    static const char *const texts[] = {"127.0.0.1", "::1", "@weir-test-listen"};

    for (size_t i = 0; i < 3; i++) {
        struct addr a = addr_of(texts[i], i < 2 ? 0 : (uint16_t)(getpid() % 65536));
        struct listen_socket s;
        int error = listen_open(&s, &a, &options);

        if (error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT)
            continue; /* no IPv6 here */
        cr_assert_eq(error, 0, "%s: %s", texts[i], strerror(-error));
        cr_assert(i == 2 || addr_port(&s.addr) != 0);
        cr_assert(fcntl(s.fd, F_GETFL) & O_NONBLOCK);
        cr_assert(fcntl(s.fd, F_GETFD) & FD_CLOEXEC);
        assert_accepts(&s);
        listen_close(&s);
        listen_close(&s);
        cr_assert_eq(connect_to(&s.addr), -ECONNREFUSED);
    }
}

Test(listen, port_in_use)
{
    struct addr a = addr_of("127.0.0.1", 0);
    struct listen_socket s, second;

    cr_assert_eq(listen_open(&s, &a, &options), 0);
    cr_assert_eq(listen_open(&second, &s.addr, &options), -EADDRINUSE);
    listen_close(&s);
    cr_assert_eq(listen_open(&second, &s.addr, &options), 0);
    listen_close(&second);
}

/* Connections that the former daemon closed first stay in TIME_WAIT for a minute. */
Test(listen, port_with_connections_in_time_wait)
{
    struct addr a = addr_of("127.0.0.1", 0);
    struct listen_socket s, second;
    int client, server;

    cr_assert_eq(listen_open(&s, &a, &options), 0);
    client = connect_to(&s.addr);
    server = accept(s.fd, NULL, NULL);
    listen_close(&s);
    close(server);
    close(client);
    cr_assert_eq(listen_open(&second, &s.addr, &options), 0);
    listen_close(&second);
}

Test(listen, options_pass_to_accepted_connections)
{
    static const struct {
        int level, name, value;
    } rows[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},  {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 7}, {IPPROTO_TCP, TCP_KEEPINTVL, 8},
        {IPPROTO_TCP, TCP_KEEPCNT, 9},  {IPPROTO_TCP, TCP_USER_TIMEOUT, 1234},
    };
    static const struct listen_options tuned = {.accepted = {.keepalive_idle_s = 7,
                                                             .keepalive_interval_s = 8,
                                                             .keepalive_count = 9,
                                                             .user_timeout_ms = 1234}};
    struct addr a = addr_of("127.0.0.1", 0);
    struct listen_socket s;
    int client, server;

    cr_assert_eq(listen_open(&s, &a, &tuned), 0);
    client = connect_to(&s.addr);
    server = accept(s.fd, NULL, NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int value = 0;
        socklen_t len = sizeof(value);

        cr_assert_eq(getsockopt(server, rows[i].level, rows[i].name, &value, &len), 0);
        cr_assert_eq(value, rows[i].value, "option %d: %d", rows[i].name, value);
    }
    close(client);
    close(server);
    listen_close(&s);
}

Test(listen, file_has_its_mode_and_goes_with_the_socket)
{
    struct folder f;
    struct listen_socket s;
    struct stat st;

    folder_init(&f);
    umask(0077);
    for (mode_t mode = 0600; mode <= 0777; mode += 0177) {
        struct listen_options o = {.unix_mode = mode};

        cr_assert_eq(listen_open(&s, &f.addr, &o), 0);
        cr_assert_eq(stat(addr_path(&f.addr), &st), 0);
        cr_assert_eq(st.st_mode & 07777, mode);
        assert_accepts(&s);
        listen_close(&s);
    }
    folder_fini(&f);
}

Test(listen, file_of_a_dead_process_is_replaced)
{
    struct folder f;
    struct listen_socket s;
    struct stat st;

    folder_init(&f);
    cr_assert_eq(listen_open(&s, &f.addr, &options), 0);
    close(s.fd); /* as a killed process leaves it */
    cr_assert_eq(stat(addr_path(&f.addr), &st), 0);
    cr_assert_eq(listen_open(&s, &f.addr, &options), 0);
    assert_accepts(&s);
    listen_close(&s);
    folder_fini(&f);
}

Test(listen, file_of_a_live_process_is_an_error)
{
    struct folder f;
    struct listen_socket s, second;

    folder_init(&f);
    cr_assert_eq(listen_open(&s, &f.addr, &options), 0);
    cr_assert_eq(listen_open(&second, &f.addr, &options), -EADDRINUSE);
    assert_accepts(&s);
    listen_close(&s);
    folder_fini(&f);
}

/* A backlog that is full answers EAGAIN, not "refused". */
Test(listen, file_of_a_busy_process_is_an_error)
{
    static const struct listen_options small = {.backlog = 1, .unix_mode = 0600};
    struct folder f;
    struct listen_socket s, second;
    int clients[8];

    folder_init(&f);
    cr_assert_eq(listen_open(&s, &f.addr, &small), 0);
    for (int i = 0; i < 8; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(clients[i], &f.addr.any, f.addr.len);
    }
    cr_assert_eq(errno, EAGAIN);
    cr_assert_eq(listen_open(&second, &f.addr, &small), -EADDRINUSE);
    for (int i = 0; i < 8; i++)
        close(clients[i]);
    listen_close(&s);
    folder_fini(&f);
}

Test(listen, file_that_is_no_socket_is_kept)
{
    struct folder f;
    struct listen_socket s;
    struct stat st;
    int fd;

    folder_init(&f);
    fd = open(addr_path(&f.addr), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_eq(write(fd, "data", 4), 4);
    close(fd);
    cr_assert_eq(listen_open(&s, &f.addr, &options), -EADDRINUSE);
    cr_assert_eq(stat(addr_path(&f.addr), &st), 0);
    cr_assert_eq(st.st_size, 4);
    unlink(addr_path(&f.addr));
    folder_fini(&f);
}

Test(listen, folder_that_is_not_there)
{
    struct addr a = addr_of("/no/such/folder", 1);
    struct listen_socket s;

    cr_assert_eq(listen_open(&s, &a, &options), -ENOENT);
}

/* Anybody who may read the folder can lock it; that must not hold us for ever. */
Test(listen, folder_locked_by_somebody_else, .timeout = 20)
{
    struct folder f;
    struct listen_socket s;
    int lock;

    folder_init(&f);
    lock = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(lock, 0);
    cr_assert_eq(flock(lock, LOCK_SH), 0);
    cr_assert_eq(listen_open(&s, &f.addr, &options), -EWOULDBLOCK);
    close(lock);
    cr_assert_eq(listen_open(&s, &f.addr, &options), 0);
    listen_close(&s);
    folder_fini(&f);
}

/* Eight processes find the file of a dead one at the same moment: one of them gets it. */
Test(listen, race_for_a_stale_file_has_one_winner)
{
    enum { N = 8 };
    struct folder f;
    struct listen_socket s;
    int go[2], done[2], winners = 0;
    pid_t pids[N];

    folder_init(&f);
    cr_assert_eq(listen_open(&s, &f.addr, &options), 0);
    close(s.fd);
    cr_assert_eq(pipe(go) + pipe(done), 0);
    for (int i = 0; i < N; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            char c;
            int error;

            close(go[1]);
            close(done[1]);
            (void)!read(go[0], &c, 1); /* until the parent closes it */
            error = listen_open(&s, &f.addr, &options);
            if (error == 0)
                (void)!read(done[0], &c, 1); /* listen until all have tried */
            _exit(error == 0 ? 0 : error == -EADDRINUSE ? 1 : 2);
        }
    }
    close(go[1]);
    for (int left = N; left > 0; left--) {
        int status;

        if (left == 1)
            close(done[1]);
        cr_assert_geq(wait(&status), 0);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
        winners += WEXITSTATUS(status) == 0;
    }
    cr_assert_eq(winners, 1);
    unlink(addr_path(&f.addr));
    folder_fini(&f);
}

Test(listen, list_opens_all_or_nothing)
{
    struct folder f;
    struct addr_list list;
    struct listen_socket s[16];
    char text[128];
    size_t n = 99, failed = 99;

    folder_init(&f);
    (void)snprintf(text, sizeof(text), "localhost, %s", f.path);
    cr_assert_eq(addr_list_parse(text, 0, &list), ADDR_OK);
    cr_assert_eq(listen_open_all(s, &n, &list, &options, &failed), 0);
    cr_assert(n == 3 || n == 2, "%zu", n); /* 2: no IPv6 here */
    for (size_t i = 0; i < n; i++)
        assert_accepts(&s[i]);
    for (size_t i = 0; i < n; i++)
        listen_close(&s[i]);

    (void)snprintf(text, sizeof(text), "127.0.0.1, %s, /no/such/folder", f.path);
    cr_assert_eq(addr_list_parse(text, 0, &list), ADDR_OK);
    n = 99;
    cr_assert_eq(listen_open_all(s, &n, &list, &options, &failed), -ENOENT);
    cr_assert_eq(failed, 2);
    cr_assert_eq(n, 99);
    folder_fini(&f);
}
