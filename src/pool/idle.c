/*
 * A changed parameter ends a server, though it could be used: clients are told the parameters of
 * their pool's last login, and the next login tells them all the new ones.
 *
 * So does half a message: the other half may come at any time, then as part of somebody's answer.
 */
#include "idle.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/socket.h>

#include "internal.h"
#include "pgwire/message_backend.h"
#include "weir/auth/wire.h"
#include "weir/base/log.h"

#define PIECE_LEN 4096
#define PIECES_MAX 16 /* who says more than that is not looked at for longer */

/* Of one server, between its last client and the next. */
struct words {
    struct server *s;
    struct pgw_walker walker;
    unsigned n_dropped;
};

static ssize_t receive(const struct server *s, void *buf, size_t len, int flags)
{
    return recv(stream_fd(&s->stream), buf, len, flags | MSG_DONTWAIT);
}

static uint64_t last_client(const struct server *s)
{
    return atomic_load_explicit(&s->client_id, memory_order_relaxed); /* ours now */
}

/* Of a notice or an error that has come in one piece; else only that it came is told. */
static void log_report(const struct words *w, const struct pgw_piece *piece)
{
    struct pgw_report_fields report = {0};

    if (piece->ends && pgw_read_report(pgw_piece_body(piece), &report) != PGW_READY)
        report = (struct pgw_report_fields){0};
    log_info(&w->s->log, "idle server spoke",
             "letter=%c sqlstate=%.*s message=%.*s last_client=c%" PRIu64, piece->type,
             (int)report.sqlstate.len, (const char *)report.sqlstate.ptr, (int)report.message.len,
             (const char *)report.message.ptr, last_client(w->s));
}

/* A message begins with this piece. As idle_fault(). */
static const char *judge(struct words *w, const struct pgw_piece *piece)
{
    switch (piece->type) {
    case PGW_B_NOTICE_RESPONSE:
    case PGW_B_NOTIFICATION_RESPONSE:
        log_report(w, piece);
        w->n_dropped++;
        return NULL;
    case PGW_B_ERROR_RESPONSE:
        log_report(w, piece);
        return "died while idle";
    case PGW_B_PARAMETER_STATUS:
        return "a parameter has changed";
    default:
        return "it spoke out of turn";
    }
}

static const char *walk(struct words *w, struct pgw_span in)
{
    struct pgw_piece piece;
    enum pgw_answer answer;
    const char *why = NULL;

    while (why == NULL &&
           (answer = pgw_walk(&w->walker, pgw_backend_rules, &in, &piece)) != PGW_PARTIAL) {
        if (answer == PGW_INVALID)
            why = "it spoke out of turn";
        else if (piece.starts)
            why = judge(w, &piece);
    }
    return why;
}

/* All that has come, as idle_fault(). */
static const char *hear(struct words *w)
{
    uint8_t buf[PIECE_LEN];

    for (unsigned i = 0; i < PIECES_MAX; i++) {
        ssize_t n = receive(w->s, buf, sizeof(buf), 0);
        const char *why;

        if (n < 0 && errno == EAGAIN)
            return pgw_walker_at_boundary(&w->walker) ? NULL : "half a message while idle";
        why = n <= 0 ? "died while idle" : walk(w, pgw_span_of(buf, (size_t)n));
        if (why != NULL)
            return why;
    }
    return "it says too much while idle";
}

const char *idle_fault(struct server *s)
{
    struct words w = {.s = s};
    uint8_t byte;
    const char *why;

    if (receive(s, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN)
        return NULL;
    why = hear(&w);
    /* Relaxed: a number for people. */
    atomic_fetch_add_explicit(&s->pool->n_idle_words, w.n_dropped, memory_order_relaxed);
    return why;
}
