/*
 * How a server ends: Terminate, its FIN, and only then is its slot free, so that PostgreSQL never
 * sees more connections than the limits allow. A server that does not answer is given a second.
 * Runs on: control.
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/socket.h>

#include "pgwire/proto.h"
#include "weir/base/clock.h"
#include "weir/base/log.h"

#include "control.h"

#define FIN_WAIT_NS NS_PER_S

static struct server *server_of(struct sock *sock)
{
    return CONTAINER_OF(stream_of(sock), struct server, stream);
}

static void count_closing(struct server *s, int n)
{
    count_add(&s->pool->n_closing, n);
    limits_count(s->pool, 0, n);
}

static void finish(struct server *s)
{
    loop_timer_clear(crew_control(s->pool->crew)->loop, &s->timer);
    count_closing(s, -1);
    control_slot_free(s);
}

/* What it still says reaches nobody. */
static void on_received(struct sock *sock, struct span data)
{
    (void)sock;
    (void)data;
}

/* FIN or an error: either way the backend has gone or goes. */
static void on_ended(struct sock *sock, int error)
{
    (void)error;
    sock_close(sock);
}

static void on_closed(struct sock *sock)
{
    finish(server_of(sock));
}

/* PostgreSQL has had its time. */
static void on_overdue(struct wheel_timer *t)
{
    struct server *s = CONTAINER_OF(t, struct server, timer);

    if (stream_fd(&s->stream) < 0)
        finish(s);
    else
        stream_close(&s->stream);
}

static void give_time(struct thread *control, struct server *s)
{
    s->timer.fire = on_overdue;
    loop_timer_set(control->loop, &s->timer, FIN_WAIT_NS);
}

static const struct sock_ops closing_ops = {
    .received = on_received,
    .ended = on_ended,
    .closed = on_closed,
};

/* Whoever had it before may have read its end, and nobody is told that twice. */
static bool has_ended(const struct server *s)
{
    char byte;
    ssize_t n = recv(stream_fd(&s->stream), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno != EAGAIN);
}

static void say_goodbye(struct thread *control, struct server *s)
{
    static const uint8_t terminate[] = {PGW_F_TERMINATE, 0, 0, 0, 4};

    if (s->terminate)
        stream_send(&s->stream, span_of(terminate, sizeof(terminate)));
    else
        (void)shutdown(stream_fd(&s->stream), SHUT_WR); /* within a message, that must do */
    stream_receive(&s->stream);
    give_time(control, s);
}

void control_close(struct thread *control, struct server *s, const char *why)
{
    uint64_t age_ns = loop_now_ns(control->loop) - s->opened_ns;

    log_info(&s->log, "server closed", "database=%s user=%s why=%s age_s=%" PRIu64,
             s->pool->database, s->pool->user, why, age_ns / NS_PER_S);
    server_move(s, SERVER_CLOSING);
    count_closing(s, 1);
    if (s->replication != PGW_REPLICATION_OFF)
        s->pool->control->n_own--;
    if (stream_fd(&s->stream) < 0) {
        /* Whoever had it cut it off within a message; its backend notices that in its time. */
        if (s->has_ended)
            finish(s);
        else
            give_time(control, s);
        return;
    }
    stream_attach(&s->stream, control->loop, &closing_ops);
    if (has_ended(s))
        stream_close(&s->stream);
    else
        say_goodbye(control, s);
}
