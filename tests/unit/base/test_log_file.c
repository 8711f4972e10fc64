/* The file sink: whole lines, to the right file, and none twice. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weir/base/log_file.h"

#define TEXT_SIZE 200000

static struct log_line line_of(const char *text)
{
    return (struct log_line){LOG_LEVEL_INFO, text, strlen(text)};
}

/* All of it out. */
static void write_text(struct log_file *f, const char *text)
{
    struct log_line line = line_of(text);
    unsigned n = 0;

    cr_assert_eq(f->sink.write(&f->sink, &line, 1, &n), 0);
    cr_assert_eq(n, 1);
}

static char *temp_path(const char *name)
{
    char dir[] = "/tmp/weir-log-XXXXXX";
    char *path;

    cr_assert_not_null(mkdtemp(dir));
    cr_assert(asprintf(&path, "%s/%s", dir, name) > 0);
    return path;
}

static void remove_temp(char *path)
{
    unlink(path);
    *strrchr(path, '/') = '\0';
    cr_expect_eq(rmdir(path), 0);
    free(path);
}

static const char *content(const char *path)
{
    static char text[TEXT_SIZE];
    FILE *file = fopen(path, "r");

    cr_assert_not_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

static struct log_file opened(const char *path)
{
    struct log_file f;
    int fd;

    cr_assert_eq(log_file_open(path, &fd), 0);
    log_file_init(&f, fd);
    return f;
}

Test(log_file, appends_and_is_private)
{
    char *path = temp_path("log");
    struct stat st;

    umask(0);
    for (int i = 0; i < 2; i++) {
        struct log_file f = opened(path);

        write_text(&f, i == 0 ? "one\n" : "two\n");
        log_file_fini(&f);
    }
    cr_expect_str_eq(content(path), "one\ntwo\n");
    cr_expect(stat(path, &st) == 0 && (st.st_mode & 0777) == 0640);
    remove_temp(path);
}

Test(log_file, says_why_it_cannot_be_opened)
{
    char *path = temp_path("no/such/file");
    int fd = -5;

    cr_expect_eq(log_file_open(path, &fd), -ENOENT);
    cr_expect_eq(fd, -5);
    *strstr(path, "/no/") = '\0';
    cr_expect_eq(log_file_open(path, &fd), -EISDIR);
    rmdir(path);
    free(path);
}

Test(log_file, empty_path_is_standard_error)
{
    int fd;

    cr_assert_eq(log_file_open("", &fd), 0);
    cr_expect_gt(fd, STDERR_FILENO);
    cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
}

Test(log_file, changes_between_lines)
{
    char *old_path = temp_path("old"), *new_path = temp_path("new");
    struct log_file f = opened(old_path);
    int fd;

    write_text(&f, "before\n");
    for (int i = 0; i < 2; i++) { /* the first one is never written to, only closed */
        cr_assert_eq(log_file_open(new_path, &fd), 0);
        log_file_change(&f, fd);
    }
    write_text(&f, "after\n");
    log_file_fini(&f);
    cr_expect_str_eq(content(old_path), "before\n");
    cr_expect_str_eq(content(new_path), "after\n");
    remove_temp(old_path);
    remove_temp(new_path);
}

#define N_ROTATIONS 20
#define N_LINES 2000

/* Renamed and opened again while lines come: together the files have all lines, in order. */
Test(log_file, rotation_loses_none, .timeout = 20)
{
    char *path = temp_path("log"), *rotated[N_ROTATIONS];
    struct log_file f = opened(path);
    struct log_config config = {
        .sink = &f.sink, .level = LOG_LEVEL_INFO, .ring_size = LOG_RING_SIZE};
    struct log *log;
    unsigned n_seen = 0;
    int fd;

    cr_assert_eq(log_new(&log, &config), 0);
    cr_assert_eq(log_attach(log, "test"), 0);
    for (unsigned n = 0; n < N_LINES; n++) {
        if (n % (N_LINES / N_ROTATIONS) == 0) {
            char **to = &rotated[n / (N_LINES / N_ROTATIONS)];

            cr_assert(asprintf(to, "%s.%u", path, n) > 0);
            cr_assert_eq(rename(path, *to), 0);
            cr_assert_eq(log_file_open(path, &fd), 0);
            log_file_change(&f, fd);
        }
        log_event(NULL, LOG_LEVEL_INFO, NULL, "line", "n=%u", n);
    }
    log_detach();
    log_free(log);
    log_file_fini(&f);

    for (int i = 0; i <= N_ROTATIONS; i++) {
        const char *file = i < N_ROTATIONS ? rotated[i] : path;

        for (const char *at = content(file); (at = strstr(at, "line n=")) != NULL; at++)
            cr_assert_eq(strtoul(at + 7, NULL, 10), n_seen++);
        if (i < N_ROTATIONS) {
            unlink(file);
            free(rotated[i]);
        }
    }
    cr_expect_eq(n_seen, N_LINES);
    remove_temp(path);
}

/* A pipe that nobody reads fills up; nothing is lost and nothing written twice once somebody does.
 */
Test(log_file, full_pipe_is_waited_for, .timeout = 20)
{
    static char text[TEXT_SIZE], expected[TEXT_SIZE];
    struct log_file f;
    struct log_line line =
        line_of("0123456789 a line that is written again and again 0123456789\n");
    size_t len = 0, expected_len = 0;
    int fds[2], error;
    ssize_t n_read;

    cr_assert_eq(pipe(fds), 0);
    cr_assert_gt(fcntl(fds[1], F_SETPIPE_SZ, 8192), 0);
    log_file_init(&f, fds[1]);
    do {
        unsigned n = 0;

        error = f.sink.write(&f.sink, &line, 1, &n);
        for (; n > 0; n--, expected_len += line.len)
            memcpy(expected + expected_len, line.text, line.len);
    } while (error == 0);
    cr_assert_eq(error, -EAGAIN);
    cr_assert_gt(expected_len, 4096);

    n_read = read(fds[0], text, sizeof(text));
    cr_assert_gt(n_read, 0);
    len = (size_t)n_read;
    write_text(&f, line.text);
    memcpy(expected + expected_len, line.text, line.len);
    expected_len += line.len;
    log_file_fini(&f);
    while ((n_read = read(fds[0], text + len, sizeof(text) - len)) > 0)
        len += (size_t)n_read;
    cr_expect_eq(len, expected_len);
    cr_expect_arr_eq(text, expected, len);
    close(fds[0]);
}

/* Many lines at once, to a socket that takes them in pieces. */
Test(log_file, pieces_of_lines_are_continued, .timeout = 20)
{
    static char text[TEXT_SIZE], expected[TEXT_SIZE];
    struct log_line lines[60];
    char bytes[60][700];
    struct log_file f;
    size_t len = 0, expected_len = 0;
    unsigned n_done = 0;
    int fds[2], size = 1;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    cr_assert_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    log_file_init(&f, fds[0]);
    for (int i = 0; i < 60; i++) {
        memset(bytes[i], 'a' + i % 26, sizeof(bytes[i]));
        lines[i] = (struct log_line){LOG_LEVEL_INFO, bytes[i], (size_t)(10 + i * 11)};
        bytes[i][lines[i].len - 1] = '\n';
        memcpy(expected + expected_len, bytes[i], lines[i].len);
        expected_len += lines[i].len;
    }
    while (n_done < 60) {
        unsigned n = 0;
        int error = f.sink.write(&f.sink, lines + n_done, 60 - n_done, &n);
        ssize_t n_read = read(fds[1], text + len, sizeof(text) - len);

        cr_assert(error == 0 || error == -EAGAIN);
        n_done += n;
        len += n_read > 0 ? (size_t)n_read : 0;
    }
    for (ssize_t n; (n = read(fds[1], text + len, sizeof(text) - len)) > 0;)
        len += (size_t)n;
    cr_expect_eq(len, expected_len);
    cr_expect_arr_eq(text, expected, expected_len);
    log_file_fini(&f);
    close(fds[1]);
}

/* A line of which a piece is out goes on where it began; only the next one goes to the new place.
 */
Test(log_file, line_is_not_spread_over_two_files)
{
    char *old_path = temp_path("old"), *new_path = temp_path("new");
    struct log_file f = opened(old_path);
    int fd;

    cr_assert_eq(write(f.fd, "begun", 5), 5);
    f.n_begun = 5;
    cr_assert_eq(log_file_open(new_path, &fd), 0);
    log_file_change(&f, fd);
    write_text(&f, "begun and ended\n");
    write_text(&f, "the next one\n");
    log_file_fini(&f);
    cr_expect_str_eq(content(old_path), "begun and ended\n");
    cr_expect_str_eq(content(new_path), "the next one\n");
    remove_temp(old_path);
    remove_temp(new_path);
}

/* The disk is full in the middle of a line, and later there is room: the piece stays alone. */
Test(log_file, torn_line_is_ended)
{
    struct rlimit limit = {.rlim_cur = 25, .rlim_max = RLIM_INFINITY};
    char *path = temp_path("log");
    struct log_file f = opened(path);
    struct log_line lost = line_of("lost in its middle\n");
    unsigned n = 5;

    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    write_text(&f, "written before\n");
    cr_expect_eq(f.sink.write(&f.sink, &lost, 1, &n), -EFBIG);
    cr_expect_eq(n, 0);
    cr_expect_eq(f.sink.write(&f.sink, &lost, 1, &n), -EFBIG);
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    write_text(&f, "written after\n");
    write_text(&f, "and so on\n");
    log_file_fini(&f);
    cr_expect_str_eq(content(path), "written before\nlost in it\nwritten after\nand so on\n");
    remove_temp(path);
}

Test(log_file, closed_pipe_is_an_error)
{
    struct log_line line = line_of("nobody\n");
    struct log_file f;
    unsigned n = 5;
    int fds[2];

    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(pipe(fds), 0);
    close(fds[0]);
    log_file_init(&f, fds[1]);
    cr_expect_eq(f.sink.write(&f.sink, &line, 1, &n), -EPIPE);
    cr_expect_eq(n, 0);
    log_file_fini(&f);
}
