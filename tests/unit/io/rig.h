/*
 * What the tests of io share: a loop of each engine, socks that record and check what happens to
 * them, raw peers that speak to them, and a stream of bytes in which a lost, doubled or reordered
 * piece is seen wherever it falls.
 *
 * Everything runs on the test's own thread: peers are driven by watches of the loop under test, and
 * nothing waits longer than RIG_PATIENCE_MS.
 */
#ifndef WEIR_TESTS_UNIT_IO_RIG_H
#define WEIR_TESTS_UNIT_IO_RIG_H

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/base/arena.h"
#include "weir/io/loop.h"
#include "weir/io/sock.h"

/* Long enough for a sanitizer build on a machine with other work; only a failure lasts so long. */
#define RIG_PATIENCE_MS 20000

enum rig_variant { RIG_URING, RIG_EPOLL, RIG_URING_6_1, RIG_N_VARIANTS };

struct criterion_test_params rig_variants(void);

/* A test that runs once for each variant, which its body knows as *variant. */
#define ENGINE_TEST(suite, name, ...)                                                              \
    ParameterizedTestParameters(suite, name)                                                       \
    {                                                                                              \
        return rig_variants();                                                                     \
    }                                                                                              \
    ParameterizedTest(const enum rig_variant *variant, suite, name, ##__VA_ARGS__)

/* The two ways to a local peer; their socket buffers behave differently. */
enum rig_transport { RIG_UNIX, RIG_TCP, RIG_N_TRANSPORTS };

struct rig {
    struct loop *loop;
    struct arena *arena;
    enum rig_variant variant;
    struct wheel_timer patience;
    bool late;
    uint8_t *stream; /* see rig_bytes() */
};

/* engine and profile are the variant's, the arena is made; all else is as config says. Skips the
 * test where this machine refuses io_uring. */
void rig_init(struct rig *r, enum rig_variant variant, struct loop_config config);

/* Asserts that all chunks are back in the arena. */
void rig_fini(struct rig *r);

struct loop_config rig_config(enum rig_variant variant);
const char *rig_name(enum rig_variant variant);
void rig_turn(struct rig *r);
void rig_wait_begin(struct rig *r, unsigned patience_ms);
void rig_wait_turn(struct rig *r, const char *for_what);
void rig_wait_end(struct rig *r);

/* Turns the loop until condition holds; fails the test if that takes too long. */
#define RIG_UNTIL(r, condition)                                                                    \
    do {                                                                                           \
        rig_wait_begin(r, RIG_PATIENCE_MS);                                                        \
        while (!(condition))                                                                       \
            rig_wait_turn(r, #condition);                                                          \
        rig_wait_end(r);                                                                           \
    } while (0)

/* Turns the loop for a while: for what must not happen. */
void rig_let_pass(struct rig *r, unsigned ms);

/* Two ends of a connection, non-blocking. */
void rig_pair(enum rig_transport transport, int fds[2]);

/* Bytes at some place of an endless stream that has no short period; the same number, the same
 * stream. At most RIG_BYTES_MAX at once, valid as long as the rig. */
#define RIG_BYTES_MAX 65536
struct span rig_bytes(const struct rig *r, unsigned number, uint64_t offset, size_t len);
bool rig_bytes_match(const struct rig *r, unsigned number, uint64_t offset, struct span data);

/* A sock that expects the bytes of stream number `expects` and checks the order of its callbacks.
 * The hooks, where set, are called after that. */
struct end {
    struct sock sock; /* first, so that an end can be found by its sock */
    struct rig *rig;
    unsigned expects, sends; /* numbers of streams */
    uint64_t n_received, n_sent;
    unsigned n_fins, n_errors, n_drained, n_stopped, n_connected, n_closed;
    int error, connect_error;
    bool closing; /* end_close() was called: nothing but closed() may come */
    void *ctx;
    void (*on_received)(struct end *e, struct span data);
    void (*on_ended)(struct end *e);
    void (*on_drained)(struct end *e);
    void (*on_connected)(struct end *e);
    void (*on_stopped)(struct end *e);
    void (*on_closed)(struct end *e);
};

extern const struct sock_ops end_ops;

/* These keep the numbers of the streams, ctx and the hooks, and zero all else. */
void end_open(struct end *e, struct rig *r, int fd);
void end_connect(struct end *e, struct rig *r, int fd, const struct sockaddr *addr, socklen_t len);
void end_close(struct end *e);

/* sock_send() of the next len bytes of stream e->sends. */
void end_send(struct end *e, size_t len);

/* The other side: a plain descriptor, read and written when it is ready. */
struct peer {
    struct loop_watch watch;
    struct rig *rig;
    int fd;
    unsigned expects, sends;
    uint64_t n_received, n_sent, n_to_send;
    size_t read_size; /* bytes read at once; 0: does not read */
    bool eof;
    int error; /* errno of a failed read or write */
};

/* Does not read yet. fd is the peer's. */
void peer_init(struct peer *p, struct rig *r, int fd);
void peer_read(struct peer *p, size_t read_size);
void peer_send(struct peer *p, uint64_t len);
void peer_fini(struct peer *p);

/* Descriptors of this process that are open; kilobytes of memory that are resident. */
unsigned rig_count_fds(void);
size_t rig_resident_kb(void);

/* Longer forms of the tests: WEIR_SOAK=1. */
bool rig_soak(void);

#endif
