/* The log through its public face, with a sink in memory that can be told to fail. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "weir/base/clock.h"
#include "weir/base/log.h"

#define N_LINES_MAX 2048

/* Keeps the text of each line behind "name: ". */
struct memory {
    struct log_sink sink;
    atomic_bool blocked; /* answers -EAGAIN */
    int error;           /* or this, n_errors times */
    unsigned n_errors;
    unsigned n_calls; /* the writer's, like what follows */
    unsigned n_lines;
    char lines[N_LINES_MAX][LOG_TEXT_MAX + 1];
    char last[LOG_TEXT_MAX + 200]; /* whole, without its newline */
};

struct fixture {
    struct memory *memory;
    struct log *log;
};

static void keep(struct memory *m, const struct log_line *line)
{
    const char *text;

    cr_assert(line->len < sizeof(m->last) && line->text[line->len - 1] == '\n');
    cr_assert_null(memchr(line->text, '\n', line->len - 1), "one event, one line");
    memcpy(m->last, line->text, line->len - 1);
    m->last[line->len - 1] = '\0';
    text = strstr(m->last, "] ");
    text = text == NULL ? NULL : strstr(text, ": ");
    cr_assert_not_null(text);
    cr_assert(m->n_lines < N_LINES_MAX && strlen(text + 2) <= LOG_TEXT_MAX);
    strncpy(m->lines[m->n_lines++], text + 2, LOG_TEXT_MAX);
}

static int memory_write(struct log_sink *s, const struct log_line *lines, unsigned n,
                        unsigned *n_written)
{
    struct memory *m = CONTAINER_OF(s, struct memory, sink);

    *n_written = 0;
    m->n_calls++;
    if (atomic_load_explicit(&m->blocked, memory_order_acquire)) {
        sched_yield();
        return -EAGAIN;
    }
    for (unsigned i = 0; i < n; i++) {
        if (m->n_errors > 0) {
            m->n_errors--;
            return m->error;
        }
        keep(m, &lines[i]);
        ++*n_written;
    }
    return 0;
}

static struct fixture begin(enum log_level level)
{
    struct fixture f = {.memory = calloc(1, sizeof(*f.memory))};
    struct log_config config = {.level = level, .ring_size = LOG_RING_SIZE_MIN};

    if (f.memory == NULL)
        abort();
    f.memory->sink.write = memory_write;
    config.sink = &f.memory->sink;
    cr_assert_eq(log_new(&f.log, &config), 0);
    cr_assert_eq(log_attach(f.log, "test"), 0);
    return f;
}

/* Everything has been written when it returns. */
static void end(struct fixture *f)
{
    log_detach();
    log_free(f->log);
}

static void expect_lines(struct fixture *f, const char *const *expected, unsigned n)
{
    end(f);
    cr_expect_eq(f->memory->n_lines, n, "%u lines", f->memory->n_lines);
    for (unsigned i = 0; i < n && i < f->memory->n_lines; i++)
        cr_expect_str_eq(f->memory->lines[i], expected[i]);
    free(f->memory);
}

#define EXPECT_LINES(f, ...)                                                                       \
    do {                                                                                           \
        static const char *const expected[] = {__VA_ARGS__};                                       \
        expect_lines(f, expected, sizeof(expected) / sizeof(expected[0]));                         \
    } while (0)

/* ---- the text */

Test(log, values_are_quoted_where_needed)
{
    static const struct {
        const char *value, *written;
    } rows[] = {
        {"alice", "alice"},
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"x level=ERROR", "\"x level=ERROR\""},
        {"a=b", "\"a=b\""},
        {"say \"hi\"", "\"say \\\"hi\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"line\nfeed\r\t", "\"line\\nfeed\\r\\t\""},
        {"\x01\x1b[31m\x7f", "\"\\x01\\x1b[31m\\x7f\""},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"\xe6\xb0\xb4\xf0\x9f\x90\x98", "\xe6\xb0\xb4\xf0\x9f\x90\x98"},
        {"\xc3", "\"\\xc3\""},
        {"\xc3\x28", "\"\\xc3(\""},
        {"\x80", "\"\\x80\""},
        {"\xff\xfe", "\"\\xff\\xfe\""},
        {"\xc0\xaf", "\"\\xc0\\xaf\""},                   /* / spelt too long */
        {"\xe0\x80\xaf", "\"\\xe0\\x80\\xaf\""},          /* and longer */
        {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\""},          /* a surrogate */
        {"\xf4\x90\x80\x80", "\"\\xf4\\x90\\x80\\x80\""}, /* beyond Unicode */
        {"\xf5\x80\x80\x80", "\"\\xf5\\x80\\x80\\x80\""},
        {"\xc2\x85", "\"\\xc2\\x85\""},          /* next line */
        {"\xe2\x80\xa8", "\"\\xe2\\x80\\xa8\""}, /* line separator */
        {"\xe2\x80\xae", "\"\\xe2\\x80\\xae\""}, /* right-to-left override */
        {NULL, "(null)"},
    };
    const unsigned n = sizeof(rows) / sizeof(rows[0]);
    struct fixture f = begin(LOG_LEVEL_INFO);

    for (unsigned i = 0; i < n; i++)
        log_event(NULL, LOG_LEVEL_INFO, NULL, "m", "user=%s n=%u", rows[i].value, i);
    end(&f);
    cr_assert_eq(f.memory->n_lines, n);
    for (unsigned i = 0; i < n; i++) {
        char expected[100];

        snprintf(expected, sizeof(expected), "m user=%s n=%u", rows[i].written, i);
        cr_expect_str_eq(f.memory->lines[i], expected);
    }
    free(f.memory);
}

Test(log, conversions)
{
    struct fixture f = begin(LOG_LEVEL_INFO);

    log_info(NULL, "none", NULL);
    log_info(NULL, "words", "and no values");
    log_info(NULL, "int", "a=%d b=%i c=%u d=%x", -1, INT32_MIN, UINT32_MAX, 0xbeefU);
    log_info(NULL, "long", "a=%ld b=%lu c=%lld d=%llx", -1L, ~0UL, INT64_MIN + 0LL, ~0ULL);
    log_info(NULL, "sizes", "a=%zu b=%zd c=%ju d=%jd", (size_t)7, (ssize_t)-7, (uintmax_t)8,
             (intmax_t)-8);
    log_info(NULL, "fixed", "a=%" PRIu64 " b=%" PRId64, UINT64_MAX, INT64_MIN);
    log_info(NULL, "real", "a=%f b=%.3f c=%.0f", 0.5, 2.0 / 3, 1e3);
    log_info(NULL, "text", "a=%s b=%.*s c=%c d=%%", "x", 3, "abcdef", 'y');
    log_info(NULL, "several in one", "server=%s:%u why=%s,%s", "db.example", 5432U, "one", "t w o");
    log_info(NULL, "no key", "%s and %s", "one", "number two");
    log_info(NULL, "pointer", "a=%p", (void *)0x10);
    EXPECT_LINES(&f, "none", "words and no values", "int a=-1 b=-2147483648 c=4294967295 d=beef",
                 "long a=-1 b=18446744073709551615 c=-9223372036854775808 d=ffffffffffffffff",
                 "sizes a=7 b=-7 c=8 d=-8", "fixed a=18446744073709551615 b=-9223372036854775808",
                 "real a=0.500000 b=0.667 c=1000", "text a=x b=abc c=y d=%",
                 "several in one server=db.example:5432 why=\"one,t w o\"",
                 "no key one and \"number two\"", "pointer a=0x10");
}

Test(log, what_is_too_long_is_cut_and_says_so)
{
    static char letters[5000], quotes[5000];
    struct fixture f = begin(LOG_LEVEL_INFO);

    memset(letters, 'x', sizeof(letters) - 1);
    memset(quotes, '"', sizeof(quotes) - 1);
    log_info(NULL, "letters", "a=%s b=%u", letters, 1U);
    log_info(NULL, "quotes", "a=%s b=%u", quotes, 1U);
    log_info(NULL, "within", "a=%.*s b=%u", 1900, letters, 1U);
    end(&f);
    cr_assert_eq(f.memory->n_lines, 3);
    for (unsigned i = 0; i < 2; i++) {
        const char *line = f.memory->lines[i];
        size_t len = strlen(line);

        cr_expect(len <= LOG_TEXT_MAX && len > LOG_TEXT_MAX - 10, "%zu", len);
        cr_expect_str_eq(line + len - 4, "...\"");
        cr_expect_null(strstr(line, " b="));
    }
    cr_expect_not_null(strstr(f.memory->lines[2], "x b=1"));
    free(f.memory);
}

Test(log, ids_stand_in_front)
{
    struct log_context of_client = {.ids = "c17 s3"}, empty = {.ids = ""};
    struct fixture f = begin(LOG_LEVEL_INFO);

    log_info(&of_client, "login ok", "user=%s", "alice");
    log_info(&empty, "login ok", "user=%s", "alice");
    EXPECT_LINES(&f, "c17 s3: login ok user=alice", "login ok user=alice");
}

Test(log, head_of_a_line)
{
    char expected[100], before[CLOCK_TEXT_SIZE], after[CLOCK_TEXT_SIZE];
    struct fixture f = begin(LOG_LEVEL_INFO);

    clock_wall_text(before);
    log_warning(NULL, "hello", NULL);
    clock_wall_text(after);
    end(&f);
    snprintf(expected, sizeof(expected), " [%d] WARNING test: hello", (int)getpid());
    cr_expect(strcmp(f.memory->last + strlen(before), expected) == 0, "%s", f.memory->last);
    cr_expect(strncmp(f.memory->last, before, strlen(before)) >= 0);
    cr_expect(strncmp(f.memory->last, after, strlen(after)) <= 0);
    free(f.memory);
}

/* ---- which lines */

static void log_one_of_each(const char *when)
{
    log_debug(NULL, "debug", "%s", when);
    log_info(NULL, "info", "%s", when);
    log_warning(NULL, "warning", "%s", when);
    log_error(NULL, "error", "%s", when);
}

Test(log, level_changes_at_once)
{
    struct fixture f = begin(LOG_LEVEL_WARNING);

    log_one_of_each("first");
    log_set_level(f.log, LOG_LEVEL_DEBUG);
    log_one_of_each("second");
    log_set_level(f.log, LOG_LEVEL_ERROR);
    log_one_of_each("third");
    EXPECT_LINES(&f, "warning first", "error first", "debug second", "info second",
                 "warning second", "error second", "error third");
}

/* n lines at this time: how many are let through, and what the first of them has to tell. */
static unsigned admit(struct log_site *site, unsigned n, uint64_t now_ns, uint64_t *told)
{
    unsigned n_admitted = 0;

    *told = 0;
    for (unsigned i = 0; i < n; i++) {
        uint64_t left_out = 0;

        if (!log_site_admit(site, now_ns, &left_out))
            continue;
        if (n_admitted++ == 0)
            *told = left_out;
        else
            cr_expect_eq(left_out, 0, "it is told once");
    }
    return n_admitted;
}

Test(log, a_site_has_a_rate)
{
    static const struct {
        unsigned n, n_admitted;
        uint64_t now_ns, told;
    } rows[] = {
        {LOG_SITE_PER_S, LOG_SITE_PER_S, 5 * NS_PER_S, 0},
        {7, 0, 6 * NS_PER_S - 1, 0},
        {1, 1, 6 * NS_PER_S, 7},
        {1000, LOG_SITE_PER_S - 1, 6 * NS_PER_S + 5, 0},
        {1, 1, 100 * NS_PER_S, 1000 - LOG_SITE_PER_S + 1},
        {2, 2, 101 * NS_PER_S, 0},
    };
    struct log_site site = {0};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t told;

        cr_expect_eq(admit(&site, rows[i].n, rows[i].now_ns, &told), rows[i].n_admitted, "%zu", i);
        cr_expect_eq(told, rows[i].told, "row %zu: told %" PRIu64, i, told);
    }
}

Test(log, what_was_left_out_is_told)
{
    struct log_site site = {.left_out = 5};
    struct fixture f = begin(LOG_LEVEL_DEBUG);

    log_event(&site, LOG_LEVEL_DEBUG, NULL, "debug", NULL);
    log_event(&site, LOG_LEVEL_ERROR, NULL, "refused", "user=%s", "x");
    log_event(&site, LOG_LEVEL_ERROR, NULL, "refused", "user=%s", "x");
    EXPECT_LINES(&f, "debug", "refused left_out=5 user=x", "refused user=x");
}

/* ---- losses */

static void send_lines(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        log_event(NULL, LOG_LEVEL_INFO, NULL, "line", "n=%u", i);
}

static void expect_counts(struct log *log, uint64_t sent, uint64_t written, uint64_t lost)
{
    struct log_counts c = log_count(log);

    cr_expect_eq(c.sent, sent, "sent %" PRIu64, c.sent);
    cr_expect_eq(c.written, written, "written %" PRIu64, c.written);
    cr_expect_eq(c.lost, lost, "lost %" PRIu64, c.lost);
}

/* Until the writer has done with all that was sent. */
static void wait_until_idle(struct log *log)
{
    struct log_counts c;

    do {
        sched_yield();
        c = log_count(log);
    } while (c.written + c.lost != c.sent);
}

/* Adds up what the log says of its losses; the other lines are counted. */
static uint64_t reported(const struct memory *m, unsigned *n_others)
{
    uint64_t sum = 0;

    *n_others = 0;
    for (unsigned i = 0; i < m->n_lines; i++) {
        uint64_t n;

        if (sscanf(m->lines[i], "lines lost n=%" SCNu64, &n) == 1)
            sum += n;
        else
            ++*n_others;
    }
    return sum;
}

Test(log, full_ring_loses_lines_and_says_how_many, .timeout = 20)
{
    struct fixture f = begin(LOG_LEVEL_INFO);
    struct log_site site = {.left_out = 3};
    struct log_counts counts;
    unsigned n_others;

    atomic_store_explicit(&f.memory->blocked, true, memory_order_release);
    send_lines(1000);
    counts = log_count(f.log);
    cr_expect_eq(counts.sent, 1000);
    cr_assert(counts.lost > 0 && counts.lost < 1000, "lost %" PRIu64, counts.lost);
    log_event(&site, LOG_LEVEL_ERROR, NULL, "lost as well", NULL);
    cr_expect_eq(log_count(f.log).lost, counts.lost + 1);
    cr_expect_eq(site.left_out, 3, "what a lost line would have told is told later");

    atomic_store_explicit(&f.memory->blocked, false, memory_order_release);
    wait_until_idle(f.log);
    counts = log_count(f.log);
    cr_expect_eq(counts.written + counts.lost, 1001);
    end(&f);
    cr_expect_eq(reported(f.memory, &n_others), counts.lost);
    cr_expect_eq(n_others, counts.written);
    free(f.memory);
}

/* The first line is dropped, and so is the report of that; a later one is not. */
Test(log, lines_that_the_sink_drops_are_lost, .timeout = 20)
{
    struct fixture f = begin(LOG_LEVEL_INFO);
    unsigned n_others;

    atomic_store_explicit(&f.memory->blocked, true, memory_order_release);
    f.memory->error = -ENOSPC;
    f.memory->n_errors = 2;
    send_lines(1);
    atomic_store_explicit(&f.memory->blocked, false, memory_order_release);
    wait_until_idle(f.log);
    send_lines(2);
    wait_until_idle(f.log);
    expect_counts(f.log, 3, 2, 1);
    end(&f);
    cr_expect_eq(reported(f.memory, &n_others), 1);
    cr_expect_eq(n_others, 2);
    free(f.memory);
}

Test(log, a_sink_that_never_takes_anything_is_given_up, .timeout = 20)
{
    struct fixture f = begin(LOG_LEVEL_INFO);
    uint64_t before_ns = clock_now_ns();

    atomic_store_explicit(&f.memory->blocked, true, memory_order_release);
    send_lines(10);
    end(&f);
    cr_expect(clock_now_ns() - before_ns < 10 * NS_PER_S);
    cr_expect_eq(f.memory->n_lines, 0);
    free(f.memory);
}

/* ---- threads */

Test(log, counts_outlive_their_thread, .timeout = 20)
{
    struct fixture f = begin(LOG_LEVEL_INFO);

    for (int i = 0; i < 3; i++) {
        send_lines(10);
        log_detach();
        log_detach(); /* does nothing */
        cr_assert_eq(log_attach(f.log, "again"), 0);
    }
    wait_until_idle(f.log);
    expect_counts(f.log, 30, 30, 0);
    end(&f);
    cr_expect_eq(f.memory->n_lines, 30);
    free(f.memory);
}

Test(log, long_thread_names_are_cut)
{
    struct fixture f = begin(LOG_LEVEL_INFO);

    log_detach();
    cr_assert_eq(log_attach(f.log, "a name of more than fifteen characters"), 0);
    log_info(NULL, "hello", NULL);
    end(&f);
    cr_expect_not_null(strstr(f.memory->last, " INFO a name of more : hello"));
    free(f.memory);
}

Test(log, without_a_log_lines_go_to_standard_error)
{
    char text[500] = "";
    size_t len;

    cr_redirect_stderr();
    log_debug(NULL, "not this", NULL);
    log_error(NULL, "cannot start", "why=%s", "no file");
    fflush(stderr);
    len = fread(text, 1, sizeof(text) - 1, cr_get_redirected_stderr());
    cr_expect_not_null(strstr(text, "ERROR "), "%s", text);
    cr_expect_str_eq(strstr(text, ": cannot"), ": cannot start why=\"no file\"\n", "%zu: %s", len,
                     text);
}

Test(log, refuses_rings_of_a_wrong_size)
{
    static const size_t sizes[] = {0, 1, LOG_RING_SIZE_MIN / 2, LOG_RING_SIZE_MIN + 1, 100000};
    struct memory memory = {.sink = {.write = memory_write}};
    struct log *log = NULL;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct log_config config = {.sink = &memory.sink, .ring_size = sizes[i]};

        cr_expect_eq(log_new(&log, &config), -EINVAL);
    }
    cr_expect_null(log);
    log_free(NULL);
}
