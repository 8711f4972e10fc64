/*
 * The end of a process whose own state is wrong: say what and where, with a trace, and abort so
 * that a core can be written and the service manager restarts us. Runs on whatever thread found
 * out.
 */
#include "weir/base/check.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TRACE_DEPTH 64

void check_failed(const char *expr, const char *file, int line, const char *func)
{
    void *frames[TRACE_DEPTH];

    /* stdio's buffers may be what is broken: dprintf writes straight to the descriptor. */
    dprintf(STDERR_FILENO, "weir: internal error: %s:%d: %s: check \"%s\" failed\n", file, line,
            func, expr);
    backtrace_symbols_fd(frames, backtrace(frames, TRACE_DEPTH), STDERR_FILENO);
    abort();
}
