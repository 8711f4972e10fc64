/*
 * Makes the ring: flags, sizes that the memory limit allows, what the kernel can do beyond 6.1, and
 * a trial of multishot receives.
 *
 * The ring is made disabled, so that any thread can make it and hear of errors; the first turn
 * enables it, and its thread becomes the one that may use it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "uring.h"

/* Newer than the headers of Debian 12. */
#define FEAT_RECVSEND_BUNDLE (1U << 14) /* 6.10 */
#define FEAT_NO_IOWAIT (1U << 17)       /* 6.15 */
#define ENTER_NO_IOWAIT (1U << 7)
#define FEATURES_6_1 ((1U << 13) - 1)

#define CQ_ENTRIES_MIN 1024
#define EXTRA_START 64
#define TRIAL_ENTERS 4 /* one may run only part of what the kernel has put off */

/* One try. The flags need 6.1: anything older is refused like a kernel without io_uring. */
static int ring_init(struct uring_loop *u, unsigned sq_entries, unsigned cq_entries)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = cq_entries,
    };
    int rc = io_uring_queue_init_params(sq_entries, &u->ring, &params);

    return rc == -EINVAL ? -ENOSYS : rc;
}

static void raise_memory_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_MEMLOCK, &limit); /* if it does not help, the next try says so */
}

static int ring_and_buffers(struct uring_loop *u, const struct loop_config *c, unsigned cq_entries)
{
    int rc = ring_init(u, c->sq_entries, cq_entries);

    if (rc != 0)
        return rc;
    rc = uring_buffers_init(u, c);
    if (rc != 0) {
        io_uring_queue_exit(&u->ring);
        uring_buffers_fini(u);
    }
    return rc;
}

/* Rings count against RLIMIT_MEMLOCK (for others than root): first the limit is raised as far as we
 * may, then the completion queue made smaller. Its size is the number of buckets in which the
 * kernel looks for an operation to cancel, so large is better. */
static int ring_within_limits(struct uring_loop *u, const struct loop_config *c)
{
    unsigned cq_entries = c->cq_entries;
    int rc = ring_and_buffers(u, c, cq_entries);

    if (rc == -ENOMEM) {
        raise_memory_limit();
        rc = ring_and_buffers(u, c, cq_entries);
    }
    while (rc == -ENOMEM && cq_entries > CQ_ENTRIES_MIN) {
        cq_entries /= 2;
        rc = ring_and_buffers(u, c, cq_entries);
    }
    return rc;
}

static void describe(struct uring_loop *u)
{
    snprintf(u->loop.description, sizeof(u->loop.description),
             "io_uring, %u/%u entries, %s receives%s", u->ring.sq.ring_entries,
             u->ring.cq.ring_entries, u->multishot ? "multishot" : "one-shot",
             u->enter_flags & ENTER_NO_IOWAIT ? ", no iowait" : "");
}

static void choose_features(struct uring_loop *u, bool profile_6_1)
{
    unsigned features = u->ring.features;

    if (profile_6_1)
        features &= FEATURES_6_1;
    /* A multishot receive yields to others since 6.8, which shows in no bit; 6.10 does. */
    u->multishot = features & FEAT_RECVSEND_BUNDLE;
    if (features & FEAT_NO_IOWAIT)
        u->enter_flags |= ENTER_NO_IOWAIT;
    describe(u);
}

void uring_teardown(struct uring_loop *u)
{
    io_uring_queue_exit(&u->ring);
    uring_buffers_fini(u);
    slots_fini(&u->slots);
    free(u->extra);
}

int uring_new(struct loop **out, const struct loop_config *config)
{
    struct uring_loop *u = aligned_alloc(CACHE_LINE, sizeof(*u));
    int rc;

    if (u == NULL)
        return -ENOMEM;
    *u = (struct uring_loop){0};
    list_init(&u->starved);
    list_init(&u->unlucky);
    rc = loop_init(&u->loop, &uring_engine, config);
    if (rc != 0) {
        free(u);
        return rc;
    }
    rc = ring_within_limits(u, config);
    if (rc != 0) {
        loop_fini(&u->loop);
        free(u);
        return rc;
    }
    u->max_extra = EXTRA_START;
    u->extra = calloc(u->max_extra, sizeof(*u->extra));
    rc = u->extra == NULL ? -ENOMEM : slots_init(&u->slots);
    if (rc != 0) {
        loop_free(&u->loop);
        return rc;
    }
    choose_features(u, config->profile_6_1);
    *out = &u->loop;
    return 0;
}

/* True if the end of the trial's connection is among the completions in the ring. */
static bool saw_end(const struct uring_loop *u)
{
    const struct io_uring_cq *cq = &u->ring.cq;
    unsigned tail = io_uring_smp_load_acquire(cq->ktail);

    for (unsigned i = *cq->khead; i != tail; i++) {
        const struct io_uring_cqe *cqe = &cq->cqes[i & cq->ring_mask];

        if (cqe->user_data == NAME_TRIAL && cqe->res == 0)
            return true;
    }
    return false;
}

/* Data and FIN arrive before the kernel looks at the socket again: some that know multishot
 * receives deliver the data and never tell of the end. */
static int try_multishot(struct uring_loop *u, const int fds[2])
{
    struct io_uring_sqe *sqe = uring_sqe(u);
    int rc;

    io_uring_prep_recv_multishot(sqe, fds[0], NULL, 0, 0);
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = u->small.first_id;
    sqe->user_data = NAME_TRIAL;
    rc = uring_enter(u, 0, 0);
    if (rc != 0)
        return rc;
    if (send(fds[1], "", 1, MSG_NOSIGNAL) == 1)
        (void)shutdown(fds[1], SHUT_WR);
    for (int i = 0; i < TRIAL_ENTERS && rc == 0 && !saw_end(u); i++)
        rc = uring_enter(u, 0, 0);
    u->multishot = saw_end(u);
    if (!u->multishot) {
        sqe = uring_sqe(u);
        io_uring_prep_cancel64(sqe, NAME_TRIAL, 0);
        sqe->user_data = NAME_IGNORED;
    }
    return rc;
}

static int trial(struct uring_loop *u)
{
    int fds[2];
    int rc;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        u->multishot = false;
        return 0;
    }
    rc = try_multishot(u, fds);
    close(fds[0]);
    close(fds[1]);
    describe(u);
    return rc;
}

int uring_bind(struct uring_loop *u)
{
    /* liburing 2.3 declares io_uring_enable_rings() and does not export it. */
    int rc = io_uring_register((unsigned)u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

    if (rc != 0)
        return rc;
    if (io_uring_register_ring_fd(&u->ring) == 1) /* saves the look-up in each enter */
        u->enter_flags |= IORING_ENTER_REGISTERED_RING;
    uring_arm_wake(u);
    if (u->multishot)
        rc = trial(u);
    u->bound = true;
    return rc;
}
