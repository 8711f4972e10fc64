/*
 * The log. A thread writes its lines into a ring of its own and goes on; one writer thread takes
 * them out and hands them to a sink. Nobody ever waits for a slow sink: a line that finds its ring
 * full is lost and counted, and the writer says how many. written + lost = sent, exactly.
 *
 * One event is one line, whatever a peer sent:
 *
 *   2026-01-31 23:59:59.123 UTC [4711] INFO reactor-0: c17 s3: login ok user=alice db="my db"
 *
 * Lines of one thread stay in order; those of several may be some milliseconds out of it.
 *
 * A thread that is not attached, as main before the log has been made, writes to standard error at
 * once. Which ring a thread has is the one thread-local here.
 */
#ifndef WEIR_BASE_LOG_H
#define WEIR_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/base/check.h"

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
};

/* The ids of what an event is about, put in front of its message: embedded in a client or server
 * and set when it gets its id. Its owner's thread. */
#define LOG_IDS_SIZE 32
struct log_context {
    char ids[LOG_IDS_SIZE]; /* "c17 s3" */
};

/* One place in the code that logs, for its rate limit: at most LOG_SITE_PER_S lines in a second,
 * and the next line after that tells what was left out (left_out=N). Any thread. The macros below
 * have each a static one, which is the one kind of variable that is allowed to be so. */
#define LOG_SITE_PER_S 100
struct log_site {
    _Atomic uint64_t window;   /* the second it counts in << 32 | lines in it */
    _Atomic uint64_t left_out; /* since the last line */
};

/*
 * log_info(context, message, fields, ...)
 *
 * context: a struct log_context, or NULL. message: a string literal. fields: NULL, or a printf
 * format of words with a space between them, "user=%s port=%u": what stands behind = is quoted and
 * escaped where needed. It may use %d %i %u %x with l, ll, z, j; %c %s %.*s %f %.Nf %p; no flags
 * and no widths. A text of more than LOG_TEXT_MAX bytes is cut, and says so by "...".
 */
#define LOG_TEXT_MAX 2000
/* NOLINTBEGIN(readability-identifier-naming): they are used like functions */
#define log_debug(context, message, ...) LOG_AT(LOG_LEVEL_DEBUG, context, message, __VA_ARGS__)
#define log_info(context, message, ...) LOG_AT(LOG_LEVEL_INFO, context, message, __VA_ARGS__)
#define log_warning(context, message, ...) LOG_AT(LOG_LEVEL_WARNING, context, message, __VA_ARGS__)
#define log_error(context, message, ...) LOG_AT(LOG_LEVEL_ERROR, context, message, __VA_ARGS__)
/* NOLINTEND(readability-identifier-naming) */

#define LOG_AT(level, context, message, ...)                                                       \
    do {                                                                                           \
        static struct log_site log_site_here;                                                      \
        if (log_wants(level))                                                                      \
            log_event(&log_site_here, level, context, "" message, __VA_ARGS__);                    \
    } while (0)

/* True if lines of this level are written for this thread. */
bool log_wants(enum log_level level);

/* What the macros call. site: NULL for no rate limit; debug lines have none. */
void log_event(struct log_site *site, enum log_level level, const struct log_context *context,
               const char *message, const char *fields, ...) PRINTF_LIKE(5, 6);

/* One line more at a site at this time (CLOCK_MONOTONIC): may it be written? If so, *left_out is
 * how many before it were not, and is told. */
NODISCARD bool log_site_admit(struct log_site *site, uint64_t now_ns, uint64_t *left_out);

struct log_line {
    enum log_level level;
    const char *text; /* ends with a newline, no NUL */
    size_t len;       /* with the newline; at most PIPE_BUF */
};

/* Where lines go. Called by the writer thread alone. */
struct log_sink {
    /* Writes lines in order, waiting at most some 100 ms; *n_written is how many of them are out in
     * any case. 0, -EAGAIN (call again with the rest) or -errno (the rest is lost). */
    int (*write)(struct log_sink *s, const struct log_line *lines, unsigned n, unsigned *n_written);
};

struct log;

struct log_config {
    struct log_sink *sink; /* outlives the log */
    enum log_level level;
    size_t ring_size; /* bytes for each thread, a power of two, at least LOG_RING_SIZE_MIN */
};

#define LOG_RING_SIZE ((size_t)256 << 10)
#define LOG_RING_SIZE_MIN ((size_t)8 << 10)

/* Starts the writer thread. 0, -EINVAL, -ENOMEM or another -errno. */
NODISCARD int log_new(struct log **out, const struct log_config *config);

/* Writes what has been sent and ends the writer. Every thread has detached. A sink that takes
 * nothing for two seconds is given up, and what is left is lost. NULL is fine. */
void log_free(struct log *log);

/* Gives this thread a ring, and a name in its lines. 0 or -ENOMEM. */
NODISCARD int log_attach(struct log *log, const char *name);

/* This thread logs no more; what it has sent will be written. Does nothing if it is not attached.
 */
void log_detach(void);

/* Any thread, at any time. */
void log_set_level(struct log *log, enum log_level level);

/* Any thread. written + lost comes up to sent once nothing is under way. The writer's own lines,
 * which report losses, are not counted. */
struct log_counts {
    uint64_t sent, written, lost;
};
struct log_counts log_count(struct log *log);

#endif
