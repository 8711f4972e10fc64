/*
 * The event loop: one per thread. This header and io/sock.h are the contract that everything above
 * io is written against; io_uring and epoll implement it alike and pass the same tests, and
 * a simulated network can be put behind it.
 *
 * A turn: wait, tell what closed in earlier turns, read the mailbox, fire due timers, deliver
 * completions, make what else is owed (connected, stopped, drained, ended by an error) (callbacks
 * run here and only here), hand everything the callbacks sent to the kernel in one go, give the
 * receive buffers back. loop_run() makes one system call of the end of a turn and the wait of the
 * next. Nothing in a callback blocks.
 *
 * Invariants: callbacks never nest: only loop_turn() and loop_run() make them; a loop's objects are
 * touched by its thread alone (loop_post() and the counters excepted); memory that the kernel may
 * still write to or read from is never handed back to its owner (sock.h: closed); a completion that
 * belongs to a former user of a slot is recognised by its generation and dropped.
 */
#ifndef WEIR_IO_LOOP_H
#define WEIR_IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/base/arena.h"
#include "weir/base/check.h"
#include "weir/base/counter.h"
#include "weir/base/mailbox.h"
#include "weir/base/wheel.h"

struct loop;

enum loop_engine {
    LOOP_ENGINE_AUTO,  /* io_uring where the kernel lets us, else epoll */
    LOOP_ENGINE_URING, /* io_uring or an error */
    LOOP_ENGINE_EPOLL,
};

/* Runs on the loop's thread, once per piece of mail, oldest first. The mail is the callee's. */
typedef void loop_mail_fn(void *ctx, struct mail *m);

struct loop_config {
    enum loop_engine engine;
    bool profile_6_1;          /* switch off everything newer than Linux 6.1 */
    unsigned sq_entries;       /* at most 32768; 0: 256 */
    unsigned cq_entries;       /* at most 65536; 0: 8192, fewer where RLIMIT_MEMLOCK is low */
    unsigned n_buffers;        /* receive buffers, a power of two up to 16384; 0: 256 */
    unsigned buffer_size;      /* bytes of each, at most 1 MiB and bulk_buffer_size; 0: 2048 */
    unsigned n_bulk_buffers;   /* large ones for streams that fill the small ones, a power of two
                                  up to 16384; 0: 8 */
    unsigned bulk_buffer_size; /* bytes of each, at most 16 MiB; 0: 65536 */
    struct arena *arena;       /* where unsent bytes wait; outlives the loop */
    loop_mail_fn *on_mail;     /* may be NULL if nobody posts */
    void *ctx;
};

struct loop_stats {
    struct counter n_turns;
    struct counter n_enters; /* system calls that wait or submit */
    struct counter n_sleeps; /* turns that blocked */
    struct counter n_bytes_received;
    struct counter n_bytes_sent;
    struct counter n_short_sends; /* sends the kernel did not take whole at once */
    struct counter n_starved;     /* receives that found no buffer and waited for the turn's end */
    struct counter n_rearmed;     /* receives the kernel ended without being asked to */
    struct counter n_stale;       /* completions of a former user of a slot, dropped */
    struct counter n_overflows;   /* completion queue overflows */
    struct counter n_accept_pauses; /* accepts that stopped for want of descriptors or memory */
};

/* Any thread. 0 or -errno (-ENOSYS, -EPERM, -ENOMEM where LOOP_ENGINE_URING is refused; -EINVAL for
 * sizes out of range). The first loop_turn() binds the loop to the thread that calls it. */
NODISCARD int loop_new(struct loop **out, const struct loop_config *config);

/* On the loop's thread, or on any if it never turned. Every sock must be closed or detached, every
 * watch and listener removed. NULL is fine. */
void loop_free(struct loop *l);

/* The engine in use, the features found and, where AUTO fell back to epoll, why: one line for the
 * log. Lives as long as the loop. */
const char *loop_describe(const struct loop *l);
enum loop_engine loop_engine(const struct loop *l);

/* One turn; blocks until something happens (a turn may end without any callback) or a timer is due,
 * not at all where something was sent since the last one. What was sent before the call and in its
 * callbacks is with the kernel when it returns. 0, or -errno where the kernel refuses to go on (the
 * caller should end). */
NODISCARD int loop_turn(struct loop *l);

/* Turns until loop_stop() has been called on this thread, now or before. Cheaper than calling
 * loop_turn() over and over. Same errors. */
NODISCARD int loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* CLOCK_MONOTONIC as of the start of this turn. */
uint64_t loop_now_ns(const struct loop *l);

/* Any thread: queues m for on_mail and wakes the loop if it sleeps. */
void loop_post(struct loop *l, struct mail *m);

/* The loop's own counters; any thread may read. */
const struct loop_stats *loop_stats(const struct loop *l);

/* Timers: t->fire is called on the loop's thread, see base/wheel.h. */
void loop_timer_set(struct loop *l, struct wheel_timer *t, uint64_t delay_ns);
void loop_timer_clear(struct loop *l, struct wheel_timer *t);

/* Memory that lives until the end of this turn (asked for between turns: of the next), 16-byte
 * aligned: for bytes built to be sent. NULL where len is over loop_scratch_max() or the arena is
 * empty. */
NODISCARD void *loop_scratch(struct loop *l, size_t len);
size_t loop_scratch_max(const struct loop *l);

/* Readiness of any descriptor (eventfd, signalfd, another epoll): level-triggered, ready() is
 * called once per turn while one of events (POLLIN, POLLOUT, ...) holds. */
struct loop_watch {
    int fd;
    unsigned events;
    void (*ready)(struct loop_watch *w, unsigned revents);
    struct loop *loop; /* set by loop_watch_add; NULL: not watched */
    uint32_t slot;     /* the engine's */
};

/* fd stays the caller's and open until the watch is removed. 0 or -errno. */
NODISCARD int loop_watch_add(struct loop *l, struct loop_watch *w);

/* After this call ready() is not called again and *w is the caller's. Not watched: no effect. */
void loop_watch_remove(struct loop_watch *w);

/* A listening socket. accepted() owns fd, which is non-blocking and close-on-exec. Where
 * descriptors or memory run out, accepting pauses for 100 ms and is counted. */
struct loop_listener {
    int fd; /* stays the caller's; loop_listen() makes it non-blocking */
    void (*accepted)(struct loop_listener *ln, int fd);
    struct loop *loop; /* set by loop_listen; NULL: not listening */
    struct loop_watch watch;
    struct wheel_timer retry;
};

/* 0 or -errno. */
NODISCARD int loop_listen(struct loop *l, struct loop_listener *ln);

/* After this call accepted() is not called again and *ln is the caller's. Not listening: no effect.
 */
void loop_unlisten(struct loop_listener *ln);

#endif
