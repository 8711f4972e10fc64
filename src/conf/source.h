/*
 * The text of a configuration: the main file and all it includes, as one sequence of tokens. Files
 * are read whole and kept until source_fini(), so tokens may point into them.
 *
 * Only regular files are read, at most SOURCE_MAX_BYTES of them together; an include counts from
 * the folder of the file that it stands in.
 */
#ifndef WEIR_CONF_SOURCE_H
#define WEIR_CONF_SOURCE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lex.h"
#include "weir/base/check.h"
#include "weir/base/span.h"
#include "weir/conf/conf.h"

#define SOURCE_MAX_BYTES (16u << 20)
#define SOURCE_MAX_DEPTH 10
#define SOURCE_MAX_FILES 1000

struct source_file {
    char *path;
    char *text;
    size_t len;
    dev_t dev; /* with ino: which file it is, whatever it is called */
    ino_t ino;
    struct lexer lexer; /* how far it has been read */
};

/* Where a token stands, for messages. */
struct place {
    const char *text;
    uint32_t len;
    uint32_t file;
    uint32_t line;
};

struct source {
    struct source_file *files[SOURCE_MAX_FILES]; /* each once for every time it is included */
    uint32_t n_files;
    uint32_t open[SOURCE_MAX_DEPTH]; /* those being read, the main file first */
    unsigned depth;
    size_t n_bytes;
    bool in_memory; /* no file may be opened */
    struct conf_error *error;
};

/* Starts with a file, or with a copy of a text that only bears the name of one. 0, -EINVAL with
 * *error set, or -ENOMEM; source_fini() is due in any case. */
NODISCARD int source_init(struct source *s, const char *path, struct conf_error *error);
NODISCARD int source_init_text(struct source *s, const char *path, struct span text,
                               struct conf_error *error);
void source_fini(struct source *s);

/* The next token; includes are followed, so there is never a TOKEN_INCLUDE. TOKEN_END only at the
 * end of the main file. */
NODISCARD int source_next(struct source *s, struct token *token, struct place *place);

/* Writes "FILE:LINE: " and the message to the error, then the line's text if with_line. Returns
 * -EINVAL. */
int source_fail(const struct source *s, const struct place *at, bool with_line, const char *format,
                ...) PRINTF_LIKE(4, 5);

#endif
