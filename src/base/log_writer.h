/*
 * The log's writer thread: takes records out of rings, makes lines of them and hands these to the
 * sink, in batches.
 */
#ifndef WEIR_BASE_LOG_WRITER_H
#define WEIR_BASE_LOG_WRITER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "log_ring.h"
#include "weir/base/clock.h"
#include "weir/base/counter.h"
#include "weir/base/log.h"

/* "2026-01-31 23:59:59.123 UTC [4711] WARNING reactor-0: " */
#define LOG_HEAD_MAX 96
#define LOG_LINE_MAX (LOG_HEAD_MAX + LOG_TEXT_MAX + 1)
#define LOG_BATCH_LINES 64
#define LOG_BATCH_SIZE (4 * LOG_LINE_MAX)

/* Runs on the writer thread, but for what is said to be anybody's. */
struct log_writer {
    struct log_sink *sink;
    pid_t pid;

    unsigned n_lines;
    size_t n_bytes;
    struct log_line lines[LOG_BATCH_LINES]; /* they point into bytes */
    char bytes[LOG_BATCH_SIZE];

    uint64_t n_lost;     /* by rings and by the sink, as far as known */
    uint64_t n_reported; /* of these */
    bool given_up;       /* at the end the sink took nothing for too long */

    /* Anybody reads: */
    struct counter written;
    struct counter lost; /* by the sink */

    /* Anybody writes: */
    atomic_bool stopping; /* do not wait for the sink for ever */
};

/* Writes "TIME [pid] LEVEL name: "; returns its length. */
size_t log_writer_head(char out[LOG_HEAD_MAX], uint64_t wall_ns, pid_t pid, enum log_level level,
                       const char *name);

void log_writer_init(struct log_writer *w, struct log_sink *sink);

/* All that stood in the ring when it was called. */
void log_writer_drain(struct log_writer *w, struct log_ring *r);

/* Hands to the sink what has been drained, and tells what was lost. Before the thread sleeps. */
void log_writer_flush(struct log_writer *w);

#endif
