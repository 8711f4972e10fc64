/*
 * The order of a turn, and what both engines share: mail, timers, scratch memory, watches.
 *
 *     send, submit, wait   what was noted goes to the kernel; sleep until something happens
 *     closed socks         callbacks: closed, of earlier turns
 *     mail, timers         callbacks
 *     completions          callbacks
 *     what socks owe       callbacks: connected, stopped, drained, ended by an error
 *
 * In closed() an owner gives memory back, and bytes in it may have been noted for other socks in
 * the turn of sock_close(): so it comes when that turn is over.
 *
 * An idle loop sleeps without a timeout: nothing here wakes up "to have a look".
 */
#include "weir/io/loop.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "weir/base/clock.h"

#include "engine.h"

#define MAX_ENTRIES (1U << 15) /* of a queue or of a buffer ring in io_uring */

int loop_init(struct loop *l, const struct engine *engine, const struct loop_config *config)
{
    int rc;

    l->engine = engine;
    l->arena = config->arena;
    l->on_mail = config->on_mail;
    l->ctx = config->ctx;
    l->epfd = -1;
    l->now_ns = clock_now_ns();
    list_init(&l->sending);
    list_init(&l->due);
    list_init(&l->closing);
    wheel_init(&l->wheel, l->now_ns);
    mailbox_init(&l->mailbox);
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->wake_fd < 0)
        return -errno;
    rc = scratch_init(&l->scratch, l->arena);
    if (rc != 0)
        close(l->wake_fd);
    return rc;
}

void loop_fini(struct loop *l)
{
    ASSERT(l->n_socks == 0 && l->n_watches == 0);
    scratch_fini(&l->scratch);
    close(l->wake_fd);
}

static bool power_of_two(unsigned n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static void fill_defaults(struct loop_config *c)
{
    if (c->sq_entries == 0)
        c->sq_entries = 256;
    if (c->cq_entries == 0)
        c->cq_entries = 8192;
    if (c->n_buffers == 0)
        c->n_buffers = 256;
    if (c->buffer_size == 0)
        c->buffer_size = 2048;
    if (c->n_bulk_buffers == 0)
        c->n_bulk_buffers = 8;
    if (c->bulk_buffer_size == 0)
        c->bulk_buffer_size = 64U << 10;
}

static bool config_valid(const struct loop_config *c)
{
    return c->arena != NULL && c->sq_entries <= MAX_ENTRIES && c->cq_entries <= 2 * MAX_ENTRIES &&
           power_of_two(c->n_buffers) && c->n_buffers <= MAX_ENTRIES / 2 &&
           power_of_two(c->n_bulk_buffers) && c->n_bulk_buffers <= MAX_ENTRIES / 2 &&
           c->buffer_size <= 1U << 20 && c->bulk_buffer_size <= 1U << 24 &&
           c->buffer_size <= c->bulk_buffer_size;
}

static int new_with_fallback(struct loop **out, const struct loop_config *c)
{
    int reason = uring_new(out, c);
    int rc;

    if (reason == 0)
        return 0;
    rc = poll_new(out, c);
    if (rc == 0) {
        struct loop *l = *out;
        size_t len = strlen(l->description);

        snprintf(l->description + len, sizeof(l->description) - len, "; no io_uring: %s",
                 strerrordesc_np(-reason));
    }
    return rc;
}

int loop_new(struct loop **out, const struct loop_config *config)
{
    struct loop_config c = *config;

    fill_defaults(&c);
    if (!config_valid(&c))
        return -EINVAL;
    switch (c.engine) {
    case LOOP_ENGINE_AUTO:
        return new_with_fallback(out, &c);
    case LOOP_ENGINE_URING:
        return uring_new(out, &c);
    case LOOP_ENGINE_EPOLL:
        return poll_new(out, &c);
    }
    return -EINVAL;
}

void loop_free(struct loop *l)
{
    if (l != NULL)
        l->engine->free(l);
}

const char *loop_describe(const struct loop *l)
{
    return l->description;
}

enum loop_engine loop_engine(const struct loop *l)
{
    return l->engine->id;
}

uint64_t loop_now_ns(const struct loop *l)
{
    return l->now_ns;
}

const struct loop_stats *loop_stats(const struct loop *l)
{
    return &l->stats;
}

/* How long the loop may sleep. The clock is read again only where a timer is armed: the turn may
 * have taken its time. */
static uint64_t patience_ns(struct loop *l)
{
    uint64_t next_ns, now_ns;

    if (!list_empty(&l->due) || !list_empty(&l->closing) || l->engine->pending(l))
        return 0;
    next_ns = wheel_next_ns(&l->wheel);
    if (next_ns == CLOCK_NEVER)
        return CLOCK_NEVER;
    now_ns = clock_now_ns();
    return next_ns > now_ns ? next_ns - now_ns : 0;
}

static int wait_for_work(struct loop *l, bool may_sleep)
{
    uint64_t timeout_ns;
    int rc;

    send_all(l);
    timeout_ns = may_sleep ? patience_ns(l) : 0;
    if (timeout_ns > 0 && !mailbox_sleep(&l->mailbox))
        timeout_ns = 0;
    rc = l->engine->wait(l, timeout_ns);
    if (timeout_ns > 0) {
        mailbox_awake(&l->mailbox);
        counter_add(&l->stats.n_sleeps, 1);
    }
    scratch_reset(&l->scratch);
    return rc;
}

static int hand_over(struct loop *l)
{
    int rc;

    send_all(l);
    rc = l->engine->submit(l);
    scratch_reset(&l->scratch);
    return rc;
}

static void deliver_mail(struct loop *l)
{
    struct mail *m = mailbox_take_all(&l->mailbox);

    while (m != NULL) {
        struct mail *next = m->next; /* the mail is the callee's once it is called */

        ASSERT(l->on_mail != NULL);
        l->on_mail(l->ctx, m);
        m = next;
    }
}

static void deliver(struct loop *l)
{
    counter_add(&l->stats.n_turns, 1);
    l->now_ns = clock_now_ns();
    sock_close_all(l);
    deliver_mail(l);
    wheel_advance(&l->wheel, l->now_ns);
    l->engine->deliver(l);
    sock_tell_all(l);
}

int loop_turn(struct loop *l)
{
    /* Bytes sent between turns were reason enough for this one. */
    int rc = wait_for_work(l, list_empty(&l->sending));

    if (rc != 0)
        return rc;
    deliver(l);
    return hand_over(l);
}

int loop_run(struct loop *l)
{
    while (!l->stopping) {
        int rc = wait_for_work(l, true);

        if (rc != 0)
            return rc;
        deliver(l);
    }
    l->stopping = false;
    return hand_over(l);
}

void loop_stop(struct loop *l)
{
    l->stopping = true;
}

void loop_post(struct loop *l, struct mail *m)
{
    static const uint64_t one = 1;
    ssize_t n;

    if (!mailbox_push(&l->mailbox, m))
        return;
    /* Cannot fail: the counter is added to once per sleep and has 64 bits. */
    n = write(l->wake_fd, &one, sizeof(one));
    (void)n;
}

void loop_timer_set(struct loop *l, struct wheel_timer *t, uint64_t delay_ns)
{
    wheel_set(&l->wheel, t, clock_add_ns(clock_now_ns(), delay_ns));
}

void loop_timer_clear(struct loop *l, struct wheel_timer *t)
{
    wheel_clear(&l->wheel, t);
}

void *loop_scratch(struct loop *l, size_t len)
{
    return scratch_get(&l->scratch, len);
}

size_t loop_scratch_max(const struct loop *l)
{
    return scratch_max(&l->scratch);
}

int loop_watch_add(struct loop *l, struct loop_watch *w)
{
    int rc;

    ASSERT(w->loop == NULL);
    rc = l->engine->watch_add(l, w);
    if (rc != 0)
        return rc;
    w->loop = l;
    l->n_watches++;
    return 0;
}

void loop_watch_remove(struct loop_watch *w)
{
    struct loop *l = w->loop;

    if (l == NULL)
        return;
    w->loop = NULL;
    l->n_watches--;
    l->engine->watch_remove(l, w);
}
