/*
 * Eight threads that log, a pipe, and a reader that checks every line. Proven: no line is torn or
 * comes twice, those of one thread are in order, written + lost = sent exactly, and the losses that
 * the log itself reports are all of them. Three times: with small rings and nobody holding back; at
 * 50,000 lines in a second at most and a reader that keeps up, so that none may be lost; and in
 * rounds that end when everything has been written, since a wake-up that was lost shows only when
 * no line follows.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "race.h"
#include "weir/base/clock.h"
#include "weir/base/log.h"
#include "weir/base/log_file.h"

#define N_THREADS 8
#define N_LINES 20000
#define LINES_PER_S 50000
#define BURST UINT64_C(25)
#define N_UNDER_WAY 1000 /* of all threads; one ring has room for twice as many */
#define BURST_NS (BURST * N_THREADS * NS_PER_S / LINES_PER_S)

static const char filler[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";

#define LINES_PER_ROUND 3
#define N_LINES_IN_ROUNDS 3000

enum pace {
    PACE_NONE,
    PACE_RATE,
    PACE_ROUNDS,
};

static const struct {
    const char *name;
    size_t ring_size;
    uint64_t n_lines; /* of each thread */
    bool none_lost;
} paces[] = {
    [PACE_NONE] = {"no pause", LOG_RING_SIZE_MIN, N_LINES, false},
    [PACE_RATE] = {"50,000 lines a second", LOG_RING_SIZE, N_LINES, true},
    [PACE_ROUNDS] = {"rounds", LOG_RING_SIZE_MIN, N_LINES_IN_ROUNDS, true},
};

struct writer {
    struct log *log;
    pthread_barrier_t *round;
    uint64_t n_lines;
    unsigned id;
    enum pace pace;
};

struct reader {
    int fd;
    uint64_t n_lines;        /* of the threads */
    uint64_t n_reported;     /* lost, as the log says */
    int64_t last[N_THREADS]; /* number of the last line of each */
};

static int filler_len(uint64_t n)
{
    return 1 + (int)(n % (sizeof(filler) - 1));
}

static void sleep_until(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

/* Lines that are sent and neither written nor lost. */
static uint64_t n_under_way(struct log *log)
{
    struct log_counts c = log_count(log);

    return c.sent - c.written - c.lost;
}

static void keep_pace(const struct writer *w, uint64_t n, uint64_t start_ns)
{
    if (w->pace == PACE_RATE && n % BURST == 0) {
        sleep_until(start_ns + n / BURST * BURST_NS);
        while (n_under_way(w->log) > N_UNDER_WAY) /* a busy machine: the reader does not keep up */
            sched_yield();
    }
    if (w->pace == PACE_ROUNDS && n % LINES_PER_ROUND == 0) {
        pthread_barrier_wait(w->round);
        while (n_under_way(w->log) > 0)
            sched_yield();
        pthread_barrier_wait(w->round);
    }
}

static void run_writer(void *arg)
{
    const struct writer *w = arg;
    uint64_t start_ns = clock_now_ns();
    char name[8];

    snprintf(name, sizeof(name), "t%u", w->id);
    RACE_CHECK(log_attach(w->log, name) == 0);
    for (uint64_t n = 0; n < w->n_lines; n++) {
        keep_pace(w, n, start_ns);
        log_event(NULL, LOG_LEVEL_INFO, NULL, "line", "n=%" PRIu64 " text=%.*s", n, filler_len(n),
                  filler);
    }
    log_detach();
}

/* "... INFO t3: line n=17 text=abc", or the log's own "... WARNING log: lines lost n=5". */
static void check_line(struct reader *r, const char *line)
{
    const char *name = strchr(line, ']');
    char text[sizeof(filler)];
    unsigned id;
    uint64_t n;
    int end = 0;

    if (name == NULL)
        race_fail("torn: %s", line);
    if (sscanf(name, "] WARNING log: lines lost n=%" SCNu64 "%n", &n, &end) == 1 && !name[end]) {
        r->n_reported += n;
        return;
    }
    end = 0;
    if (sscanf(name, "] INFO t%u: line n=%" SCNu64 " text=%52s%n", &id, &n, text, &end) != 3 ||
        name[end] != '\0' || id >= N_THREADS || strlen(text) != (size_t)filler_len(n) ||
        strncmp(text, filler, strlen(text)) != 0)
        race_fail("torn: %s", line);
    if ((int64_t)n <= r->last[id])
        race_fail("%" PRIu64 " after %" PRId64 ": %s", n, r->last[id], line);
    r->last[id] = (int64_t)n;
    r->n_lines++;
}

static void *run_reader(void *arg)
{
    struct reader *r = arg;
    FILE *file = fdopen(r->fd, "r");
    char line[4096];

    RACE_CHECK(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL) {
        char *end = strchr(line, '\n');

        if (end == NULL)
            race_fail("torn at the end: %s", line);
        *end = '\0';
        check_line(r, line);
    }
    fclose(file);
    return NULL;
}

/* The log can be asked only while it lives, so until its writer has done with everything. */
static struct log_counts final_counts(struct log *log, uint64_t n_sent)
{
    struct log_counts c;

    do {
        sleep_until(clock_now_ns() + NS_PER_MS);
        c = log_count(log);
        RACE_CHECK(c.sent == n_sent && c.written + c.lost <= n_sent);
    } while (c.written + c.lost < n_sent);
    return c;
}

static void run(const struct race *race, enum pace pace)
{
    uint64_t n_lines = paces[pace].n_lines * (pace == PACE_NONE ? race->factor : 1);
    struct writer writers[N_THREADS];
    struct reader reader = {0};
    struct log_counts counts;
    struct log_config config = {.level = LOG_LEVEL_INFO, .ring_size = paces[pace].ring_size};
    struct log_file file;
    struct log *log;
    pthread_t reading;
    pthread_barrier_t round;
    int fds[2];

    RACE_CHECK(pipe(fds) == 0 && pthread_barrier_init(&round, NULL, N_THREADS) == 0);
    log_file_init(&file, fds[1]);
    config.sink = &file.sink;
    RACE_CHECK(log_new(&log, &config) == 0);
    reader.fd = fds[0];
    for (unsigned i = 0; i < N_THREADS; i++) {
        writers[i] = (struct writer){log, &round, n_lines, i, pace};
        reader.last[i] = -1;
    }
    RACE_CHECK(pthread_create(&reading, NULL, run_reader, &reader) == 0);
    race_run(race, N_THREADS, run_writer, writers, sizeof(writers[0]));

    counts = final_counts(log, N_THREADS * n_lines);
    log_free(log);
    log_file_fini(&file); /* the reader's end of file */
    RACE_CHECK(pthread_join(reading, NULL) == 0);
    pthread_barrier_destroy(&round);
    printf("%s: %" PRIu64 " sent, %" PRIu64 " written, %" PRIu64 " lost\n", paces[pace].name,
           counts.sent, counts.written, counts.lost);
    RACE_CHECK(counts.written == reader.n_lines && counts.lost == reader.n_reported);
    RACE_CHECK(!paces[pace].none_lost || counts.lost == 0);
}

int main(void)
{
    struct race race = race_begin("race_log");

    run(&race, PACE_NONE);
    run(&race, PACE_ROUNDS);
    run(&race, PACE_RATE);
    return 0;
}
