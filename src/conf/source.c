/*
 * Reading files with care: a configuration names other files, and a name may turn out to be a
 * folder, a FIFO that nobody writes to, an endless device or the file that is being read.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_SHOWN_MAX 160

static void file_free(struct source_file *f)
{
    if (f == NULL)
        return;
    free(f->path);
    free(f->text);
    free(f);
}

/* What keeps an open file from being read as configuration; NULL: nothing. */
static const char *file_obstacle(const struct stat *st)
{
    if (S_ISDIR(st->st_mode))
        return "it is a folder; name a file";
    if (!S_ISREG(st->st_mode))
        return "it is not a regular file";
    return st->st_size > (off_t)SOURCE_MAX_BYTES ? "it is larger than 16 MB" : NULL;
}

/* Reads everything up to the end of the file, whatever size it claimed. 0, -errno, or -EFBIG
 * where there is more than max bytes. */
static int read_all(int fd, size_t max, char **out, size_t *out_len)
{
    size_t room = 65536, len = 0;
    char *text = malloc(room);
    int error = text == NULL ? ENOMEM : 0;

    while (error == 0) {
        if (len == room) {
            char *more = realloc(text, room * 2);

            if (more == NULL) {
                error = ENOMEM;
                break;
            }
            text = more;
            room *= 2;
        }

        ssize_t n = read(fd, text + len, room - len);

        if (n == 0)
            break;
        if (n > 0)
            len += (size_t)n;
        else if (errno != EINTR)
            error = errno;
        if (len > max)
            error = EFBIG;
    }
    if (error != 0) {
        free(text);
        return -error;
    }
    *out = text;
    *out_len = len;
    return 0;
}

/* An error of opening or reading path; at: the @include that named it, NULL for the main file. */
static int fail_open(const struct source *s, const struct place *at, const char *path,
                     const char *why)
{
    if (at != NULL)
        return source_fail(s, at, false, "@include: cannot read %s: %s", path, why);
    snprintf(s->error->text, sizeof(s->error->text), "cannot read %s: %s", path, why);
    return -EINVAL;
}

static int fail_errno(const struct source *s, const struct place *at, const char *path, int error)
{
    const char *why = strerrordesc_np(error);

    if (error == ENOMEM)
        return -ENOMEM;
    if (error == EFBIG)
        why = "all files together are larger than 16 MB";
    return fail_open(s, at, path, why != NULL ? why : "unknown error");
}

static bool is_being_read(const struct source *s, const struct stat *st)
{
    for (unsigned i = 0; i < s->depth; i++) {
        const struct source_file *f = s->files[s->open[i]];

        if (f->dev == st->st_dev && f->ino == st->st_ino)
            return true;
    }
    return false;
}

/* Puts a file on top of those being read. Takes f over in any case. */
static void file_push(struct source *s, struct source_file *f)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    size_t skip = f->len >= 3 && memcmp(f->text, byte_order_mark, 3) == 0 ? 3 : 0;

    ASSERT(s->n_files < SOURCE_MAX_FILES && s->depth < SOURCE_MAX_DEPTH);
    f->lexer = (struct lexer){f->text + skip, f->text + f->len, 1};
    s->n_bytes += f->len;
    s->open[s->depth++] = s->n_files;
    s->files[s->n_files++] = f;
}

/* Reads an open file into f. */
static int file_read(struct source *s, const struct place *at, int fd, struct source_file *f)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return fail_errno(s, at, f->path, errno);

    const char *obstacle = file_obstacle(&st);

    if (obstacle != NULL)
        return fail_open(s, at, f->path, obstacle);
    if (is_being_read(s, &st))
        return fail_open(s, at, f->path, "it includes itself, directly or through other files");
    f->dev = st.st_dev;
    f->ino = st.st_ino;

    int r = read_all(fd, SOURCE_MAX_BYTES - s->n_bytes, &f->text, &f->len);

    return r == 0 ? 0 : fail_errno(s, at, f->path, -r);
}

static int file_open(struct source *s, const struct place *at, const char *path)
{
    struct source_file *f = calloc(1, sizeof(*f));

    if (f == NULL || (f->path = strdup(path)) == NULL) {
        file_free(f);
        return -ENOMEM;
    }

    /* O_NONBLOCK: opening a FIFO must not wait for somebody who writes to it. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int r = fd < 0 ? fail_errno(s, at, path, errno) : file_read(s, at, fd, f);

    if (fd >= 0)
        close(fd);
    if (r != 0) {
        file_free(f);
        return r;
    }
    file_push(s, f);
    return 0;
}

/* Opens what an @include names. */
static int include_open(struct source *s, const struct place *at)
{
    const char *from = s->files[at->file]->path;
    const char *slash = strrchr(from, '/');
    char path[4096];

    if (s->in_memory)
        return source_fail(s, at, false, "@include: not possible in a text that is not a file");
    if (s->depth == SOURCE_MAX_DEPTH)
        return source_fail(s, at, false, "@include: files are nested more than %d deep",
                           SOURCE_MAX_DEPTH);
    if (s->n_files == SOURCE_MAX_FILES)
        return source_fail(s, at, false, "@include: more than %d files", SOURCE_MAX_FILES);

    int folder_len = at->text[0] == '/' || slash == NULL ? 0 : (int)(slash + 1 - from);
    int len = snprintf(path, sizeof(path), "%.*s%.*s", folder_len, from, (int)at->len, at->text);

    if (len < 0 || (size_t)len >= sizeof(path))
        return source_fail(s, at, false, "@include: the path is too long");
    return file_open(s, at, path);
}

int source_init(struct source *s, const char *path, struct conf_error *error)
{
    *s = (struct source){.error = error};
    return file_open(s, NULL, path);
}

int source_init_text(struct source *s, const char *path, struct span text, struct conf_error *error)
{
    *s = (struct source){.error = error, .in_memory = true};
    if (text.len > SOURCE_MAX_BYTES)
        return fail_errno(s, NULL, path, EFBIG);

    struct source_file *f = calloc(1, sizeof(*f));

    if (f == NULL || (f->path = strdup(path)) == NULL || (f->text = malloc(text.len + 1)) == NULL) {
        file_free(f);
        return -ENOMEM;
    }
    if (text.len > 0)
        memcpy(f->text, text.ptr, text.len);
    f->len = text.len;
    file_push(s, f);
    return 0;
}

void source_fini(struct source *s)
{
    for (uint32_t i = 0; i < s->n_files; i++)
        file_free(s->files[i]);
    s->n_files = 0;
    s->depth = 0;
}

int source_next(struct source *s, struct token *token, struct place *place)
{
    for (;;) {
        uint32_t file = s->open[s->depth - 1];

        lex_next(&s->files[file]->lexer, token);
        *place = (struct place){token->text, (uint32_t)token->len, file, token->line};
        if (token->kind == TOKEN_INCLUDE) {
            int r = include_open(s, place);

            if (r != 0)
                return r;
        } else if (token->kind == TOKEN_END && s->depth > 1) {
            s->depth--;
        } else {
            return 0;
        }
    }
}

/* Appends the line that at stands in, with anything unprintable shown as '?'. */
static void append_line(const struct source *s, const struct place *at, size_t used)
{
    const struct source_file *f = s->files[at->file];
    const char *start = at->text, *end = at->text;
    char line[LINE_SHOWN_MAX + 1];

    while (start > f->text && start[-1] != '\n')
        start--;
    while (start < at->text && (*start == ' ' || *start == '\t'))
        start++;
    while (end < f->text + f->len && *end != '\n' && *end != '\r')
        end++;

    size_t len = (size_t)(end - start) < LINE_SHOWN_MAX ? (size_t)(end - start) : LINE_SHOWN_MAX;

    if (len == 0)
        return;
    for (size_t i = 0; i < len; i++) {
        line[i] = start[i];
        if ((unsigned char)start[i] < ' ' || start[i] == 0x7f)
            line[i] = '?';
    }
    line[len] = '\0';
    snprintf(s->error->text + used, sizeof(s->error->text) - used, "\n    %s", line);
}

int source_fail(const struct source *s, const struct place *at, bool with_line, const char *format,
                ...)
{
    char message[800];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);

    int used = snprintf(s->error->text, sizeof(s->error->text), "%s:%u: %s",
                        s->files[at->file]->path, at->line, message);

    if (with_line && used > 0 && (size_t)used < sizeof(s->error->text))
        append_line(s, at, (size_t)used);
    return -EINVAL;
}
