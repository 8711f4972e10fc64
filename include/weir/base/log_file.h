/*
 * A log sink that writes to a file, a pipe or a terminal, and changes to another one without losing
 * a line, for rotation.
 */
#ifndef WEIR_BASE_LOG_FILE_H
#define WEIR_BASE_LOG_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "weir/base/log.h"

struct log_file {
    struct log_sink sink;
    atomic_int next_fd; /* to change to; -1: none */

    /* the writer's: */
    int fd;
    size_t n_begun; /* bytes of the next line that are out already */
    bool torn;      /* the last line was given up in its middle */
};

/* Opens a log file to append to, or standard error once more if path is "". 0 or -errno. */
NODISCARD int log_file_open(const char *path, int *fd);

/* The file owns the descriptor. */
void log_file_init(struct log_file *f, int fd);

/* When the log is gone. */
void log_file_fini(struct log_file *f);

/* Any thread, at any time: what is written from now on goes to fd, which the file then owns. Lines
 * on their way may still go to the old one. */
void log_file_change(struct log_file *f, int fd);

#endif
