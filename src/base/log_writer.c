/*
 * Every record ends up as written or lost: the counts are made here and in log_ring_put() only. The
 * writer's own lines, which tell about losses, count as neither.
 */
#include "log_writer.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log_text.h"

#define GIVE_UP_NS (2 * NS_PER_S)

_Static_assert(LOG_LINE_MAX <= PIPE_BUF, "a pipe takes a line whole");

static const char *const level_names[] = {
    [LOG_LEVEL_DEBUG] = "DEBUG",
    [LOG_LEVEL_INFO] = "INFO",
    [LOG_LEVEL_WARNING] = "WARNING",
    [LOG_LEVEL_ERROR] = "ERROR",
};

size_t log_writer_head(char out[LOG_HEAD_MAX], uint64_t wall_ns, pid_t pid, enum log_level level,
                       const char *name)
{
    unsigned time_len = clock_text(wall_ns, out);
    int len = snprintf(out + time_len, LOG_HEAD_MAX - time_len, " [%d] %s %s: ", (int)pid,
                       level_names[level], name);

    ASSERT(len > 0 && time_len + (unsigned)len < LOG_HEAD_MAX);
    return time_len + (unsigned)len;
}

void log_writer_init(struct log_writer *w, struct log_sink *sink)
{
    memset(w, 0, sizeof(*w));
    w->sink = sink;
    w->pid = getpid();
    atomic_init(&w->stopping, false);
}

/* How many of the lines the sink has taken; it may take its time, but at the end not for ever. */
static unsigned hand_over(struct log_writer *w)
{
    uint64_t since_ns = clock_now_ns();
    unsigned n_done = 0;

    while (n_done < w->n_lines && !w->given_up) {
        unsigned n = 0;
        int error = w->sink->write(w->sink, w->lines + n_done, w->n_lines - n_done, &n);

        n_done += n;
        if (error != 0 && error != -EAGAIN)
            break;
        if (n > 0)
            since_ns = clock_now_ns();
        /* Pairs with the store in log_free(). */
        else if (atomic_load_explicit(&w->stopping, memory_order_acquire))
            w->given_up = clock_now_ns() - since_ns >= GIVE_UP_NS;
    }
    return n_done;
}

static void write_batch(struct log_writer *w)
{
    unsigned n_done = hand_over(w);

    counter_add(&w->written, n_done);
    counter_add(&w->lost, w->n_lines - n_done);
    w->n_lost += w->n_lines - n_done;
    w->n_lines = 0;
    w->n_bytes = 0;
}

static void add_line(struct log_writer *w, const struct log_record *record, const char *name)
{
    char *line = w->bytes + w->n_bytes;
    size_t len = log_writer_head(line, record->wall_ns, w->pid, record->level, name);

    ASSERT(record->len <= LOG_TEXT_MAX && w->n_bytes + LOG_LINE_MAX <= sizeof(w->bytes));
    memcpy(line + len, record->text, record->len);
    len += record->len;
    line[len++] = '\n';
    w->lines[w->n_lines++] = (struct log_line){record->level, line, len};
    w->n_bytes += len;
}

void log_writer_drain(struct log_writer *w, struct log_ring *r)
{
    size_t head = log_ring_head(r); /* no further: others have written as well */
    struct log_record record;
    uint64_t lost;

    while (log_ring_peek(r, head, &record)) {
        if (w->n_lines == LOG_BATCH_LINES || w->n_bytes + LOG_LINE_MAX > sizeof(w->bytes))
            write_batch(w);
        add_line(w, &record, r->name);
        log_ring_drop(r, &record);
    }
    lost = counter_read(&r->lost);
    w->n_lost += lost - r->lost_seen;
    r->lost_seen = lost;
}

/* Alone in its batch, so that it is known what became of it. */
static void report_lost(struct log_writer *w)
{
    char bytes[LOG_TEXT_MAX];
    struct log_record record = {.wall_ns = clock_wall_ns(), .level = LOG_LEVEL_WARNING};
    struct log_text text;

    log_text_init(&text, bytes, sizeof(bytes));
    log_text_words(&text, "lines lost");
    log_text_number(&text, "n", w->n_lost - w->n_reported);
    record.text = bytes;
    record.len = log_text_end(&text);
    add_line(w, &record, "log");
    if (hand_over(w) == 1)
        w->n_reported = w->n_lost;
    w->n_lines = 0;
    w->n_bytes = 0;
}

void log_writer_flush(struct log_writer *w)
{
    write_batch(w);
    if (w->n_lost > w->n_reported)
        report_lost(w);
}
