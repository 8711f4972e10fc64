/*
 * Receiving on the ring: the kernel picks a buffer when data is there, so an idle connection holds
 * none.
 *
 * Continuous receives are one multishot operation, which ends for many reasons (no buffer, a full
 * completion ring, cancelled) and is begun again exactly once for each. A stream that fills its
 * buffers is received one large buffer at a time instead; so is everything, in small buffers, where
 * the kernel is old: before 6.8 a multishot receive that is flooded starves all others.
 *
 * Invariants: RX_BUSY: recv_slot is set or the sock is on starved or unlucky; a buffer is in the
 * kernel's ring or lent until the turn's end.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "weir/base/poison.h"

#include "uring.h"

#define BULK_FIRST_ID 0x8000 /* identities are 16 bits wide, so one bit tells the group */
#define FULL_UNTIL_BULK 4

static struct buffer_group *group_of(struct uring_loop *u, unsigned id)
{
    return id >= BULK_FIRST_ID ? &u->bulk : &u->small;
}

static uint8_t *buffer_at(const struct buffer_group *g, unsigned id)
{
    return g->memory + (size_t)(id - g->first_id) * g->buffer_size;
}

static void *map_memory(size_t size)
{
    void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return mem == MAP_FAILED ? NULL : mem;
}

static void give_buffer(struct buffer_group *g, unsigned id, int offset)
{
    uint8_t *buffer = buffer_at(g, id);

    poison(buffer, g->buffer_size);
    io_uring_buf_ring_add(g->ring, buffer, (unsigned)g->buffer_size, (uint16_t)id,
                          io_uring_buf_ring_mask(g->n_buffers), offset);
}

static int group_init(struct uring_loop *u, struct buffer_group *g, uint16_t first_id, unsigned n,
                      size_t size)
{
    struct io_uring_buf_reg reg;

    *g = (struct buffer_group){.first_id = first_id, .n_buffers = n, .buffer_size = size};
    g->ring = map_memory(n * sizeof(struct io_uring_buf));
    g->memory = map_memory(n * size);
    g->lent = calloc(n, sizeof(*g->lent));
    if (g->ring == NULL || g->memory == NULL || g->lent == NULL)
        return -ENOMEM;
    io_uring_buf_ring_init(g->ring);
    for (unsigned i = 0; i < n; i++)
        give_buffer(g, first_id + i, (int)i);
    io_uring_buf_ring_advance(g->ring, (int)n);
    reg = (struct io_uring_buf_reg){
        .ring_addr = (uintptr_t)g->ring, .ring_entries = n, .bgid = first_id};
    return io_uring_register_buf_ring(&u->ring, &reg, 0);
}

static void group_fini(struct buffer_group *g)
{
    if (g->ring != NULL)
        munmap(g->ring, g->n_buffers * sizeof(struct io_uring_buf));
    if (g->memory != NULL) {
        unpoison(g->memory, g->n_buffers * g->buffer_size);
        munmap(g->memory, g->n_buffers * g->buffer_size);
    }
    free(g->lent);
    *g = (struct buffer_group){0};
}

int uring_buffers_init(struct uring_loop *u, const struct loop_config *config)
{
    int rc = group_init(u, &u->small, 0, config->n_buffers, config->buffer_size);

    if (rc != 0)
        return rc;
    return group_init(u, &u->bulk, BULK_FIRST_ID, config->n_bulk_buffers, config->bulk_buffer_size);
}

void uring_buffers_fini(struct uring_loop *u)
{
    group_fini(&u->small);
    group_fini(&u->bulk);
}

/* A multishot takes as many buffers as it finds, which is for times of plenty. */
static bool may_go_on(const struct uring_loop *u, const struct sock *s)
{
    return u->bound && u->multishot && (s->flags & (RX_ALWAYS | RX_BULK | RX_NEXT)) == RX_ALWAYS;
}

static void begin(struct uring_loop *u, struct sock *s)
{
    struct buffer_group *g = s->flags & RX_BULK ? &u->bulk : &u->small;
    struct io_uring_sqe *sqe;

    s->recv_slot = slots_get(&u->slots, OP_RECV, s);
    if (s->recv_slot == 0) {
        sock_fail(s, -ENOBUFS);
        return;
    }
    s->flags |= RX_BUSY;
    sqe = uring_sqe(u);
    if (may_go_on(u, s)) {
        /* Without POLL_FIRST: FIN or an error behind data that is there already would be lost. */
        io_uring_prep_recv_multishot(sqe, s->fd, NULL, 0, 0);
    } else {
        io_uring_prep_recv(sqe, s->fd, NULL, g->buffer_size, 0);
        if (!(s->flags & RX_DATA)) /* spares an attempt that would find nothing */
            sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    }
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = g->first_id;
    sqe->user_data = slots_name(&u->slots, s->recv_slot);
}

/* Who has data while others wait for a buffer stands in the line as well. */
void uring_recv_start(struct sock *s)
{
    struct uring_loop *u = uring_loop(s->loop);

    if ((s->flags & RX_DATA) && !list_empty(&u->starved)) {
        s->flags |= RX_BUSY;
        list_push_back(&u->starved, &s->recv_link);
    } else {
        begin(u, s);
    }
}

static void group_back(struct buffer_group *g)
{
    if (g->n_lent == 0)
        return;
    for (int i = 0; i < g->n_lent; i++)
        give_buffer(g, g->lent[i], i);
    io_uring_buf_ring_advance(g->ring, g->n_lent);
    g->n_lent = 0;
}

void uring_buffers_back(struct uring_loop *u)
{
    struct list_link *link;

    group_back(&u->small);
    group_back(&u->bulk);
    list_splice_back(&u->unlucky, &u->starved);
    list_splice_back(&u->starved, &u->unlucky);
    /* No more than there are buffers: each takes one at once, others would find none. */
    for (unsigned n = u->small.n_buffers; n > 0 && (link = list_pop_front(&u->starved)) != NULL;
         n--) {
        struct sock *s = LIST_ITEM(link, struct sock, recv_link);

        s->flags |= RX_NEXT;
        begin(u, s);
    }
}

/* The buffer of a completion, lent until the turn's end; NULL where it has none. */
static uint8_t *lend(struct uring_loop *u, const struct completion *c)
{
    unsigned id = c->flags >> IORING_CQE_BUFFER_SHIFT;
    struct buffer_group *g = group_of(u, id);

    if (!(c->flags & IORING_CQE_F_BUFFER))
        return NULL;
    g->lent[g->n_lent++] = (uint16_t)id;
    if (c->res > 0)
        unpoison(buffer_at(g, id), (size_t)c->res);
    return buffer_at(g, id);
}

void uring_drop_data(struct uring_loop *u, const struct completion *c)
{
    (void)lend(u, c);
}

void uring_recv_cancel(struct sock *s)
{
    if (list_linked(&s->recv_link)) {
        list_remove(&s->recv_link);
        sock_recv_over(s, -ECANCELED);
        return;
    }
    uring_cancel(uring_loop(s->loop), s->recv_slot);
}

/* Small buffers or large ones next time. True if a multishot has to make way. */
static bool choose_group(struct uring_loop *u, struct sock *s, size_t n)
{
    if (s->flags & RX_BULK) {
        if (n <= u->small.buffer_size) {
            s->flags &= ~(unsigned)RX_BULK;
            s->n_full = 0;
        }
        return false;
    }
    if (n < u->small.buffer_size)
        s->n_full = 0;
    else if (s->n_full < FULL_UNTIL_BULK)
        s->n_full++;
    if (s->n_full < FULL_UNTIL_BULK || !list_empty(&u->starved))
        return false;
    s->flags |= RX_BULK;
    return true;
}

/* No buffer was left; the data waits in the socket. */
static void starve(struct uring_loop *u, struct sock *s)
{
    counter_add(&u->loop.stats.n_starved, 1);
    list_push_back(s->flags & RX_NEXT ? &u->unlucky : &u->starved, &s->recv_link);
    s->flags |= RX_DATA;
}

static void receive_ended(struct uring_loop *u, struct sock *s, int res)
{
    s->recv_slot = 0;
    if (res == -ENOBUFS && !(s->flags & RX_CANCEL)) {
        starve(u, s);
        return;
    }
    if (res == -ENOBUFS || res == -EAGAIN || res == -EINTR)
        res = -ECANCELED;
    if (res > 0 && (s->flags & RX_ALWAYS))
        counter_add(&u->loop.stats.n_rearmed, 1);
    sock_recv_over(s, res);
}

void uring_received(struct uring_loop *u, struct sock *s, const struct completion *c)
{
    uint8_t *data = lend(u, c);
    bool more = c->flags & IORING_CQE_F_MORE;

    if (c->res > 0) {
        s->flags &= ~((unsigned)RX_DATA | RX_NEXT);
        if (c->flags & IORING_CQE_F_SOCK_NONEMPTY)
            s->flags |= RX_DATA;
        if (choose_group(u, s, (size_t)c->res) && more)
            uring_cancel(u, s->recv_slot);
    }
    if (!more)
        receive_ended(u, s, c->res);
    if (c->res > 0)
        sock_data(s, span_of(data, (size_t)c->res));
}
