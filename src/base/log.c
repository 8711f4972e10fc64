/*
 * The log as the threads see it, and the life of its writer thread. The mailbox decides who wakes
 * whom (docs/models/mailbox.pml); a ring is in it while there is something to read.
 *
 * The mutex covers the list of rings: it is taken when a thread comes or goes and when counts are
 * read, never to log.
 */
#include "weir/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log_ring.h"
#include "log_text.h"
#include "log_writer.h"
#include "weir/base/clock.h"
#include "weir/base/mailbox.h"

struct log {
    struct mailbox box; /* rings, and `stop` */
    struct log_writer writer;
    struct mail stop; /* everybody has gone */
    size_t ring_size;
    pthread_t thread;
    int event_fd; /* the writer sleeps on it */
    atomic_int level;

    pthread_mutex_t mutex;
    struct list rings;       /* under the mutex */
    struct log_counts ended; /* of threads that have gone; under the mutex, `written` not used */
};

/* The ring of this thread; NULL: not attached. */
static _Thread_local struct log_ring *here;

/* ---- threads that log */

static void post(struct log *log, struct mail *m)
{
    if (mailbox_push(&log->box, m))
        (void)eventfd_write(log->event_fd, 1); /* fails only at 2^64 - 1 */
}

int log_attach(struct log *log, const char *name)
{
    ASSERT(here == NULL);
    here = log_ring_new(log, name, log->ring_size);
    if (here == NULL)
        return -ENOMEM;
    pthread_mutex_lock(&log->mutex);
    list_push_back(&log->rings, &here->link);
    pthread_mutex_unlock(&log->mutex);
    return 0;
}

void log_detach(void)
{
    struct log_ring *r = here;
    struct log *log;

    if (r == NULL)
        return;
    log = r->log;
    here = NULL;
    if (log_ring_note(r, LOG_RING_LEFT)) /* if it was noted before, r may be gone now */
        post(log, &r->mail);
}

bool log_wants(enum log_level level)
{
    return here == NULL
               ? level >= LOG_LEVEL_INFO
               : (int)level >= atomic_load_explicit(&here->log->level, memory_order_relaxed);
}

void log_set_level(struct log *log, enum log_level level)
{
    atomic_store_explicit(&log->level, (int)level, memory_order_relaxed);
}

bool log_site_admit(struct log_site *site, uint64_t now_ns, uint64_t *left_out)
{
    /* Relaxed throughout: these are numbers alone, nothing else is read on the strength of them. */
    uint64_t second = (now_ns / NS_PER_S) & UINT32_MAX;
    uint64_t old = atomic_load_explicit(&site->window, memory_order_relaxed);
    uint64_t new;

    do {
        new = old >> 32 == second ? old + 1 : second << 32 | 1;
        if ((uint32_t) new > LOG_SITE_PER_S) {
            atomic_fetch_add_explicit(&site->left_out, 1, memory_order_relaxed);
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&site->window, &old, new, memory_order_relaxed,
                                                    memory_order_relaxed));
    *left_out = atomic_exchange_explicit(&site->left_out, 0, memory_order_relaxed);
    return true;
}

/* Without a log: at once, to standard error. Main says so why it cannot start. */
static void write_now(const struct log_record *record)
{
    char line[LOG_LINE_MAX];
    char name[LOG_RING_NAME_SIZE] = "";
    size_t len;

    (void)pthread_getname_np(pthread_self(), name, sizeof(name));
    len = log_writer_head(line, record->wall_ns, getpid(), record->level, name);
    memcpy(line + len, record->text, record->len);
    len += record->len;
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0)
        return; /* nobody is left to be told */
}

/* False: the line is lost, and counted. Then the ring is full, and the writer on its way. */
static bool send(struct log_ring *r, const struct log_record *record)
{
    if (!log_ring_put(r, record))
        return false;
    if (log_ring_note(r, LOG_RING_NOTED))
        post(r->log, &r->mail);
    return true;
}

void log_event(struct log_site *site, enum log_level level, const struct log_context *context,
               const char *message, const char *fields, ...)
{
    char bytes[LOG_TEXT_MAX];
    struct log_record record = {.wall_ns = clock_wall_ns(), .level = level, .text = bytes};
    struct log_text text;
    uint64_t left_out = 0;
    va_list args;

    if (site != NULL && level != LOG_LEVEL_DEBUG &&
        !log_site_admit(site, clock_now_ns(), &left_out))
        return;

    log_text_init(&text, bytes, sizeof(bytes));
    if (context != NULL && context->ids[0] != '\0') {
        log_text_words(&text, context->ids);
        log_text_words(&text, ": ");
    }
    log_text_words(&text, message);
    if (left_out > 0)
        log_text_number(&text, "left_out", left_out);
    va_start(args, fields);
    log_text_fields(&text, fields, args);
    va_end(args);
    record.len = log_text_end(&text);

    if (here == NULL)
        write_now(&record);
    else if (!send(here, &record) && site != NULL)
        atomic_fetch_add_explicit(&site->left_out, left_out, memory_order_relaxed); /* tell later */
}

/* ---- the writer */

static void end_ring(struct log *log, struct log_ring *r)
{
    pthread_mutex_lock(&log->mutex);
    list_remove(&r->link);
    log->ended.sent += counter_read(&r->sent);
    log->ended.lost += counter_read(&r->lost);
    pthread_mutex_unlock(&log->mutex);
    log_ring_free(r);
}

/* False: the last of all mail has come. */
static bool read_mail(struct log *log)
{
    bool go_on = true;

    for (struct mail *m = mailbox_take_all(&log->box), *next; m != NULL; m = next) {
        struct log_ring *r;
        bool left;

        next = m->next; /* once hushed, the ring may be posted again */
        if (m == &log->stop) {
            go_on = false;
            continue;
        }
        r = CONTAINER_OF(m, struct log_ring, mail);
        left = log_ring_hush(r);
        log_writer_drain(&log->writer, r);
        if (left)
            end_ring(log, r);
    }
    return go_on;
}

static void *writer_main(void *arg)
{
    struct log *log = arg;
    eventfd_t n;

    pthread_setname_np(pthread_self(), "weir-log");
    while (read_mail(log)) {
        log_writer_flush(&log->writer);
        if (!mailbox_sleep(&log->box))
            continue;
        (void)eventfd_read(log->event_fd, &n); /* interrupted: one look too many */
        mailbox_awake(&log->box);
    }
    log_writer_flush(&log->writer);
    return NULL;
}

/* Signals are for the threads that wait for them. */
static int start_writer(struct log *log)
{
    sigset_t all, old;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    error = pthread_create(&log->thread, NULL, writer_main, log);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -error;
}

int log_new(struct log **out, const struct log_config *config)
{
    size_t size = config->ring_size;
    struct log *log;
    int error;

    if (size < LOG_RING_SIZE_MIN || (size & (size - 1)) != 0)
        return -EINVAL;
    log = aligned_alloc(CACHE_LINE, sizeof(*log));
    if (log == NULL)
        return -ENOMEM;
    mailbox_init(&log->box);
    atomic_init(&log->level, (int)config->level);
    log->ring_size = size;
    log_writer_init(&log->writer, config->sink);
    pthread_mutex_init(&log->mutex, NULL);
    list_init(&log->rings);
    log->ended = (struct log_counts){0};
    log->event_fd = eventfd(0, EFD_CLOEXEC);
    error = log->event_fd < 0 ? -errno : start_writer(log);
    if (error == 0) {
        *out = log;
        return 0;
    }
    if (log->event_fd >= 0)
        close(log->event_fd);
    pthread_mutex_destroy(&log->mutex);
    free(log);
    return error;
}

void log_free(struct log *log)
{
    if (log == NULL)
        return;
    /* Pairs with the load in hand_over(). */
    atomic_store_explicit(&log->writer.stopping, true, memory_order_release);
    post(log, &log->stop);
    pthread_join(log->thread, NULL);
    ASSERT(list_empty(&log->rings)); /* all have detached */
    close(log->event_fd);
    pthread_mutex_destroy(&log->mutex);
    free(log);
}

struct log_counts log_count(struct log *log)
{
    /* What became of lines first, what was sent last: the sum does not run ahead. */
    struct log_counts counts = {.written = counter_read(&log->writer.written),
                                .lost = counter_read(&log->writer.lost)};

    pthread_mutex_lock(&log->mutex);
    counts.lost += log->ended.lost;
    counts.sent = log->ended.sent;
    LIST_FOREACH (link, &log->rings) {
        struct log_ring *r = LIST_ITEM(link, struct log_ring, link);

        counts.lost += counter_read(&r->lost);
        counts.sent += counter_read(&r->sent);
    }
    pthread_mutex_unlock(&log->mutex);
    return counts;
}
