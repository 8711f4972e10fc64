/*
 * What the machine refuses: descriptors for accept(), locked memory for the rings, io_uring as a
 * whole. Accepting pauses and goes on; AUTO falls back to epoll and says why; URING is an error.
 *
 * Limits and filters are set in a forked child, which tells by its exit status where it failed.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rig.h"
#include "weir/base/clock.h"

enum { N_CLIENTS = 20, NOBODY = 65534 };

struct door {
    struct loop_listener listener; /* first */
    int accepted[N_CLIENTS];
    unsigned n_accepted;
};

static void take(struct loop_listener *ln, int fd)
{
    struct door *d = CONTAINER_OF(ln, struct door, listener);

    d->accepted[d->n_accepted++] = fd;
}

static int listen_somewhere(struct sockaddr_un *addr)
{
    socklen_t len = sizeof(*addr);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    /* An address without a name: the kernel invents an abstract one (unix(7), autobind). */
    cr_assert_eq(bind(fd, (struct sockaddr *)addr, sizeof(sa_family_t)), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)addr, &len), 0);
    cr_assert_eq(listen(fd, N_CLIENTS), 0);
    return fd;
}

static void set_limit(int what, rlim_t soft)
{
    struct rlimit limit;

    cr_assert_eq(getrlimit(what, &limit), 0);
    limit.rlim_cur = soft;
    cr_assert_eq(setrlimit(what, &limit), 0);
}

/* The limit is on numbers of descriptors, and the kernel hands out the lowest. */
static unsigned lowest_free_fd(void)
{
    int fd = dup(0);

    cr_assert_geq(fd, 0);
    close(fd);
    return (unsigned)fd;
}

ENGINE_TEST(refused, descriptors_run_out_in_accept)
{
    struct rig r;
    struct door d = {.listener.accepted = take};
    struct sockaddr_un addr;
    int clients[N_CLIENTS];
    uint64_t paused_ns;
    unsigned n_before, first_free;

    rig_init(&r, *variant, (struct loop_config){0});
    d.listener.fd = listen_somewhere(&addr);
    for (int i = 0; i < N_CLIENTS; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(clients[i], (struct sockaddr *)&addr,
                             sizeof(sa_family_t) + 6), /* a NUL and five digits */
                     0);
    }
    first_free = lowest_free_fd();
    set_limit(RLIMIT_NOFILE, first_free + 5);
    cr_assert_eq(loop_listen(r.loop, &d.listener), 0);
    RIG_UNTIL(&r, counter_read(&loop_stats(r.loop)->n_accept_pauses) > 0);
    cr_assert_eq(d.n_accepted, 5);
    n_before = (unsigned)counter_read(&loop_stats(r.loop)->n_turns);
    rig_let_pass(&r, 250);
    cr_assert_eq(d.n_accepted, 5);
    cr_assert_leq(counter_read(&loop_stats(r.loop)->n_turns), n_before + 30,
                  "%s: spins while it cannot accept", rig_name(*variant));

    set_limit(RLIMIT_NOFILE, first_free + 1000);
    paused_ns = clock_now_ns();
    RIG_UNTIL(&r, d.n_accepted == N_CLIENTS);
    cr_assert_leq(clock_now_ns() - paused_ns, NS_PER_S);
    loop_unlisten(&d.listener);
    for (int i = 0; i < N_CLIENTS; i++) {
        close(clients[i]);
        close(d.accepted[i]);
    }
    close(d.listener.fd);
    rig_fini(&r);
}

/* In the child nothing is asserted by Criterion: it reports to the parent by exit status, 0 for
 * success, else the line that failed. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static int run_in_child(int (*work)(void))
{
    int status;
    pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0)
        _exit(work());
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

struct ticker {
    struct wheel_timer timer;
    bool fired;
};

static void tick(struct wheel_timer *t)
{
    CONTAINER_OF(t, struct ticker, timer)->fired = true;
}

/* Whatever engine it is, it works. */
static int turn_a_little(struct loop *l)
{
    struct ticker t = {.timer.fire = tick};

    loop_timer_set(l, &t.timer, NS_PER_MS);
    while (!t.fired)
        REQUIRE(loop_turn(l) == 0);
    return 0;
}

/* AUTO gives epoll and says why; URING gives one of the errors of the contract. */
static int expect_fallback(struct arena *arena, int error)
{
    struct loop_config config = {.engine = LOOP_ENGINE_URING, .arena = arena};
    struct loop *l = NULL;

    REQUIRE(loop_new(&l, &config) == error);
    REQUIRE(l == NULL);
    config.engine = LOOP_ENGINE_AUTO;
    REQUIRE(loop_new(&l, &config) == 0);
    REQUIRE(loop_engine(l) == LOOP_ENGINE_EPOLL);
    REQUIRE(strstr(loop_describe(l), "epoll") != NULL);
    REQUIRE(strstr(loop_describe(l), "io_uring") != NULL);
    REQUIRE(turn_a_little(l) == 0);
    loop_free(l);
    return 0;
}

static int new_arena(struct arena **out)
{
    static const struct arena_config small = {.chunk_size = 4096, .n_chunks = 16};

    return arena_new(out, &small);
}

static int become_nobody_with_memlock(rlim_t bytes)
{
    const struct rlimit limit = {bytes, bytes};

    REQUIRE(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    REQUIRE(geteuid() != 0 || setresuid(NOBODY, NOBODY, NOBODY) == 0);
    return 0;
}

static int no_locked_memory(void)
{
    struct arena *arena;
    struct loop_config config = {.engine = LOOP_ENGINE_URING};
    struct loop *l;
    int error;

    REQUIRE(new_arena(&arena) == 0);
    REQUIRE(become_nobody_with_memlock(0) == 0);
    config.arena = arena;
    error = loop_new(&l, &config);
    if (error == 0) { /* a kernel that does not count rings */
        loop_free(l);
        config.engine = LOOP_ENGINE_AUTO;
        REQUIRE(loop_new(&l, &config) == 0);
        REQUIRE(loop_engine(l) == LOOP_ENGINE_URING);
        loop_free(l);
    } else {
        REQUIRE(error == -ENOMEM || error == -EPERM || error == -ENOSYS);
        REQUIRE(expect_fallback(arena, error) == 0);
    }
    arena_free(arena);
    return 0;
}

Test(refused, locked_memory)
{
    cr_assert_eq(run_in_child(no_locked_memory), 0);
}

/* 64 KB hold a ring with fewer entries, or none: either way the loop works, and says what it is. */
static int little_locked_memory(void)
{
    struct arena *arena;
    struct loop_config config = {.engine = LOOP_ENGINE_AUTO};
    struct loop *l;

    REQUIRE(new_arena(&arena) == 0);
    REQUIRE(become_nobody_with_memlock(65536) == 0);
    config.arena = arena;
    REQUIRE(loop_new(&l, &config) == 0);
    REQUIRE(turn_a_little(l) == 0);
    REQUIRE(strstr(loop_describe(l), "io_uring") != NULL);
    loop_free(l);
    arena_free(arena);
    return 0;
}

Test(refused, little_locked_memory)
{
    cr_assert_eq(run_in_child(little_locked_memory), 0);
}

/* The soft limit may be raised up to the hard one, and is, before entries are given up. */
static int soft_limit_only(void)
{
    struct arena *arena;
    struct loop_config config = {.engine = LOOP_ENGINE_URING};
    struct rlimit limit;
    struct loop *l;
    char unlimited[256];

    REQUIRE(new_arena(&arena) == 0);
    config.arena = arena;
    REQUIRE(loop_new(&l, &config) == 0);
    snprintf(unlimited, sizeof(unlimited), "%s", loop_describe(l));
    loop_free(l);
    REQUIRE(getrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    if (limit.rlim_max < (rlim_t)4 * 1024 * 1024)
        return 0;
    limit.rlim_cur = 0;
    REQUIRE(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    REQUIRE(geteuid() != 0 || setresuid(NOBODY, NOBODY, NOBODY) == 0);
    REQUIRE(loop_new(&l, &config) == 0);
    REQUIRE(strcmp(loop_describe(l), unlimited) == 0);
    loop_free(l);
    arena_free(arena);
    return 0;
}

Test(refused, soft_limit_of_locked_memory)
{
    struct rig r;

    rig_init(&r, RIG_URING, (struct loop_config){0}); /* skips where io_uring is refused */
    rig_fini(&r);
    cr_assert_eq(run_in_child(soft_limit_only), 0);
}

/* As container runtimes do it. */
static int forbid_io_uring(uint32_t error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
    return 0;
}

static int forbidden_with(uint32_t error)
{
    struct arena *arena;

    REQUIRE(new_arena(&arena) == 0);
    REQUIRE(forbid_io_uring(error) == 0);
    REQUIRE(expect_fallback(arena, -(int)error) == 0);
    arena_free(arena);
    return 0;
}

static int forbidden_by_eperm(void)
{
    return forbidden_with(EPERM);
}

static int forbidden_by_enosys(void)
{
    return forbidden_with(ENOSYS);
}

Test(refused, io_uring_by_seccomp)
{
    cr_assert_eq(run_in_child(forbidden_by_eperm), 0);
    cr_assert_eq(run_in_child(forbidden_by_enosys), 0);
}

/* One line for the log: the engine, and what it uses of the kernel. */
ENGINE_TEST(refused, nothing_and_says_what_it_uses)
{
    static const char *const engines[] = {"io_uring", "epoll", "io_uring"};
    struct rig r;

    rig_init(&r, *variant, (struct loop_config){0});
    rig_let_pass(&r, 1); /* some is tried at the first turn */
    cr_assert_eq(loop_engine(r.loop), rig_config(*variant).engine);
    cr_assert_eq(strncmp(loop_describe(r.loop), engines[*variant], strlen(engines[*variant])), 0);
    cr_assert_null(strchr(loop_describe(r.loop), '\n'));
    if (*variant == RIG_URING_6_1)
        cr_assert_not_null(strstr(loop_describe(r.loop), "one-shot receives"));
    rig_fini(&r);
}

Test(refused, sizes_out_of_range)
{
    static const struct loop_config wrong[] = {
        {.n_buffers = 3},
        {.n_buffers = 1U << 31},
        {.buffer_size = UINT32_MAX},
        {.sq_entries = UINT32_MAX},
        {.cq_entries = UINT32_MAX},
        {.n_bulk_buffers = UINT32_MAX},
        {.bulk_buffer_size = UINT32_MAX},
    };
    struct arena *arena;

    cr_assert_eq(new_arena(&arena), 0);
    for (enum rig_variant v = 0; v < RIG_N_VARIANTS; v++) {
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
            struct loop_config config = wrong[i];
            struct loop *l;

            config.engine = rig_config(v).engine;
            config.profile_6_1 = rig_config(v).profile_6_1;
            config.arena = arena;
            cr_expect_eq(loop_new(&l, &config), -EINVAL, "%s: row %zu", rig_name(v), i);
        }
    }
    arena_free(arena);
}
