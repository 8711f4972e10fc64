/*
 * The daemon's log as the configuration wants it: where it goes and which lines are written. Both
 * can change at a reload. Made and unmade by main; changed by control.
 */
#ifndef WEIR_DAEMON_LOGGING_H
#define WEIR_DAEMON_LOGGING_H

#include "weir/base/check.h"
#include "weir/base/log.h"
#include "weir/base/log_file.h"
#include "weir/conf/conf.h"

struct logging {
    struct log *log;
    struct log_file file;
    int quieter; /* levels fewer than the configuration says, from the command line; may be < 0 */
};

/* Starts the writer thread and attaches the calling thread, which is control. 0 or -errno. */
NODISCARD int logging_init(struct logging *l, const struct conf *conf, int quieter);

/* Writes what is left. Every other thread has detached. */
void logging_fini(struct logging *l);

/* After a reload: the level, and the file opened again under its name, so that it can be rotated by
 * renaming. 0, or -errno of the file, and then the old one stays in use. */
NODISCARD int logging_apply(struct logging *l, const struct conf *conf);

#endif
